"""Stage 1 of a new subject: train only its voxel embeddings in a BIT (5.3, D.4)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, NewSubject, TokenFiles
from brainit.training.resume import Work
from brainit.training.stage1 import AdaptBitInputs, run_adapt_bit


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser(
        "adapt_bit", __doc__, AdaptBitInputs, NewSubject, ImageFiles, TokenFiles, BitOutput, Work
    ).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    run_adapt_bit(
        from_args(AdaptBitInputs, args),
        from_args(NewSubject, args),
        from_args(ImageFiles, args),
        from_args(TokenFiles, args),
        settings,
        from_args(BitOutput, args),
        from_args(Work, args),
    )


if __name__ == "__main__":
    run_step("adapt_bit", main, output="--bit")
