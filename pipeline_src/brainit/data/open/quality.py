"""Quality control of an imported subject: its own noise ceilings against published ones."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from brainit.core.files import release_pages
from brainit.data.noise_ceiling import N_REPEATS, ceiling_percent, ncsnr_of_noise

_VOXELS_PER_BLOCK = 4096


def ceiling_of_three(
    percent: NDArray[np.floating], mean_inverse_repeats: float
) -> NDArray[np.float32]:
    """Return a ceiling (percent) of means of n trials as that of means of three.

    With NC = 100 s / (s + m), m the mean of 1/n over images: s = m NC / (100 - NC), and the result
    is 100 s / (s + 1/3). A ceiling of 100 stays 100.
    """
    share = np.clip(np.asarray(percent, dtype=np.float64), 0.0, 100.0)
    with np.errstate(divide="ignore"):
        signal = mean_inverse_repeats * share / (100.0 - share)
    finite = np.where(np.isfinite(signal), signal, 0.0)
    three = 100.0 * finite / (finite + 1.0 / N_REPEATS)
    return np.where(share >= 100.0, 100.0, three).astype(np.float32)


def repeat_noise(
    values: NDArray[np.float32], images: NDArray[np.object_], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], int]:
    """Return the sum of squares within images of a session, and its degrees of freedom.

    `values` (trials, voxels) are z-scored over the session (ddof 0). The sum of squares is that of
    (z - mean of the image's trials), the degrees are the sum of (n - 1), over images with n > 1.
    """
    _, image_idx, counts = np.unique(images, return_inverse=True, return_counts=True)
    is_repeated = counts[image_idx] > 1
    rows = np.flatnonzero(is_repeated)
    rows = rows[np.argsort(image_idx[rows], kind="stable")]
    group = image_idx[rows]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    n_each = np.diff(np.append(starts, len(rows)))
    squares = np.zeros(len(columns), dtype=np.float64)
    if not len(rows):
        return squares, 0
    for first in range(0, len(columns), _VOXELS_PER_BLOCK):
        part = slice(first, first + _VOXELS_PER_BLOCK)
        block = values[:, columns[part]].astype(np.float64)
        release_pages(values)
        block -= block.mean(axis=0)
        deviation = block.std(axis=0)
        block /= np.where(deviation > 0, deviation, 1.0)
        repeated = block[rows]
        sums = np.add.reduceat(repeated, starts, axis=0)
        squares[part] = (repeated**2).sum(axis=0) - (sums**2 / n_each[:, None]).sum(axis=0)
    return squares, int((n_each - 1).sum())


def ceiling_within_sessions(
    sessions: Iterable[tuple[NDArray[np.float32], NDArray[np.object_]]],
    columns: NDArray[np.int64],
) -> NDArray[np.float32] | None:
    """Return the ceiling (percent, mean of three) from repeats within sessions; None without any.

    Each session is its betas (trials, voxels) and its images. Drift between sessions does not
    count, so that the ceiling lies above that of repeats over sessions.
    """
    squares, n_degrees = np.zeros(len(columns), dtype=np.float64), 0
    for values, images in sessions:
        more, n_more = repeat_noise(values, images, columns)
        squares, n_degrees = squares + more, n_degrees + n_more
    if not n_degrees:
        return None
    return ceiling_percent(ncsnr_of_noise(squares / n_degrees), {N_REPEATS: 1})


def quality_report(
    trials: pd.DataFrame,
    n_dropped: int,
    published: NDArray[np.floating] | None,
    ours: NDArray[np.float32] | None,
) -> dict[str, int | float | None]:
    """Return counts, median ceilings (percent) and how alike the two rank the voxels (Spearman)."""
    rank = None
    if published is not None and ours is not None:
        is_known = np.isfinite(published)
        if is_known.sum() > 2 and np.ptp(published[is_known]) > 0 and np.ptp(ours[is_known]) > 0:
            rank = float(stats.spearmanr(published[is_known], ours[is_known]).statistic)
    return {
        "n_trials": len(trials),
        "n_sessions": int(trials["session"].nunique()),
        "n_images": int(trials["image"].nunique()),
        "n_voxels_dropped": n_dropped,
        "median_published_pct": _median(published),
        "median_within_sessions_pct": _median(ours),
        "rank_correlation": rank,
    }


def _median(values: NDArray[np.floating] | None) -> float | None:
    if values is None or not np.isfinite(values).any():
        return None
    return float(np.nanmedian(values))
