"""Sample images of a shard of test images from low-level image and semantic tokens (3.3, D.3)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.reconstruction.batches import N_THREADS
from brainit.reconstruction.diffusion import FusedInputs, reconstruct_fused
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob, ReconOutput


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "reconstruct_fused", __doc__, DecodingJob, FusedInputs, ReconOutput)
    use_threads(N_THREADS)
    part = reconstruct_fused(args[DecodingJob], args[FusedInputs], args.settings)
    write_part(args[ReconOutput].out, part)


if __name__ == "__main__":
    run_step("reconstruct_fused", main, output="--out")
