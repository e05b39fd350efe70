"""Make the paper's tables: paper | ours | difference (Table 1, T1 to T7), and those beyond it.

For simulated data the columns say so and no difference is computed: another brain and other
networks give numbers that are not comparable with the paper's. NSD-synthetic is also shown class by
class.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.tables.encoder_accuracy import encoder_table
from brainit.evaluation.tables.failures import failure_table
from brainit.evaluation.tables.files import (
    Block,
    Table,
    format_interval,
    format_p,
    format_score,
    with_arrow,
)
from brainit.evaluation.tables.notes import published_note, table_notes
from brainit.evaluation.tables.peers import (
    CLAIMS,
    CONTRASTIVE_CLAIM,
    COST_NOTE,
    OTHERS_NOTE,
    SEARCH_CLAIM,
    TOKEN_NOTE,
    cost_block,
    identification_block,
    settings_notes,
)
from brainit.evaluation.tables.records import Results, table_records
from brainit.evaluation.tables.rows import (
    ENCODER_TABLE,
    FAILURES,
    PaperTable,
    Rows,
    paper_table,
    rows_with,
    unpublished_table,
)
from brainit.workflow.runs import CONTRASTIVE, NSDSYNTHETIC, Duration, Run
from brainit.workflow.study import PEER_TABLE, RETRIEVAL_TABLE


def make_tables(names: Sequence[str], results: Results, settings: Settings) -> list[Table]:
    """Return the tables `names` (of `TABLES` and `BEYOND`); notes list rows that were not run."""
    return [_make_table(name, results, settings) for name in names]


def _make_table(name: str, results: Results, settings: Settings) -> Table:
    if name == FAILURES:
        return failure_table(results.images, settings)
    if name == ENCODER_TABLE:
        return encoder_table(results.encoder, settings)
    rows = rows_with(name, results.images.runs())
    published = unpublished_table(rows.title) if rows.title else paper_table(name)
    records = table_records(name, rows, published, results, settings)
    simulated = settings.run.simulation
    blocks = [*_our_blocks(records, simulated), *_paired_blocks(records), *_seed_blocks(records)]
    blocks += [_paper_block(published)] if published.rows else []
    title = published.title + (" (simulation)" if simulated else "")
    notes = table_notes(name, published, records, settings)
    if name in ("t6", RETRIEVAL_TABLE):
        found = results.identification
        heading = "Retrieval by tokens, among all test images"
        blocks += [identification_block(found, heading)] if found else []
        others = paper_table(RETRIEVAL_TABLE)
        blocks.append(_paper_block(others))
        told = (TOKEN_NOTE, *([OTHERS_NOTE] if name == "t6" else [])) if found else ()
        notes = (*notes, *told, published_note(others.title, others))
    if name == PEER_TABLE:
        blocks += [identification_block(results.identification)] if results.identification else []
        blocks += [cost_block(results.costs)] if results.costs else []
        blocks += [_paper_block(paper_table("table1"))]
        runs = [Run.parse(name) for name in results.images.runs()]
        searched = (SEARCH_CLAIM,) if any(one.is_searched for one in runs) else ()
        contrastive = any(one.variant.name == CONTRASTIVE for one in runs)
        claims = (*CLAIMS, *searched, *((CONTRASTIVE_CLAIM,) if contrastive else ()))
        costs = (COST_NOTE,) if results.costs else ()
        notes = (*claims, *settings_notes(settings), *costs, *notes)
    if name == NSDSYNTHETIC and results.classes:
        by_class = class_records(rows, published, results, settings)
        blocks += class_blocks(by_class)
        records = pd.concat([records.assign(image_class=""), by_class], ignore_index=True)
        notes = (*notes, CLASS_NOTE)
    return Table(name, title, tuple(blocks), records, notes)


def _our_blocks(records: pd.DataFrame, simulated: bool) -> list[Block]:
    """Return a block per condition: paper | ours | difference, or simulation | chance level."""
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
            column = [format_score(str(metric), float(value)) for metric, value in scores]
            cells = [(*row, cell) for row, cell in zip(cells, column, strict=True)]
        heading = f"{condition}, {_mean_of(str(groups[0]))}{', simulation' if simulated else ''}"
        blocks.append(Block(heading, columns, tuple(cells)))
    return blocks


def _mean_of(subjects: str) -> str:
    return subjects if " " not in subjects else f"mean of {subjects.replace(' ', ', ')}"


def _our_cells(row: "pd.Series[Any]", simulated: bool) -> tuple[str, ...]:
    metric = str(row["metric"])
    names = ("paper", "ours", "ci_low", "ci_high", "difference", "null_mean")
    numbers = {name: float(str(row[name])) for name in names}
    text = {name: format_score(metric, value) for name, value in numbers.items()}
    interval = format_interval(metric, numbers["ci_low"], numbers["ci_high"])
    if simulated:
        return with_arrow(metric), text["ours"], interval, text["null_mean"]
    difference = format_score(metric, numbers["difference"], sign=True)
    return with_arrow(metric), text["paper"], text["ours"], interval, difference


def _paired_blocks(records: pd.DataFrame) -> list[Block]:
    """Return the comparisons of rows with each reference row, for the mean over subjects.

    A row with a subject that the reference row lacks is not compared.
    """
    mean = _means(records)
    compared = mean[mean["compared_with"] != ""]
    groups = compared.groupby("compared_with", sort=False)
    return [_paired_block(str(reference), rows) for reference, rows in groups]


def _paired_block(reference: str, compared: pd.DataFrame) -> Block:
    columns: dict[str, dict[str, str]] = {}
    for condition, rows in compared.groupby("condition", sort=False):
        scores = zip(rows["metric"], rows["paired_difference"], rows["p_value"], strict=True)
        columns[str(condition)] = {
            str(metric): f"{format_score(str(metric), float(value), sign=True)} "
            f"({format_p(float(p))})"
            for metric, value, p in scores
        }
    heading = f"Difference from {reference}, image by image (Wilcoxon, two-sided)"
    return _by_metric(heading, columns)


def _means(records: pd.DataFrame) -> pd.DataFrame:
    """Return the records of means over all subjects: each condition's first set of subjects."""
    first = records.groupby("condition", sort=False)["subjects"].transform("first")
    return records[records["subjects"] == first]


def _by_metric(heading: str, columns: dict[str, dict[str, str]]) -> Block:
    """Return a block with a row per metric; a column that lacks the metric has a dash."""
    metrics = list(dict.fromkeys(metric for cells in columns.values() for metric in cells))
    rows = [(with_arrow(m), *(cells.get(m, "–") for cells in columns.values())) for m in metrics]
    return Block(heading, ("metric", *columns), tuple(rows))


def _seed_blocks(records: pd.DataFrame) -> list[Block]:
    """Return mean and standard deviation over seeds of rows run with several seeds."""
    mean = _means(records)
    several = mean[mean["n_seeds"] > 1]
    if several.empty:
        return []
    columns: dict[str, dict[str, str]] = {}
    for condition, rows in several.groupby("condition", sort=False):
        numbers = zip(rows["metric"], rows["seed_mean"], rows["seed_sd"], strict=True)
        columns[f"{condition}, {int(rows['n_seeds'].min())} seeds"] = {
            str(m): f"{format_score(str(m), float(value))} ± {format_score(str(m), float(sd))}"
            for m, value, sd in numbers
        }
    return [_by_metric("Over seeds: mean ± standard deviation", columns)]


def _paper_block(published: PaperTable) -> Block:
    rows = [
        (
            row.method,
            Duration.parse(row.data).label,
            str(row.n_test),
            *(format_score(metric, row.values[metric]) for metric in published.metrics),
        )
        for row in published.rows
    ]
    metrics = tuple(with_arrow(metric) for metric in published.metrics)
    heading = f"As published, on NSD: {published.title}"
    return Block(heading, ("method", "data", "test images", *metrics), tuple(rows))


CLASS_NOTE = (
    "Classes are NSD's labels (column 'Image class' of nsdsyntheticimageinformation.csv), in the "
    "order of the images. Identification and retrieval compare with the images of all classes; "
    "chance levels are known for all classes together only."
)


def class_records(
    rows: Rows, published: PaperTable, results: Results, settings: Settings
) -> pd.DataFrame:
    """Return tidy numbers of each class (`image_class`), in the order of the images.

    Paired comparisons use the images of the class. Empty without classes.
    """
    parts = []
    for image_class in dict.fromkeys(results.classes[key] for key in sorted(results.classes)):
        of_class = tuple(replace(c, image_class=image_class) for c in rows.conditions)
        rows_of_class = replace(rows, conditions=of_class)
        records = table_records(NSDSYNTHETIC, rows_of_class, published, results, settings)
        parts.append(records.assign(image_class=image_class))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def class_blocks(records: pd.DataFrame) -> list[Block]:
    """Return a block per condition with means over subjects: metrics by classes."""
    blocks = []
    for condition, rows in records.groupby("condition", sort=False) if len(records) else ():
        mean = rows[rows["subjects"] == rows["subjects"].iloc[0]]
        classes = dict.fromkeys(mean["image_class"])
        by_class = {name: mean[mean["image_class"] == name] for name in classes}
        columns = [f"{name} ({int(by_class[name]['n_images'].max())} images)" for name in classes]
        metrics = by_class[next(iter(classes))]["metric"]
        cells = [
            (with_arrow(str(metric)), *(_cell(by_class[name], str(metric)) for name in classes))
            for metric in metrics
        ]
        blocks.append(Block(f"By image class: {condition}", ("metric", *columns), tuple(cells)))
    return blocks


def _cell(rows: pd.DataFrame, metric: str) -> str:
    row = rows[rows["metric"] == metric].iloc[0]
    mean, low, high = (float(row[name]) for name in ("ours", "ci_low", "ci_high"))
    return f"{format_score(metric, mean)} ({format_interval(metric, low, high)})"
