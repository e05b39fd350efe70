"""Sample images of a shard of test images from low-level image and semantic tokens (3.3, D.3)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.reconstruction.diffusion import FusedInputs, reconstruct_fused
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob, ReconOutput


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = step_parser(
        "reconstruct_fused", __doc__, DecodingJob, FusedInputs, ReconOutput
    ).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    inputs = from_args(FusedInputs, args)
    part = reconstruct_fused(from_args(DecodingJob, args), inputs, settings)
    write_part(from_args(ReconOutput, args).out, part)


if __name__ == "__main__":
    run_step("reconstruct_fused", main, output="--out")
