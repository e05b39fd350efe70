"""Make the trial table of a subject and its split (paper 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.data.nsd.design import prepare_design
from brainit.data.trials import write_trials


@dataclass(frozen=True)
class Flags:
    """One subject's inputs, and the file to write."""

    subject: str
    """subj01 to subj08."""
    nsd: Path
    """Root of NSD's tree."""
    trials: Path
    """Trial table to write (.csv)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the trial table of `--subject` from the design files below `--nsd`."""
    flags, settings = parse_flags(argv, "prepare_design", __doc__, Flags)
    trials = prepare_design(flags.nsd, flags.subject, settings.nsd, settings.run.seed)
    write_trials(flags.trials, trials)


if __name__ == "__main__":
    run_step("prepare_design", main)
