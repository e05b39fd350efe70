"""Warm-up ramps by hand and in the loop, the plateau rule against torch's, and the loop."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from brainit.core.settings import Stage1Settings
from brainit.training.loop import (
    LoopPlan,
    cubic_warmup,
    fit,
    linear_warmup,
    mean_in_order,
    validation_loss,
)
from brainit.training.optimizers import Plateau
from brainit.training.resume import EpochPosition
from brainit.training.stage1 import plan_of


def test_cubic_warmup_has_the_values_of_its_formula() -> None:
    """1e-3 + 0.999 (s / 10)^3, computed by hand in thousandths and rounded to 1e-9."""
    by_hand = [0.001, 0.001999, 0.008992, 0.027973, 0.064936, 0.125875, 0.216784, 0.343657]
    assert [round(cubic_warmup(step, 10), 9) for step in range(8)] == by_hand
    assert cubic_warmup(10, 10) == cubic_warmup(99, 10) == cubic_warmup(0, 0) == 1.0


def test_the_warmup_sets_the_rate_of_each_step() -> None:
    """Adam's first step moves by the rate, whatever the gradient."""
    for warmup, rate in (("cubic", 0.125875), ("linear", 0.6)):
        weight = nn.Parameter(torch.zeros(1))
        plan = LoopPlan(9, 1e-3, 0.0, warmup_steps=10, warmup=warmup, max_steps=6)
        history = fit([weight], Parabola(weight, 1e3, None), plan, "test")
        assert history["lr"].iloc[-1] == pytest.approx(rate * 1e-3)
        total = sum(cubic_warmup(s, 10) if warmup == "cubic" else (s + 1) / 10 for s in range(6))
        assert weight.item() == pytest.approx(total * 1e-3, rel=1e-3)


def test_the_warmup_of_an_epoch_is_one_factor() -> None:
    """Epoch e of n has the factor 1e-3 + 0.999 (e / n)^3: of 3 epochs 1/27, 8/27 and all."""
    weight = nn.Parameter(torch.zeros(1))
    plan = LoopPlan(4, 1e-3, 0.0, warmup_steps=3 * 4, warmup_ramp="per_epoch")
    history = fit([weight], Parabola(weight, 1e3, None), plan, "test")
    by_hand = [1e-3 + 0.999 / 27, 1e-3 + 0.999 * 8 / 27, 1.0, 1.0]
    assert history["lr"].tolist() == pytest.approx([1e-3 * factor for factor in by_hand])
    assert weight.item() == pytest.approx(4e-3 * sum(by_hand), rel=1e-3), "four steps an epoch"


@pytest.mark.parametrize(
    ("keys", "ramp", "n_uncounted"),
    [
        ({}, "per_epoch", 14),
        ({"warmup_epochs": 0.5}, "per_epoch", 0),
        ({"warmup_ramp": "per_step", "plateau_from": "start"}, "per_step", 0),
    ],
)
def test_the_settings_choose_ramp_and_plateau(keys: Any, ramp: str, n_uncounted: int) -> None:
    plan = plan_of(Stage1Settings(**keys), 7)
    assert (plan.warmup_ramp, plan.uncounted_epochs) == (ramp, n_uncounted)


def test_scores_of_the_warmup_do_not_lower_the_rate() -> None:
    """Every epoch is worse than the first, so each that counts lowers the rate tenfold."""
    for n_uncounted, n_full in ((0, 2), (3, 5)):
        weight = nn.Parameter(torch.ones(1))
        plateau = Plateau(0, 1e-3)
        plan = LoopPlan(7, 0.1, 0.0, plateau=plateau, uncounted_epochs=n_uncounted)
        history = fit([weight], Parabola(weight, 1e3, 1.0), plan, "test")
        assert (history["lr"] > 0.09).sum() == n_full


@pytest.mark.parametrize(("n_examples", "n_scored"), [(None, 9), (5, 6), (3, 3)])
def test_validation_scores_as_many_examples_as_set(n_examples: int | None, n_scored: int) -> None:
    """In whole batches of three; the mean loss is over what was scored."""
    batches = [torch.arange(k, k + 3) for k in (0, 3, 6)]
    found = validation_loss(lambda batch: batch.float().mean(), batches, n_examples)
    assert found == sum(range(n_scored)) / n_scored


def test_linear_warmup() -> None:
    factors = [linear_warmup(s, 4) for s in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert linear_warmup(0, 0) == 1.0


def test_the_encoders_rate_is_torchs_to_the_bit() -> None:
    """Mode max, down to where torch makes no smaller change; products round as torch's."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-3)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=0.1, patience=1, threshold=0.003, threshold_mode="abs"
    )
    ours = Plateau(1, 0.003, factor=3e-3, least_fall=1e-8)
    scores = torch.rand(60, generator=torch.Generator().manual_seed(0)).tolist()
    for score in scores:
        reference.step(score)
        assert ours.update(-score) == optimiser.param_groups[0]["lr"]
    assert 0 < ours.factor < 1e-7, "it reached torch's least change"


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

    score_columns = ("val_loss",)
    network = nn.Identity()

    def dropout(self, epoch: int) -> AbstractContextManager[None]:
        return nullcontext()

    def batches(self, position: EpochPosition) -> Iterator[int]:
        yield from range(4)

    def loss(self, batch: int) -> Tensor:
        return (self.weight - self.goal).square().sum()

    def mean_loss(self, epoch: int, losses: Sequence[Tensor]) -> float:
        return mean_in_order(losses)

    def validate(self) -> tuple[float] | None:
        if self.validation is None:
            return None
        return (float((self.weight.detach() - self.validation).abs()),)


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
    plan = LoopPlan(50, 1e-3, plateau=Plateau(1, 9.0), min_lr=1e-5)
    assert len(fit([weight], Parabola(weight, 1.0, 1.0), plan, "test")) < 10


def test_the_highest_score_may_be_the_best() -> None:
    """The distance from 1 falls, then rises: the best epoch is the farthest, the last."""
    weight = nn.Parameter(torch.full((1,), 0.9))
    plan = LoopPlan(5, 0.1, 0.0, best="highest")
    history = fit([weight], Parabola(weight, 9.0, 1.0), plan, "test")
    assert history["val_loss"].idxmax() == 4
    assert abs(weight.item() - 1.0) == pytest.approx(history["val_loss"].max(), abs=1e-6)
