"""Check the results, a simulation's against its truth: value, null, verdict (checks.csv)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import parse_step, run_step
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
    args = parse_step(argv, "check_results", __doc__, CheckInputs, Outputs, flags=flags)
    settings = args.settings
    use_threads(settings.run.threads)
    table = check_results(args[CheckInputs], settings)
    write_table(args[Outputs].checks, table)


if __name__ == "__main__":
    run_step("check_results", main)
