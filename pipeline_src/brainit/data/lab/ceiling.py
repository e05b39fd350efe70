"""Noise ceiling of a lab's subject, from whatever repeats it has.

The noise variance is pooled over all images with two trials or more (sum of squares within images
over its degrees of freedom); with three repeats of every image this is NSD's (`noise_ceiling`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import write_artifact, write_table
from brainit.core.files import release_pages
from brainit.data.noise_ceiling import N_REPEATS, ceiling_percent


@dataclass(frozen=True)
class LabCeiling:
    """Ceiling in percent of an average of three trials (NaN without repeats), images used."""

    percent: NDArray[np.float32]
    n_images: int


def lab_ceiling(betas: NDArray[np.float16], trials: pd.DataFrame) -> LabCeiling:
    """Return the ceiling of each voxel from z-scores of axes (trials, voxels).

    Noise variance = sum over images and trials of (z - image mean)^2 / sum of (n - 1); signal
    variance = max(0, 1 - noise variance).
    """
    squares = np.zeros(betas.shape[1], dtype=np.float64)
    freedom, n_images = 0, 0
    for _, rows in trials.groupby("nsd_id"):
        if len(rows) < 2:
            continue
        block = betas[rows["trial"].to_numpy()].astype(np.float32)
        release_pages(betas)
        squares += ((block - block.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
        freedom, n_images = freedom + len(rows) - 1, n_images + 1
    if not freedom:
        return LabCeiling(np.full(betas.shape[1], np.nan, dtype=np.float32), 0)
    noise = squares / freedom
    signal = np.maximum(0.0, 1.0 - noise)
    # A voxel without any variance has neither signal nor noise: its ceiling is 0.
    ratio = np.divide(signal, noise, out=np.zeros_like(noise), where=noise > 0)
    return LabCeiling(ceiling_percent(np.sqrt(ratio), {N_REPEATS: 1}), n_images)


def write_lab_ceiling(
    path: Path, summary: Path, subject: str, given: NDArray[np.float32], found: LabCeiling
) -> None:
    """Write contract `noise_ceiling` (given as published, NaN where not) and a table of one row."""
    tensors = {"published": given, "recomputed": found.percent}
    write_artifact(path, "noise_ceiling", tensors, {"subject": subject, "n_repeats": N_REPEATS})
    row = {
        "subject": subject,
        "median_published_pct": _median(given),
        "median_recomputed_pct": _median(found.percent),
        "n_voxels": len(given),
        "n_images_repeated": found.n_images,
    }
    write_table(summary, pd.DataFrame([row]))


def _median(values: NDArray[np.float32]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan
