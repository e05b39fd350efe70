"""The rows of every table: the published ones, and the runs of ours.

Published numbers are read from `paper_tables.yaml`, the one file that holds them. `TABLES` are the
paper's tables, `BEYOND` those without published numbers. The run of an ablation is
`40h_<variant>`; the variants are the config's `ablations`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from brainit.workflow.runs import (
    CONTRASTIVE,
    FULL,
    KNN,
    NSDSYNTHETIC,
    ONE_HOUR,
    PEERS,
    PLACE_ONLY,
    RIDGE,
    STAGE1,
    Duration,
    Run,
    Variant,
)
from brainit.workflow.study import PEER_TABLE, RETRIEVAL_TABLE

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
    """A published table; its rows are means over `subjects`. `note` is printed below the table."""

    title: str
    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    subjects: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    note: str = ""

    def row(self, method: str, data: str = "40h") -> PaperRow:
        """Return the row of a method and amount of data; raises `KeyError` if there is none."""
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
    """Return a table without published rows, with the metrics and subjects of Table 1."""
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


ENCODER_TABLE, FAILURES = "encoder", "failures"
"""Tables without rows of runs."""
DURATIONS = ("15min", "30min", "450trials", "1h", "2h", "5h", "10h", "40h")
"""Amounts of data with a row in the data-scaling table, run or not."""
SEARCHED = "brain-consistent search"
"""End of the label of a row of searched images."""
FROM_SCRATCH = Run("scratch", ONE_HOUR).name
"""The run of a model trained on nothing but one subject's first hour."""


def training_data(run: Run) -> str:
    """Name the data that the decoded subject's model was trained on.

    The run's duration, or `FROM_SCRATCH`, whose validation trials are not trained on; none for the
    oracle of places.
    """
    if run.method == PLACE_ONLY:
        return PLACE_ONLY
    return FROM_SCRATCH if run.is_scratch else run.duration.name


@dataclass(frozen=True)
class Condition:
    """One row of a table: a run and a kind of its images.

    `paper_row` is (method, data) of the published row, or None. `image_class` keeps only the images
    of one class; empty for all. `needs` names the step before making the table's target; the
    simulation's settings have done it.
    """

    label: str
    run: str
    kind: str
    paper_row: tuple[str, str] | None = None
    image_class: str = ""
    needs: str = ""

    @property
    def duration(self) -> Duration:
        """The amount of the subject's data; 40 h if a pool's models decode it."""
        return Run.parse(self.run).duration

    @property
    def data(self) -> str:
        """The data that the subject's model was trained on: `training_data` of the run."""
        return training_data(Run.parse(self.run))

    @property
    def heading(self) -> str:
        """Label and amount of data, without the number of trials."""
        if self.data == PLACE_ONLY:
            return self.label
        return f"{self.label}, {self.duration.label}"


@dataclass(frozen=True)
class Rows:
    """The rows of a table; all are compared with the row number `reference`.

    With `by_amount`, each is compared with the first row of its amount of data instead. `target` is
    the workflow's target that makes them; `title` is set for tables not in the paper. A row counts
    as run with at least `n_seeds` seeds. With `same_subjects`, every row averages over the subjects
    that all rows have. Tables without rows of runs have no conditions.
    """

    conditions: tuple[Condition, ...]
    reference: int = 0
    target: str = "tables"
    title: str = ""
    n_seeds: int = 1
    same_subjects: bool = False
    by_amount: bool = False

    def reference_of(self, condition: Condition) -> Condition:
        """Return the row with which a row is compared; itself where it is the reference."""
        if not self.by_amount:
            return self.conditions[self.reference]
        return next(row for row in self.conditions if row.duration == condition.duration)


def _ablation(label: str, variant: str, paper_method: str, needs: str = "") -> Condition:
    run = f"40h_{variant}" if variant else "40h"
    return Condition(label, run, "fused", (paper_method, "40h"), needs=needs)


def _atlas(label: str, variant: str, paper_method: str) -> Condition:
    needs = f"add the ablation {variant}, its annotation files in clusters.atlas"
    return _ablation(label, variant, paper_method, needs)


_BASELINES = {
    RIDGE: "ridge",
    KNN: "nearest training image",
    PLACE_ONLY: "true place without objects",
}


def _baseline(method: str, duration: Duration, kind: str = "fused", branch: str = "") -> Condition:
    """Return the row of a baseline, whose label says what it shares with ours."""
    shared = "baseline, our data"
    if method == RIDGE and kind != "lowlevel":
        shared += " and pretrained generator"
    if method == PLACE_ONLY:
        shared = "oracle that knows nothing else"
    name = ", ".join(filter(None, (_BASELINES[method], branch)))
    run = Run("baseline", duration, method=method).name
    return Condition(f"{name} ({shared})", run, kind)


TABLES: dict[str, Rows] = {
    "table1": Rows(
        (
            Condition("Brain-IT", "40h", "fused", ("Brain-IT", "40h")),
            Condition("Brain-IT", "1h", "fused", ("Brain-IT", "1h")),
            *(_baseline(method, amount) for amount in (FULL, ONE_HOUR) for method in (RIDGE, KNN)),
        )
    ),
    "t4": Rows(
        (
            Condition("low-level only", "40h", "lowlevel", ("low-level only", "40h")),
            Condition("semantic only", "40h", "semantic", ("semantic only", "40h")),
            Condition("combined", "40h", "fused", ("combined", "40h")),
            _baseline(RIDGE, FULL, "lowlevel", "low-level only"),
            _baseline(RIDGE, FULL, "semantic", "semantic only"),
            _baseline(RIDGE, FULL, "fused", "combined"),
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
            *(
                _baseline(method, Duration.parse(amount))
                for amount in ("15min", "30min", "1h")
                for method in (RIDGE, KNN)
            ),
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


def _first_subjects(n_subjects: int) -> Condition:
    run = Run("first", n_subjects=n_subjects)
    return Condition(f"first {n_subjects} subjects", run.name, "fused")


_PEERS = {
    STAGE1: "Brain-IT, stage 1 alone",
    "mindeye2": "MindEye2's decoder, our implementation",
    "lora_skip": "LoRA and Skip-LoRA fine-tuning, after MindTuner",
    "mindbridge": "MindBridge's aggregation and losses, with our tokens",
}


def _peer(method: str, duration: Duration) -> Condition:
    """Return the row of a peer: the same data, tokens and pretrained generator, no start image."""
    run = Run("baseline", duration, method=method).name
    return Condition(f"{_PEERS[method]}, run here", run, "semantic")


_PEER_AMOUNTS = (FULL, ONE_HOUR, Duration.parse("30min"), Duration.parse("15min"))
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
        (*(_first_subjects(n) for n in (1, 2, 4)), _FULL),
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
    RETRIEVAL_TABLE: Rows(
        (Condition("Brain-IT", "40h", "fused"), Condition("Brain-IT", "1h", "fused")),
        target="everything",
        title="Retrieval, subject by subject",
    ),
    ENCODER_TABLE: Rows((), target="everything", title="Encoder accuracy by part of cortex"),
    FAILURES: Rows((), target="everything", title="Failure cases, chosen by rule"),
    PEER_TABLE: Rows(
        (
            *(_peer(method, amount) for amount in _PEER_AMOUNTS for method in (STAGE1, *PEERS)),
            _baseline(RIDGE, FULL, "semantic", "semantic only"),
            *(_baseline(KNN, amount) for amount in (FULL, ONE_HOUR)),
            Condition("Brain-IT, stage 2, semantic only", "40h", "semantic"),
            Condition("Brain-IT, combined", "40h", "fused"),
            _baseline(RIDGE, FULL, "fused", "combined"),
            Condition("Brain-IT, combined", "1h", "fused"),
            _baseline(RIDGE, ONE_HOUR, "fused", "combined"),
        ),
        target="peers",
        by_amount=True,
        title="Peers run here, on the same data, tokens and generator",
    ),
}
"""Tables without published numbers."""

EVERY_TABLE = (*TABLES, *BEYOND)
"""Names of all tables that the workflow can make."""


def command_of(name: str, simulated: bool) -> str:
    """Return the command that makes the table `name` and its runs."""
    if simulated:
        return "make demo" if name in ("table1", "t4", "t6") else "make demo-full"
    return f"snakemake --profile slurm {rows_of(name).target}"


def rows_of(name: str) -> Rows:
    """Return the rows of the table `name`."""
    return TABLES[name] if name in TABLES else BEYOND[name]


def rows_with(name: str, runs: Sequence[str]) -> Rows:
    """Return the rows of the table `name`, with those of `runs` that the settings add to it.

    The settings add durations to the data-scaling table and pool sizes to the subject-scaling
    table, sorted by size, and amounts of data to the table of peers. A simulation has the oracle of
    places in Table 1, and the ablation with a contrastive head is a row of the table of peers.
    """
    rows = rows_of(name)
    oracle = _baseline(PLACE_ONLY, FULL)
    if name == "table1" and oracle.run in runs:
        return replace(rows, conditions=(*rows.conditions, oracle))
    known = {condition.run for condition in rows.conditions}
    new = [Run.parse(run) for run in runs if run not in known]
    if name == PEER_TABLE:
        own = [run for run in new if run.is_peer and not run.is_searched]
        more = [_peer(run.method, run.duration) for run in sorted(own, key=_peer_order)]
        conditions = (*rows.conditions, *_contrastive(runs), *more)
        found = _searched([run for run in new if run.is_searched], conditions)
        return replace(rows, conditions=(*conditions, *found))
    new = [run for run in new if not run.is_searched]
    if name == "sessions":
        further = [Condition("transfer", run.name, "fused") for run in new if run.is_transfer]
    elif name == "subjects":
        further = [_first_subjects(run.n_subjects) for run in new if run.is_of_fewer_subjects]
    else:
        return rows
    *others, full = rows.conditions
    ordered = sorted([*others, *further], key=_size)
    return replace(rows, conditions=(*ordered, full), reference=len(ordered))


def _contrastive(runs: Sequence[str]) -> list[Condition]:
    """Return the row of the ablation with a contrastive head, where it was run."""
    run = Run(variant=Variant(CONTRASTIVE)).name
    label = "Brain-IT with a contrastive head, combined"
    return [Condition(label, run, "fused")] if run in runs else []


def _searched(runs: Sequence[Run], conditions: Sequence[Condition]) -> list[Condition]:
    """Return the rows of searches, in the order of the rows of the runs that they start from."""
    labels = {condition.run: condition.label for condition in conditions}
    known = [run for run in runs if run.base.name in labels]
    order = list(labels)
    return [
        Condition(f"{labels[run.base.name]}, {SEARCHED}", run.name, "fused")
        for run in sorted(known, key=lambda run: order.index(run.base.name))
    ]


def _peer_order(run: Run) -> tuple[Duration, int]:
    return run.duration, (STAGE1, *PEERS).index(run.method)


def _size(condition: Condition) -> tuple[int, int]:
    """Return a sort key: number of subjects, then minutes of recording."""
    run = Run.parse(condition.run)
    return run.n_subjects, run.duration.minutes


def title_of(name: str) -> str:
    """Return the title of the table `name`, as published or our own."""
    return rows_of(name).title or paper_table(name).title
