"""All that changes while a training runs, to and from a checkpoint, exactly.

Tensors are named `<kind>/<name>`: the model's, the best ones so far, the optimizer's, the
generators'. Numbers travel as JSON, which keeps every float.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from brainit.core.checkpoints import Checkpoint
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.training.positions import EpochPosition
from brainit.training.schedule import Plateau


@dataclass
class LoopState:
    """State of `training.loop.fit`: `epoch` counts from 0, `n_batches` within the epoch."""

    parameters: Sequence[nn.Parameter]
    optimizer: torch.optim.Optimizer
    plateau: Plateau
    rows: list[dict[str, float]] = field(default_factory=list)
    best: float = float("inf")
    best_state: list[Tensor] | None = None
    step: int = 0
    epoch: int = 0
    n_batches: int = 0
    loss_sum: float = 0.0
    is_finished: bool = False

    def add_losses(self, losses: Sequence[float]) -> None:
        """Add the losses of batches, in their order, to the epoch's sum."""
        for loss in losses:
            self.loss_sum += loss

    def checkpoint(self, position: EpochPosition | None) -> Checkpoint:
        """Return the state; `position` None stands for the start of the epoch."""
        gradients = {k: p.grad for k, p in enumerate(self.parameters) if p.grad is not None}
        tensors = {
            **named("model", dict(enumerate(self.parameters))),
            **named("gradient", gradients),
            **named("best", dict(enumerate(self.best_state or []))),
            **optimizer_tensors(self.optimizer),
            **named("generator", position.states() if position else {}),
        }
        values = {name: getattr(self, name) for name in _LOOP_VALUES}
        values |= {"plateau": asdict(self.plateau), "rates": rates_of(self.optimizer)}
        return Checkpoint(tensors, values)

    @torch.no_grad()
    def restore(self, found: Checkpoint) -> dict[str, Tensor]:
        """Take over a checkpoint; return the generators' states, none at the start of an epoch."""
        tensors, values = found.tensors, found.values
        for number, value in of_kind("model", tensors).items():
            self.parameters[int(number)].copy_(value)
        for number, value in of_kind("gradient", tensors).items():
            self.parameters[int(number)].grad = value.to(self.parameters[int(number)].device)
        best = of_kind("best", tensors)
        if best:
            self.best_state = [best[str(k)] for k in range(len(self.parameters))]
        restore_optimizer(self.optimizer, tensors, values["rates"])
        self.plateau = Plateau(**values["plateau"])
        for name in _LOOP_VALUES:
            setattr(self, name, values[name])
        return of_kind("generator", tensors)


_LOOP_VALUES = ("rows", "best", "step", "epoch", "n_batches", "loss_sum", "is_finished")


@dataclass
class EncoderState:
    """State of an encoder's training: `epoch` counts finished epochs, `losses` the batches done.

    `plateau` None and no `best_state` where there is no validation (transfer).
    """

    encoder: VoxelEncoder
    optimizer: torch.optim.Optimizer
    plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
    rows: list[list[float]] = field(default_factory=list)
    best: float = float("-inf")
    best_state: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    losses: list[Tensor] = field(default_factory=list)

    def checkpoint(self, position: EpochPosition | None) -> Checkpoint:
        """Return the state; `position` None stands for the start of an epoch."""
        tensors = {
            **named("model", self.encoder.own_state()),
            **named("best", self.best_state),
            **optimizer_tensors(self.optimizer),
            **named("generator", position.states() if position else {}),
            **({"losses": torch.stack(self.losses)} if self.losses else {}),
        }
        values: dict[str, Any] = {"rows": self.rows, "best": self.best, "epoch": self.epoch}
        values["rates"] = rates_of(self.optimizer)
        values["plateau"] = self.plateau.state_dict() if self.plateau else None
        return Checkpoint(tensors, values)

    def end_epoch(self, loss: float, median: float, upper: float, rate: float) -> int:
        """Add the epoch's row, keep the best state, lower the rate; return the epoch, from 1."""
        self.epoch, self.losses = self.epoch + 1, []
        self.rows.append([self.epoch, loss, median, upper, rate])
        if upper > self.best:
            self.best = upper
            self.best_state = {n: tensor.clone() for n, tensor in self.encoder.own_state().items()}
        if self.plateau is not None:
            self.plateau.step(upper)
        return self.epoch

    def restore(self, found: Checkpoint) -> dict[str, Tensor]:
        """Take over a checkpoint; return the generators' states, none at the start of an epoch."""
        tensors, values = found.tensors, found.values
        self.encoder.load_own_state(of_kind("model", tensors))
        self.best_state = of_kind("best", tensors)
        if "losses" in tensors:
            device = self.encoder.voxel_embedding.device
            self.losses = list(tensors["losses"].to(device).unbind())
        restore_optimizer(self.optimizer, tensors, values["rates"])
        if self.plateau is not None:
            self.plateau.load_state_dict(values["plateau"])
        self.rows, self.best, self.epoch = values["rows"], values["best"], values["epoch"]
        return of_kind("generator", tensors)


def named(kind: str, tensors: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with `kind/` before their names."""
    return {f"{kind}/{name}": tensor for name, tensor in tensors.items()}


def of_kind(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors named `kind/...`, without it."""
    start = f"{kind}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def rates_of(optimizer: torch.optim.Optimizer) -> list[float]:
    """Return the learning rate of each group."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's tensors as `optimizer/<parameter>/<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer/{k}/{name}": t for k, part in state.items() for name, t in part.items()}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rates: Sequence[float]
) -> None:
    """Put back an optimizer's tensors and rates; its other options are those it was made with."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in of_kind("optimizer", tensors).items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
