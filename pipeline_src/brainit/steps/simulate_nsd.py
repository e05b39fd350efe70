"""Write a simulated NSD in NSD's formats, with its ground truth beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import from_args, read_settings, run_step, step_parser
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
    args = step_parser("simulate_nsd", __doc__, Flags).parse_args(argv)
    flags, settings = from_args(Flags, args), read_settings(args)
    simulate(settings, flags.out, flags.workers)


if __name__ == "__main__":
    run_step("simulate_nsd", main, output="--out")
