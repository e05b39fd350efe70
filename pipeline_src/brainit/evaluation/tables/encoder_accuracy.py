"""The table of the encoder's accuracy by part of cortex, from stored numbers (beyond the paper)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.artifacts import read_table
from brainit.core.settings import Settings
from brainit.evaluation.metrics.names import ENCODER_COLUMNS
from brainit.evaluation.tables.files import Block, Table
from brainit.evaluation.tables.rows import ENCODER_TABLE, title_of

_HEADING = (
    "voxels",
    "ceiling, %",
    "median correlation",
    "95 % interval",
    "mean correlation",
    "95 % interval",
    "share of attainable",
)


def encoder_table(accuracy: Mapping[str, Path], settings: Settings) -> Table:
    """Return the table from the files of `evaluate_encoder`, which are by subject.

    Raises `PipelineError` for another file.
    """
    simulated = settings.run.simulation
    parts = [
        read_table(path, ENCODER_COLUMNS, "evaluate_encoder").assign(subject=subject)
        for subject, path in accuracy.items()
    ]
    records = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    records = records.assign(simulation=simulated)
    blocks = tuple(_block(part, name) for part, name in zip(parts, accuracy, strict=True))
    title = title_of(ENCODER_TABLE) + (" (simulation)" if simulated else "")
    return Table(ENCODER_TABLE, title, blocks, records, _notes(settings))


def _notes(settings: Settings) -> tuple[str, ...]:
    areas = (
        "True areas are the simulation's."
        if settings.run.simulation
        else "Labels of visual areas are not fetched; parts are the mask's labels (nsdgeneral and "
        "RSC, on fsaverage), hemispheres and ranges of the noise ceiling."
    )
    return (
        "Correlation of predicted and measured responses (repeats averaged) over held-out shared "
        "images: the median over voxels, which the literature reports, and the mean. Share of "
        "attainable: median of correlation / sqrt(noise ceiling) over voxels with a ceiling above "
        "10 %.",
        f"Interval: percentile bootstrap over images, {settings.evaluation.n_bootstrap:,} "
        "resamples; each resample draws the same images for all voxels and recomputes their "
        "correlations. It covers the choice of images, not of voxels or subjects.",
        f"Not in the paper. {areas}",
    )


def _block(rows: pd.DataFrame, subject: str) -> Block:
    heading = ("part", *_HEADING)
    cells = [
        (
            str(row["part"]),
            f"{row['n_voxels']:,}",
            f"{row['median_ceiling_pct']:.1f}",
            f"{row['median_r']:.3f}",
            f"{row['median_ci_low']:.3f} to {row['median_ci_high']:.3f}",
            f"{row['mean_r']:.3f}",
            f"{row['ci_low']:.3f} to {row['ci_high']:.3f}",
            "–" if np.isnan(row["share_of_attainable"]) else f"{row['share_of_attainable']:.3f}",
        )
        for row in rows.to_dict("records")
    ]
    n_images = int(rows["n_images"].max())
    return Block(f"{subject}, {n_images:,} test images", heading, tuple(cells))
