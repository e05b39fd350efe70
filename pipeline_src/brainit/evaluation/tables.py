"""The paper's tables beside ours: paper | ours | difference (Table 1, T1 to T7).

Where the data are simulated our columns are headed so, and no difference is computed: the brain and
the networks that score are others, so the numbers cannot be compared with the paper's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.metric_networks import direction_of
from brainit.evaluation.paper import PaperTable, paper_table
from brainit.evaluation.smaller import smaller_than_paper
from brainit.evaluation.table_files import Block, Table
from brainit.evaluation.table_records import Results, table_records
from brainit.evaluation.table_rows import (
    DURATION_LABELS,
    NOT_AVAILABLE,
    TABLES,
    Rows,
    command_of,
)

NO_VALUE = "–"


def make_tables(names: Sequence[str], results: Results, settings: Settings) -> list[Table]:
    """Return the tables `names` (keys of `TABLES`); rows without runs are named as not run."""
    return [_make_table(name, results, settings) for name in names]


def _make_table(name: str, results: Results, settings: Settings) -> Table:
    published, rows = paper_table(name), TABLES[name]
    records = table_records(name, rows, published, results, settings)
    simulated = settings.run.simulation
    blocks = [*_our_blocks(records, simulated), *_paired_blocks(records), _paper_block(published)]
    if name == "t6":
        blocks.append(_paper_block(paper_table("retrieval")))
    title = published.title + (" (simulation)" if simulated else "")
    notes = (*_not_run(name, rows, results, simulated), *_notes(published, records, settings))
    return Table(name, title, tuple(blocks), records, notes)


def _our_blocks(records: pd.DataFrame, simulated: bool) -> list[Block]:
    """Return a block per condition: paper | ours | difference, or simulation | chance."""
    parts = (
        "simulation|95 % interval|chance" if simulated else "paper|ours|95 % interval|difference"
    )
    blocks = []
    for condition, rows in records.groupby("condition", sort=False):
        groups = list(dict.fromkeys(rows["subjects"]))
        by_group = {group: rows[rows["subjects"] == group] for group in groups}
        columns = ("metric", *parts.split("|"), *groups[1:])
        cells = [_our_cells(row, simulated) for _, row in by_group[groups[0]].iterrows()]
        for group in groups[1:]:
            scores = zip(by_group[group]["metric"], by_group[group]["ours"], strict=True)
            own = [format_score(str(metric), float(value)) for metric, value in scores]
            cells = [(*row, cell) for row, cell in zip(cells, own, strict=True)]
        heading = f"{condition}, simulation" if simulated else str(condition)
        blocks.append(Block(heading, columns, tuple(cells)))
    return blocks


def _our_cells(row: "pd.Series[Any]", simulated: bool) -> tuple[str, ...]:
    metric = str(row["metric"])
    numbers = {
        name: float(str(row[name])) for name in ("paper", "ours", "ci_low", "ci_high", "null_mean")
    }
    text = {name: format_score(metric, value) for name, value in numbers.items()}
    interval = f"{text['ci_low']} to {text['ci_high']}"
    interval = NO_VALUE if np.isnan(numbers["ci_low"]) else interval
    if simulated:
        return _with_arrow(metric), text["ours"], interval, text["null_mean"]
    difference = format_score(metric, numbers["ours"] - numbers["paper"], sign=True)
    return _with_arrow(metric), text["paper"], text["ours"], interval, difference


def _paired_blocks(records: pd.DataFrame) -> list[Block]:
    """Return the comparisons of rows with the table's reference row, for the mean over subjects."""
    compared = records[records["compared_with"] != ""]
    if compared.empty:
        return []
    columns: dict[str, list[str]] = {}
    for condition, rows in compared.groupby("condition", sort=False):
        mean = rows[rows["subjects"] == rows["subjects"].iloc[0]]
        scores = zip(mean["metric"], mean["paired_difference"], mean["p_value"], strict=True)
        columns[str(condition)] = [
            f"{format_score(str(metric), float(value), sign=True)} ({format_p(float(p))})"
            for metric, value, p in scores
        ]
        metrics = [_with_arrow(str(metric)) for metric in mean["metric"]]
    heading = f"Less {compared['compared_with'].iloc[0]}, image by image (Wilcoxon, two-sided)"
    cells = tuple(zip(metrics, *columns.values(), strict=True))
    return [Block(heading, ("metric", *columns), cells)]


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
    heading = f"As published, on NSD: {published.title}"
    return Block(heading, ("method", "data", "test images", *metrics), tuple(rows))


def _with_arrow(metric: str) -> str:
    return f"{metric} {'↓' if direction_of(metric) == 'lower' else '↑'}"


def format_score(metric: str, value: float, sign: bool = False) -> str:
    """Return a score as text: percentages with one decimal, all else with three; NaN as a dash."""
    if np.isnan(value):
        return NO_VALUE
    is_percent = metric.startswith(("Alex(", "Incep")) or metric == "CLIP"
    is_percent = is_percent or metric.endswith(("way", "retrieval"))
    n_decimals = 1 if is_percent else 3
    text = f"{value:+.{n_decimals}f}" if sign else f"{value:.{n_decimals}f}"
    return text.replace("-", "−")


def format_p(value: float) -> str:
    """Return a p-value as text."""
    if np.isnan(value):
        return f"p {NO_VALUE}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _not_run(name: str, rows: Rows, results: Results, simulated: bool) -> list[str]:
    """Return a note for the rows whose runs are not there, with what makes them."""
    missing = [c for c in rows.conditions if not results.images.subjects(c.run, c.kind)]
    notes = [
        f"Not run: {c.label}: {NOT_AVAILABLE[c.run]}." for c in missing if c.run in NOT_AVAILABLE
    ]
    names = [
        f"{c.label}, {DURATION_LABELS[c.duration]}" for c in missing if c.run not in NOT_AVAILABLE
    ]
    if names:
        notes.append(f"Not run: {'; '.join(names)}. Command: {command_of(name, simulated)}")
    return notes


def _notes(published: PaperTable, records: pd.DataFrame, settings: Settings) -> tuple[str, ...]:
    over = ", ".join(published.subjects)
    sizes = f"both images resized to {settings.evaluation.eval_size} px first"
    notes = [
        f"Published rows: mean of {over}; no intervals or seeds are published.",
        f"Ours: mean over images, then subjects; {sizes}; PixCorr and SSIM at "
        f"{settings.evaluation.pixel_size} px; percentile bootstrap over images. P-values are not "
        "corrected for their number.",
        _smaller(published, records, settings),
    ]
    if settings.run.simulation:
        notes.append(
            "Simulation: a simulated brain, simulated scenes and small networks, also those that "
            f"score ({', '.join(settings.features.metrics)}). No difference from the paper is "
            "computed: the numbers are not comparable. Chance: reconstructions shuffled against "
            "images."
        )
    return tuple(notes)


def _smaller(published: PaperTable, records: pd.DataFrame, settings: Settings) -> str:
    """Say what was smaller than in the paper, the test set and the subjects first."""
    found = list(smaller_than_paper(settings))
    scored = records[records["n_images"] > 0]
    n_test = max(row.n_test for row in published.rows)
    if len(scored) and scored["n_images"].min() < n_test:
        found.insert(0, f"test images {scored['n_images'].min():,} (paper: {n_test:,})")
    n_subjects = [
        len(str(names).split()) for names in scored.groupby("condition").first()["subjects"]
    ]
    if n_subjects and min(n_subjects) < len(published.subjects):
        found.insert(0, f"subjects {min(n_subjects)} (paper: {len(published.subjects)})")
    return f"Smaller than in the paper: {'; '.join(found) if found else 'nothing'}."
