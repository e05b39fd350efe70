"""Noise ceiling of each voxel, from NSD's ncsnr or from repeated trials (NSD paper).

With betas z-scored per session, the variance over an image's repeats is the noise and the rest of 1
is the signal; ncsnr = signal deviation / noise deviation. The ceiling is the share of signal in the
variance of a mean of n trials: 100 ncsnr^2 / (ncsnr^2 + 1/n).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import release_pages

N_REPEATS = 3
"""Presentations of each NSD image; published ceilings are for their average."""
_IMAGES_PER_BLOCK = 64


def ceiling_percent(
    ncsnr: NDArray[np.floating[Any]], n_images_by_repeats: Mapping[int, int]
) -> NDArray[np.float32]:
    """Return the ceiling of averages in percent; `n_images_by_repeats[n]` images have n trials.

    100 ncsnr^2 / (ncsnr^2 + mean of 1/n over images); `{3: 1}` is the published ceiling.
    """
    n_images = sum(n_images_by_repeats.values())
    noise = sum(count / n for n, count in n_images_by_repeats.items()) / n_images
    signal = np.asarray(ncsnr, dtype=np.float64) ** 2
    return (100.0 * signal / (signal + noise)).astype(np.float32)


def session_noise(
    betas: NDArray[np.float16], nsd_id: NDArray[np.int64], session: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the number of repeated trials and the noise variance (sessions, voxels) per session.

    Only trials of images with exactly three repeats count. The noise variance of a session is 3/2
    of the mean of (trial - mean of its image's trials)^2, NaN in a session without such trials. Its
    average over all these trials is the mean over images of the variance over trials (ddof 1).

    `betas` are z-scored single trials (trials, voxels); sessions are in ascending order. Raises
    `PipelineError` where no image has three trials.
    """
    order = np.argsort(nsd_id, kind="stable")
    _, start, count = np.unique(nsd_id[order], return_index=True, return_counts=True)
    starts = start[count == N_REPEATS]
    if not len(starts):
        raise PipelineError(
            "trial table",
            f"images with {N_REPEATS} trials",
            "none",
            "prepare more sessions: an image has three trials only after all of its sessions",
            code="missing-data",
        )
    rows = order[starts[:, None] + np.arange(N_REPEATS)]
    session_idx = np.unique(session, return_inverse=True)[1].reshape(-1)
    n_trials = np.bincount(session_idx[rows].ravel(), minlength=int(session_idx.max()) + 1)
    squares = np.zeros((len(n_trials), betas.shape[1]), dtype=np.float64)
    for first in range(0, len(rows), _IMAGES_PER_BLOCK):
        chosen = rows[first : first + _IMAGES_PER_BLOCK]
        block = betas[chosen].astype(np.float32)
        release_pages(betas)
        block -= block.mean(axis=1, keepdims=True)
        block *= block
        for number in np.unique(session_idx[chosen]):
            squares[number] += block[session_idx[chosen] == number].sum(axis=0, dtype=np.float64)
    noise = np.full_like(squares, np.nan)
    has_trials = n_trials > 0
    noise[has_trials] = (
        N_REPEATS / (N_REPEATS - 1) * squares[has_trials] / n_trials[has_trials, None]
    )
    return n_trials, noise


def ncsnr_of_noise(noise: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return ncsnr for a noise variance; signal variance = max(0, 1 - noise variance).

    A voxel without variance has neither signal nor noise: its ncsnr is 0.
    """
    signal = np.maximum(0.0, 1.0 - noise)
    ratio = np.divide(signal, noise, out=np.zeros_like(noise), where=noise > 0)
    return np.sqrt(ratio).astype(np.float32)


def ncsnr_from_trials(betas: NDArray[np.float16], nsd_id: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the ncsnr of each voxel from z-scored single trials (see `session_noise`)."""
    _, noise = session_noise(betas, nsd_id, np.zeros_like(nsd_id))
    return ncsnr_of_noise(noise[0])


@dataclass(frozen=True)
class PooledCeiling:
    """Ceiling (percent) of the mean of three trials, NaN without repeats, and images used."""

    percent: NDArray[np.float32]
    n_images: int


def pooled_ceiling(betas: NDArray[np.float16], trials: pd.DataFrame) -> PooledCeiling:
    """Return the ceiling from any numbers of repeats; z-scored `betas` (trials, voxels).

    Noise variance = sum over images and trials of (z - image mean)^2 / sum of (n - 1), over images
    with n > 1 trials; signal variance = max(0, 1 - noise variance). With three repeats of every
    image this is NSD's ceiling.
    """
    squares = np.zeros(betas.shape[1], dtype=np.float64)
    n_degrees, n_images = 0, 0
    for _, rows in trials.groupby("nsd_id"):
        if len(rows) < 2:
            continue
        block = betas[rows["trial"].to_numpy()].astype(np.float32)
        release_pages(betas)
        squares += ((block - block.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
        n_degrees, n_images = n_degrees + len(rows) - 1, n_images + 1
    if not n_degrees:
        return PooledCeiling(np.full(betas.shape[1], np.nan, dtype=np.float32), 0)
    noise = squares / n_degrees
    signal = np.maximum(0.0, 1.0 - noise)
    # A voxel without variance has neither signal nor noise: its ceiling is 0.
    ratio = np.divide(signal, noise, out=np.zeros_like(noise), where=noise > 0)
    return PooledCeiling(ceiling_percent(np.sqrt(ratio), {N_REPEATS: 1}), n_images)
