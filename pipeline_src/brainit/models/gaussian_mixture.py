"""Expectation maximisation of a Gaussian mixture on torch (`clusters.engine: torch`).

The same mixture as scikit-learn's `GaussianMixture` from the same start: its k-means, its formulas,
its floor of the covariances, its rule when to stop. Two things differ. The M-step of a component
reads only the points that it has a part in: with the paper's 128 clusters a point belongs to one or
two, so this step takes a hundredth of the products. And the last E-step gives the clusters and
likelihoods of the fitted points, which scikit-learn computes again.

Products are in the points' precision, Cholesky factors in float64.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.shards import shard_ranges

logger = logging.getLogger(__name__)

Covariance = Literal["full", "diag", "spherical"]
FORMS: tuple[Covariance, ...] = get_args(Covariance)
TOLERANCE = 1.0e-3
"""The fit has converged when the bound changes by less, as scikit-learn's."""
FLOOR = 1.0e-6
"""Added to the variances, as scikit-learn's `reg_covar`."""
LEAST_PART = 1.0e-7
"""A point with a smaller part in a component is left out of its means and covariances."""

_ROWS_PER_BLOCK = 2**15
_COLUMNS_PER_BLOCK = 64


@dataclass(frozen=True)
class Mixture:
    """Parameters of a mixture, named and shaped as scikit-learn's."""

    covariance: Covariance
    weights: Float[Tensor, "components"]
    means: Float[Tensor, "components width"]
    covariances: Tensor
    precisions_cholesky: Tensor

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the parameters as arrays, by name."""
        names = ("weights", "means", "covariances", "precisions_cholesky")
        return {name: getattr(self, name).cpu().numpy() for name in names}


@dataclass(frozen=True)
class Fit:
    """A fitted mixture; cluster and log-likelihood of each point; the bound after each E-step."""

    mixture: Mixture
    cluster: Int[NDArray[np.int64], "points"]
    log_likelihood: Float[NDArray[np.float64], "points"]
    bounds: tuple[float, ...]
    has_converged: bool


def fit_mixture(
    points: Float[NDArray[np.float32], "points width"],
    start: Int[NDArray[np.int64], "points"],
    n_components: int,
    covariance: str,
    max_iterations: int,
    device: torch.device,
) -> Fit:
    """Fit a mixture by expectation maximisation from the clusters `start` of the points.

    Raises `PipelineError` for a form of covariance that is not in `Covariance`, and where a
    covariance has no Cholesky factor.
    """
    form = _known(covariance)
    rows = torch.from_numpy(points).to(device)
    part = torch.zeros(len(rows), n_components, dtype=rows.dtype, device=device)
    part.scatter_(1, torch.from_numpy(start)[:, None].to(device), 1.0)
    mixture = _maximise(rows, part, form)
    bounds: list[float] = [-math.inf]
    has_converged = False
    for _ in progress(range(max_iterations), "mixture", unit="iteration"):
        part, likelihood = _expect(rows, mixture, out=part)
        mixture = _maximise(rows, part, form)
        bounds.append(float(likelihood.double().mean()))
        if abs(bounds[-1] - bounds[-2]) < TOLERANCE:
            has_converged = True
            break
    return Fit(mixture, *classify(rows, mixture), tuple(bounds[1:]), has_converged)


def classify(
    points: Float[Tensor, "points width"], mixture: Mixture
) -> tuple[Int[NDArray[np.int64], "points"], Float[NDArray[np.float64], "points"]]:
    """Return the most likely component of each point, and the points' log-likelihood."""
    clusters, likelihoods = [], []
    for _, scores in _weighted_scores(points, mixture):
        clusters.append(scores.argmax(1).cpu())
        likelihoods.append(scores.logsumexp(1).double().cpu())
    return torch.cat(clusters).numpy(), torch.cat(likelihoods).numpy()


def _known(covariance: str) -> Covariance:
    for known in FORMS:
        if covariance == known:
            return known
    raise PipelineError(
        "clusters.engine: torch",
        f"clusters.covariance of {', '.join(FORMS)}",
        covariance,
        "set clusters.engine to sklearn, or another clusters.covariance",
        code="invalid-setting",
    )


def _expect(points: Tensor, mixture: Mixture, out: Tensor) -> tuple[Tensor, Tensor]:
    """Write each component's part in each point to `out`; return it and the log-likelihoods."""
    likelihood = points.new_empty(len(points))
    for block, scores in _weighted_scores(points, mixture):
        likelihood[block] = scores.logsumexp(1)
        torch.sub(scores, likelihood[block, None], out=out[block]).exp_()
    return out, likelihood


def _weighted_scores(points: Tensor, mixture: Mixture) -> Iterator[tuple[slice, Tensor]]:
    """Yield log(weight) + log density of each component, block by block of the points.

    log N(x; m, S) = -(d log 2 pi + |L^T (x - m)|^2) / 2 + log det L, with L L^T = S^-1.
    """
    width, log_weights = points.shape[1], mixture.weights.log()
    factor = mixture.precisions_cholesky
    if mixture.covariance == "full":
        log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    else:
        log_det = factor.log().sum(1) if factor.dim() == 2 else width * factor.log()
    constant = log_weights + log_det - 0.5 * width * math.log(2.0 * math.pi)
    for start, stop in shard_ranges(len(points), _ROWS_PER_BLOCK):
        squares = _squared_lengths(points[start:stop], mixture)
        yield slice(start, stop), squares.mul_(-0.5).add_(constant)


def _squared_lengths(points: Tensor, mixture: Mixture) -> Float[Tensor, "points components"]:
    """Return |L^T (x - m)|^2 of each point and component."""
    means, factor = mixture.means, mixture.precisions_cholesky
    if mixture.covariance == "full":
        out = points.new_empty(len(points), len(means))
        whitened = torch.empty_like(points)
        for number, (mean, matrix) in enumerate(zip(means, factor, strict=True)):
            for start, stop in shard_ranges(points.shape[1], _COLUMNS_PER_BLOCK):
                block = matrix[:stop, start:stop]  # zeros below the diagonal are left out
                shift = -(mean[:stop] @ block)
                torch.addmm(shift, points[:, :stop], block, out=whitened[:, start:stop])
            torch.sum(whitened.square_(), dim=1, out=out[:, number])
        return out
    precision = factor.square() if factor.dim() == 2 else factor.square()[:, None]
    precision = precision.expand_as(means)
    weighted = means * precision
    squares = points.square() @ precision.T
    squares.addmm_(points, weighted.T, alpha=-2.0)
    return squares.add_((means * weighted).sum(1))


def _maximise(points: Tensor, part: Tensor, covariance: Covariance) -> Mixture:
    """Return the mixture whose parameters follow from each component's part in each point."""
    size = part.sum(0) + 10.0 * torch.finfo(part.dtype).eps
    means = (part.T @ points) / size[:, None]
    if covariance == "full":
        width = points.shape[1]
        covariances = points.new_empty(len(means), width, width)
        for number, mean in enumerate(means):
            own = torch.nonzero(part[:, number] > LEAST_PART)[:, 0]
            centred = points.index_select(0, own).sub_(mean)
            weighted = centred * part[own, number, None]
            torch.mm(weighted.T, centred, out=covariances[number]).div_(size[number])
            covariances[number].diagonal().add_(FLOOR)
        factor = _precision_factors(covariances)
    else:
        covariances = (part.T @ points.square()) / size[:, None] - means.square() + FLOOR
        covariances = covariances.mean(1) if covariance == "spherical" else covariances
        if not bool((covariances > 0).all()):
            raise _no_factor()
        factor = covariances.rsqrt()
    weights = size / size.sum()
    return Mixture(covariance, weights, means, covariances, factor)


def _precision_factors(covariances: Float[Tensor, "components width width"]) -> Tensor:
    """Return L with L L^T the inverse of each covariance: the upper triangle of its factor's."""
    lower, info = torch.linalg.cholesky_ex(covariances.double())
    if bool((info != 0).any()):
        raise _no_factor()
    unit = torch.eye(covariances.shape[-1], dtype=lower.dtype, device=lower.device)
    inverse = torch.linalg.solve_triangular(lower, unit.expand_as(lower), upper=False)
    return inverse.mT.to(covariances.dtype).contiguous()


def _no_factor() -> PipelineError:
    return PipelineError(
        "cluster_voxels",
        "covariances that are positive definite",
        "one that is not: a component with too few, equal points",
        "set fewer clusters.n_clusters, or clusters.covariance diag",
        code="bad-values",
    )
