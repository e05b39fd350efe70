"""Noise ceiling of each voxel: published with NSD, and recomputed from the trials (NSD paper).

With betas z-scored per session, the variance over an image's repeats is the noise and what is left
of 1 is the signal; ncsnr = signal deviation / noise deviation. The ceiling is the share of variance
of an average of n trials that is signal: 100 ncsnr^2 / (ncsnr^2 + 1/n).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.fmri import open_betas
from brainit.data.trials import read_trials
from brainit.data.voxels import read_voxels

N_REPEATS = 3
"""Presentations of each NSD image; published ceilings are for their average."""
_IMAGES_PER_BLOCK = 256


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


def ncsnr_from_trials(betas: NDArray[np.float16], nsd_id: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return ncsnr of each voxel from z-scored single trials of axes (trials, voxels).

    Uses the images with exactly three trials: noise variance = mean over images of the variance
    over trials (ddof 1), signal variance = max(0, 1 - noise variance). Raises `PipelineError` where
    there is no such image.
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
        )
    rows = order[starts[:, None] + np.arange(N_REPEATS)]
    noise = np.zeros(betas.shape[1], dtype=np.float64)
    for first in range(0, len(rows), _IMAGES_PER_BLOCK):
        block = betas[rows[first : first + _IMAGES_PER_BLOCK]].astype(np.float32)
        noise += block.var(axis=1, ddof=1).sum(axis=0, dtype=np.float64)
    noise /= len(rows)
    signal = np.maximum(0.0, 1.0 - noise)
    # A voxel without any variance has neither signal nor noise: its ceiling is 0.
    ratio = np.divide(signal, noise, out=np.zeros_like(noise), where=noise > 0)
    return np.sqrt(ratio).astype(np.float32)


def estimate_noise_ceiling(
    subject: str, betas_path: Path, voxels_path: Path, trials_path: Path
) -> tuple[dict[str, NDArray[np.float32]], pd.DataFrame]:
    """Return the tensors of contract `noise_ceiling` (percent, 3 repeats) and a summary of one row.

    Raises `PipelineError` where betas, voxels and trials disagree.
    """
    trials = read_trials(trials_path)
    betas = open_betas(betas_path, len(trials))
    published = read_voxels(voxels_path)["noise_ceiling"]
    if betas.shape[1] != len(published):
        raise PipelineError(
            voxels_path,
            f"{betas.shape[1]} voxels as {betas_path}",
            f"{len(published)}",
            "delete both and rerun prepare_betas",
        )
    nsd_id = trials["nsd_id"].to_numpy(dtype=np.int64)
    recomputed = ceiling_percent(ncsnr_from_trials(betas, nsd_id), {N_REPEATS: 1})
    n_complete = int((trials.groupby("nsd_id").size() == N_REPEATS).sum())
    varies = published.std() > 0 and recomputed.std() > 0
    summary = pd.DataFrame(
        {
            "subject": [subject],
            "median_published_pct": [float(np.median(published))],
            "median_recomputed_pct": [float(np.median(recomputed))],
            "correlation": [np.corrcoef(published, recomputed)[0, 1] if varies else np.nan],
            "n_voxels": [len(published)],
            "n_images_3_repeats": [n_complete],
        }
    )
    return {"published": published, "recomputed": recomputed}, summary
