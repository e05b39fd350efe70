"""Which rows of a table were not run, and what makes them."""

from dataclasses import dataclass

import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.tables.rows import Condition, command_of, condition_name, rows_of


@dataclass(frozen=True)
class NotRun:
    """What was not run: a table's title, or a figure's, which rows of it (none: all), and how."""

    title: str
    rows: tuple[str, ...]
    command: str


def missing_rows(
    name: str, title: str, records: pd.DataFrame, settings: Settings
) -> tuple[NotRun, ...]:
    """Return the rows of table `name` that its `records` lack, those of one command together.

    A model of as many subjects as there are is that of all of them, and not missed.
    """
    simulated = settings.run.simulation
    found: dict[str, list[str]] = {}
    for condition in rows_of(name).conditions:
        is_there = _is_there(condition, rows_of(name).n_seeds, records)
        if is_there or _is_of_all(condition.run, len(settings.nsd.subjects)):
            continue
        how = command_of(name, simulated)
        if condition.needs and not simulated:
            how = f"{how}; first {condition.needs}"
        found.setdefault(how, []).append(condition_name(condition))
    return tuple(NotRun(title, tuple(rows), how) for how, rows in found.items())


def _is_of_all(run: str, n_subjects: int) -> bool:
    return run.startswith("first") and int(run.removeprefix("first")) >= n_subjects


def _is_there(condition: Condition, n_seeds: int, records: pd.DataFrame) -> bool:
    """Tell whether a row is there, with so many seeds; its number of trials stands in brackets."""
    name = condition_name(condition)
    seeds = [
        int(n)
        for label, n in zip(records["condition"], records["n_seeds"], strict=True)
        if label == name or str(label).startswith(f"{name} (")
    ]
    return max(seeds, default=0) >= n_seeds
