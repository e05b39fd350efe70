"""Fit the encoder's voxel vectors of a new subject, all else frozen (paper 5.3, D.4)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import add_work_flags, read_settings, run_step, step_parser
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.data.fmri import load_subject_fmri
from brainit.data.images import ImageStore
from brainit.features.registry import weights_path
from brainit.models.voxel_encoder import load_encoder, require_encoder_settings, save_encoder
from brainit.training.encoder import adapt_encoder
from brainit.training.resume import Work, resumable


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("adapt_encoder", __doc__)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--betas", type=Path, required=True)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--stimuli", type=Path, required=True, help="folder of the stimuli")
    parser.add_argument("--duration", required=True, help="15min, 30min, 450trials, 1h ... 40h")
    parser.add_argument("--base", type=Path, required=True, help="encoder of the other subjects")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--encoder", type=Path, required=True, help="encoder to write")
    parser.add_argument("--history", type=Path, required=True, help="table of epochs to write")
    add_work_flags(parser)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    base = load_encoder(args.base, settings.features, args.weights)
    require_encoder_settings(args.base, base, settings.encoder)
    fmri = load_subject_fmri(
        args.subject, args.betas, args.trials, ("train", "val"), args.duration, average=False
    )
    device = run_device(settings)
    name = settings.features.encoder_backbone
    weights = weights_path("encoder_backbone", name, args.weights)
    given = ("betas", "trials", "stimuli", "base", "subject", "duration")
    inputs = {key: getattr(args, key) for key in given}
    work = Work(args.work, args.code, args.checkpoint_minutes, args.max_hours)
    with resumable(work, settings, {**inputs, "weights": weights}) as checkpoints:
        encoder, history = adapt_encoder(
            base, fmri, ImageStore(args.stimuli), settings, device, checkpoints
        )
        save_encoder(
            args.encoder,
            encoder,
            settings=settings.encoder,
            backbone_name=name,
            pool=f"{args.subject}_{args.duration}",
            seed=settings.run.seed,
        )
        write_table(args.history, history)


if __name__ == "__main__":
    run_step("adapt_encoder", main, output="--encoder")
