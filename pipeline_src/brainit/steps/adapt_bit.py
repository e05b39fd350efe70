"""Stage 1 of a new subject: train only its voxel embeddings in a BIT (5.3, D.4)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, NewSubject, TokenFiles
from brainit.training.resume import Work
from brainit.training.stage1 import AdaptBitInputs, run_adapt_bit

FLAGS = (AdaptBitInputs, NewSubject, ImageFiles, TokenFiles, BitOutput, Work)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "adapt_bit", __doc__, *FLAGS)
    use_threads(args.settings.run.threads)
    inputs, new = args[AdaptBitInputs], args[NewSubject]
    files, tokens = args[ImageFiles], args[TokenFiles]
    run_adapt_bit(inputs, new, files, tokens, args.settings, args[BitOutput], args[Work])


if __name__ == "__main__":
    run_step("adapt_bit", main, output="--bit")
