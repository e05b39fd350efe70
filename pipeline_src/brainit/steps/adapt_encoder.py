"""Train the encoder's voxel vectors of a new subject, all else frozen (paper 5.3, D.4)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.training.encoder import AdaptEncoderInputs, EncoderOutput, run_adapt_encoder
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "adapt_encoder", __doc__, AdaptEncoderInputs, EncoderOutput, Work)
    settings = args.settings
    use_threads(settings.run.threads)
    inputs, out = args[AdaptEncoderInputs], args[EncoderOutput]
    run_adapt_encoder(inputs, settings, out, args[Work])


if __name__ == "__main__":
    run_step("adapt_encoder", main, output="--encoder")
