"""The loss of MindBridge on batches, and the batches of its transfer to a new subject.

SoftCLIP at .005 + 1e4 MSE of normalised tokens + error of rebuilt responses + a cycle from one
subject of the batch through another, both drawn in each step.

Transfer ("reset-tuning") trains a fresh embedder and builder of the new subject alone; batches hold
the new subject and one of the pool's subjects in turn, and the cycle goes from that one to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.settings import MindbridgeSettings
from brainit.models.peers.mindbridge import BridgeNetwork
from brainit.models.peers.mindbridge_network import cycled, normalised
from brainit.training.examples import DrawnExamples, ExampleSource
from brainit.training.loader import Slot
from brainit.training.loop import half_on_gpu
from brainit.training.peers.losses import BridgeTerms, bridge_loss
from brainit.training.peers.task import PeerBatch, PeerTask, without_repeats
from brainit.training.resume import EpochPosition

_MOST_NORMS = 1024


@dataclass
class MindbridgeTask(PeerTask):
    """MindBridge's training; `settings` are its own.

    `new_subject` is the number of the subject that it is adapted to, None on a pool.
    """

    settings: MindbridgeSettings | None = None
    new_subject: int | None = None

    def n_batches(self) -> int:
        """Return the batches of an epoch: those of the new subject, in a transfer."""
        if self.new_subject is None:
            return self.train.n_batches(self.batch)
        return self._target().n_batches(max(1, self.batch // 2))

    def examples_drawn(
        self, draws: torch.Generator, position: EpochPosition
    ) -> Iterator[DrawnExamples]:
        """Draw the examples of each batch; in a transfer as many of a pool's subject in turn."""
        if self.new_subject is None:
            yield from super().examples_drawn(draws, position)
            return
        others = [n for n in range(len(self.train.subjects)) if n != self.new_subject]
        size = max(1, self.batch // 2)
        turn = position.n_done
        for target in self._target().draws(size, draws, None, position):
            rows = np.array(target.rows)
            rows[:, 0] = self.new_subject
            if others:
                rows = np.concatenate([rows, self._source_rows(others[turn % len(others)], draws)])
            turn += 1
            yield without_repeats(DrawnExamples(rows[np.argsort(rows[:, 0], kind="stable")], None))

    def draw_for_loss(
        self, examples: DrawnExamples, draws: torch.Generator
    ) -> tuple[int, int] | None:
        """Draw the positions, among the batch's subjects, of the cycle's two; None for one."""
        present = np.unique(examples.rows[:, 0]).tolist()
        if len(present) < 2:
            return None
        if self.new_subject is not None and self.new_subject in present:
            place = present.index(self.new_subject)
            return 1 - place, place
        first, second = torch.randperm(len(present), generator=draws)[:2].tolist()
        return first, second

    def loss(self, batch: PeerBatch) -> Tensor:
        """Return the loss of one batch."""
        network, settings = self.model, self.settings
        assert isinstance(network, BridgeNetwork) and settings is not None
        groups = batch.examples.groups_on(self.device)
        true = self.targets.of(batch.examples, self.device, batch.rows)
        bridge, names = network.bridge, [network.name_of[g.voxels.start] for g in groups]
        with half_on_gpu(self.device):
            pooled = [network.pooled(group) for group in groups]
            points = [bridge.embed(n, v) for n, v in zip(names, pooled, strict=True)]
            rebuilt = [bridge.build(n, p) for n, p in zip(names, points, strict=True)]
            predicted = bridge.predict(torch.cat(points))
            cycle = None
            if batch.of_loss is not None and settings.cycle_weight:
                first, second = batch.of_loss
                cycle = points[first], cycled(bridge, points[first], names[second])
        terms = BridgeTerms(
            {"image": (normalised(predicted.float()), normalised(true))},
            (torch.cat(pooled), torch.cat(rebuilt).float()),
        )
        parts = bridge_loss(terms, mse_weight=settings.mse_weight)
        total = parts["total"]
        if cycle is not None:
            error = (cycle[1].float() - cycle[0].float()).square().mean()
            total = total + settings.cycle_weight * error
        return total

    def _target(self) -> ExampleSource:
        assert self.new_subject is not None
        name = self.train.subjects[self.new_subject]
        return ExampleSource({name: self.train.real[name]}, {}, self.train.voxels)

    def _source_rows(self, number: int, draws: torch.Generator) -> NDArray[np.int64]:
        """Return rows of half a batch of a pool's subject, drawn at random."""
        fmri = self.train.real[self.train.subjects[number]]
        n = min(len(fmri.nsd_id), max(1, self.batch // 2))
        chosen = torch.randperm(len(fmri.nsd_id), generator=draws)[:n].numpy()
        columns = [np.full(n, number), np.zeros(n, dtype=np.int64), chosen, fmri.nsd_id[chosen]]
        return np.stack(columns, axis=1).astype(np.int64)


@torch.no_grad()
def set_token_norm(task: MindbridgeTask) -> None:
    """Give the network the mean norm of the true tokens of about 1,000 training examples."""
    assert isinstance(task.model, BridgeNetwork)
    draws, norms = task.draws(0), []
    for drawn in task.train.draws(task.batch, draws, None):
        examples = task.train.read(drawn, Slot())
        true = task.targets.of(examples, task.device)
        norms.append(true.flatten(1).norm(dim=1))
        if sum(map(len, norms)) >= _MOST_NORMS:
            break
    task.model.token_norm.copy_(torch.cat(norms).mean()[None])


def freeze_for(network: BridgeNetwork, base: BridgeNetwork, subject: str) -> None:
    """Give a network the base's weights, and train the embedder and builder of `subject` alone."""
    own = (f"bridge.embedder.{subject}.", f"bridge.builder.{subject}.")
    state = {**network.state_dict(), **base.state_dict()}
    network.load_state_dict(state)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(own))
