"""Examples of an epoch: every real pair, and external images with predicted fMRI (section D.1).

An epoch visits every (subject, image) pair of the real data and every external image once, or a set
number of external images per real pair, drawn anew. For each external image the prediction of one
subject is drawn at random. A batch groups its examples by subject, since a subject's voxels share
their embeddings. Each example keeps a new random set of voxels (voxel dropout).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore
from brainit.models.brain_decoder import SubjectBatch
from brainit.training.resume import EpochPosition


@dataclass(frozen=True)
class VoxelDropout:
    """How many voxels an example keeps, and how they are drawn; see `draw_voxels`."""

    n_draws: int
    sampling: str


@dataclass(frozen=True)
class ExampleBatch:
    """Responses grouped by subject, and the image of each example in the same order.

    `image` is an nsd_id, or the number of an external image where `is_external`.
    """

    groups: list[SubjectBatch]
    image: NDArray[np.int64]
    is_external: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.image)

    def groups_on(self, device: torch.device) -> list[SubjectBatch]:
        """Return the groups with their tensors on the device."""
        return [
            SubjectBatch(
                group.betas.to(device),
                group.voxels,
                None if group.keep is None else group.keep.to(device),
            )
            for group in self.groups
        ]

    def gather(self, read: Callable[[bool, NDArray[np.int64]], Tensor]) -> Tensor:
        """Return one row per example, in the batch's order.

        `read(is_external, image)` reads the rows of real or of external examples.
        """
        kinds = [kind for kind in (False, True) if (self.is_external == kind).any()]
        rows = [np.flatnonzero(self.is_external == kind) for kind in kinds]
        values = [
            read(kind, self.image[rows_of_kind])
            for kind, rows_of_kind in zip(kinds, rows, strict=True)
        ]
        order = np.argsort(np.concatenate(rows), kind="stable")
        return torch.cat(values)[torch.from_numpy(order)]


@dataclass(frozen=True)
class BatchImages:
    """Stimuli (by nsd_id) and external images (by number)."""

    stimuli: ImageStore
    external: ImageStore | None

    def of(self, batch: ExampleBatch) -> Float[Tensor, "batch rgb height width"]:
        """Return the images of a batch in its order, in [0, 1]."""
        return batch.gather(self._read)

    def _read(self, is_external: bool, image: NDArray[np.int64]) -> Tensor:
        store = self.external if is_external else self.stimuli
        if store is None:
            raise PipelineError(
                "--external",
                "a folder of external images",
                "none",
                "give --external, or leave out --synthetic",
                code="invalid-argument",
            )
        return store.images(image)


@dataclass(frozen=True)
class ExampleSource:
    """Real and predicted responses by subject (the latter may be empty), and the voxels' slices.

    `external_per_real` limits the external examples of an epoch to that many per real one; None
    visits every external image once.
    """

    real: Mapping[str, SubjectFmri]
    synthetic: Mapping[str, ShardedArray]
    voxels: Mapping[str, slice]
    external_per_real: float | None = None

    @property
    def subjects(self) -> list[str]:
        """Subjects in order."""
        return list(self.real)

    @property
    def n_real(self) -> int:
        """Real examples of an epoch."""
        return sum(len(fmri.nsd_id) for fmri in self.real.values())

    @property
    def n_external(self) -> int:
        """External examples of an epoch."""
        n_images = min((len(shards) for shards in self.synthetic.values()), default=0)
        if self.external_per_real is None:
            return n_images
        return min(n_images, round(self.external_per_real * self.n_real))

    def n_batches(self, batch: int) -> int:
        """Return the batches of an epoch."""
        return -(-(self.n_real + self.n_external) // batch)

    def epoch(
        self,
        batch: int,
        generator: torch.Generator,
        dropout: VoxelDropout | None,
        position: EpochPosition | None = None,
    ) -> Iterator[ExampleBatch]:
        """Yield the batches of an epoch in random order; without `dropout` all voxels are kept.

        `position` is where an interrupted epoch continues; None is its start.
        """
        table = self._table(generator)
        order = torch.randperm(len(table), generator=generator).numpy()
        first = position.enter() if position else 0
        for start in range(first * batch, len(order), batch):
            rows = table[np.sort(order[start : start + batch])]
            yield self._batch(rows, generator, dropout)

    def _table(self, generator: torch.Generator) -> NDArray[np.int64]:
        """Return one row per example: subject, 1 if external, row of its data, image."""
        parts = []
        for number, fmri in enumerate(self.real.values()):
            n = len(fmri.nsd_id)
            columns = [np.full(n, number), np.zeros(n, dtype=np.int64), np.arange(n), fmri.nsd_id]
            parts.append(np.stack(columns, axis=1))
        if self.n_external:
            n_images = min(len(shards) for shards in self.synthetic.values())
            chosen = torch.randperm(n_images, generator=generator)[: self.n_external].numpy()
            drawn = torch.randint(len(self.real), (len(chosen),), generator=generator).numpy()
            parts.append(np.stack([drawn, np.ones_like(drawn), chosen, chosen], axis=1))
        table = np.concatenate(parts).astype(np.int64)
        return table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]

    def _batch(
        self, rows: NDArray[np.int64], generator: torch.Generator, dropout: VoxelDropout | None
    ) -> ExampleBatch:
        groups = []
        for number in np.unique(rows[:, 0]):
            subject = self.subjects[number]
            mine = rows[rows[:, 0] == number]
            real, external = mine[mine[:, 1] == 0], mine[mine[:, 1] == 1]
            parts = [self.real[subject].betas[real[:, 2]]]
            if len(external):
                parts.append(self.synthetic[subject].rows(external[:, 2]))
            betas = torch.from_numpy(np.concatenate(parts).astype(np.float32))
            keep = None
            if dropout is not None:
                keep = draw_voxels(
                    len(betas), betas.shape[1], dropout.n_draws, dropout.sampling, generator
                )
            groups.append(SubjectBatch(betas, self.voxels[subject], keep))
        return ExampleBatch(groups, rows[:, 3], rows[:, 1] == 1)


def draw_voxels(
    n_trials: int, n_voxels: int, n_draws: int, sampling: str, generator: torch.Generator
) -> Bool[Tensor, "batch voxels"]:
    """Draw the voxels that each trial keeps, on the generator's device (section D.1).

    `sampling` is "with_replacement" (`n_draws` draws used as a set: the paper draws 15,000, and of
    n voxels n (1 - (1 - 1/n)^k) are expected after k draws) or "without_replacement" (exactly
    `n_draws` voxels). Raises `PipelineError` for another word, and for more draws without
    replacement than voxels.
    """
    device = generator.device
    if sampling == "with_replacement":
        shape = (n_trials, n_draws)
        drawn = torch.randint(n_voxels, shape, generator=generator, device=device)
    elif sampling == "without_replacement" and n_draws <= n_voxels:
        order = torch.rand(n_trials, n_voxels, generator=generator, device=device)
        drawn = order.topk(n_draws, dim=1).indices
    else:
        raise PipelineError(
            "settings voxel_sampling",
            f"with_replacement, or without_replacement of at most {n_voxels} voxels",
            f"{sampling} of {n_draws}",
            f"set voxels_per_example to at most {n_voxels}, or voxel_sampling to with_replacement",
            code="invalid-setting",
        )
    keep = torch.zeros(n_trials, n_voxels, dtype=torch.bool, device=device)
    return keep.scatter_(1, drawn, True)
