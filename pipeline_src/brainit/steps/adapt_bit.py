"""Train only the voxel embeddings of a new subject in a BIT of stage 1 (5.3, D.4)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import add_work_flags, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.bit_inputs import TrainingFiles
from brainit.training.resume import Work
from brainit.training.runs import BitOutput, NewSubject, run_adapt_bit


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("adapt_bit", __doc__)
    parser.add_argument("--kind", choices=["lowlevel", "semantic"], required=True)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--betas", type=Path, required=True)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--clusters", type=Path, required=True, help="from assign_voxels")
    parser.add_argument("--base-bit", type=Path, required=True)
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--external", type=Path, help="external images")
    parser.add_argument("--synthetic", type=Path, help="predicted fMRI of the subject")
    parser.add_argument("--tokens", type=Path, help="cached tokens of the stimuli")
    parser.add_argument("--external-tokens", type=Path, help="cached tokens of external images")
    parser.add_argument("--duration", required=True, help="15min, 30min, 450trials, 1h ... 40h")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--bit", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)
    add_work_flags(parser)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    synthetic = {args.subject: args.synthetic} if args.synthetic else {}
    files = TrainingFiles(
        args.stimuli,
        args.external,
        synthetic,
        args.tokens,
        args.external_tokens,
        args.weights,
    )
    new = NewSubject(args.subject, args.betas, args.trials, args.duration)
    out = BitOutput(args.bit, args.history)
    work = Work(args.work, args.code, args.checkpoint_minutes, args.max_hours)
    run_adapt_bit(args.kind, new, args.clusters, args.base_bit, files, settings, out, work)


if __name__ == "__main__":
    run_step("adapt_bit", main, output="--bit")
