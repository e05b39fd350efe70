"""Intervals of the encoder's accuracy, over images.

All voxels of a subject are measured on the same images, and neighbours respond alike: resampled one
by one they would seem to know more than they do. So images are resampled, for all voxels at once.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.shards import shard_ranges
from brainit.evaluation.encoder_accuracy import EncoderPredictions
from brainit.evaluation.two_way import standardised

_VOXELS_PER_BLOCK = 512
_ROUNDING = 1.0e-12
"""Share of a resample's mean square below which a voxel does not vary in it."""


def resampled_mean_correlations(
    found: EncoderPredictions,
    parts: Bool[np.ndarray, "parts voxels"],
    n_resamples: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the mean correlation of each part in each resample of images, (resamples, parts).

    A voxel that does not vary in a resample has correlation 0 there; each part has a voxel.
    """
    n_images, n_voxels = found.predicted.shape
    draws = (generator.integers(n_images, size=n_images) for _ in range(n_resamples))
    counts = np.stack([np.bincount(draw, minlength=n_images) for draw in draws])
    weights = torch.from_numpy(counts / n_images)
    members = torch.from_numpy(parts.astype(np.float64))
    sums = torch.zeros(n_resamples, len(parts), dtype=torch.float64)
    for start, stop in shard_ranges(n_voxels, _VOXELS_PER_BLOCK):
        block = (values[:, start:stop] for values in (found.predicted, found.measured))
        sums += _weighted_correlations(weights, *block) @ members[:, start:stop].T
    return np.asarray((sums / members.sum(dim=1)).numpy())


def _weighted_correlations(
    weights: Float[Tensor, "resamples images"],
    predicted: Float[Tensor, "images voxels"],
    measured: Float[Tensor, "images voxels"],
) -> Float[Tensor, "resamples voxels"]:
    """Return (E[xy] - E[x] E[y]) / sqrt(var[x] var[y]), expectations by rows of `weights`."""
    x, y = (standardised(values.T).T for values in (predicted, measured))
    mean_x, mean_y = weights @ x, weights @ y
    square_x, square_y = weights @ x.square(), weights @ y.square()
    var_x, var_y = square_x - mean_x.square(), square_y - mean_y.square()
    varies = (var_x > _ROUNDING * square_x) & (var_y > _ROUNDING * square_y)
    covariance = weights @ (x * y) - mean_x * mean_y
    return torch.where(varies, covariance / (var_x * var_y).sqrt(), 0.0)
