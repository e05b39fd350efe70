"""Warm-up ramps against their formulas, the plateau rule against torch's, and the loop."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from brainit.training.loop import LoopPlan, fit
from brainit.training.positions import EpochPosition
from brainit.training.schedule import Plateau, cubic_warmup, linear_warmup


def test_cubic_warmup_is_the_formula() -> None:
    for step in range(10):
        assert cubic_warmup(step, 10) == pytest.approx(1e-3 + 0.999 * (step / 10) ** 3)
    assert cubic_warmup(0, 10) == pytest.approx(1e-3)
    assert cubic_warmup(10, 10) == cubic_warmup(99, 10) == cubic_warmup(0, 0) == 1.0


def test_linear_warmup() -> None:
    factors = [linear_warmup(s, 4) for s in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert linear_warmup(0, 0) == 1.0


@pytest.mark.parametrize("patience", [0, 2])
def test_plateau_is_torchs(patience: int) -> None:
    losses = [1.0, 0.9, 0.8999, 0.89, 0.8, 0.8, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.1, patience=patience, threshold=1e-3, threshold_mode="abs", eps=0.0
    )
    ours = Plateau(patience, threshold=1e-3)
    for loss in losses:
        reference.step(loss)
        assert ours.update(loss) == pytest.approx(optimiser.param_groups[0]["lr"])
    assert ours.factor < 0.1


class Parabola:
    """Loss (w - 1)^2, or one that leads away from the validation optimum."""

    def __init__(self, weight: nn.Parameter, goal: float, validation: float | None) -> None:
        self.weight, self.goal, self.validation = weight, goal, validation

    def n_batches(self) -> int:
        return 4

    def draws(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(epoch)

    def losses(self, position: EpochPosition) -> Iterator[Tensor]:
        for _ in range(4):
            yield (self.weight - self.goal).square().sum()

    def validate(self) -> float | None:
        if self.validation is None:
            return None
        return float((self.weight.detach() - self.validation).abs())


def test_best_state_is_kept() -> None:
    weight = nn.Parameter(torch.zeros(1))
    history = fit([weight], Parabola(weight, 9.0, 1.0), LoopPlan(30, 0.1, 0.0), "test")
    assert abs(weight.item() - 1.0) == pytest.approx(history["val_loss"].min(), abs=1e-6)
    assert history["val_loss"].iloc[-1] > history["val_loss"].min()


def test_last_state_is_kept_where_asked() -> None:
    weight = nn.Parameter(torch.zeros(1))
    plan = LoopPlan(30, 0.1, 0.0, keep="last")
    history = fit([weight], Parabola(weight, 9.0, 1.0), plan, "test")
    assert abs(weight.item() - 1.0) == pytest.approx(history["val_loss"].iloc[-1], abs=1e-6)


def test_steps_are_bounded_and_accumulated() -> None:
    weight = nn.Parameter(torch.zeros(1))
    seen: list[float] = []
    task = Parabola(weight, 1.0, None)
    hooked = fit([weight], task, LoopPlan(9, 1e-3, 0.0, max_steps=3, accumulation=2), "test")
    seen.append(weight.item())
    assert len(hooked) == 2, "two steps an epoch, so three steps end in the second"
    assert seen[0] == pytest.approx(3e-3, rel=1e-2), "Adam moves by the rate at each step"


def test_accumulated_gradient_is_the_mean_of_the_batches() -> None:
    first = nn.Parameter(torch.full((1,), 0.3))
    second = nn.Parameter(torch.full((1,), 0.3))
    fit([first], Parabola(first, 1.0, None), LoopPlan(1, 0.05, accumulation=4), "a")
    fit([second], Parabola(second, 1.0, None), LoopPlan(1, 0.05, max_steps=1), "b")
    assert first.item() == pytest.approx(second.item(), abs=1e-7)


def test_training_stops_below_the_least_rate() -> None:
    weight = nn.Parameter(torch.zeros(1))
    plan = LoopPlan(50, 1e-3, plateau_patience=1, plateau_threshold=9.0, min_lr=1e-5)
    assert len(fit([weight], Parabola(weight, 1.0, 1.0), plan, "test")) < 10
