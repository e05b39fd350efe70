"""Stage 2: train semantic BIT and generator together with the diffusion loss (3.2)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.device import run_device
from brainit.core.seeds import use_threads
from brainit.training.inputs import ImageFiles, PoolData
from brainit.training.joint import JointInputs, JointOutput, run_joint
from brainit.training.latents import LatentFiles
from brainit.training.parallel import joined_processes
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(
        argv,
        "train_joint",
        __doc__,
        JointInputs,
        PoolData,
        ImageFiles,
        LatentFiles,
        JointOutput,
        Work,
    )
    settings = args.settings
    use_threads(settings.run.threads)
    with joined_processes(settings.joint.processes, run_device(settings)):
        inputs, data, files = args[JointInputs], args[PoolData], args[ImageFiles]
        latents, out = args[LatentFiles], args[JointOutput]
        run_joint(inputs, data, files, latents, settings, out, args[Work])


if __name__ == "__main__":
    run_step("train_joint", main, output="--bit")
