"""AdamW of voxel embeddings whose moments are on the host (`cohort.embedding_states: host`).

Embeddings are the only weights whose number grows with the subjects, and a batch reads those of few
(`cohort.subjects_per_batch`). The device holds all embeddings, but gradients and moments of the
subjects of a step's batches alone.

The arithmetic is that of torch's AdamW on the whole table, where the embeddings of absent subjects
have the gradient 0: their moments decay, and by these and the weight decay they still move. Such
steps are made up, one after the other with the rate of each, before a subject is read again, and of
all subjects before validation and checkpoints. So the bytes are those of AdamW on the whole table,
where a row is a multiple of 16 numbers; in others a last bit may differ, because AdamW's vectors of
numbers begin elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.adamw import adamw

from brainit.core.errors import PipelineError
from brainit.models.brain_decoder import TokenNetwork
from brainit.models.brain_transformer import BrainInteractionTransformer, rows_of
from brainit.training.parallel import n_processes

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Their names in a checkpoint, those of torch."""


class EmbeddingStates:
    """Moments and gradients of a table of voxel embeddings, by subject.

    Parameters
    ----------
    table
        Embeddings (voxels, width) on the training's device; changed in place.
    subjects
        Voxels of each subject, which together are the table.
    """

    def __init__(self, table: Float[Tensor, "voxels width"], subjects: Sequence[slice]) -> None:
        ends = [0, *(voxels.stop for voxels in subjects)]
        assert ends[-1] == len(table) and ends[:-1] == [voxels.start for voxels in subjects]
        self._table, self._subjects = table.detach(), {v.start: v for v in subjects}
        pin = table.device.type == "cuda"
        self._moments = [
            torch.zeros(table.shape, dtype=table.dtype, pin_memory=pin) for _ in MOMENTS
        ]
        self._n_done = dict.fromkeys(self._subjects, 0)
        self._groups: list[dict[str, Any]] = []  # options of the steps from `_n_settled` on
        self._n_settled = 0
        self._read: list[tuple[list[int], Tensor]] = []
        self._gradients: dict[int, Tensor] = {}
        self._on_device: dict[int, list[Tensor]] = {}

    @property
    def n_steps(self) -> int:
        """Steps taken."""
        return self._n_settled + len(self._groups)

    def rows(
        self, table: Float[Tensor, "voxels width"], voxels: Sequence[slice]
    ) -> Float[Tensor, "rows width"]:
        """Return the embeddings of some subjects, one after the other, for the forward pass.

        With gradients enabled they are a leaf, whose gradient the next step takes. Without, they
        are those of the last `settle`.
        """
        if not torch.is_grad_enabled():
            return rows_of(table, voxels)
        self._collect()
        starts = [part.start for part in voxels]
        for start in starts:
            self._fetch(start)
        leaf = torch.cat([self._table[part] for part in voxels]).requires_grad_()
        self._read.append((starts, leaf))
        return leaf

    @torch.no_grad()
    def step(self, group: Mapping[str, Any]) -> None:
        """Take a step with rate, betas, eps and decay of one of AdamW's `param_groups`.

        Embeddings of subjects whose gradient is 0 follow when they are read, or by `settle`.
        """
        self._collect()
        for start in self._gradients:
            self._fetch(start)
        self._groups.append({k: group[k] for k in ("lr", "betas", "eps", "weight_decay")})
        for start, gradient in self._gradients.items():
            self._advance(start, gradient)
        self._gradients = {}
        self._put_back()

    @torch.no_grad()
    def settle(self) -> None:
        """Bring all embeddings and moments to the newest step."""
        self._collect()
        for start in self._subjects:
            self._fetch(start)
            if start not in self._gradients:
                self._put_back([start])
        self._n_settled, self._groups = self.n_steps, []

    def tensors(self) -> dict[str, Tensor]:
        """Return moments, and gradients that await a step, for a checkpoint; call `settle` first.

        Moments have the table's shape; gradients are by first voxel, `gradient/12`.
        """
        waiting = {f"gradient/{start}": tensor for start, tensor in self._gradients.items()}
        self._put_back()
        return {**dict(zip(MOMENTS, self._moments, strict=True)), **waiting}

    def restore(self, tensors: Mapping[str, Tensor], n_steps: int) -> None:
        """Take over what `tensors` returned after `n_steps` steps."""
        for name, own in zip(MOMENTS, self._moments, strict=True):
            own.copy_(tensors[name])
        self._gradients = {
            int(name.removeprefix("gradient/")): tensor.to(self._table.device)
            for name, tensor in tensors.items()
            if name.startswith("gradient/")
        }
        self._n_done = dict.fromkeys(self._subjects, n_steps)
        self._n_settled, self._groups = n_steps, []

    def _collect(self) -> None:
        """Add the gradients of what was read, subject by subject, and forget the leaves."""
        for starts, leaf in self._read:
            if leaf.grad is None:
                continue
            sizes = [len(self._table[self._subjects[start]]) for start in starts]
            for start, part in zip(starts, torch.split(leaf.grad, sizes), strict=True):
                waiting = self._gradients.get(start)
                self._gradients[start] = part if waiting is None else waiting + part
        self._read = []

    @torch.no_grad()
    def _fetch(self, start: int) -> None:
        """Bring a subject's moments to the device, and the steps that it missed up to date."""
        voxels = self._subjects[start]
        if start not in self._on_device:
            device = self._table.device
            self._on_device[start] = [table[voxels].to(device) for table in self._moments]
        if self._n_done[start] < self.n_steps:
            zero = torch.zeros_like(self._table[voxels])
            while self._n_done[start] < self.n_steps:
                self._advance(start, zero)

    def _advance(self, start: int, gradient: Tensor) -> None:
        """Take a subject's next step."""
        n_done, (first, second) = self._n_done[start], self._on_device[start]
        group = self._groups[n_done - self._n_settled]
        count = torch.tensor(float(n_done), device=self._table.device)
        adamw(
            [self._table[self._subjects[start]]],
            [gradient],
            [first],
            [second],
            [],
            [count],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        self._n_done[start] += 1

    def _put_back(self, starts: Sequence[int] | None = None) -> None:
        """Write moments back to the host, of all subjects by default, and free the device's."""
        for start in list(self._on_device) if starts is None else starts:
            for table, rows in zip(self._moments, self._on_device.pop(start), strict=True):
                table[self._subjects[start]].copy_(rows)


@contextmanager
def embeddings_on_host(
    network: TokenNetwork, subjects: Mapping[str, slice], optimizer: str
) -> Iterator[EmbeddingStates | None]:
    """Let a BIT read its embeddings through `EmbeddingStates` within the block.

    None for a decoder without voxel embeddings. Raises `PipelineError` for another optimiser than
    "adamw", and where several processes train together.
    """
    if optimizer != "adamw" or n_processes() > 1:
        raise states_error(optimizer, n_processes())
    if not isinstance(network, BrainInteractionTransformer):
        yield None
        return
    states = EmbeddingStates(network.voxel_embedding, list(subjects.values()))
    network.read_rows = states.rows
    try:
        yield states
    finally:
        network.read_rows = rows_of


def states_of(
    where: str, network: TokenNetwork, subjects: Mapping[str, slice], optimizer: str
) -> AbstractContextManager[EmbeddingStates | None]:
    """Return the context of a training whose moments are `where` says, "device" or "host"."""
    return nullcontext() if where == "device" else embeddings_on_host(network, subjects, optimizer)


def states_error(optimizer: str, processes: int) -> PipelineError:
    """Return the error for a training that cannot keep moments on the host."""
    return PipelineError(
        "settings cohort.embedding_states host",
        "the optimizer adamw and one process",
        f"{optimizer}, {processes} process(es)",
        "set cohort.embedding_states to device, or the training's optimizer to adamw and"
        " joint.processes to 1",
        code="invalid-setting",
    )
