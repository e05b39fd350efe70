"""Voxel draws: the counts that theory expects, even coverage, repeatable."""

import pytest
import torch
from tests.refusals import refused

from brainit.core.seeds import torch_generator
from brainit.training.examples import draw_voxels


@pytest.mark.parametrize(("n_voxels", "n_draws"), [(400, 150), (400, 400), (50, 200)])
def test_expected_distinct_count_with_replacement(n_voxels: int, n_draws: int) -> None:
    """E = n (1 - (1 - 1/n)^k); its variance is known too, so the bound is five standard errors."""
    keep = draw_voxels(2000, n_voxels, n_draws, "with_replacement", torch_generator(1, "draws"))
    missed, both = (1 - 1 / n_voxels) ** n_draws, (1 - 2 / n_voxels) ** n_draws
    expected = n_voxels * (1 - missed)
    variance = n_voxels * (missed - both) + n_voxels**2 * (both - missed**2)
    mean = float(keep.sum(1).double().mean())
    assert abs(mean - expected) < 5 * (variance / 2000) ** 0.5


def test_published_draw_gives_about_12500_of_39548() -> None:
    keep = draw_voxels(4, 39548, 15000, "with_replacement", torch_generator(1, "paper"))
    assert torch.allclose(keep.sum(1).double(), torch.tensor(12485.0).double(), rtol=0.01)


def test_exact_count_without_replacement() -> None:
    keep = draw_voxels(50, 90, 37, "without_replacement", torch_generator(1, "draws"))
    assert bool((keep.sum(1) == 37).all())
    whole = draw_voxels(3, 90, 90, "without_replacement", torch_generator(1, "draws"))
    assert bool(whole.all())


@pytest.mark.parametrize("sampling", ["with_replacement", "without_replacement"])
def test_every_voxel_is_drawn_equally_often(sampling: str) -> None:
    keep = draw_voxels(6000, 20, 8, sampling, torch_generator(2, sampling))
    share = 0.4 if sampling == "without_replacement" else 1 - (19 / 20) ** 8
    error = (share * (1 - share) / 6000) ** 0.5
    assert float((keep.double().mean(0) - share).abs().max()) < 5 * error


def test_draws_repeat_with_the_generator_and_differ_between_trials() -> None:
    first = draw_voxels(4, 100, 30, "with_replacement", torch_generator(1, "a"))
    second = draw_voxels(4, 100, 30, "with_replacement", torch_generator(1, "a"))
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_faults_are_refused() -> None:
    with refused("invalid-setting", "10 voxels", "without_replacement of 11"):
        draw_voxels(1, 10, 11, "without_replacement", torch_generator(1, "a"))
    with refused("invalid-setting", "half of 5"):
        draw_voxels(1, 10, 5, "half", torch_generator(1, "a"))
