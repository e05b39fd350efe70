"""The one training loop of stage 1, stage 2 and transfer: read it from top to bottom."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn

from brainit.training.schedule import Plateau, cubic_warmup, linear_warmup

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 15.0


@runtime_checkable
class Task(Protocol):
    """What is trained: losses of an epoch's batches, and the loss on validation data."""

    def n_batches(self) -> int:
        """Return the batches of an epoch."""

    def losses(self, epoch: int) -> Iterator[Tensor]:
        """Yield the loss of each batch of an epoch (from 0), ready for backward."""

    def validate(self) -> float | None:
        """Return the validation loss, or None where there is no validation data."""


@dataclass(frozen=True)
class LoopPlan:
    """How long and how fast: units are epochs, optimiser steps and learning rates.

    `keep` says which state the model has afterwards: the best on validation, or the last.
    """

    epochs: int
    lr: float
    weight_decay: float = 0.01
    warmup_steps: float = 0.0
    warmup: Literal["cubic", "linear"] = "cubic"
    plateau_patience: int | None = None
    plateau_threshold: float = 1.0e-3
    min_lr: float = 0.0
    accumulation: int = 1
    max_steps: int | None = None
    keep: Literal["best", "last"] = "best"


def fit(parameters: Sequence[nn.Parameter], task: Task, plan: LoopPlan, label: str) -> pd.DataFrame:
    """Train `parameters` and return the history, one row per epoch.

    AdamW, fused. Afterwards the parameters are those of the best validation loss, or the last ones
    where `plan.keep` says so or there is no validation.
    """
    device_has_fused = parameters[0].device.type in ("cpu", "cuda")
    optimiser = torch.optim.AdamW(
        parameters, lr=plan.lr, weight_decay=plan.weight_decay, fused=device_has_fused
    )
    ramp: Callable[[int, float], float] = cubic_warmup if plan.warmup == "cubic" else linear_warmup
    plateau = Plateau(plan.plateau_patience or 0, plan.plateau_threshold)
    rows: list[dict[str, float]] = []
    best, best_state = float("inf"), None
    step = 0
    for epoch in range(plan.epochs):
        started = time.monotonic()
        sums, n_batches = 0.0, 0
        for n_batches, loss in enumerate(_shown(task, epoch, label), start=1):
            (loss / plan.accumulation).backward()  # type: ignore[no-untyped-call]
            sums += loss.item()
            if n_batches % plan.accumulation:
                continue
            factor = ramp(step, plan.warmup_steps) * plateau.factor
            for group in optimiser.param_groups:
                group["lr"] = plan.lr * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
            if plan.max_steps is not None and step >= plan.max_steps:
                break
        val_loss = task.validate()
        if val_loss is not None and val_loss < best:
            best, best_state = val_loss, [p.detach().clone() for p in parameters]
        rows.append(
            {
                "epoch": epoch + 1,
                "train_loss": sums / max(1, n_batches),
                "val_loss": float("nan") if val_loss is None else val_loss,
                "lr": optimiser.param_groups[0]["lr"],
            }
        )
        _log(label, rows[-1], time.monotonic() - started)
        if plan.plateau_patience is not None and val_loss is not None:
            plateau.update(val_loss)
        is_done = plan.max_steps is not None and step >= plan.max_steps
        if is_done or plan.lr * plateau.factor < plan.min_lr:
            break
    if plan.keep == "best" and best_state is not None:
        with torch.no_grad():
            for parameter, value in zip(parameters, best_state, strict=True):
                parameter.copy_(value)
    return pd.DataFrame(rows)


def _shown(task: Task, epoch: int, label: str) -> Iterator[Tensor]:
    """Yield an epoch's losses, saying now and then how far it is."""
    started = last = time.monotonic()
    total = task.n_batches()
    for number, loss in enumerate(task.losses(epoch), start=1):
        yield loss
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_LINES:
            last = now
            left_s = (total - number) * (now - started) / number
            logger.info("%s: batch %d/%d, %.0f s left of the epoch", label, number, total, left_s)


def _log(label: str, row: dict[str, float], elapsed_s: float) -> None:
    logger.info(
        "%s: epoch %d, train %.5f, validation %.5f, lr %.2e, %.1f s",
        label,
        row["epoch"],
        row["train_loss"],
        row["val_loss"],
        row["lr"],
        elapsed_s,
    )
