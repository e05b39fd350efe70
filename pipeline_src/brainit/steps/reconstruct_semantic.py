"""Sample images of a shard of test images from their semantic tokens alone (3.3)."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.reconstruction.batches import N_THREADS
from brainit.reconstruction.diffusion import SemanticInputs, reconstruct_semantic
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob, ReconOutput


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(
        argv, "reconstruct_semantic", __doc__, DecodingJob, SemanticInputs, ReconOutput
    )
    use_threads(N_THREADS)
    part = reconstruct_semantic(args[DecodingJob], args[SemanticInputs], args.settings)
    write_part(args[ReconOutput].out, part)


if __name__ == "__main__":
    run_step("reconstruct_semantic", main, output="--out")
