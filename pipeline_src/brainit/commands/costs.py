"""`brainit costs RESULTS [BEFORE]`: CPU seconds, time and memory by rule of a finished run.

They are those of Snakemake's benchmark files, which the report shows too. With a second results
folder the CPU seconds of its rules stand beside them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.report.timing import StepCost, read_costs

_HEAD = ("rule", "jobs", "CPU s", "longest, s", "peak, MB")
_HEAD_OF_TWO = (*_HEAD, "CPU s before", "now - before")


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("costs", help="CPU seconds by rule of a finished run")
    parser.add_argument("results", type=Path, help="results folder of the run")
    parser.add_argument("before", type=Path, nargs="?", help="results folder of another run")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the table; raises `PipelineError` where a folder has no benchmarks."""
    before = None if args.before is None else costs_of(args.before)
    for line in as_lines(costs_of(args.results), before):
        sys.stdout.write(f"{line}\n")


def costs_of(results: Path) -> list[StepCost]:
    """Return the cost of each rule of a run; raises `PipelineError` where none was measured."""
    folder = results / "benchmarks"
    if costs := read_costs(folder):
        return costs
    fix = "give the results folder of a run, such as results/demo"
    raise PipelineError(folder, "Snakemake's benchmarks", "none", fix, code="missing-file")


def as_lines(costs: Sequence[StepCost], before: Sequence[StepCost] | None = None) -> list[str]:
    """Return the table as lines, most CPU seconds first, and the sum last."""
    earlier = {cost.step: cost.cpu_s for cost in before or ()}
    rows: list[tuple[str, ...]] = [_HEAD if before is None else _HEAD_OF_TWO]
    for cost in sorted(costs, key=lambda cost: (-_known(cost.cpu_s), cost.step)):
        rows.append(_row(cost, earlier.get(cost.step, 0.0), before is not None))
    for step in sorted(set(earlier) - {cost.step for cost in costs}):
        gone = StepCost(step, 0, 0.0, 0.0, 0.0, 0.0)
        rows.append(_row(gone, earlier[step], True))
    total = StepCost(
        "all rules",
        sum(cost.n_jobs for cost in costs),
        sum(cost.total_s for cost in costs),
        max(cost.longest_s for cost in costs),
        sum(_known(cost.cpu_s) for cost in costs),
        max(_known(cost.peak_mb) for cost in costs),
    )
    rows.append(_row(total, sum(map(_known, earlier.values())), before is not None))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [word.rjust(width) for word, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]


def _row(cost: StepCost, before: float, has_before: bool) -> tuple[str, ...]:
    now = _known(cost.cpu_s)
    row = [cost.step, f"{cost.n_jobs}", f"{now:.1f}", f"{cost.longest_s:.1f}"]
    row.append(f"{_known(cost.peak_mb):.0f}")
    row += [f"{_known(before):.1f}", f"{now - _known(before):+.1f}"] if has_before else []
    return tuple(row)


def _known(value: float) -> float:
    """Return a measured number; 0 for a job too short to be measured, which is NaN."""
    return 0.0 if value != value else value
