"""What the trainings of all peers share: batches of whole responses, one cycle, no selection.

Differs from the releases: an epoch visits each example of a subject once, instead of drawing from
resampled shards, and an image that comes twice in a batch is left out the second time, instead of
the batch (it would be its own negative).
"""

from collections.abc import Iterator, Sequence, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from brainit.core.seeds import seeded_init, torch_generator
from brainit.models.brain_decoder import TokenNetwork
from brainit.training.examples import DrawnExamples, ExampleBatch, ExampleSource
from brainit.training.loader import UNTHREADED, Loading, Slot, load
from brainit.training.loop import LoopPlan, fit, mean_in_order, validation_loss
from brainit.training.one_cycle import OneCycle
from brainit.training.resume import Checkpointer, EpochPosition
from brainit.training.targets import SemanticTargets

_WARMUP_EPOCHS, _MOST_WARMUP = 2.0, 1.0 / 3.0


@dataclass(frozen=True)
class PeerDraws:
    """Examples drawn for a batch, the epoch (None in validation), and what the loss draws."""

    examples: DrawnExamples
    epoch: int | None
    of_loss: Any


@dataclass(frozen=True)
class PeerBatch(Sized):
    """Examples, what their targets have read, and what the loss has drawn."""

    examples: ExampleBatch
    rows: Tensor
    epoch: int | None
    of_loss: Any

    def __len__(self) -> int:
        return len(self.examples)


@dataclass
class PeerTask:
    """A peer's training; see `loop.Task`. A subclass says what is drawn for a loss, and the loss.

    `n_epochs` and `batch` are those of this training; `name` keeps its draws apart.
    """

    model: TokenNetwork
    train: ExampleSource
    validation: ExampleSource | None
    targets: SemanticTargets
    name: str
    batch: int
    n_epochs: int
    seed: int
    device: torch.device
    loading: Loading = UNTHREADED
    score_columns: tuple[str, ...] = ("val_loss",)
    epoch: int = 0

    @property
    def network(self) -> TokenNetwork:
        """The network that is trained."""
        return self.model

    def draw_for_loss(self, examples: DrawnExamples, draws: torch.Generator) -> Any:
        """Return what the loss of a training batch draws, on the CPU."""
        raise NotImplementedError

    def loss(self, batch: PeerBatch) -> Tensor:
        """Return the loss of one batch."""
        raise NotImplementedError

    def n_batches(self) -> int:
        """Return the batches of an epoch."""
        return self.train.n_batches(self.batch)

    def draws(self, epoch: int) -> torch.Generator:
        """Return the generator of the random draws of an epoch, at its start."""
        self.epoch = epoch
        return torch_generator(self.seed, "peer", self.name, "epoch", epoch)

    def dropout(self, epoch: int) -> AbstractContextManager[None]:
        """Return the context that seeds the dropout of an epoch."""
        return seeded_init(self.seed, "peer", self.name, "dropout", epoch)

    def batches(self, position: EpochPosition) -> Iterator[PeerBatch]:
        """Yield the batches of an epoch, from the position on."""
        self.model.train()
        draws = position.generator
        drawn = (
            PeerDraws(examples, self.epoch, self.draw_for_loss(examples, draws))
            for examples in self.examples_drawn(draws, position)
        )
        yield from load(drawn, self.reader(self.train), self.loading, position)

    def examples_drawn(
        self, draws: torch.Generator, position: EpochPosition
    ) -> Iterator[DrawnExamples]:
        """Draw the examples of each batch of an epoch."""
        for examples in self.train.draws(self.batch, draws, None, position):
            yield without_repeats(examples)

    def n_seen(self, epoch: int) -> int:
        """Return the examples of an epoch (from 0), as long as its batches are."""
        draws = self.draws(epoch)
        return sum(map(len, self.examples_drawn(draws, EpochPosition(draws))))

    def reader(self, source: ExampleSource) -> Any:
        """Return the function that reads a batch of a source; it draws nothing."""

        def read(drawn: PeerDraws, slot: Slot) -> PeerBatch:
            examples = source.read(drawn.examples, slot)
            rows = self.targets.read(examples, slot)
            return PeerBatch(examples, rows, drawn.epoch, drawn.of_loss)

        return read

    def mean_loss(self, epoch: int, losses: Sequence[Tensor]) -> float:
        """Return the mean training loss of an epoch."""
        return mean_in_order(losses)

    @torch.no_grad()
    def validate(self) -> tuple[float] | None:
        """Return the mean loss over the validation examples, the same draws at every call."""
        if self.validation is None or self.validation.n_real == 0:
            return None
        self.model.eval()
        draws = torch_generator(self.seed, "peer", self.name, "validation")
        drawn = (
            PeerDraws(examples, None, self.draw_for_loss(examples, draws))
            for examples in map(without_repeats, self.validation.draws(self.batch, draws, None))
        )
        batches = load(drawn, self.reader(self.validation), self.loading)
        return (validation_loss(self.loss, batches, None),)


def without_repeats(examples: DrawnExamples) -> DrawnExamples:
    """Return the examples without those whose image is already among them."""
    _, first = np.unique(examples.rows[:, [1, 3]], axis=0, return_index=True)
    return replace(examples, rows=examples.rows[np.sort(first)])


def train_peer(
    task: PeerTask, lr: float, weight_decay: float, checkpoints: Checkpointer | None = None
) -> pd.DataFrame:
    """Train what of a peer's network is not frozen; keep its last state, return its history.

    One cycle: 2 epochs up (at most a third of all steps), the rest down. AdamW decays all but
    biases, which includes the gains of norms, as released.
    """
    named = [(k, p) for k, p in task.model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for k, p in named if "bias" not in k], "weight_decay": weight_decay},
        {"params": [p for k, p in named if "bias" in k], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, fused=task.device.type in ("cpu", "cuda"))
    n_batches = task.n_batches()
    n_steps = task.n_epochs * n_batches
    warmup = min(_WARMUP_EPOCHS * n_batches, _MOST_WARMUP * n_steps)
    plan = LoopPlan(
        epochs=task.n_epochs,
        lr=lr,
        weight_decay=weight_decay,
        keep="last",
        cycle=OneCycle(lr, n_steps, warmup),
    )
    parameters = [p for _, p in named]
    return fit(parameters, task, plan, task.name, checkpoints, optimizer)
