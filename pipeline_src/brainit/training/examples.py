"""Examples of an epoch: every real pair and external images with predicted fMRI (section D.1).

In each epoch every (subject, image) pair of the real data and every external image is visited once,
or so many external ones, drawn anew, as are set for each real one; for each external image the
prediction of one subject is drawn at random. A batch groups its examples by subject, since a
subject's voxels share their embedding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.shards import ShardedArray
from brainit.data.fmri import SubjectFmri
from brainit.models.brain_transformer import SubjectBatch
from brainit.training.positions import EpochPosition
from brainit.training.voxel_sampling import draw_voxels


@dataclass(frozen=True)
class VoxelDropout:
    """How many voxels an example is given, and how they are drawn; see `draw_voxels`."""

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


@dataclass(frozen=True)
class ExampleSource:
    """Real responses by subject, predicted ones by subject (may be empty), and voxel places.

    `external_per_real` bounds the external examples of an epoch to that many per real one; None
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
        """Yield the batches of an epoch in random order; without `dropout` all voxels are given.

        `position` says where an interrupted epoch continues; None stands for its start.
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
