"""The one training loop, of encoder, stage 1, stage 2 and transfer: read it from top to bottom.

Learning rates (D.1): in stage 1 a cubic ramp of the factor from 1e-3 to 1 (released code: one
factor per epoch), then tenfold falls when validation stalls; in stage 2 a linear ramp, then
constant. An interrupted training continues from its newest checkpoint and ends with the same bytes.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn

from brainit.training.embedding_states import EmbeddingStates
from brainit.training.one_cycle import OneCycle
from brainit.training.optimizers import (
    OptimizerName,
    Plateau,
    make_optimizer,
)
from brainit.training.parallel import gradient_sync, loss_weight, mean_losses
from brainit.training.resume import Checkpointer, EpochPosition, LoopState

logger = logging.getLogger(__name__)

WARMUP_START = 1.0e-3

_SECONDS_BETWEEN_LINES = 15.0


@runtime_checkable
class Task(Protocol):
    """A training task: an epoch's batches, the loss of a batch, and the validation scores."""

    score_columns: tuple[str, ...]
    """Columns of the validation scores in the history; the last score chooses the best epoch."""

    @property
    def network(self) -> nn.Module:
        """The network whose gradients are averaged where several processes train it."""

    def n_batches(self) -> int:
        """Return the batches of an epoch."""

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch (from 0), at its start."""

    def dropout(self, epoch: int) -> AbstractContextManager[None]:
        """Return the context that seeds torch's global generator for an epoch's dropout."""

    def batches(self, position: EpochPosition) -> Iterator[Any]:
        """Yield the batches of an epoch from the position on, with all that is drawn for each."""

    def loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch (the forward pass); draws nothing but dropout."""

    def mean_loss(self, epoch: int, losses: Sequence[Tensor]) -> float:
        """Return the training loss of an epoch (from 1) for the history."""

    def validate(self) -> tuple[float, ...] | None:
        """Return a score for each of `score_columns`, or None without validation data."""


@dataclass(frozen=True)
class LoopPlan:
    """How long and how fast: units are epochs, optimiser steps and learning rates.

    The rate at a step is `lr` times the warm-up's factor times the plateau's, or with the schedule
    "cosine" times `cosine_decay`. The factor of `warmup_ramp` "per_epoch" is that of the epoch's
    end. The scores of the first `uncounted_epochs` do not count for the plateau. `best` says
    whether the lowest or the highest score is the best; `keep` which state the parameters have
    afterwards. A `cycle` replaces all of that rate, and changes AdamW's beta 1.
    """

    epochs: int
    lr: float
    weight_decay: float = 0.01
    warmup_steps: float = 0.0
    warmup: Literal["cubic", "linear"] = "cubic"
    warmup_ramp: Literal["per_epoch", "per_step"] = "per_step"
    plateau: Plateau | None = None
    schedule: Literal["plateau", "cosine"] = "plateau"
    uncounted_epochs: int = 0
    min_lr: float = 0.0
    accumulation: int = 1
    max_steps: int | None = None
    best: Literal["lowest", "highest"] = "lowest"
    keep: Literal["best", "last"] = "best"
    optimizer: OptimizerName = "adamw"
    cycle: OneCycle | None = None


def fit(
    parameters: Sequence[nn.Parameter],
    task: Task,
    plan: LoopPlan,
    label: str,
    checkpoints: Checkpointer | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    states: EmbeddingStates | None = None,
) -> pd.DataFrame:
    """Train `parameters` and return the history, one row per epoch.

    `optimizer` None makes the one that the plan names; `states`, where given, steps the voxel
    embeddings instead. Afterwards the parameters are those of the
    best epoch, or the last ones where `plan.keep` says so or there is no validation. Raises
    `Interrupted` after a signal, once its checkpoint is written.
    """
    if optimizer is None:
        optimizer = make_optimizer(plan.optimizer, parameters, plan.lr, plan.weight_decay)
    ramp: Callable[[int, float], float] = cubic_warmup if plan.warmup == "cubic" else linear_warmup
    state = LoopState(parameters, optimizer, replace(plan.plateau or Plateau(0, 0.0)), states)
    keeper = checkpoints or Checkpointer()
    n_batches, accumulation = task.n_batches(), plan.accumulation
    columns = ["epoch", "train_loss", *task.score_columns, "lr"]
    with keeper.watching() as newest:
        generators = state.restore(newest) if newest else {}
        if newest:
            logger.info("%s: continues in epoch %d, step %d", label, state.epoch + 1, state.step)
        while state.epoch < plan.epochs and not state.is_finished:
            started = time.monotonic()
            position = EpochPosition(task.draws(state.epoch), len(state.losses), generators)
            with task.dropout(state.epoch):
                # No name keeps the batches: after a break, their threads end before validation.
                for batch in logged_batches(
                    task.batches(position) if not _is_done(state, plan) else (),
                    position.n_done,
                    n_batches,
                    label,
                ):
                    number = len(state.losses)
                    weight = loss_weight(number, n_batches, accumulation)
                    loss = torch.zeros((), device=parameters[0].device)
                    if weight:  # else another process does this batch
                        with gradient_sync(task.network, number, n_batches, accumulation):
                            loss = weight * task.loss(batch)
                            (loss / accumulation).backward()  # type: ignore[no-untyped-call]
                    state.losses.append(loss.detach())
                    if len(state.losses) % accumulation:
                        continue
                    state.losses[-accumulation:] = mean_losses(state.losses[-accumulation:])
                    done = state.step
                    if plan.warmup_ramp == "per_epoch":
                        done = (state.epoch + 1) * (n_batches // accumulation)
                    factor = ramp(done, plan.warmup_steps) * state.plateau.factor
                    if plan.schedule == "cosine":
                        n_steps = plan.epochs * (n_batches // accumulation)
                        factor *= cosine_decay(state.step, plan.warmup_steps, n_steps)
                    for group in optimizer.param_groups:
                        group["lr"] = plan.lr * factor
                    if plan.cycle is not None:
                        plan.cycle.apply(optimizer, state.step)
                    if states is not None:
                        states.step(optimizer.param_groups[0])
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    state.step += 1
                    if keeper.is_due(after_step=True):
                        keeper.save(state.checkpoint(position))
                    if _is_done(state, plan):
                        break
            train_loss = task.mean_loss(state.epoch + 1, state.losses)
            _end_epoch(state, plan, train_loss, task)
            log_epoch(label, state.rows[-1], task.score_columns, time.monotonic() - started)
            keeper.record(columns[1:], state.rows[-1])
            generators = {}
            if keeper.is_due():
                keeper.save(state.checkpoint(None))
    if plan.keep == "best" and state.best_state is not None:
        with torch.no_grad():
            for parameter, value in zip(parameters, state.best_state, strict=True):
                parameter.copy_(value)
    return pd.DataFrame(state.rows, columns=columns)


def _is_done(state: LoopState, plan: LoopPlan) -> bool:
    return plan.max_steps is not None and state.step >= plan.max_steps


def _end_epoch(state: LoopState, plan: LoopPlan, train_loss: float, task: Task) -> None:
    """Validate, keep the best state (on the host), add the epoch's row, start the next epoch."""
    state.settle()
    scores = task.validate()
    if scores is not None:
        cost = scores[-1] if plan.best == "lowest" else -scores[-1]
        if cost < state.lowest_cost:
            state.lowest_cost = cost
            state.best_state = [p.detach().to("cpu", copy=True) for p in state.parameters]
        if plan.plateau is not None and state.epoch >= plan.uncounted_epochs:
            state.plateau.update(cost)
    shown = scores if scores is not None else [float("nan")] * len(task.score_columns)
    rate = float(state.optimizer.param_groups[0]["lr"])
    state.rows.append([state.epoch + 1, train_loss, *shown, rate])
    state.is_finished = _is_done(state, plan) or plan.lr * state.plateau.factor < plan.min_lr
    state.epoch, state.losses = state.epoch + 1, []


def cubic_warmup(step: int, n_steps: float) -> float:
    """Return the factor at a step (from 0): 1e-3 + (1 - 1e-3) (step / n)^3, then 1."""
    if step >= n_steps:
        return 1.0
    return WARMUP_START + (1 - WARMUP_START) * (step / n_steps) ** 3


def linear_warmup(step: int, n_steps: float) -> float:
    """Return the factor at a step (from 0): (step + 1) / n, at most 1."""
    return 1.0 if n_steps <= 0 else min(1.0, (step + 1) / n_steps)


def cosine_decay(step: int, n_warmup: float, n_steps: int) -> float:
    """Return the factor at a step (from 0): 1 up to `n_warmup`, then half a cosine to 0.

    It would be 0 at step `n_steps`, the first after the last.
    """
    progress = max(0.0, step - n_warmup) / max(1.0, n_steps - n_warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def mean_in_order(losses: Sequence[Tensor]) -> float:
    """Return the mean of scalar losses, added one after the other in float64; 0 for none."""
    total = 0.0
    for value in torch.stack([loss.double() for loss in losses]).tolist() if losses else ():
        total += value
    return total / max(1, len(losses))


SizedBatch = TypeVar("SizedBatch", bound=Sized)


def validation_loss(
    loss: Callable[[SizedBatch], Tensor], batches: Iterable[SizedBatch], n_examples: int | None
) -> float:
    """Return the mean loss per example over the batches of the first `n_examples`; None: all.

    Losses are read from the device once, at the end.
    """
    losses: list[Tensor] = []
    sizes: list[int] = []
    for batch in batches:
        losses.append(loss(batch))
        sizes.append(len(batch))
        if n_examples is not None and sum(sizes) >= n_examples:
            break
    total = 0.0
    for value, size in zip(torch.stack(losses).double().tolist(), sizes, strict=True):
        total += value * size
    return total / sum(sizes)


def half_on_gpu(device: torch.device) -> torch.autocast:
    """Return the mixed-precision context: bfloat16 on a GPU, float32 on a CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def logged_batches(
    batches: Iterable[Any], n_done: int, n_batches: int, label: str
) -> Iterator[Any]:
    """Yield an epoch's batches and log the progress now and then."""
    started = last = time.monotonic()
    for number, batch in enumerate(batches, start=n_done + 1):
        yield batch
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_LINES:
            last = now
            left_s = (n_batches - number) * (now - started) / (number - n_done)
            logger.info("%s: batch %d/%d, %.0f s left", label, number, n_batches, left_s)


def log_epoch(
    label: str, row: Sequence[float], score_columns: Sequence[str], elapsed_s: float
) -> None:
    """Log an epoch's row of the history; `label` names the training."""
    epoch, train_loss, *scores, rate = row
    shown = ", ".join(
        f"{name} {score:.5f}" for name, score in zip(score_columns, scores, strict=True)
    )
    logger.info(
        "%s: epoch %d, train_loss %.5f, %s, lr %.2e, %.1f s",
        label,
        epoch,
        train_loss,
        shown,
        rate,
        elapsed_s,
    )
