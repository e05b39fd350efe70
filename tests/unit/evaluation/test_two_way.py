"""Two-way identification against plain loops, np.corrcoef and hand cases."""

import numpy as np
import pytest
import torch

from brainit.evaluation.metrics.two_way import (
    correlation_matrix,
    permutation_two_way,
    row_correlations,
    shuffled_pairing,
    two_way_scores,
)


def by_loops(recons: np.ndarray, targets: np.ndarray) -> np.ndarray:
    scores = []
    for i, recon in enumerate(recons):
        own = np.corrcoef(recon, targets[i])[0, 1]
        others = [np.corrcoef(recon, targets[j])[0, 1] for j in range(len(targets)) if j != i]
        scores.append(100.0 * np.mean([other < own for other in others]))
    return np.array(scores)


@pytest.mark.parametrize("mean", [0.0, 300.0])
def test_scores_equal_plain_loops(mean: float) -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(23, 40))
    recons = 0.4 * targets + rng.normal(size=targets.shape)
    found = two_way_scores(torch.from_numpy(recons + mean), torch.from_numpy(targets + mean))
    np.testing.assert_array_equal(found.numpy(), by_loops(recons, targets))


def test_matrix_equals_corrcoef() -> None:
    rng = np.random.default_rng(1)
    targets, recons = rng.normal(size=(2, 17, 300))
    expected = np.corrcoef(recons, targets)[:17, 17:]
    found = correlation_matrix(torch.from_numpy(recons), torch.from_numpy(targets)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    rows = row_correlations(torch.from_numpy(recons), torch.from_numpy(targets)).numpy()
    np.testing.assert_allclose(rows, np.diag(expected), atol=1e-12)


def test_hand_case() -> None:
    """Own is best for the first, worst for the second, between for the third."""
    targets = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    recons = torch.tensor([[1.0, 0, 0, 0], [2, 0, 1, 0], [0, 2, 1, 0]])
    assert two_way_scores(recons, targets).tolist() == [100.0, 0.0, 50.0]


def test_equal_targets_tie_and_are_not_lower() -> None:
    generator = torch.Generator().manual_seed(0)
    row = torch.randn(1, 501, generator=generator)
    targets = torch.cat([row, row, row, -row])
    recons = row + 0.1 * torch.randn(4, 501, generator=generator)
    scores = two_way_scores(recons, targets)
    torch.testing.assert_close(scores[:3], torch.full((3,), 100.0 / 3, dtype=torch.float64))
    assert scores[3] == 0.0


def test_all_ties_score_nothing() -> None:
    targets = torch.arange(12.0).reshape(1, 12).repeat(70, 1)
    recons = torch.randn(70, 12, generator=torch.Generator().manual_seed(3))
    assert two_way_scores(recons, targets).abs().max() == 0.0


def test_rows_without_variance_have_correlation_zero() -> None:
    generator = torch.Generator().manual_seed(2)
    targets = torch.randn(5, 30, generator=generator)
    recons = targets.clone()
    recons[1] = 0.3  # constant, not representable exactly
    recons[2] = 0.0
    targets[4] = 7.1
    matrix = correlation_matrix(recons, targets)
    assert matrix[1].abs().max() == 0 and matrix[2].abs().max() == 0
    assert matrix[:, 4].abs().max() == 0
    scores = two_way_scores(recons, targets)
    assert scores[0] == 100.0
    assert scores[1] == 0.0 and scores[2] == 0.0


def test_small_differences_beyond_float32_are_told_apart() -> None:
    """Rivals that differ from the own target by 1e-9 are decided in float64."""
    rng = np.random.default_rng(4)
    target = rng.normal(size=200)
    noise = rng.normal(size=200)
    targets = np.stack([target, target + 1e-9 * noise, target + 3e-9 * noise])
    found = two_way_scores(torch.from_numpy(targets.copy()), torch.from_numpy(targets))
    recon = target + 2e-1 * noise
    recons = np.stack([recon, recon, recon])
    found = two_way_scores(torch.from_numpy(recons), torch.from_numpy(targets))
    assert found.tolist() == [0.0, 50.0, 100.0]


def test_order_of_images_only_reorders_scores() -> None:
    generator = torch.Generator().manual_seed(5)
    targets = torch.randn(30, 64, generator=generator)
    recons = targets + 4 * torch.randn(30, 64, generator=generator)
    order = torch.randperm(30, generator=generator)
    scores = two_way_scores(recons, targets)
    assert torch.equal(two_way_scores(recons[order], targets[order]), scores[order])


def test_permutations_have_mean_fifty_and_equal_scoring_permuted_targets() -> None:
    generator = torch.Generator().manual_seed(6)
    targets = torch.randn(60, 50, generator=generator)
    recons = targets + torch.randn(60, 50, generator=generator)
    matrix = correlation_matrix(recons, targets)
    means = permutation_two_way(matrix, 1000, np.random.default_rng(0))
    assert abs(means.mean() - 50.0) < 0.5
    order = np.random.default_rng(0).permutation(60)
    expected = two_way_scores(recons, targets[torch.from_numpy(order)]).mean()
    assert means[0] == pytest.approx(float(expected), abs=1e-9)
    assert np.array_equal(means, permutation_two_way(matrix, 1000, np.random.default_rng(0)))


def test_shuffled_pairing_keeps_no_image_and_uses_each_once() -> None:
    for n_images in (2, 3, 10):
        pairing = shuffled_pairing(n_images, np.random.default_rng(n_images))
        assert sorted(pairing.tolist()) == list(range(n_images))
        assert (pairing != np.arange(n_images)).all()
