"""Put tables, checks, figures, images, costs and provenance into one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.report.html import ReportInputs, make_report, write_report


@dataclass(frozen=True)
class Outputs:
    """The file to write."""

    out: Path
    """Report (.html)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags = {"recons": "recon"}
    args = parse_step(argv, "make_report", __doc__, ReportInputs, Outputs, flags=flags)
    report = make_report(args[ReportInputs], args.settings)
    write_report(args[Outputs].out, report)


if __name__ == "__main__":
    run_step("make_report", main)
