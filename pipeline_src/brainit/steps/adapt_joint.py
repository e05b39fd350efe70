"""Stage 2 of a new subject: train only its voxel embeddings, diffusion loss (5.3, D.4)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, NewSubject
from brainit.training.joint import AdaptJointInputs, run_adapt_joint
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser(
        "adapt_joint", __doc__, AdaptJointInputs, NewSubject, ImageFiles, BitOutput, Work
    ).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    run_adapt_joint(
        from_args(AdaptJointInputs, args),
        from_args(NewSubject, args),
        from_args(ImageFiles, args),
        settings,
        from_args(BitOutput, args),
        from_args(Work, args),
    )


if __name__ == "__main__":
    run_step("adapt_joint", main, output="--bit")
