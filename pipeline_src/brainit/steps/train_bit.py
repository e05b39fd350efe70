"""Stage 1: train a BIT (sections 3.1-3.2, D).

The low-level BIT predicts VGG tokens (InfoNCE), the semantic one OpenCLIP tokens (L2).
"""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, PoolData, TokenFiles
from brainit.training.resume import Work
from brainit.training.stage1 import BitInputs, run_stage1


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(
        argv, "train_bit", __doc__, BitInputs, PoolData, ImageFiles, TokenFiles, BitOutput, Work
    )
    use_threads(args.settings.run.threads)
    data, files, out = args[PoolData], args[ImageFiles], args[BitOutput]
    run_stage1(args[BitInputs], data, files, args[TokenFiles], args.settings, out, args[Work])


if __name__ == "__main__":
    run_step("train_bit", main, output="--bit")
