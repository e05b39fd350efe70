"""The criterion of brain-consistent search, against plain loops; files of the weights."""

import math
from pathlib import Path

import numpy as np
import torch
from tests.refusals import refused

from brainit.models.response_fit import (
    read_weights,
    response_fit,
    weights_of_accuracy,
    write_weights,
)


def plain_fit(x: list[float], y: list[float], w: list[float]) -> float:
    """Return the docstring's equation, in plain loops."""
    total = sum(w)
    mean_x = sum(a * b for a, b in zip(w, x, strict=True)) / total
    mean_y = sum(a * b for a, b in zip(w, y, strict=True)) / total
    both = left = right = 0.0
    for a, b, weight in zip(x, y, w, strict=True):
        both += weight * (a - mean_x) * (b - mean_y)
        left += weight * (a - mean_x) ** 2
        right += weight * (b - mean_y) ** 2
    return both / math.sqrt(left * right) if left * right > 0 else 0.0


def patterns() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    measured, noise = torch.randn(2, 5, 30, generator=generator)
    weights = torch.rand(30, generator=generator)
    weights[:7] = 0
    return measured, measured + 2 * noise, weights


def test_the_fit_is_the_weighted_correlation_of_each_image() -> None:
    measured, predicted, weights = patterns()
    found = response_fit(measured, predicted, weights)
    for number in range(5):
        rows = (measured[number].tolist(), predicted[number].tolist(), weights.tolist())
        assert abs(float(found[number]) - plain_fit(*rows)) < 1e-6
    assert (found != response_fit(measured, predicted, torch.ones(30))).all()


def test_equal_weights_give_pearson_and_voxels_without_weight_do_not_count() -> None:
    measured, predicted, weights = patterns()
    pearson = [np.corrcoef(m, p)[0, 1] for m, p in zip(measured, predicted, strict=True)]
    np.testing.assert_allclose(response_fit(measured, predicted, torch.full((30,), 0.3)), pearson)
    other = predicted.clone()
    other[:, :7] = 100.0
    assert torch.equal(
        response_fit(measured, other, weights), response_fit(measured, predicted, weights)
    )


def test_scale_and_offset_do_not_count_and_a_constant_pattern_fits_by_0() -> None:
    measured, predicted, weights = patterns()
    found = response_fit(measured, predicted, weights)
    torch.testing.assert_close(response_fit(measured, 3 * predicted + 2, weights), found)
    torch.testing.assert_close(response_fit(measured, measured, weights), torch.ones(5).double())
    assert not response_fit(measured, torch.zeros(5, 30), weights).any()


def test_weights_are_the_accuracy_where_it_is_positive() -> None:
    assert weights_of_accuracy(torch.tensor([0.5, -0.2, 0.0])).tolist() == [0.5, 0.0, 0.0]


def test_weights_of_others_are_refused(tmp_path: Path) -> None:
    path, encoder = tmp_path / "weights.safetensors", tmp_path / "encoder"
    encoder.write_bytes(b"encoder")
    (tmp_path / "other").write_bytes(b"other")
    weights = np.linspace(0, 1, 6, dtype=np.float32)
    write_weights(path, weights, "subj01", 9, encoder)
    assert np.array_equal(read_weights(path, "subj01", 6, encoder), weights)
    for subject, n_voxels, name in (
        ("subj02", 6, "encoder"),
        ("subj01", 7, "encoder"),
        ("subj01", 6, "other"),
    ):
        with refused("inconsistent-inputs", "subj01", "weigh_voxels"):
            read_weights(path, subject, n_voxels, tmp_path / name)
