"""Noise ceiling of each voxel: published with NSD, and recomputed from the trials (NSD paper).

With betas z-scored per session, the variance over an image's repeats is the noise and what is left
of 1 is the signal; ncsnr = signal deviation / noise deviation. The ceiling is the share of variance
of an average of n trials that is signal: 100 ncsnr^2 / (ncsnr^2 + 1/n).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import release_pages

N_REPEATS = 3
"""Presentations of each NSD image; published ceilings are for their average."""
_IMAGES_PER_BLOCK = 64


def ceiling_percent(
    ncsnr: NDArray[np.floating[Any]], n_images_by_repeats: Mapping[int, int]
) -> NDArray[np.float32]:
    """Return the ceiling in percent of averages, where `n_images_by_repeats[n]` images have n.

    100 ncsnr^2 / (ncsnr^2 + mean of 1/n over images); `{3: 1}` is the published ceiling.
    """
    n_images = sum(n_images_by_repeats.values())
    noise = sum(count / n for n, count in n_images_by_repeats.items()) / n_images
    signal = np.asarray(ncsnr, dtype=np.float64) ** 2
    return (100.0 * signal / (signal + noise)).astype(np.float32)


def session_noise(
    betas: NDArray[np.float16], nsd_id: NDArray[np.int64], session: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return trials that count and noise variance of each session, ascending, (sessions, voxels).

    Of z-scored single trials (trials, voxels) those of images with exactly three count: the noise
    variance of a session is 3/2 of the mean of (trial - mean of its image's trials)^2, NaN in a
    session without such a trial. Averaged over all trials that count it is the mean over images of
    the variance over trials (ddof 1). Raises `PipelineError` where there is no such image.
    """
    order = np.argsort(nsd_id, kind="stable")
    _, start, count = np.unique(nsd_id[order], return_index=True, return_counts=True)
    starts = start[count == N_REPEATS]
    if not len(starts):
        raise PipelineError(
            "trial table",
            f"images with {N_REPEATS} trials",
            "none",
            "use sessions enough for three repeats of an image",
            code="missing-data",
        )
    rows = order[starts[:, None] + np.arange(N_REPEATS)]
    place = np.unique(session, return_inverse=True)[1].reshape(-1)
    n_trials = np.bincount(place[rows].ravel(), minlength=int(place.max()) + 1)
    squares = np.zeros((len(n_trials), betas.shape[1]), dtype=np.float64)
    for first in range(0, len(rows), _IMAGES_PER_BLOCK):
        chosen = rows[first : first + _IMAGES_PER_BLOCK]
        block = betas[chosen].astype(np.float32)
        release_pages(betas)
        block -= block.mean(axis=1, keepdims=True)
        block *= block
        for number in np.unique(place[chosen]):
            squares[number] += block[place[chosen] == number].sum(axis=0, dtype=np.float64)
    noise = np.full_like(squares, np.nan)
    counts = n_trials > 0
    noise[counts] = N_REPEATS / (N_REPEATS - 1) * squares[counts] / n_trials[counts, None]
    return n_trials, noise


def ncsnr_of_noise(noise: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return ncsnr where signal variance = max(0, 1 - noise variance).

    A voxel without any variance has neither signal nor noise: its ncsnr is 0.
    """
    signal = np.maximum(0.0, 1.0 - noise)
    ratio = np.divide(signal, noise, out=np.zeros_like(noise), where=noise > 0)
    return np.sqrt(ratio).astype(np.float32)


def ncsnr_from_trials(betas: NDArray[np.float16], nsd_id: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return ncsnr of each voxel from z-scored single trials, as `session_noise`."""
    _, noise = session_noise(betas, nsd_id, np.zeros_like(nsd_id))
    return ncsnr_of_noise(noise[0])
