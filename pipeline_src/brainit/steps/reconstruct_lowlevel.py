"""Reconstruct low-level images of a shard of test images by Deep Image Prior (3.2, D.2)."""

from collections.abc import Sequence

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.reconstruction.lowlevel import reconstruct_lowlevel
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob, ReconOutput


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("reconstruct_lowlevel", __doc__, DecodingJob, ReconOutput)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    part = reconstruct_lowlevel(from_args(DecodingJob, args), settings)
    write_part(from_args(ReconOutput, args).out, part)


if __name__ == "__main__":
    run_step("reconstruct_lowlevel", main, output="--out")
