"""The scores of 1,000 random images against plain definitions, to 1e-6 (paper section 5.2)."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from brainit.evaluation.metrics.features import correlation_distances, unit_distances
from brainit.evaluation.metrics.pixels import pixel_correlations, structural_similarities
from brainit.evaluation.metrics.two_way import two_way_scores

N_IMAGES = 1000
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def features() -> Pair:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(N_IMAGES, 60)) + 3 * rng.normal(size=60)
    recons = 0.3 * targets + rng.normal(size=targets.shape)
    return recons.astype(np.float32), targets.astype(np.float32)


@pytest.fixture(scope="module")
def images() -> Pair:
    rng = np.random.default_rng(1)
    targets = rng.random((N_IMAGES, 3, 16, 16))
    recons = np.clip(0.6 * targets + 0.4 * rng.random(targets.shape), 0, 1)
    return recons.astype(np.float32), targets.astype(np.float32)


def pearson(first: NDArray, second: NDArray) -> float:
    """Return the covariance over the root of both variances, in float64."""
    a, b = (row.astype(np.float64).ravel() for row in (first, second))
    a, b = a - a.sum() / a.size, b - b.sum() / b.size
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_two_way_identification(features: Pair) -> None:
    recons, targets = features
    found = two_way_scores(torch.from_numpy(recons), torch.from_numpy(targets))
    centred = targets.astype(np.float64) - targets.mean(1, dtype=np.float64, keepdims=True)
    lengths = np.sqrt((centred**2).sum(1))
    for i in range(N_IMAGES):
        own = recons[i].astype(np.float64) - recons[i].mean(dtype=np.float64)
        r = (centred * own).sum(1) / (lengths * np.sqrt((own**2).sum()))
        lower = sum(1 for j in range(N_IMAGES) if j != i and r[j] < r[i])
        assert float(found[i]) == pytest.approx(100.0 * lower / (N_IMAGES - 1), abs=1e-6)
    assert 60 < float(found.mean()) < 99


def test_distances(features: Pair) -> None:
    recons, targets = features
    pair = (torch.from_numpy(recons), torch.from_numpy(targets))
    distance, unit = correlation_distances(*pair), unit_distances(*pair)
    for i in range(N_IMAGES):
        assert float(distance[i]) == pytest.approx(1 - pearson(recons[i], targets[i]), abs=1e-6)
        a, b = (rows[i].astype(np.float64) for rows in features)
        gap = a / np.sqrt((a * a).sum()) - b / np.sqrt((b * b).sum())
        assert float(unit[i]) == pytest.approx((gap * gap).sum(), abs=1e-6)


def test_pixcorr(images: Pair) -> None:
    found = pixel_correlations(*(torch.from_numpy(rows) for rows in images))
    for i in range(N_IMAGES):
        assert float(found[i]) == pytest.approx(pearson(images[0][i], images[1][i]), abs=1e-6)


def test_ssim(images: Pair) -> None:
    """Wang et al. 2004 on luminance; 11 Gaussian weights of sigma 1.5, without the border of 5."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()

    def blur(stack: NDArray) -> NDArray:
        return correlate1d(correlate1d(stack, weights, axis=1), weights, axis=2)

    grey = np.array([0.2125, 0.7154, 0.0721])
    first, second = (np.einsum("c,nchw->nhw", grey, rows.astype(np.float64)) for rows in images)
    m1, m2 = blur(first), blur(second)
    v1, v2 = blur(first**2) - m1**2, blur(second**2) - m2**2
    shared = blur(first * second) - m1 * m2
    c1, c2 = 0.01**2, 0.03**2
    maps = (2 * m1 * m2 + c1) * (2 * shared + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2))
    expected = maps[:, 5:-5, 5:-5].mean(axis=(1, 2))
    found = structural_similarities(*(torch.from_numpy(rows) for rows in images))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ssim_does_not_depend_on_threads(images: Pair) -> None:
    pair = [torch.from_numpy(rows[:12]) for rows in images]
    alone = structural_similarities(*pair, in_colour=True)
    torch.set_num_threads(4)
    try:
        assert torch.equal(structural_similarities(*pair, in_colour=True), alone)
    finally:
        torch.set_num_threads(1)
