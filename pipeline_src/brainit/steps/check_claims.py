"""Check the paper's claims on branches, ablations and transfer on our runs (checks_full.csv)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.evaluation.checks.claims import check_claims


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("check_claims", __doc__)
    parser.add_argument("--summaries", nargs="+", required=True, help="subj01/40h/fused=PATH ...")
    parser.add_argument("--earlier", type=Path, help="checks that come first (.csv)")
    parser.add_argument("--checks", type=Path, required=True, help="table to write (.csv)")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    write_table(args.checks, check_claims(named_paths(args.summaries), args.earlier, settings))


if __name__ == "__main__":
    run_step("check_claims", main)
