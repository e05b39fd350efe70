"""Train only the voxel embeddings of a new subject with the diffusion loss (5.3, D.4)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import add_work_flags, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.bit_inputs import TrainingFiles
from brainit.training.resume import Work
from brainit.training.runs import BitOutput, NewSubject, run_adapt_joint


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("adapt_joint", __doc__)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--betas", type=Path, required=True)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--base-bit", type=Path, required=True, help="adapted semantic BIT")
    parser.add_argument("--base-joint-bit", type=Path, required=True, help="the pool's, stage 2")
    parser.add_argument("--base-generator", type=Path, required=True)
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--external", type=Path, help="external images")
    parser.add_argument("--synthetic", type=Path, help="predicted fMRI of the subject")
    parser.add_argument("--duration", required=True, help="15min, 30min, 450trials, 1h ... 40h")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--bit", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)
    add_work_flags(parser)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    synthetic = {args.subject: args.synthetic} if args.synthetic else {}
    files = TrainingFiles(args.stimuli, args.external, synthetic, weights=args.weights)
    new = NewSubject(args.subject, args.betas, args.trials, args.duration)
    out = BitOutput(args.bit, args.history)
    bases = (args.base_bit, args.base_joint_bit, args.base_generator)
    work = Work(args.work, args.code, args.checkpoint_minutes, args.max_hours)
    run_adapt_joint(new, *bases, files, settings, out, work)


if __name__ == "__main__":
    run_step("adapt_joint", main, output="--bit")
