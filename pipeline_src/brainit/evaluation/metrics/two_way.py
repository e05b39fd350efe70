"""Two-way identification over all pairs, and its chance level (section 5.2; MindEye2's protocol).

The score of a reconstruction is the share of the other targets whose features correlate with it
less than those of its own target do. Chance is 50 %.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.shards import shard_ranges

_NEAR_TIE = 1.0e-6
_FLAT = 1.0e-2
_ROWS_PER_BLOCK = 64
_VALUES_PER_BLOCK = 2**16
"""Values per block of rows correlated in float64: small enough for the CPU's cache."""


def correlation_matrix(
    recons: Float[Tensor, "recons features"], targets: Float[Tensor, "targets features"]
) -> Float[Tensor, "recons targets"]:
    """Return the Pearson correlation of each reconstruction with each target, float32.

    One float32 product of standardised rows. A row without variance has correlation 0 with
    everything.
    """
    first, first_scale = _centred(recons)
    second, second_scale = _centred(targets)
    return (first @ second.T).mul_(first_scale[:, None]).mul_(second_scale)


def row_correlations(
    first: Float[Tensor, "rows features"], second: Float[Tensor, "rows features"]
) -> Float[Tensor, "rows"]:
    """Correlate row with row in float64; a row without variance has correlation 0."""
    correlations = torch.empty(len(first), dtype=torch.float64)
    for start, stop in shard_ranges(len(first), max(1, _VALUES_PER_BLOCK // first.shape[1])):
        rows, scale = _centred_exactly(first[start:stop])
        other_rows, other_scale = _centred_exactly(second[start:stop])
        correlations[start:stop] = (rows * other_rows).sum(dim=1) * scale * other_scale
    return correlations


def two_way_scores(
    recons: Float[Tensor, "images features"],
    targets: Float[Tensor, "images features"],
    matrix: Float[Tensor, "images images"] | None = None,
) -> Float[Tensor, "images"]:
    """Return the two-way identification of each reconstruction in percent, float64.

    Row i of `targets` is the target of row i of `recons`. Equal targets tie and do not count as
    lower. Needs at least two images. `matrix` is their `correlation_matrix`, computed if None.
    """
    if matrix is None:
        matrix = correlation_matrix(recons, targets)
    is_lower = lower_than_target(recons, targets, matrix)
    return 100.0 * is_lower.double().sum(dim=1) / (len(recons) - 1)


def lower_than_target(
    recons: Float[Tensor, "images features"],
    targets: Float[Tensor, "images features"],
    matrix: Float[Tensor, "images images"],
) -> Bool[Tensor, "images images"]:
    """Return whether each reconstruction correlates less with each target than with its own.

    `matrix` is their `correlation_matrix`. Rivals too close to the own target for float32 are
    compared in float64.
    """
    to_target = matrix.diagonal()[:, None]
    is_lower = matrix < to_target
    is_near = (matrix - to_target).abs() < _NEAR_TIE
    is_near.fill_diagonal_(False)
    rows, rivals = is_near.nonzero(as_tuple=True)
    is_lower[rows, rivals] = _is_lower_exactly(recons, targets, rows, rivals)
    return is_lower


def _is_lower_exactly(
    recons: Float[Tensor, "images features"],
    targets: Float[Tensor, "images features"],
    rows: Int[Tensor, "pairs"],
    rivals: Int[Tensor, "pairs"],
) -> Bool[Tensor, "pairs"]:
    """Return in float64 whether each rival correlates less than the own target does."""
    is_lower = torch.zeros(len(rows), dtype=torch.bool)
    for start, stop in shard_ranges(len(rows), _ROWS_PER_BLOCK):
        row, rival = rows[start:stop], rivals[start:stop]
        to_target = row_correlations(recons[row], targets[row])
        is_lower[start:stop] = row_correlations(recons[row], targets[rival]) < to_target
    return is_lower


def standardised(rows: Float[Tensor, "rows features"]) -> Float[Tensor, "rows features"]:
    """Return rows of mean 0 and norm 1 in float64; rows without variance become 0."""
    centred, scale = _centred_exactly(rows)
    return centred * scale[:, None]


def _centred_exactly(
    rows: Float[Tensor, "rows features"],
) -> tuple[Float[Tensor, "rows features"], Float[Tensor, "rows"]]:
    """Return float64 rows of mean 0, and 1 / their norms (0 for a row without variance).

    A variance below the rounding error of the row's values counts as none.
    """
    exact = rows.double()
    mean = exact.mean(dim=1, keepdim=True)
    centred = exact - mean
    square = centred.square().sum(dim=1)
    rounding = 1.0e-12 * (square + rows.shape[1] * mean[:, 0].square()).sqrt()
    norm = square.sqrt()
    return centred, torch.where(norm > rounding, norm.reciprocal(), 0.0)


def _centred(
    rows: Float[Tensor, "rows features"],
) -> tuple[Float[Tensor, "rows features"], Float[Tensor, "rows"]]:
    """Return float32 rows of mean 0, and 1 / their norms (0 for a row without variance).

    Rows whose variance is small against their mean are standardised in float64.
    """
    mean = rows.mean(dim=1, keepdim=True, dtype=torch.float32)
    centred = rows.float() - mean
    norm = centred.norm(dim=1)
    scale = torch.where(norm > 0, norm.reciprocal(), 0.0)
    is_flat = norm < _FLAT * mean[:, 0].abs() * rows.shape[1] ** 0.5
    if is_flat.any():
        centred[is_flat] = standardised(rows[is_flat]).float()
        scale[is_flat] = 1.0
    return centred, scale


def permutation_two_way(
    matrix: Float[Tensor, "recons targets"], n_permutations: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean two-way identification (percent) of each of `n_permutations` pairings.

    `matrix` holds the correlation of each reconstruction with each target. A pairing is a random
    permutation of the targets; fixed points are kept.
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
    """Return the mean over all pairs of different images, without the diagonal (n >= 2).

    This is the expectation over random pairings in which no image keeps its own target.
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
