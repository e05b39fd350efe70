"""Identification: which candidate image was seen, from responses (Kay et al. 2008).

An encoder predicts each candidate's response pattern; the measured pattern asks for the candidate
whose prediction correlates best with it over voxels. The other direction, in which an image asks
among the brains, is scored on the same matrix turned.

MindEye2's printed columns are the other way round than their names say: its "image" column, "fwd",
is image asks among brains.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.models.baselines.nearest import correlations


def ranks(similarity: NDArray[Any]) -> NDArray[np.int64]:
    """Return the rank of each row's own column, 1 the best: 1 + the number of larger ones.

    `similarity` (asked, candidates) is square, with the own candidate on the diagonal.
    """
    own = np.diag(similarity)[:, None]
    found: NDArray[np.int64] = 1 + (similarity > own).sum(1)
    return found


def top1_of_pool(similarity: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Return the chance (rows,) that the own candidate wins among `k` with random others.

    Exact, without drawing: with w candidates worse than the own one among N,
    C(w, k - 1) / C(N - 1, k - 1). `k` = 2 is two-way identification. Ties count as losses.
    """
    n = len(similarity)
    worse = (similarity < np.diag(similarity)[:, None]).sum(1)
    chance = np.ones(n)
    for drawn in range(k - 1):
        chance *= np.maximum(worse - drawn, 0) / (n - 1 - drawn)
    return chance


def response_similarity(
    measured: NDArray[Any], predicted: NDArray[Any], voxels: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return the correlation over voxels of measured (rows) with predicted patterns (columns).

    `voxels` are those that count, None all. They may not be chosen by these trials.
    """
    if voxels is not None:
        measured, predicted = measured[:, voxels], predicted[:, voxels]
    return correlations(measured, predicted)


def centred_over_images(patterns: NDArray[Any]) -> NDArray[np.float64]:
    """Return each voxel's z-scores over the candidate images (population deviation).

    It uses the other test images, though no labels: report both ways.
    """
    values = np.asarray(patterns, dtype=np.float64)
    values = values - values.mean(0)
    deviation = values.std(0)
    return np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 0)


def feature_similarity(asked: NDArray[Any], candidates: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine similarity of features, flattened for each image."""
    return _unit(asked) @ _unit(candidates).T


def _unit(features: NDArray[Any]) -> NDArray[np.float64]:
    flat = np.asarray(features, dtype=np.float64).reshape(len(features), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
