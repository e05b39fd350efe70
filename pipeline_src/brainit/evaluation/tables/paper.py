"""The published numbers, read from the one file that holds them (`paper_tables.yaml`)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PAPER_FILE = Path(__file__).with_name("paper_tables.yaml")
_SUBJECTS = ("subj01", "subj02", "subj05", "subj07")


@dataclass(frozen=True)
class PaperRow:
    """One row of a published table; `values` by metric name."""

    method: str
    data: str
    n_test: int
    values: dict[str, float]


@dataclass(frozen=True)
class PaperTable:
    """A published table; `subjects` are those over which its rows are means, `note` says more."""

    title: str
    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    subjects: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    note: str = ""

    def row(self, method: str, data: str = "40h") -> PaperRow:
        """Return the row of a method and amount of data; raises `KeyError` where there is none."""
        for row in self.rows:
            if (row.method, row.data) == (method, data):
                return row
        raise KeyError(f"{self.title}: {method}, {data}")


@cache
def _numbers() -> dict[str, Any]:
    return dict(yaml.safe_load(PAPER_FILE.read_text(encoding="utf-8")))


def paper_table_names() -> tuple[str, ...]:
    """Return the names of all published tables, in the file's order."""
    return tuple(name for name, entry in _numbers().items() if isinstance(entry, dict))


def unpublished_table(title: str) -> PaperTable:
    """Return a table without rows, with the metrics and subjects of the paper's Table 1."""
    numbers = _numbers()
    metrics, lower = tuple(numbers["metrics"]), tuple(numbers["lower_is_better"])
    return PaperTable(title, metrics, lower, _SUBJECTS, ())


def paper_table(name: str) -> PaperTable:
    """Return the published table `name`: table1, t1, ..., t7, retrieval."""
    numbers = _numbers()
    entry = numbers[name]
    metrics = tuple(entry.get("metrics", numbers["metrics"]))
    rows = tuple(
        PaperRow(
            row["method"],
            row["data"],
            row["n_test"],
            dict(zip(metrics, row["values"], strict=True)),
        )
        for row in entry["rows"]
    )
    return PaperTable(
        title=entry["title"],
        metrics=metrics,
        lower_is_better=tuple(entry.get("lower_is_better", numbers["lower_is_better"])),
        subjects=tuple(entry.get("subjects", _SUBJECTS)),
        rows=rows,
        note=entry.get("note", ""),
    )
