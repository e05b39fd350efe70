"""Search images of a shard of test images whose predicted responses fit the measured ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.reconstruction.batches import N_THREADS
from brainit.reconstruction.brain_search import ChooserInputs
from brainit.reconstruction.diffusion import SearchInputs, reconstruct_searched
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob, ReconOutput


@dataclass(frozen=True)
class Fits:
    """Where the fits go."""

    fits: Path
    """table of all samples' fits to write (.csv)"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    kinds = (DecodingJob, SearchInputs, ChooserInputs, ReconOutput, Fits)
    args = parse_step(argv, "reconstruct_searched", __doc__, *kinds)
    use_threads(N_THREADS)
    inputs = (args[DecodingJob], args[SearchInputs], args[ChooserInputs])
    part, fits = reconstruct_searched(*inputs, args.settings)
    write_table(args[Fits].fits, fits)
    write_part(args[ReconOutput].out, part)


if __name__ == "__main__":
    run_step("reconstruct_searched", main, output="--out")
