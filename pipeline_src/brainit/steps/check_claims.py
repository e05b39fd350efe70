"""Check the paper's claims on branches, ablations and transfer on our runs (checks_full.csv)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import parse_flags, run_step
from brainit.evaluation.checks.claims import check_claims


@dataclass(frozen=True)
class Flags:
    """Files of the step."""

    metrics: Mapping[str, Path]
    """Scores of each image, subj01/40h/fused=PATH ..."""
    summaries: Mapping[str, Path]
    """Mean scores, subj01/40h/fused=PATH ..."""
    checks: Path
    """Table to write (.csv)."""
    earlier: Path | None = None
    """Checks that come first (.csv)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "check_claims", __doc__, Flags)
    checks = check_claims(flags.metrics, flags.summaries, flags.earlier, settings)
    write_table(flags.checks, checks)


if __name__ == "__main__":
    run_step("check_claims", main)
