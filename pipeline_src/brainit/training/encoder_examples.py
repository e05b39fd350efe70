"""Examples of the encoder's training (arXiv 2406.12179).

Each is one image of one subject, shifted by a few pixels with its edge repeated, and the responses
of random voxels of that subject, drawn with replacement (released code).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.settings import EncoderSettings
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore, images_on, resize_images
from brainit.training.loader import Slot
from brainit.training.resume import EpochPosition


@dataclass(frozen=True)
class EncoderBatch:
    """Pixels (0..255), their shifts, voxels (counted over all subjects), measured z-scores."""

    pixels: UInt8[Tensor, "batch height width rgb"]
    shifts: Int[Tensor, "batch 2"] | None
    voxel_index: Int[Tensor, "batch sampled"]
    measured: Float[Tensor, "batch sampled"]


@dataclass(frozen=True)
class EncoderDraws:
    """Examples drawn for a batch, the voxels of each within its subject, the images' shifts."""

    examples: NDArray[np.int64]
    voxels: list[Int[Tensor, "sampled"]]
    shifts: Int[Tensor, "batch 2"] | None


class EncoderExamples:
    """Training examples of some subjects.

    Parameters
    ----------
    fmri
        Responses of each subject.
    first_voxel
        Index of each subject's first voxel in the encoder.
    images
        The stimuli, by nsd_id.
    image_size
        Side in pixels of the backbone's input, at which images are shifted.
    settings
        Batch size, largest shift, voxels per example and how they are drawn; without replacement
        they are at most those of the smallest subject.
    """

    def __init__(
        self,
        fmri: Sequence[SubjectFmri],
        first_voxel: Mapping[str, int],
        images: ImageStore,
        image_size: int,
        settings: EncoderSettings,
    ) -> None:
        self._fmri = list(fmri)
        self._first = [first_voxel[subject.subject] for subject in self._fmri]
        self._images, self._image_size, self._settings = images, image_size, settings
        lengths = [len(subject.nsd_id) for subject in self._fmri]
        self._subject = np.repeat(np.arange(len(lengths)), lengths)
        self._row = np.concatenate([np.arange(length) for length in lengths])
        self.n_sampled = settings.voxels_per_example
        if settings.voxel_sampling == "without_replacement":
            self.n_sampled = min(self.n_sampled, *(subject.n_voxels for subject in self._fmri))

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._row)

    @property
    def n_batches(self) -> int:
        """Batches of an epoch; the last may be smaller."""
        return -(-len(self) // self._settings.batch)

    def draws(
        self, generator: torch.Generator, position: EpochPosition | None = None
    ) -> Iterator[EncoderDraws]:
        """Draw every example once, in random order, from the position on (None: all)."""
        order = torch.randperm(len(self), generator=generator).numpy()
        size, largest = self._settings.batch, self._settings.max_shift_px
        first = position.enter() if position else 0
        for start in range(first * size, len(order), size):
            chosen = order[start : start + size]
            n_voxels = [self._fmri[number].n_voxels for number in self._subject[chosen]]
            voxels = [self._draw(n, generator) for n in n_voxels]
            shifts = None
            if largest:
                shape = (len(chosen), 2)
                shifts = torch.randint(-largest, largest + 1, shape, generator=generator)
            yield EncoderDraws(chosen, voxels, shifts)

    def read(self, drawn: EncoderDraws, slot: Slot) -> EncoderBatch:
        """Return the batch of some draws; draws nothing."""
        n, side = len(drawn.examples), self._images.image_size
        voxels = slot.empty("voxels", (n, self.n_sampled), torch.int64)
        measured = slot.empty("measured", (n, self.n_sampled), torch.float16)
        nsd_id = np.empty(n, dtype=np.int64)
        for place, (example, chosen) in enumerate(zip(drawn.examples, drawn.voxels, strict=True)):
            number, row = int(self._subject[example]), int(self._row[example])
            subject = self._fmri[number]
            measured[place] = torch.from_numpy(subject.betas[row][chosen.numpy()])
            torch.add(chosen, self._first[number], out=voxels[place])
            nsd_id[place] = subject.nsd_id[row]
        pixels = slot.empty("pixels", (n, side, side, 3), torch.uint8)
        self._images.pixels_into(nsd_id, pixels.numpy(), np.arange(n))
        shifts = None if drawn.shifts is None else slot.hold("shifts", drawn.shifts)
        return EncoderBatch(pixels, shifts, voxels, measured)

    def shown(
        self, batch: EncoderBatch, device: torch.device
    ) -> Float[Tensor, "batch 3 side side"]:
        """Return a batch's images as the backbone sees them: resized, then shifted."""
        images = resize_images(images_on(batch.pixels, device), self._image_size)
        return images if batch.shifts is None else shift_images(images, batch.shifts)

    def _draw(self, n_voxels: int, generator: torch.Generator) -> Int[Tensor, "sampled"]:
        if self._settings.voxel_sampling == "with_replacement":
            return torch.randint(n_voxels, (self.n_sampled,), generator=generator)
        return torch.randperm(n_voxels, generator=generator)[: self.n_sampled]


def shift_images(
    images: Float[Tensor, "batch 3 side side"], shifts: Int[Tensor, "batch 2"]
) -> Float[Tensor, "batch 3 side side"]:
    """Shift each image down and right by its number of pixels, repeating its edge pixels."""
    side, device = images.shape[-1], images.device
    shifts = shifts.to(device, non_blocking=True)
    sources = torch.arange(side, device=device) - shifts[:, :, None]  # (batch, axis, side)
    sources = sources.clamp(0, side - 1)
    batch = torch.arange(len(images), device=device)[:, None, None]
    rows, columns = sources[:, 0, :, None], sources[:, 1, None, :]
    return images.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2).contiguous()
