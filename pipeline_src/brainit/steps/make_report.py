"""Put tables, checks, figures and provenance into one HTML file."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.report.html import make_report, write_report


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("make_report", __doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="tables' folders")
    parser.add_argument("--figures", type=Path, required=True, help="folder of figures")
    parser.add_argument("--recon", nargs="+", required=True, help="subj01/40h=FOLDER ...")
    parser.add_argument("--ceilings", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--checks", type=Path, help="checks of a simulation (.csv)")
    parser.add_argument("--out", type=Path, required=True, help="report to write (.html)")
    args = parser.parse_args(argv)
    settings = read_settings(args.settings)
    recons, ceilings = named_paths(args.recon), named_paths(args.ceilings)
    report = make_report(args.tables, args.figures, recons, ceilings, args.checks, settings)
    write_report(args.out, report)


if __name__ == "__main__":
    run_step("make_report", main)
