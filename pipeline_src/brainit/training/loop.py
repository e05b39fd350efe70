"""The one training loop of stage 1, stage 2 and transfer: read it from top to bottom.

An interrupted training continues from its newest checkpoint and ends with the same bytes.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn

from brainit.training.optimizers import make_optimizer
from brainit.training.parallel import means
from brainit.training.positions import EpochPosition
from brainit.training.resume import Checkpointer
from brainit.training.schedule import Plateau, cubic_warmup, linear_warmup
from brainit.training.states import LoopState

logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ("epoch", "train_loss", "val_loss", "lr")

_SECONDS_BETWEEN_LINES = 15.0


@runtime_checkable
class Task(Protocol):
    """What is trained: losses of an epoch's batches, and the loss on validation data."""

    def n_batches(self) -> int:
        """Return the batches of an epoch."""

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch (from 0), at its start."""

    def losses(self, position: EpochPosition) -> Iterator[Tensor | None]:
        """Yield the loss of each batch of an epoch from there on, ready for backward.

        Nothing is drawn before a loss is asked for. None stands for a batch that another process
        does; the mean over the processes, None as 0, is the batch's loss.
        """

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
    optimizer: Literal["adamw", "adafactor"] = "adamw"


def fit(
    parameters: Sequence[nn.Parameter],
    task: Task,
    plan: LoopPlan,
    label: str,
    checkpoints: Checkpointer | None = None,
) -> pd.DataFrame:
    """Train `parameters` and return the history, one row per epoch.

    Afterwards the parameters are those of the best validation loss, or the last ones where
    `plan.keep` says so or there is no validation. Raises `Interrupted` after a signal, once its
    checkpoint is written.
    """
    optimizer = make_optimizer(plan.optimizer, parameters, plan.lr, plan.weight_decay)
    ramp: Callable[[int, float], float] = cubic_warmup if plan.warmup == "cubic" else linear_warmup
    plateau = Plateau(plan.plateau_patience or 0, plan.plateau_threshold)
    state = LoopState(parameters, optimizer, plateau)
    keeper = checkpoints or Checkpointer()
    with keeper.watching() as found:
        generators = state.restore(found) if found else {}
        if found:
            logger.info("%s: continues in epoch %d, step %d", label, state.epoch + 1, state.step)
        while state.epoch < plan.epochs and not state.is_finished:
            started = time.monotonic()
            position = EpochPosition(task.draws(state.epoch), state.n_batches, generators)
            losses: list[float] = []
            for loss in _shown(task, position, label) if not _is_done(state, plan) else ():
                if loss is not None:
                    (loss / plan.accumulation).backward()  # type: ignore[no-untyped-call]
                losses.append(0.0 if loss is None else loss.item())
                state.n_batches += 1
                if state.n_batches % plan.accumulation:
                    continue
                state.add_losses(means(losses))
                losses.clear()
                factor = ramp(state.step, plan.warmup_steps) * state.plateau.factor
                for group in optimizer.param_groups:
                    group["lr"] = plan.lr * factor
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                state.step += 1
                keeper.after_step(partial(state.checkpoint, position))
                if _is_done(state, plan):
                    break
            state.add_losses(losses)
            _end_epoch(state, plan, task.validate())
            _log(label, state.rows[-1], time.monotonic() - started)
            generators = {}
            keeper.after_epoch(partial(state.checkpoint, None))
    if plan.keep == "best" and state.best_state is not None:
        with torch.no_grad():
            for parameter, value in zip(parameters, state.best_state, strict=True):
                parameter.copy_(value)
    return pd.DataFrame(state.rows, columns=list(HISTORY_COLUMNS))


def _is_done(state: LoopState, plan: LoopPlan) -> bool:
    return plan.max_steps is not None and state.step >= plan.max_steps


def _end_epoch(state: LoopState, plan: LoopPlan, val_loss: float | None) -> None:
    """Keep the best state, on the host, add the epoch's row, and go to the next epoch's start."""
    if val_loss is not None and val_loss < state.best:
        state.best = val_loss
        state.best_state = [p.detach().to("cpu", copy=True) for p in state.parameters]
    state.rows.append(
        {
            "epoch": state.epoch + 1,
            "train_loss": state.loss_sum / max(1, state.n_batches),
            "val_loss": float("nan") if val_loss is None else val_loss,
            "lr": state.optimizer.param_groups[0]["lr"],
        }
    )
    if plan.plateau_patience is not None and val_loss is not None:
        state.plateau.update(val_loss)
    state.is_finished = _is_done(state, plan) or plan.lr * state.plateau.factor < plan.min_lr
    state.epoch, state.n_batches, state.loss_sum = state.epoch + 1, 0, 0.0


def _shown(task: Task, position: EpochPosition, label: str) -> Iterator[Tensor | None]:
    """Yield an epoch's losses, saying now and then how far it is."""
    started = last = time.monotonic()
    total, first = task.n_batches(), position.n_done
    for number, loss in enumerate(task.losses(position), start=first + 1):
        yield loss
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_LINES:
            last = now
            left_s = (total - number) * (now - started) / (number - first)
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
