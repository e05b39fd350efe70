"""The mixture on torch against scikit-learn's, from the same start."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from tests.refusals import refused

from brainit.core.settings import ClusterSettings
from brainit.core.streams import numpy_generator
from brainit.models import gaussian_mixture
from brainit.models.gaussian_mixture import Fit, fit_mixture
from brainit.models.voxel_clusters import cluster_voxels, predict_mixture

CPU = torch.device("cpu")
FORMS = ["full", "diag", "spherical"]
N_COMPONENTS = 5


def overlapping(n_points: int = 600, width: int = 6) -> NDArray[np.float32]:
    """Return points of five Gaussians that overlap, so that parts are shared."""
    generator = numpy_generator(3, "overlapping")
    centres = 1.2 * generator.standard_normal((N_COMPONENTS, width))
    shapes = 0.5 * generator.standard_normal((N_COMPONENTS, width, width)) + np.eye(width)
    group = generator.integers(N_COMPONENTS, size=n_points)
    noise = generator.standard_normal((n_points, width, 1))
    return (centres[group] + (shapes[group] @ noise)[..., 0]).astype(np.float32)


def by_sklearn(points: NDArray[np.float32], covariance: str, n_passes: int) -> Any:
    mixture = GaussianMixture(
        N_COMPONENTS, covariance_type=covariance, max_iter=n_passes, random_state=7
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(points)


def by_torch(points: NDArray[np.float32], covariance: str, n_passes: int) -> Fit:
    state = np.random.RandomState(7)
    start = KMeans(N_COMPONENTS, n_init=1, random_state=state).fit(points).labels_
    return fit_mixture(points, start.astype(np.int64), N_COMPONENTS, covariance, n_passes, CPU)


@pytest.mark.parametrize("covariance", FORMS)
@pytest.mark.parametrize("n_passes", [1, 2, 100])
def test_bound_parameters_and_clusters_are_scikit_learns(covariance: str, n_passes: int) -> None:
    points = overlapping()
    expected, found = (
        by_sklearn(points, covariance, n_passes),
        by_torch(points, covariance, n_passes),
    )
    assert found.bounds[-1] == pytest.approx(expected.lower_bound_, rel=1e-5)
    assert (len(found.bounds), found.has_converged) == (expected.n_iter_, expected.converged_)
    assert np.array_equal(found.cluster, expected.predict(points))
    np.testing.assert_allclose(found.log_likelihood, expected.score_samples(points), atol=1e-3)
    for name, array in found.mixture.tensors().items():
        theirs = getattr(expected, f"{name}_")
        assert array.shape == theirs.shape and array.dtype == theirs.dtype == np.float32
        np.testing.assert_allclose(array, theirs, rtol=2e-3, atol=2e-4)


def test_density_in_plain_loops() -> None:
    points = overlapping(40)
    fit = by_torch(points, "full", 3)
    tensors = fit.mixture.tensors()
    for point, found in zip(points, fit.log_likelihood, strict=True):
        total = 0.0
        for weight, mean, covariance in zip(
            tensors["weights"], tensors["means"], tensors["covariances"], strict=True
        ):
            total += weight * multivariate_normal(mean, covariance).pdf(point)
        assert found == pytest.approx(np.log(total), rel=1e-3)


@pytest.mark.parametrize("covariance", FORMS)
def test_points_in_blocks_are_points_at_once(
    covariance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = overlapping()
    whole = by_torch(points, covariance, 4)
    monkeypatch.setattr(gaussian_mixture, "_ROWS_PER_BLOCK", 37)
    monkeypatch.setattr(gaussian_mixture, "_COLUMNS_PER_BLOCK", 4)
    parts = by_torch(points, covariance, 4)
    assert parts.bounds == pytest.approx(whole.bounds, rel=1e-6)
    assert np.array_equal(parts.cluster, whole.cluster)


def test_the_bound_never_falls() -> None:
    bounds = by_torch(overlapping(), "full", 100).bounds
    assert all(later > earlier - 1e-5 for earlier, later in zip(bounds, bounds[1:], strict=False))


@pytest.mark.parametrize("limit", [None, 400])
def test_voxels_have_the_clusters_of_the_other_engine(limit: int | None) -> None:
    embedding = overlapping()
    results = {}
    for engine in ("sklearn", "torch"):
        settings = ClusterSettings(n_clusters=5, max_fit_voxels=limit, engine=engine)  # type: ignore[arg-type]
        results[engine] = cluster_voxels(embedding, settings, seed=2)
    mine, theirs = results["torch"], results["sklearn"]
    assert np.array_equal(mine.voxel_cluster, theirs.voxel_cluster)
    assert mine.has_converged == theirs.has_converged and mine.n_refilled == theirs.n_refilled
    new = overlapping(50)
    found = predict_mixture(new, mine.tensors, "full")
    assert np.array_equal(found, predict_mixture(new, theirs.tensors, "full"))


def test_other_covariances_and_points_without_spread_are_refused() -> None:
    tied = ClusterSettings(n_clusters=5, covariance="tied", engine="torch")
    with refused("invalid-setting", "tied"):
        cluster_voxels(overlapping(), tied, seed=1)
    infinite = np.full((8, 2), 1e30, dtype=np.float32)
    with refused("bad-values"):
        fit_mixture(infinite, np.zeros(8, dtype=np.int64), 1, "full", 3, CPU)
