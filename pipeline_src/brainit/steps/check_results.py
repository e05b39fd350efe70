"""Check the results, a simulation's against its truth: value, null, verdict (checks.csv)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import from_args, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.evaluation.checks.results import CheckInputs, check_results


@dataclass(frozen=True)
class Outputs:
    """The file to write."""

    checks: Path
    """Table (.csv)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags = {"weights_dir": "weights"}
    args = step_parser("check_results", __doc__, CheckInputs, Outputs, flags=flags).parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    table = check_results(from_args(CheckInputs, args), settings)
    write_table(from_args(Outputs, args).checks, table)


if __name__ == "__main__":
    run_step("check_results", main)
