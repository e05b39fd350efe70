"""Nearest neighbours: training images ranked by the correlation of their responses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def correlations(betas: NDArray[Any], training: NDArray[Any]) -> NDArray[np.float64]:
    """Return Pearson's r over voxels between responses: (rows, voxels) x (training rows, voxels).

    A response that is the same in all voxels correlates with none: 0.
    """
    return _unit(betas) @ _unit(training).T


def nearest_rows(betas: NDArray[Any], training: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return the `k` training rows most correlated with each response (rows, k), the best first.

    Ties go to the first training row.
    """
    return np.argsort(-correlations(betas, training), axis=1, kind="stable")[:, :k]


def _unit(betas: NDArray[Any]) -> NDArray[np.float64]:
    """Return the rows without their mean over voxels, of length 1."""
    centred = np.asarray(betas, dtype=np.float64)
    centred = centred - centred.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
