"""Muon against torch's own, an exact decomposition and AdamW; the cosine schedule."""

import math

import pytest
import torch
from torch import nn

from brainit.training.loop import cosine_decay
from brainit.training.muon import orthogonalise
from brainit.training.optimizers import make_optimizer


def test_orthogonal_updates_have_the_singular_vectors_of_the_matrix() -> None:
    for shape in ((5, 12), (12, 5)):
        matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        rotated = u.T @ orthogonalise(matrix) @ v.T
        assert torch.allclose(rotated, torch.diag(rotated.diagonal()), atol=1e-5)
        assert rotated.diagonal().min() > 0.5 and rotated.diagonal().max() < 1.5


def test_matrices_move_as_with_torchs_muon() -> None:
    reference = getattr(torch.optim, "Muon", None)
    if reference is None:
        pytest.skip("this torch has no Muon")
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(40, 16, generator=draws)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = make_optimizer("muon", [ours], 1.0e-2, 0.1)
    other = reference([theirs], lr=1.0e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        gradient = torch.randn(40, 16, generator=draws)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        other.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved  # torch's iterates in bfloat16


def test_vectors_move_as_with_adamw() -> None:
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(7, generator=draws)
    vectors = [nn.Parameter(start.clone()) for _ in range(2)]
    matrix = nn.Parameter(torch.randn(3, 4, generator=draws))
    mine = make_optimizer("muon", [vectors[0], matrix], 1.0e-2, 0.1)
    adamw = make_optimizer("adamw", [vectors[1]], 1.0e-2, 0.1)
    for _ in range(3):
        gradient = torch.randn(7, generator=draws)
        matrix.grad = torch.randn(3, 4, generator=draws)
        vectors[0].grad, vectors[1].grad = gradient.clone(), gradient.clone()
        mine.step()
        adamw.step()
    assert torch.equal(vectors[0], vectors[1])


def test_the_cosine_starts_after_the_warm_up_and_ends_near_zero() -> None:
    factors = [cosine_decay(step, 10.0, 110) for step in range(110)]
    assert factors[:11] == [1.0] * 11
    assert factors[60] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))
    assert cosine_decay(110, 10.0, 110) == 0.0
