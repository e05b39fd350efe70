"""Stage 2 of a new subject: train only its voxel embeddings, diffusion loss (5.3, D.4)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, NewSubject
from brainit.training.joint import AdaptJointInputs, run_adapt_joint
from brainit.training.latents import LatentFiles
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(
        argv,
        "adapt_joint",
        __doc__,
        AdaptJointInputs,
        NewSubject,
        ImageFiles,
        LatentFiles,
        BitOutput,
        Work,
    )
    use_threads(args.settings.run.threads)
    inputs, new, files = args[AdaptJointInputs], args[NewSubject], args[ImageFiles]
    latents, out = args[LatentFiles], args[BitOutput]
    run_adapt_joint(inputs, new, files, latents, args.settings, out, args[Work])


if __name__ == "__main__":
    run_step("adapt_joint", main, output="--bit")
