"""Train the universal voxel encoder of a pool of subjects (arXiv 2406.12179)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.training.encoder import EncoderInputs, EncoderOutput, run_encoder
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "train_encoder", __doc__, EncoderInputs, EncoderOutput, Work)
    settings = args.settings
    use_threads(settings.run.threads)
    inputs, out = args[EncoderInputs], args[EncoderOutput]
    run_encoder(inputs, settings, out, args[Work])


if __name__ == "__main__":
    run_step("train_encoder", main, output="--encoder")
