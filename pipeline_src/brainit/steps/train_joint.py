"""Train the semantic BIT and the generator together with the diffusion loss (section 3.2)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import add_work_flags, named_paths, read_settings, run_step, step_parser
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.training.bit_inputs import TrainingFiles
from brainit.training.parallel import joined_processes
from brainit.training.resume import Work
from brainit.training.runs import BitOutput, PoolData, run_joint


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("train_joint", __doc__)
    parser.add_argument("--betas", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--trials", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--base-bit", type=Path, required=True, help="stage-1 semantic BIT")
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--external", type=Path, help="external images")
    parser.add_argument("--synthetic", nargs="+", default=[], help="subj01=FOLDER ...")
    parser.add_argument("--duration", required=True, help="15min, 30min, 450trials, 1h ... 40h")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--bit", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)
    parser.add_argument("--generator", type=Path, required=True, help="where the U-Net goes")
    add_work_flags(parser)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    synthetic = named_paths(args.synthetic)
    files = TrainingFiles(args.stimuli, args.external, synthetic, weights=args.weights)
    data = PoolData(named_paths(args.betas), named_paths(args.trials), args.duration)
    out = BitOutput(args.bit, args.history, args.generator)
    work = Work(args.work, args.code, args.checkpoint_minutes, args.max_hours)
    with joined_processes(settings.joint.processes, run_device(settings)):
        run_joint(data, args.base_bit, files, settings, out, work)


if __name__ == "__main__":
    run_step("train_joint", main, output="--bit")
