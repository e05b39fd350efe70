"""Put tables, checks, figures, images, costs and provenance into one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.report.html import ReportInputs, make_report, write_report


@dataclass(frozen=True)
class Outputs:
    """The file to write."""

    out: Path
    """Report (.html)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags = {"recons": "recon"}
    args = step_parser("make_report", __doc__, ReportInputs, Outputs, flags=flags).parse_args(argv)
    report = make_report(from_args(ReportInputs, args), read_settings(args))
    write_report(from_args(Outputs, args).out, report)


if __name__ == "__main__":
    run_step("make_report", main)
