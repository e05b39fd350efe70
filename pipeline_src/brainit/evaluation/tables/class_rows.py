"""NSD-synthetic class by class: the rows of its table again, over the images of one class each."""

from dataclasses import replace

import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.tables.files import Block
from brainit.evaluation.tables.paper import PaperTable
from brainit.evaluation.tables.records import Results, table_records
from brainit.evaluation.tables.rows import NSDSYNTHETIC, Rows
from brainit.evaluation.tables.text import format_interval, format_score, with_arrow

CLASS_NOTE = (
    "Classes are NSD's own labels (column 'Image class' of nsdsyntheticimageinformation.csv), in "
    "the order of the images. Rivals in identification and retrieval are the images of all "
    "classes; chance is known for the whole only."
)


def class_records(
    rows: Rows, published: PaperTable, results: Results, settings: Settings
) -> pd.DataFrame:
    """Return tidy numbers of each class (`image_class`), in the order of the images.

    A class is compared with the reference row over its own images. Empty where none is known.
    """
    parts = []
    for image_class in dict.fromkeys(results.classes[key] for key in sorted(results.classes)):
        of_class = tuple(replace(c, image_class=image_class) for c in rows.conditions)
        own = replace(rows, conditions=of_class)
        found = table_records(NSDSYNTHETIC, own, published, results, settings)
        parts.append(found.assign(image_class=image_class))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def class_blocks(records: pd.DataFrame) -> list[Block]:
    """Return a block per condition, means over subjects: a row per metric, a column per class."""
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
