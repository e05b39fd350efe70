"""Mark half of a subject's training images as unused, for an encoder of the other half."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.data.halves import half_of_trials
from brainit.data.trials import read_trials, write_trials


@dataclass(frozen=True)
class Flags:
    """A trial table, and the half of its training images to keep."""

    trials: Path
    """Trial table of the subject."""
    half: str
    """half_a or half_b."""
    out: Path
    """Trial table to write."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "halve_trials", __doc__, Flags)
    write_trials(
        flags.out, half_of_trials(read_trials(flags.trials), flags.half, settings.run.seed)
    )


if __name__ == "__main__":
    run_step("halve_trials", main, output="--out")
