"""Reconstruct low-level images of a shard of test images by Deep Image Prior (3.2, D.2)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.reconstruction.batches import N_THREADS
from brainit.reconstruction.lowlevel import reconstruct_lowlevel
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob, ReconOutput


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "reconstruct_lowlevel", __doc__, DecodingJob, ReconOutput)
    settings = args.settings
    use_threads(N_THREADS)
    part = reconstruct_lowlevel(args[DecodingJob], settings)
    write_part(args[ReconOutput].out, part)


if __name__ == "__main__":
    run_step("reconstruct_lowlevel", main, output="--out")
