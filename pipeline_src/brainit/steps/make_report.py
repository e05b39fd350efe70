"""Put tables, checks, figures, images, costs and provenance into one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.core.files import write_text
from brainit.report.html import ReportInputs, make_report, settings_text, write_report


@dataclass(frozen=True)
class Outputs:
    """The files to write."""

    out: Path
    """Report (.html)."""
    told: Path
    """Settings of the run (.json), by which `brainit seeds` knows like runs."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags = {"recons": "recon"}
    args = parse_step(argv, "make_report", __doc__, ReportInputs, Outputs, flags=flags)
    report = make_report(args[ReportInputs], args.settings)
    write_text(args[Outputs].told, settings_text(args.settings))
    write_report(args[Outputs].out, report)


if __name__ == "__main__":
    run_step("make_report", main)
