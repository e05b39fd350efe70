"""Train the universal voxel encoder of a pool of subjects (arXiv 2406.12179)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.training.encoder import EncoderInputs, EncoderOutput, run_encoder
from brainit.training.resume import Work


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser("train_encoder", __doc__, EncoderInputs, EncoderOutput, Work).parse_args(
        argv
    )
    settings = read_settings(args)
    use_threads(settings.run.threads)
    inputs, out = from_args(EncoderInputs, args), from_args(EncoderOutput, args)
    run_encoder(inputs, settings, out, from_args(Work, args))


if __name__ == "__main__":
    run_step("train_encoder", main, output="--encoder")
