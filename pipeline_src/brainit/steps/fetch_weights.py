"""Find or fetch the published weights of one network and verify them.

Files in the folder that the environment variable BRAINIT_WEIGHTS names are taken first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import from_args, run_step, step_parser
from brainit.features.registry import find_entry
from brainit.features.weights_fetch import fetch_weights


@dataclass(frozen=True)
class Flags:
    """The network, and its file."""

    network: str
    """Name of the registry's entry."""
    out: Path
    """Where the steps look for it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Put the weights of `--network` at `--out`."""
    flags = from_args(Flags, step_parser("fetch_weights", __doc__, Flags).parse_args(argv))
    fetch_weights(find_entry(flags.network), flags.out)


if __name__ == "__main__":
    run_step("fetch_weights", main, output="--out")
