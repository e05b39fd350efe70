"""Train a BIT of stage 1 (sections 3.1-3.2, D).

The low-level BIT predicts VGG tokens (InfoNCE), the semantic one OpenCLIP tokens (L2).
"""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import add_work_flags, named_paths, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.bit_inputs import TrainingFiles
from brainit.training.resume import Work
from brainit.training.runs import BitOutput, PoolData, run_stage1


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("train_bit", __doc__)
    parser.add_argument("--kind", choices=["lowlevel", "semantic"], required=True)
    parser.add_argument("--betas", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--trials", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--clusters", type=Path, required=True, help="V2C map")
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--external", type=Path, help="external images")
    parser.add_argument("--synthetic", nargs="+", default=[], help="subj01=FOLDER ...")
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
    files = TrainingFiles(
        args.stimuli,
        args.external,
        named_paths(args.synthetic),
        args.tokens,
        args.external_tokens,
        args.weights,
    )
    data = PoolData(named_paths(args.betas), named_paths(args.trials), args.duration)
    out = BitOutput(args.bit, args.history)
    work = Work(args.work, args.code, args.checkpoint_minutes, args.max_hours)
    run_stage1(args.kind, data, args.clusters, files, settings, out, work)


if __name__ == "__main__":
    run_step("train_bit", main, output="--bit")
