"""Stage 1: train a BIT (sections 3.1-3.2, D).

The low-level BIT predicts VGG tokens (InfoNCE), the semantic one OpenCLIP tokens (L2).
"""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, PoolData, TokenFiles
from brainit.training.resume import Work
from brainit.training.stage1 import BitInputs, run_stage1


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser(
        "train_bit", __doc__, BitInputs, PoolData, ImageFiles, TokenFiles, BitOutput, Work
    ).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    run_stage1(
        from_args(BitInputs, args),
        from_args(PoolData, args),
        from_args(ImageFiles, args),
        from_args(TokenFiles, args),
        settings,
        from_args(BitOutput, args),
        from_args(Work, args),
    )


if __name__ == "__main__":
    run_step("train_bit", main, output="--bit")
