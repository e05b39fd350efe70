"""The paper's tables beside ours: paper | ours | difference (Table 1, T1 to T7).

Where the data are simulated our columns are headed so, and no difference is computed: the brain and
the networks that score are others, so the numbers cannot be compared with the paper's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.failures import FAILURES, failure_table
from brainit.evaluation.metric_names import direction_of
from brainit.evaluation.paper import PaperTable, paper_table, unpublished_table
from brainit.evaluation.table_files import Block, Table
from brainit.evaluation.table_notes import table_notes
from brainit.evaluation.table_records import Results, table_records
from brainit.evaluation.table_rows import duration_label, rows_of

NO_VALUE = "–"


def make_tables(names: Sequence[str], results: Results, settings: Settings) -> list[Table]:
    """Return the tables `names` (of `TABLES`, `BEYOND`, and `failures`).

    Rows without runs are named as not run.
    """
    return [
        failure_table(results.images, settings)
        if name == FAILURES
        else _make_table(name, results, settings)
        for name in names
    ]


def _make_table(name: str, results: Results, settings: Settings) -> Table:
    rows = rows_of(name)
    published = unpublished_table(rows.title) if rows.title else paper_table(name)
    records = table_records(name, rows, published, results, settings)
    simulated = settings.run.simulation
    blocks = [*_our_blocks(records, simulated), *_paired_blocks(records), *_seed_blocks(records)]
    blocks += [_paper_block(published)] if published.rows else []
    if name == "t6":
        blocks.append(_paper_block(paper_table("retrieval")))
    title = published.title + (" (simulation)" if simulated else "")
    notes = table_notes(name, rows, published, records, results, settings)
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


def _seed_blocks(records: pd.DataFrame) -> list[Block]:
    """Return mean and deviation over seeds of the rows that were run with several."""
    several = records[records["n_seeds"] > 1]
    if several.empty:
        return []
    columns = {}
    for condition, rows in several.groupby("condition", sort=False):
        mean = rows[rows["subjects"] == rows["subjects"].iloc[0]]
        numbers = zip(mean["metric"], mean["seed_mean"], mean["seed_sd"], strict=True)
        heading = f"{condition}, {int(mean['n_seeds'].min())} seeds"
        columns[heading] = [
            f"{format_score(str(m), float(value))} ± {format_score(str(m), float(sd))}"
            for m, value, sd in numbers
        ]
        metrics = [_with_arrow(str(metric)) for metric in mean["metric"]]
    cells = tuple(zip(metrics, *columns.values(), strict=True))
    return [Block("Over seeds: mean ± standard deviation", ("metric", *columns), cells)]


def _paper_block(published: PaperTable) -> Block:
    rows = [
        (
            row.method,
            duration_label(row.data),
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
