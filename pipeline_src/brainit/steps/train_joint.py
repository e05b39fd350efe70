"""Stage 2: train semantic BIT and generator together with the diffusion loss (3.2)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.training.inputs import ImageFiles, PoolData
from brainit.training.joint import JointInputs, JointOutput, run_joint
from brainit.training.parallel import joined_processes
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser(
        "train_joint", __doc__, JointInputs, PoolData, ImageFiles, JointOutput, Work
    ).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    with joined_processes(settings.joint.processes, run_device(settings)):
        run_joint(
            from_args(JointInputs, args),
            from_args(PoolData, args),
            from_args(ImageFiles, args),
            settings,
            from_args(JointOutput, args),
            from_args(Work, args),
        )


if __name__ == "__main__":
    run_step("train_joint", main, output="--bit")
