"""Adafactor against its paper's equations in plain loops; stage 2 with less memory."""

import math

import pytest
import torch
from torch import nn

from brainit.training.optimizers import make_optimizer


def adafactor_update(gradients: list[list[list[float]]]) -> list[list[float]]:
    """Return the last update of a matrix, before the rate (Shazeer & Stern 2018, algorithm 4)."""
    n_rows, n_columns = len(gradients[0]), len(gradients[0][0])
    rows, columns = [0.0] * n_rows, [0.0] * n_columns
    update: list[list[float]] = []
    for step, g in enumerate(gradients, start=1):
        decay = 1.0 - step**-0.8
        for i in range(n_rows):
            mean = sum(g[i][j] ** 2 for j in range(n_columns)) / n_columns
            rows[i] = decay * rows[i] + (1 - decay) * mean
        for j in range(n_columns):
            mean = sum(g[i][j] ** 2 for i in range(n_rows)) / n_rows
            columns[j] = decay * columns[j] + (1 - decay) * mean
        total = sum(rows) / n_rows
        update = [
            [g[i][j] / math.sqrt(rows[i] * columns[j] / total) for j in range(n_columns)]
            for i in range(n_rows)
        ]
    size = math.sqrt(sum(u**2 for row in update for u in row) / (n_rows * n_columns))
    return [[u / max(1.0, size) for u in row] for row in update]


@pytest.mark.parametrize("scale", [1.0, 1.0e-6])
def test_adafactor_moves_by_the_rate_times_its_papers_update(scale: float) -> None:
    draws = torch.Generator().manual_seed(0)
    gradients = [scale * torch.randn(3, 4, generator=draws) * torch.arange(1, 5) for _ in range(3)]
    weight = nn.Parameter(0.02 * torch.randn(3, 4, generator=draws))
    optimizer = make_optimizer("adafactor", [weight], 1.0e-3, 0.0)
    for gradient in gradients:
        before = weight.detach().clone()
        weight.grad = gradient
        optimizer.step()
    wanted = torch.tensor(adafactor_update([g.tolist() for g in gradients]))
    assert torch.allclose((before - weight.detach()) / 1.0e-3, wanted, rtol=2e-3, atol=2e-3)


def test_adafactor_leaves_weights_without_gradient_and_decays_them() -> None:
    weight = nn.Parameter(torch.full((3, 4), 0.5))
    weight.grad = torch.zeros(3, 4)
    make_optimizer("adafactor", [weight], 1.0e-2, 0.1).step()
    assert torch.allclose(weight, torch.tensor(0.5 * (1 - 1.0e-2 * 0.1)))


@pytest.mark.parametrize(("name", "n_numbers"), [("adamw", 2 * 64 * 48), ("adafactor", 64 + 48)])
def test_what_an_optimizer_keeps(name: str, n_numbers: int) -> None:
    weight = nn.Parameter(torch.randn(64, 48, generator=torch.Generator().manual_seed(0)))
    optimizer = make_optimizer(name, [weight], 1.0e-3, 0.01)  # type: ignore[arg-type]
    weight.square().sum().backward()
    optimizer.step()
    kept = [value for value in optimizer.state[weight].values() if value.numel() > 1]
    assert sum(value.numel() for value in kept) == n_numbers
