"""Put tables, checks, figures, images, costs and provenance into one HTML file."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.report.html import ReportInputs, make_report, write_report


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("make_report", __doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="tables' folders")
    parser.add_argument("--figures", type=Path, required=True, help="folder of figures")
    parser.add_argument("--recon", nargs="+", required=True, help="subj01/40h=FOLDER ...")
    parser.add_argument("--other-runs", nargs="*", default=[], help="subj01/40h_k8=FOLDER ...")
    parser.add_argument("--metrics", nargs="+", required=True, help="subj01/40h/fused=PATH ...")
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--trials", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--ceilings", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--checks", type=Path, help="checks of a simulation (.csv)")
    parser.add_argument("--benchmarks", type=Path, help="folder of Snakemake's benchmark files")
    parser.add_argument("--out", type=Path, required=True, help="report to write (.html)")
    args = parser.parse_args(argv)
    inputs = ReportInputs(
        tables=tuple(args.tables),
        figures=args.figures,
        recons=named_paths(args.recon),
        other_runs=named_paths(args.other_runs),
        metrics=named_paths(args.metrics),
        stimuli=args.stimuli,
        trials=named_paths(args.trials),
        ceilings=named_paths(args.ceilings),
        checks=args.checks,
        benchmarks=args.benchmarks,
    )
    write_report(args.out, make_report(inputs, read_settings(args)))


if __name__ == "__main__":
    run_step("make_report", main)
