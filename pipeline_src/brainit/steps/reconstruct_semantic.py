"""Sample images of a shard of test images from their semantic tokens alone (3.3)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.reconstruction.diffusion import SemanticInputs, reconstruct_semantic
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob, ReconOutput


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser(
        "reconstruct_semantic", __doc__, DecodingJob, SemanticInputs, ReconOutput
    ).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    inputs = from_args(SemanticInputs, args)
    part = reconstruct_semantic(from_args(DecodingJob, args), inputs, settings)
    write_part(from_args(ReconOutput, args).out, part)


if __name__ == "__main__":
    run_step("reconstruct_semantic", main, output="--out")
