"""What chance gives: reconstructions shuffled against targets (beside every score)."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def permutation_two_way(
    matrix: Float[Tensor, "recons targets"], n_permutations: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean two-way identification (percent) of each of `n_permutations` pairings.

    `matrix` holds the correlation of each reconstruction with each target. In each pairing a random
    permutation names the target of each reconstruction; its fixed points are kept.
    """
    n_images = len(matrix)
    ranked = matrix.contiguous()
    in_order = ranked.sort(dim=1).values
    n_lower = torch.searchsorted(in_order, ranked, right=False)
    scores = (100.0 * n_lower.double() / (n_images - 1)).cpu().numpy()
    rows = np.arange(n_images)
    pairings = (generator.permutation(n_images) for _ in range(n_permutations))
    return np.array([scores[rows, targets].mean() for targets in pairings])


def mean_of_others(matrix: Float[Tensor, "images images"]) -> float:
    """Return the mean of what all pairs of different images have, the diagonal left out (n >= 2).

    It is what all random pairings have on average, where no image keeps its own target.
    """
    n_images = len(matrix)
    total = matrix.double().sum() - matrix.diagonal().double().sum()
    return float(total / (n_images * (n_images - 1)))


def shuffled_pairing(n_images: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a pairing in which no image keeps its own target (n_images >= 2): one random cycle."""
    order = generator.permutation(n_images)
    pairing = np.empty(n_images, dtype=np.int64)
    pairing[order] = np.roll(order, 1)
    return pairing
