"""Examples of an epoch: every real pair, and external images with predicted fMRI (section D.1).

An epoch visits every (subject, image) pair of the real data and every external image once, or a set
number of external images per real pair, drawn anew. For each external image the prediction of one
subject is drawn at random. A batch groups its examples by subject, since a subject's voxels share
their embeddings. Each example keeps a new random set of voxels (voxel dropout).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore, images_on
from brainit.models.brain_decoder import SubjectBatch
from brainit.training.few_subjects import with_few_subjects
from brainit.training.loader import Slot
from brainit.training.resume import EpochPosition


@dataclass(frozen=True)
class VoxelDropout:
    """How many voxels an example keeps, and how they are drawn; see `voxel_numbers`."""

    n_draws: int
    sampling: str


@dataclass(frozen=True)
class ExampleBatch:
    """Responses (float16) by subject, and the image of each example in the same order.

    `image` is an nsd_id, or the number of an external image where `is_external`.
    """

    groups: list[SubjectBatch]
    image: NDArray[np.int64]
    is_external: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.image)

    def groups_on(self, device: torch.device) -> list[SubjectBatch]:
        """Return the groups with their tensors on the device, the betas in float32."""
        return [
            SubjectBatch(
                group.betas.to(device, non_blocking=True).float(),
                group.voxels,
                None if group.keep is None else group.keep.to(device, non_blocking=True),
            )
            for group in self.groups
        ]


@dataclass(frozen=True)
class BatchImages:
    """Stimuli (by nsd_id) and external images (by number)."""

    stimuli: ImageStore
    external: ImageStore | None

    def of(self, batch: ExampleBatch) -> Float[Tensor, "batch rgb height width"]:
        """Return the images of a batch in its order, in [0, 1]."""
        return images_on(self.pixels(batch, Slot()), torch.device("cpu"))

    def pixels(self, batch: ExampleBatch, slot: Slot) -> UInt8[Tensor, "batch height width rgb"]:
        """Return the images of a batch in its order, 0..255.

        Raises `PipelineError` where external images are needed and there are none.
        """
        side = self.stimuli.image_size
        out = slot.empty("pixels", (len(batch), side, side, 3), torch.uint8)
        for is_external in (False, True):
            rows = np.flatnonzero(batch.is_external == is_external)
            if len(rows):
                self._store(is_external).pixels_into(batch.image[rows], out.numpy(), rows)
        return out

    def _store(self, is_external: bool) -> ImageStore:
        store = self.external if is_external else self.stimuli
        if store is None:
            raise PipelineError(
                "--external",
                "a folder of external images",
                "none",
                "give --external, or leave out --synthetic",
                code="invalid-argument",
            )
        return store


@runtime_checkable
class CachedRows(Protocol):
    """What a cache keeps of each image of one set, read by the image's number."""

    def rows_into(self, index: NDArray[np.int64], out: NDArray[Any], at: NDArray[np.int64]) -> None:
        """Copy what is kept of the images `index` to the rows `at` of `out`."""


def are_cached(batch: ExampleBatch, cached: Mapping[bool, CachedRows]) -> bool:
    """Return True where `cached`, by whether external, has a cache of every image of the batch."""
    return {bool(kind) for kind in batch.is_external} <= set(cached)


def cached_into(batch: ExampleBatch, cached: Mapping[bool, CachedRows], out: Tensor) -> Tensor:
    """Fill `out`, one row per example in its order, with what caches keep, and return it."""
    for kind, cache in cached.items():
        rows = np.flatnonzero(batch.is_external == kind)
        if len(rows):
            cache.rows_into(batch.image[rows], out.numpy(), rows)
    return out


@dataclass(frozen=True)
class DrawnExamples:
    """Examples drawn for a batch, one row each: subject, 1 if external, row of its data, image.

    `voxels` are the random numbers by which each subject of the batch, in order, keeps voxels (see
    `voxel_numbers`); None keeps all.
    """

    rows: NDArray[np.int64]
    voxels: list[Tensor] | None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class ExampleSource:
    """Real and predicted responses by subject (the latter may be empty), and the voxels' slices.

    `external_per_real` limits the external examples of an epoch to that many per real one; None
    visits every external image once. A batch mixes about `subjects_per_batch` subjects at most;
    None: as many as are drawn.
    """

    real: Mapping[str, SubjectFmri]
    synthetic: Mapping[str, ShardedArray]
    voxels: Mapping[str, slice]
    external_per_real: float | None = None
    subjects_per_batch: int | None = None

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

    def draws(
        self,
        batch: int,
        generator: torch.Generator,
        dropout: VoxelDropout | None,
        position: EpochPosition | None = None,
    ) -> Iterator[DrawnExamples]:
        """Draw the batches of an epoch in random order; without `dropout` all voxels are kept.

        `position` is where an interrupted epoch continues; None is its start.
        """
        table = self._table(generator)
        order = torch.randperm(len(table), generator=generator).numpy()
        if self.subjects_per_batch is not None:
            most = self.subjects_per_batch
            order = with_few_subjects(order, table[:, 0], batch, most, generator)
        first = position.enter() if position else 0
        n_voxels = [fmri.n_voxels for fmri in self.real.values()]
        for start in range(first * batch, len(order), batch):
            rows = table[np.sort(order[start : start + batch])]
            numbers = None
            if dropout is not None:
                subjects, counts = np.unique(rows[:, 0], return_counts=True)
                numbers = [
                    voxel_numbers(n, n_voxels[subject], dropout, generator)
                    for subject, n in zip(subjects.tolist(), counts.tolist(), strict=True)
                ]
            yield DrawnExamples(rows, numbers)

    def read(
        self, drawn: DrawnExamples, slot: Slot, dropout: VoxelDropout | None = None
    ) -> ExampleBatch:
        """Return the responses of drawn examples; `dropout` is the one they were drawn with."""
        groups = []
        for place, number in enumerate(np.unique(drawn.rows[:, 0])):
            subject = self.subjects[number]
            mine = drawn.rows[drawn.rows[:, 0] == number]
            betas = self._betas(subject, mine, slot)
            keep = None
            if drawn.voxels is not None:
                assert dropout is not None
                shape = (len(mine), betas.shape[1])
                keep = slot.empty(f"keep of {subject}", shape, torch.bool)
                keep_voxels(drawn.voxels[place], dropout, keep)
            groups.append(SubjectBatch(betas, self.voxels[subject], keep))
        return ExampleBatch(groups, drawn.rows[:, 3], drawn.rows[:, 1] == 1)

    def epoch(
        self, batch: int, generator: torch.Generator, dropout: VoxelDropout | None
    ) -> Iterator[ExampleBatch]:
        """Yield the batches of an epoch, each in its own memory."""
        for drawn in self.draws(batch, generator, dropout):
            yield self.read(drawn, Slot(), dropout)

    def _betas(self, subject: str, rows: NDArray[np.int64], slot: Slot) -> Tensor:
        """Return a subject's responses of some rows, float16, real ones first."""
        real = self.real[subject].betas
        shape = (len(rows), real.shape[1])
        betas = slot.empty(f"betas of {subject}", shape, torch.float16)
        out, is_external = betas.numpy(), rows[:, 1] == 1
        for place in np.flatnonzero(~is_external).tolist():
            out[place] = real[rows[place, 2]]
        if is_external.any():
            places = np.flatnonzero(is_external)
            self.synthetic[subject].rows_into(rows[places, 2], out, places)
        return betas

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


def draw_voxels(
    n_trials: int, n_voxels: int, n_draws: int, sampling: str, generator: torch.Generator
) -> Bool[Tensor, "batch voxels"]:
    """Draw the voxels that each trial keeps (section D.1).

    In one call what an epoch draws by `voxel_numbers` and a reader ends by `keep_voxels`.
    """
    dropout = VoxelDropout(n_draws, sampling)
    numbers = voxel_numbers(n_trials, n_voxels, dropout, generator)
    keep = torch.empty(n_trials, n_voxels, dtype=torch.bool)
    return keep_voxels(numbers, dropout, keep)


def voxel_numbers(
    n_trials: int, n_voxels: int, dropout: VoxelDropout, generator: torch.Generator
) -> Tensor:
    """Draw the random numbers by which each trial keeps voxels.

    `dropout.sampling` is "with_replacement" (`n_draws` draws used as a set: the paper draws 15,000,
    and of n voxels n (1 - (1 - 1/n)^k) are expected after k draws) or "without_replacement"
    (exactly `n_draws` voxels). Raises `PipelineError` for another word, and for more draws without
    replacement than voxels.
    """
    n_draws = dropout.n_draws
    if dropout.sampling == "with_replacement":
        return torch.randint(n_voxels, (n_trials, n_draws), generator=generator)
    if dropout.sampling == "without_replacement" and n_draws <= n_voxels:
        return torch.rand(n_trials, n_voxels, generator=generator)
    raise PipelineError(
        "settings voxel_sampling",
        f"with_replacement, or without_replacement of at most {n_voxels} voxels",
        f"{dropout.sampling} of {n_draws}",
        f"set voxels_per_example to at most {n_voxels}, or voxel_sampling to with_replacement",
        code="invalid-setting",
    )


def keep_voxels(
    numbers: Tensor, dropout: VoxelDropout, keep: Bool[Tensor, "batch voxels"]
) -> Bool[Tensor, "batch voxels"]:
    """Fill `keep` with True where these numbers of `voxel_numbers` keep a voxel, and return it."""
    drawn = numbers
    if dropout.sampling == "without_replacement":
        drawn = numbers.topk(dropout.n_draws, dim=1).indices
    keep.zero_()
    for row, voxels in zip(keep.numpy(), drawn.numpy(), strict=True):  # half the time of `scatter_`
        row[voxels] = True
    return keep
