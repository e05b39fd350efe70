"""Write a simulated NSD in NSD's formats, with its ground truth beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.simulation.simulate import simulate


@dataclass(frozen=True)
class Flags:
    """The folder to write, and how."""

    out: Path
    """Folder of the simulated files."""
    workers: int = 1
    """Processes."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write `nsd/`, `coco/`, `truth/` and `card.json` below `--out`."""
    flags, settings = parse_flags(argv, "simulate_nsd", __doc__, Flags)
    simulate(settings, flags.out, flags.workers)


if __name__ == "__main__":
    run_step("simulate_nsd", main, output="--out")
