"""Train the encoder's voxel vectors of a new subject, all else frozen (paper 5.3, D.4)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.encoder import AdaptEncoderInputs, EncoderOutput, run_adapt_encoder
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser(
        "adapt_encoder", __doc__, AdaptEncoderInputs, EncoderOutput, Work
    ).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    inputs, out = from_args(AdaptEncoderInputs, args), from_args(EncoderOutput, args)
    run_adapt_encoder(inputs, settings, out, from_args(Work, args))


if __name__ == "__main__":
    run_step("adapt_encoder", main, output="--encoder")
