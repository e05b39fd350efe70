"""Distances between features of reconstruction and target, one number per image (section 5.2)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from brainit.core.shards import shard_ranges
from brainit.evaluation.two_way import row_correlations

_ROWS_PER_BLOCK = 64


def correlation_distances(
    recons: Float[Tensor, "images features"], targets: Float[Tensor, "images features"]
) -> Float[Tensor, "images"]:
    """Return 1 - Pearson correlation of each pair, in [0, 2], float64 (Eff and SwAV).

    A row without variance has distance 1.
    """
    return 1.0 - row_correlations(recons, targets)


def unit_distances(
    recons: Float[Tensor, "images features"], targets: Float[Tensor, "images features"]
) -> Float[Tensor, "images"]:
    """Return the squared distance of the features scaled to norm 1, in [0, 4], float64.

    LPIPS's distance (Zhang et al. 2018) with one unit vector per image, without its learned channel
    weights and not averaged over positions; it is no LPIPS score. A row of zeros stays zero.
    """
    found = torch.empty(len(recons), dtype=torch.float64)
    for start, stop in shard_ranges(len(recons), _ROWS_PER_BLOCK):
        pair = (recons[start:stop], targets[start:stop])
        first, second = (F.normalize(rows.double(), dim=1) for rows in pair)
        found[start:stop] = (first - second).square().sum(dim=1)
    return found
