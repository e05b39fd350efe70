"""Find or fetch the published weights of one network and verify them.

Files in the folder that the environment variable BRAINIT_WEIGHTS names are taken first.
"""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import run_step, step_parser
from brainit.features.registry import find_entry
from brainit.features.weights_fetch import fetch_weights


def main(argv: Sequence[str] | None = None) -> None:
    """Put the weights of `--network` at `--out`."""
    parser = step_parser("fetch_weights", __doc__)
    parser.add_argument("--network", required=True, help="name of the registry's entry")
    parser.add_argument("--out", type=Path, required=True, help="where the steps look for it")
    args = parser.parse_args(argv)
    fetch_weights(find_entry(args.network), args.out)


if __name__ == "__main__":
    run_step("fetch_weights", main, output="--out")
