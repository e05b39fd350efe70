"""The paper's tables beside ours: paper | ours | difference (Table 1, T4, T7).

Where the data are simulated our columns are headed so, and no difference is computed: the brain and
the networks that score are others, so the numbers cannot be compared with the paper's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.data.trials import in_duration, read_trials
from brainit.evaluation.metric_networks import direction_of
from brainit.evaluation.paper import PaperTable, paper_table
from brainit.evaluation.summaries import Summaries
from brainit.evaluation.table_files import Block, Table

DURATION_LABELS = {"40h": "40 h", "1h": "1 h", "30min": "30 min", "15min": "15 min"}
NO_VALUE = "–"
RECORD_COLUMNS = (
    "condition",
    "metric",
    "direction",
    "paper",
    "ours",
    "ci_low",
    "ci_high",
    "difference",
    "null_mean",
    "n_images",
    "subjects",
    "n_training_trials",
    "simulation",
)


@dataclass(frozen=True)
class Condition:
    """What one block of a table shows; `paper_row` is (method, data), or None."""

    label: str
    run: str
    kind: str
    paper_row: tuple[str, str] | None = None


TABLES: dict[str, tuple[Condition, ...]] = {
    "table1": (
        Condition("Brain-IT", "40h", "fused", ("Brain-IT", "40h")),
        Condition("Brain-IT", "1h", "fused", ("Brain-IT", "1h")),
    ),
    "t4": (
        Condition("low-level only", "40h", "lowlevel", ("low-level only", "40h")),
        Condition("semantic only", "40h", "semantic", ("semantic only", "40h")),
        Condition("combined", "40h", "fused", ("combined", "40h")),
    ),
    "t7": (
        Condition("transfer", "15min", "fused", ("15 min", "15min")),
        Condition("transfer", "30min", "fused", ("30 min", "30min")),
        Condition("transfer", "1h", "fused", ("1 h", "1h")),
        Condition("from scratch", "1h_scratch", "fused"),
    ),
}


def count_training_trials(trials: Mapping[str, Path]) -> dict[tuple[str, str], int]:
    """Return the number of training trials by (subject, duration label of `in_duration`)."""
    counts = {}
    for subject, path in trials.items():
        table = read_trials(path)
        is_train = (table["split"] == "train").to_numpy(dtype=bool)
        for duration in DURATION_LABELS:
            counts[subject, duration] = int((is_train & in_duration(table, duration)).sum())
    return counts


def make_tables(
    summaries: Summaries, trial_counts: Mapping[tuple[str, str], int], settings: Settings
) -> list[Table]:
    """Return Table 1, T4 and T7; runs that do not exist have empty cells."""
    return [_make_table(name, summaries, trial_counts, settings) for name in TABLES]


def _make_table(
    name: str,
    summaries: Summaries,
    trial_counts: Mapping[tuple[str, str], int],
    settings: Settings,
) -> Table:
    published = paper_table(name)
    records = table_records(published, TABLES[name], summaries, trial_counts, settings)
    simulated = settings.run.simulation
    blocks = [*_our_blocks(records, simulated), _paper_block(published)]
    title = published.title + (" (simulation)" if simulated else "")
    return Table(name, title, tuple(blocks), records, _notes(published, settings))


def table_records(
    published: PaperTable,
    conditions: tuple[Condition, ...],
    summaries: Summaries,
    trial_counts: Mapping[tuple[str, str], int],
    settings: Settings,
) -> pd.DataFrame:
    """Return a row per condition and metric: paper, ours, interval, difference (ours - paper)."""
    simulated = settings.run.simulation
    metrics = published.metrics if not simulated else ()
    metrics = (*metrics, *(name for name in summaries.metrics() if name not in metrics))
    rows = []
    for condition in conditions:
        subjects = _subjects(published, condition.run, summaries, simulated)
        label = _label(condition, subjects, trial_counts)
        for metric in metrics:
            ours = summaries.mean(condition.run, condition.kind, metric, subjects or None)
            paper = np.nan
            if condition.paper_row and not simulated:
                paper = published.row(*condition.paper_row).values.get(metric, np.nan)
            found = (ours.mean, ours.ci_low, ours.ci_high) if ours else (np.nan,) * 3
            null, n_images = (ours.null_mean, ours.n_images) if ours else (np.nan, 0)
            n_trials = sum(trial_counts.get((s, _duration(condition.run)), 0) for s in subjects)
            values = (paper, *found, found[0] - paper, null, n_images)
            names = (" ".join(subjects), n_trials, simulated)
            rows.append((label, metric, direction_of(metric), *values, *names))
    return pd.DataFrame(rows, columns=list(RECORD_COLUMNS))


def _subjects(
    published: PaperTable, run: str, summaries: Summaries, simulated: bool
) -> tuple[str, ...]:
    """Return the subjects of our mean: the paper's own where the data are NSD's."""
    known = summaries.subjects(run)
    return known if simulated else tuple(s for s in known if s in published.subjects)


def _duration(run: str) -> str:
    return run.removesuffix("_scratch")


def _label(
    condition: Condition, subjects: tuple[str, ...], counts: Mapping[tuple[str, str], int]
) -> str:
    duration = _duration(condition.run)
    found = sorted({counts[s, duration] for s in subjects if (s, duration) in counts})
    trials = f" ({' / '.join(f'{n:,}' for n in found)} training trials)" if found else ""
    return f"{condition.label}, {DURATION_LABELS[duration]}{trials}"


def _our_blocks(records: pd.DataFrame, simulated: bool) -> list[Block]:
    """Return a block per condition: paper | ours | difference, or simulation | chance."""
    parts = (
        "simulation|95 % interval|chance" if simulated else "paper|ours|95 % interval|difference"
    )
    columns = ("metric", *parts.split("|"))
    blocks = []
    for condition, rows in records.groupby("condition", sort=False):
        if simulated and rows["ours"].isna().all():
            continue
        heading = f"{condition}, simulation" if simulated else str(condition)
        cells = tuple(_our_cells(row, simulated) for _, row in rows.iterrows())
        blocks.append(Block(heading, columns, cells))
    return blocks


def _our_cells(row: pd.Series, simulated: bool) -> tuple[str, ...]:
    metric = str(row["metric"])
    low, high = (format_score(metric, row[column]) for column in ("ci_low", "ci_high"))
    interval = NO_VALUE if np.isnan(row["ci_low"]) else f"{low} to {high}"
    ours = format_score(metric, row["ours"])
    if simulated:
        return _with_arrow(metric), ours, interval, format_score(metric, row["null_mean"])
    paper = format_score(metric, row["paper"])
    difference = format_score(metric, row["difference"], sign=True)
    return _with_arrow(metric), paper, ours, interval, difference


def _paper_block(published: PaperTable) -> Block:
    rows = [
        (
            row.method,
            DURATION_LABELS[row.data],
            str(row.n_test),
            *(format_score(metric, row.values[metric]) for metric in published.metrics),
        )
        for row in published.rows
    ]
    metrics = tuple(_with_arrow(metric) for metric in published.metrics)
    return Block("As published, on NSD", ("method", "data", "test images", *metrics), tuple(rows))


def _with_arrow(metric: str) -> str:
    return f"{metric} {'↓' if direction_of(metric) == 'lower' else '↑'}"


def format_score(metric: str, value: float, sign: bool = False) -> str:
    """Return a score as text: percentages with one decimal, all else with three; NaN as a dash."""
    if np.isnan(value):
        return NO_VALUE
    is_percent = metric.startswith(("Alex(", "Incep", "CLIP")) or metric.endswith("way")
    n_decimals = 1 if is_percent else 3
    text = f"{value:+.{n_decimals}f}" if sign else f"{value:.{n_decimals}f}"
    return text.replace("-", "−")


def _notes(published: PaperTable, settings: Settings) -> tuple[str, ...]:
    over = ", ".join(published.subjects)
    sizes = f"both images resized to {settings.evaluation.eval_size} px first"
    notes = [
        f"Published rows: mean of {over}; no intervals or seeds are published.",
        f"Ours: mean over images, then subjects; {sizes}; PixCorr and SSIM at "
        f"{settings.evaluation.pixel_size} px; percentile bootstrap over images.",
    ]
    if settings.run.simulation:
        notes.append(
            "Simulation: a simulated brain, simulated scenes and small networks, also those that "
            f"score ({', '.join(settings.features.metrics)}). No difference from the paper is "
            "computed: the numbers are not comparable. Chance: reconstructions shuffled against "
            "images."
        )
    return tuple(notes)
