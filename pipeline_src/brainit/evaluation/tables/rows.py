"""The published numbers, read from the one file that holds them (`paper_tables.yaml`)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


NSDSYNTHETIC = "nsdsynthetic"
"""Run and table of NSD-synthetic."""
RETRIEVAL = "retrieval"
"""Table of retrieval, and of MindEye2's published one."""
ENCODER_TABLE, FAILURES = "encoder", "failures"
"""Tables of another form: no rows of runs."""
DURATIONS = ("15min", "30min", "450trials", "1h", "2h", "5h", "10h", "40h")
"""Amounts of data that tables have rows of, run or not run."""
FROM_SCRATCH = "1h_scratch"
"""The run of a model that has seen one subject's first hour alone."""
_AMOUNT = re.compile(r"(\d+)(min|trials|h)")
_MINUTES = {"min": 1.0, "trials": 60 / 750, "h": 60.0}
_POOL = re.compile(r"first(\d+)")


def is_amount(text: str) -> bool:
    """Tell whether a text is an amount of data, such as 15min, 450trials or 2h."""
    return _AMOUNT.fullmatch(text) is not None


def duration_label(duration: str) -> str:
    """Return an amount of data as text: "15 min", "450 trials", "2 h"."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", duration)


@dataclass(frozen=True)
class Condition:
    """What one block of a table shows; `paper_row` is (method, data), or None.

    `image_class` leaves only the images of a class; empty for all. `needs` is what real data ask
    for besides the table's target.
    """

    label: str
    run: str
    kind: str
    paper_row: tuple[str, str] | None = None
    image_class: str = ""
    needs: str = ""

    @property
    def duration(self) -> str:
        """The amount of data of the run: 40h where it is decoded by a pool's models."""
        first = self.run.split("_")[0]
        return first if is_amount(first) else "40h"

    @property
    def data(self) -> str:
        """What the decoded subject's model was trained on: its duration, or `FROM_SCRATCH`."""
        return FROM_SCRATCH if self.run == FROM_SCRATCH else self.duration


@dataclass(frozen=True)
class Rows:
    """The rows of a table; the others are compared with the row number `reference`.

    `target` is the workflow's target that makes them, `title` that of a table not in the paper, and
    `n_seeds` the seeds without which a row is not run. With `same_subjects` all rows are of the
    subjects that every row has. A table of another form has no conditions.
    """

    conditions: tuple[Condition, ...]
    reference: int = 0
    target: str = "tables"
    title: str = ""
    n_seeds: int = 1
    same_subjects: bool = False


def _ablation(label: str, variant: str, paper_method: str, needs: str = "") -> Condition:
    run = f"40h_{variant}" if variant else "40h"
    return Condition(label, run, "fused", (paper_method, "40h"), needs=needs)


def _atlas(label: str, variant: str, paper_method: str) -> Condition:
    needs = f"add the ablation {variant}, its annotation files in clusters.atlas"
    return _ablation(label, variant, paper_method, needs)


TABLES: dict[str, Rows] = {
    "table1": Rows(
        (
            Condition("Brain-IT", "40h", "fused", ("Brain-IT", "40h")),
            Condition("Brain-IT", "1h", "fused", ("Brain-IT", "1h")),
        )
    ),
    "t4": Rows(
        (
            Condition("low-level only", "40h", "lowlevel", ("low-level only", "40h")),
            Condition("semantic only", "40h", "semantic", ("semantic only", "40h")),
            Condition("combined", "40h", "fused", ("combined", "40h")),
        ),
        reference=2,
    ),
    "t6": Rows((Condition("Brain-IT", "40h", "fused", ("Brain-IT", "40h")),)),
    "t7": Rows(
        (
            Condition("transfer", "15min", "fused", ("15 min", "15min")),
            Condition("transfer", "30min", "fused", ("30 min", "30min")),
            Condition(
                "transfer", "450trials", "fused", needs="name it in transfer.short_durations"
            ),
            Condition("transfer", "1h", "fused", ("1 h", "1h")),
            Condition("from scratch", FROM_SCRATCH, "fused", needs="set transfer.scratch: true"),
        ),
        reference=3,
    ),
    "t1": Rows(
        (
            _ablation("without external images", "no_external", "without"),
            _ablation("with external images", "", "with"),
        ),
        reference=1,
        target="ablations",
    ),
    "t2": Rows(
        (
            _ablation("3-D coordinates", "coordinates", "3-D coordinates"),
            _atlas("Schaefer-400", "schaefer400", "Schaefer-400 (84 clusters)"),
            _atlas("Schaefer-1000", "schaefer1000", "Schaefer-1000 (198 clusters)"),
            _ablation("functional", "", "functional"),
        ),
        reference=3,
        target="ablations",
    ),
    "t3": Rows(
        tuple(_ablation(f"{n} clusters", f"k{n}", str(n)) for n in (8, 16, 32, 64, 128, 256, 512)),
        reference=4,
        target="ablations",
    ),
    "t5": Rows(
        (
            Condition("BIT", "40h", "lowlevel", ("BIT", "40h")),
            Condition("MLP, InfoNCE", "40h_mlp_infonce", "lowlevel", ("MLP, InfoNCE", "40h")),
            Condition("MLP, MSE", "40h_mlp_mse", "lowlevel", ("MLP, MSE", "40h")),
        ),
        target="ablations",
    ),
}
"""The paper's tables by name."""

_FULL = Condition("models of all subjects", "40h", "fused")
BEYOND: dict[str, Rows] = {
    NSDSYNTHETIC: Rows(
        tuple(
            Condition(f"NSD-synthetic, {label}", NSDSYNTHETIC, kind)
            for label, kind in (
                ("low-level only", "lowlevel"),
                ("semantic only", "semantic"),
                ("combined", "fused"),
            )
        ),
        reference=2,
        target="everything, with nsd.space: fsaverage",
        title="NSD-synthetic: images outside natural scenes",
    ),
    "sessions": Rows(
        (*(Condition("transfer", name, "fused") for name in DURATIONS[:-1]), _FULL),
        reference=len(DURATIONS) - 1,
        target="everything, with these transfer.further_durations",
        title="Data scaling: amount of the subject's data",
        same_subjects=True,
    ),
    "subjects": Rows(
        (*(Condition(f"first {n} subjects", f"first{n}", "fused") for n in (1, 2, 4)), _FULL),
        reference=3,
        target="everything, with these nsd.pool_sizes",
        title="Number of training subjects",
        same_subjects=True,
    ),
    "seeds": Rows(
        (Condition("Brain-IT", "40h", "fused"),),
        target="everything, with seeds.values",
        title="Other seeds of BITs, stage 2 and sampling",
        n_seeds=2,
    ),
    RETRIEVAL: Rows(
        (Condition("Brain-IT", "40h", "fused"), Condition("Brain-IT", "1h", "fused")),
        target="everything",
        title="Retrieval, subject by subject",
    ),
    ENCODER_TABLE: Rows((), target="everything", title="Encoder accuracy by part of cortex"),
    FAILURES: Rows((), target="everything", title="Failure cases, chosen by rule"),
}
"""Tables that the paper has no numbers for."""

EVERY_TABLE = (*TABLES, *BEYOND)
"""The names of all tables that the workflow can make."""


def command_of(name: str, simulated: bool) -> str:
    """Return the command that makes table `name` and its runs."""
    if simulated:
        return "make demo" if name in ("table1", "t4", "t6") else "make demo-full"
    return f"snakemake --profile slurm {rows_of(name).target}"


def rows_of(name: str) -> Rows:
    """Return the rows of a table, the paper's or one beyond it."""
    return TABLES[name] if name in TABLES else BEYOND[name]


def rows_with(name: str, runs: Sequence[str]) -> Rows:
    """Return the rows of a table, and of those of `runs` that settings add to it.

    These are further amounts of data and pools of other sizes; they stand in order of size.
    """
    rows = rows_of(name)
    known = {condition.run for condition in rows.conditions}
    new = [run for run in runs if run not in known]
    if name == "sessions":
        further = [Condition("transfer", run, "fused") for run in new if is_amount(run)]
    elif name == "subjects":
        sizes = [(run, _POOL.fullmatch(run)) for run in new]
        further = [Condition(f"first {n[1]} subjects", run, "fused") for run, n in sizes if n]
    else:
        return rows
    *others, full = rows.conditions
    ordered = sorted([*others, *further], key=_size)
    return replace(rows, conditions=(*ordered, full), reference=len(ordered))


def _size(condition: Condition) -> float:
    """Return the number of a pool's subjects, or minutes of recording (an hour has 750 trials)."""
    pool, amount = _POOL.fullmatch(condition.run), _AMOUNT.fullmatch(condition.run)
    if pool:
        return float(pool[1])
    return int(amount[1]) * _MINUTES[amount[2]] if amount else 0.0


def title_of(name: str) -> str:
    """Return the title of a table, as published or our own."""
    return rows_of(name).title or paper_table(name).title


def condition_name(condition: Condition) -> str:
    """Return the heading of a row without its number of trials."""
    return f"{condition.label}, {duration_label(condition.duration)}"
