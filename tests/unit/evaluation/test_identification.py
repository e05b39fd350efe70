"""Identification: golden values, enumeration of all pools, and both directions."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from brainit.core.streams import numpy_generator
from brainit.evaluation.identification import (
    centred_over_images,
    feature_similarity,
    ranks,
    response_similarity,
    top1_of_pool,
)


def test_golden_identification(golden_dir: Path) -> None:
    with np.load(golden_dir / "peers_identification.npz") as file:
        golden = dict(file)
    measured, predicted = golden["measured"], golden["predicted"]
    similarity = response_similarity(measured, predicted)
    np.testing.assert_allclose(similarity, golden["correlation"], atol=1e-5)
    np.testing.assert_array_equal(ranks(similarity), golden["rank"])
    assert 100 * (ranks(similarity) == 1).mean() == pytest.approx(golden["top1_percent"])
    two_way = 100 * top1_of_pool(similarity, 2).mean()
    assert two_way == pytest.approx(float(golden["two_way_percent"]), rel=1e-6)
    for k, percent in golden["top1_of_pool"]:
        assert 100 * top1_of_pool(similarity, int(k)).mean() == pytest.approx(percent, rel=1e-5)


def test_golden_identification_by_some_voxels_and_centred(golden_dir: Path) -> None:
    with np.load(golden_dir / "peers_identification.npz") as file:
        golden = dict(file)
    measured, predicted = golden["measured"], golden["predicted"]
    best = np.argsort(-golden["voxel_accuracy"], kind="stable")[:20]
    np.testing.assert_array_equal(best, golden["voxels_kept_20"])
    similarity = response_similarity(measured, predicted, best)
    np.testing.assert_array_equal(ranks(similarity), golden["rank_20"])
    assert 100 * (ranks(similarity) == 1).mean() == pytest.approx(golden["top1_percent_20"])
    both = [centred_over_images(patterns) for patterns in (measured, predicted)]
    centred = response_similarity(*both)
    np.testing.assert_allclose(centred, golden["correlation_zscored"], atol=1e-5)
    np.testing.assert_array_equal(ranks(centred), golden["rank_zscored"])


def test_golden_directions_of_retrieval(golden_dir: Path) -> None:
    """The released "fwd" lets the image ask among the brains, "bwd" the brain among images."""
    with np.load(golden_dir / "peers_mindeye2_retrieval.npz") as file:
        golden = dict(file)
    shares = {"fwd": [], "bwd": []}  # type: ignore[var-annotated]
    for draw in golden["draws"]:
        image, brain = golden["image_tokens"][draw], golden["brain_tokens"][draw]
        similarity = feature_similarity(image, brain)
        shares["fwd"].append((ranks(similarity) == 1).mean())
        shares["bwd"].append((ranks(similarity.T) == 1).mean())
    for name, found in shares.items():
        np.testing.assert_allclose(found, golden[name], atol=1e-6)
        assert np.mean(found) == pytest.approx(float(golden[f"{name}_mean"]), rel=1e-5)


def test_pools_by_enumeration() -> None:
    similarity = numpy_generator(1, "pools").standard_normal((7, 7)) + 0.8 * np.eye(7)
    for k in (1, 2, 3, 5, 7):
        for row in range(7):
            others = [j for j in range(7) if j != row]
            wins = [
                all(similarity[row, j] < similarity[row, row] for j in chosen)
                for chosen in combinations(others, k - 1)
            ]
            assert top1_of_pool(similarity, k)[row] == pytest.approx(np.mean(wins))


def test_a_tie_is_no_win() -> None:
    assert top1_of_pool(np.ones((4, 4)), 2).tolist() == [0.0] * 4
