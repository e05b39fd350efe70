"""Train the universal voxel encoder of a pool of subjects (arXiv 2406.12179)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import add_work_flags, named_paths, read_settings, run_step, step_parser
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.data.fmri import load_pool
from brainit.data.images import ImageStore
from brainit.features.registry import load_backbone, weights_path
from brainit.models.voxel_encoder import save_encoder
from brainit.training.encoder import train_encoder
from brainit.training.resume import Work, resumable


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("train_encoder", __doc__)
    parser.add_argument("--betas", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--trials", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--stimuli", type=Path, required=True, help="folder of the stimuli")
    parser.add_argument("--pool", required=True, help="name of the pool, kept in the file")
    parser.add_argument("--duration", default="40h", help="40h, or less of each subject, as 1h")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--encoder", type=Path, required=True, help="encoder to write")
    parser.add_argument("--history", type=Path, required=True, help="table of epochs to write")
    add_work_flags(parser)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    betas, trials = named_paths(args.betas), named_paths(args.trials)
    pool = load_pool(betas, trials, settings.nsd, args.duration, settings.run.seed)
    name = settings.features.encoder_backbone
    backbone = load_backbone("encoder_backbone", name, args.weights)
    device = run_device(settings)
    inputs = {"betas": betas, "trials": trials, "stimuli": args.stimuli, "duration": args.duration}
    weights = weights_path("encoder_backbone", name, args.weights)
    work = Work(args.work, args.code, args.checkpoint_minutes, args.max_hours)
    with resumable(work, settings, {**inputs, "weights": weights}) as checkpoints:
        encoder, history = train_encoder(
            pool, ImageStore(args.stimuli), backbone, settings, device, checkpoints
        )
        save_encoder(
            args.encoder,
            encoder,
            settings=settings.encoder,
            backbone_name=name,
            pool=args.pool,
            seed=settings.run.seed,
        )
        write_table(args.history, history)


if __name__ == "__main__":
    run_step("train_encoder", main, output="--encoder")
