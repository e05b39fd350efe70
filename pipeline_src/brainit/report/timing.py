"""Time and memory of each step, from Snakemake's benchmark files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainit.core.artifacts import read_table

_COLUMNS = ("s", "max_rss", "cpu_time")


@dataclass(frozen=True)
class StepCost:
    """The jobs of one step: seconds in total and of the longest, CPU seconds, peak MB of any job.

    NaN if Snakemake measured nothing (a job shorter than its sampling interval).
    """

    step: str
    n_jobs: int
    total_s: float
    longest_s: float
    cpu_s: float
    peak_mb: float


def read_costs(folder: Path | None) -> list[StepCost]:
    """Return the cost of each step below `folder`, longest first; empty for None.

    The step is the first part of a file's path. Raises `PipelineError` for another kind of file.
    """
    if folder is None:
        return []
    jobs: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        step = path.relative_to(folder).parts[0].removesuffix(".tsv")
        jobs.setdefault(step, []).append(_read(path))
    costs = [_cost(step, pd.concat(tables)) for step, tables in jobs.items()]
    return sorted(costs, key=lambda cost: (-cost.total_s, cost.step))


def _read(path: Path) -> pd.DataFrame:
    table = read_table(path, _COLUMNS, "the step", separator="\t")
    return table[list(_COLUMNS)].apply(pd.to_numeric, errors="coerce")


def _cost(step: str, table: pd.DataFrame) -> StepCost:
    seconds = table["s"]
    cpu_s, peak_mb = table["cpu_time"].sum(min_count=1), table["max_rss"].max()
    return StepCost(
        step,
        len(table),
        float(seconds.sum()),
        float(seconds.max()),
        float(cpu_s),
        float(peak_mb),
    )


def cost_rows(costs: Sequence[StepCost]) -> list[list[str]]:
    """Return the rows of the table as text; the last row is the total."""
    rows = [
        [
            cost.step,
            str(cost.n_jobs),
            duration(cost.total_s),
            duration(cost.longest_s),
            duration(cost.cpu_s),
            "–" if cost.peak_mb != cost.peak_mb else f"{cost.peak_mb:,.0f} MB",
        ]
        for cost in costs
    ]
    if not rows:
        return []
    peak = pd.Series([cost.peak_mb for cost in costs]).max()
    cpu_s = pd.Series([cost.cpu_s for cost in costs]).sum()
    total = [
        "all steps",
        str(sum(cost.n_jobs for cost in costs)),
        duration(sum(cost.total_s for cost in costs)),
        duration(max(cost.longest_s for cost in costs)),
        duration(float(cpu_s)),
        "–" if peak != peak else f"{peak:,.0f} MB",
    ]
    return [*rows, total]


def duration(seconds: float) -> str:
    """Return seconds as `3.2 s`, `4:05 min` or `2:10 h`; a dash for NaN."""
    if seconds != seconds:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
