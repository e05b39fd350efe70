"""Z-score one session of betas per voxel, as float16 (released code; NSD section 3)."""

import numpy as np
from numpy.typing import NDArray

_VOXELS_PER_BLOCK = 4096
_LARGEST = float(np.finfo(np.float16).max)


def zscore_session(
    values: NDArray[np.float32], is_reference: NDArray[np.bool_]
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Return z-scores (trials, voxels), and a mark for each voxel that has none.

    Marked are voxels with NaN or infinite values, and those with a z-score beyond float16, which a
    tiny deviation of the reference trials gives. Mean and deviation (ddof 0) are those of the
    trials in `is_reference`, in float64. Voxels without variance and marked voxels become 0.
    """
    n_voxels = values.shape[1]
    scores = np.zeros(values.shape, dtype=np.float16)
    is_invalid = np.zeros(n_voxels, dtype=bool)
    for first in range(0, n_voxels, _VOXELS_PER_BLOCK):
        part = slice(first, first + _VOXELS_PER_BLOCK)
        block = values[:, part].astype(np.float64)
        is_invalid[part] = ~np.isfinite(block).all(axis=0)
        block[:, is_invalid[part]] = 0.0
        block -= block[is_reference].mean(axis=0)
        deviation = block[is_reference].std(axis=0)
        varies = deviation > 0
        block[:, varies] /= deviation[varies]
        block[:, ~varies] = 0.0
        is_beyond = np.abs(block).max(axis=0, initial=0.0) > _LARGEST
        block[:, is_beyond] = 0.0
        is_invalid[part] |= is_beyond
        scores[:, part] = block
    return scores, is_invalid
