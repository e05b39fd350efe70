"""Write a simulated NSD in NSD's formats, with its ground truth beside it."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.simulation.simulate import simulate


def main(argv: Sequence[str] | None = None) -> None:
    """Write `nsd/`, `coco/`, `truth/` and `card.json` below `--out`."""
    parser = step_parser("simulate_nsd", __doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the simulated files")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    simulate(settings, args.out, args.workers)


if __name__ == "__main__":
    run_step("simulate_nsd", main, output="--out")
