"""Distances between features of reconstruction and target, one number per image (section 5.2)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from brainit.core.shards import shard_ranges
from brainit.evaluation.metrics.two_way import row_correlations

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


def unit_distance_of_others(
    recons: Float[Tensor, "images features"], targets: Float[Tensor, "images features"]
) -> float:
    """Return the mean of `unit_distances` over all pairs of different images (n >= 2).

    Of unit vectors a and b it is the mean of a.a + b.b - 2 a.b, whose sums need no pairs.
    """
    n_images, n_features = recons.shape
    totals = torch.zeros(2, n_features, dtype=torch.float64, device=recons.device)
    squares, own = 0.0, 0.0
    for start, stop in shard_ranges(n_images, _ROWS_PER_BLOCK):
        pair = (recons[start:stop], targets[start:stop])
        first, second = (F.normalize(rows.double(), dim=1) for rows in pair)
        totals += torch.stack([first.sum(dim=0), second.sum(dim=0)])
        squares += float(first.square().sum() + second.square().sum())
        own += float((first * second).sum())
    others = float(totals[0] @ totals[1]) - own
    return squares / n_images - 2.0 * others / (n_images * (n_images - 1))
