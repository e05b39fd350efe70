"""Batches for the voxel encoder: images of all subjects mixed, random voxels per image.

Each example is one image of one subject, shifted by a few pixels with its edge filled in, and the
responses of random voxels of that subject (universal brain encoder, arXiv 2406.12179).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from brainit.core.settings import EncoderSettings
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore
from brainit.features.resize import resize_images
from brainit.training.positions import EpochPosition


@dataclass(frozen=True)
class EncoderBatch:
    """Images in [0, 1], voxels (counted over all subjects) and their measured z-scores."""

    images: Float[Tensor, "batch 3 side side"]
    voxel_index: Int[Tensor, "batch sampled"]
    measured: Float[Tensor, "batch sampled"]


class EncoderExamples:
    """Training examples of some subjects.

    Parameters
    ----------
    fmri
        Responses of each subject.
    first_voxel
        Place of each subject's first voxel in the encoder.
    images
        The stimuli, by nsd_id.
    image_size
        Side in pixels of the backbone's input, at which images are shifted.
    settings
        Batch size, voxels per example (at most those of the smallest subject), largest shift.
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
        smallest = min(subject.n_voxels for subject in self._fmri)
        self.n_sampled = min(settings.voxels_per_example, smallest)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._row)

    @property
    def n_batches(self) -> int:
        """Batches of an epoch; the last may be smaller."""
        return -(-len(self) // self._settings.batch)

    def epoch(
        self, generator: torch.Generator, position: EpochPosition | None = None
    ) -> Iterator[EncoderBatch]:
        """Yield every example once, in random order, from the position on (None: all)."""
        order = torch.randperm(len(self), generator=generator).numpy()
        size = self._settings.batch
        first = position.enter() if position else 0
        for start in range(first * size, len(order), size):
            yield self._batch(order[start : start + size], generator)

    def _batch(self, chosen: np.ndarray, generator: torch.Generator) -> EncoderBatch:
        voxels, measured, nsd_id = [], [], []
        for example in chosen:
            number = int(self._subject[example])
            subject, row = self._fmri[number], int(self._row[example])
            drawn = torch.randperm(subject.n_voxels, generator=generator)[: self.n_sampled]
            responses = subject.betas[row][drawn.numpy()].astype(np.float32)
            voxels.append(drawn + self._first[number])
            measured.append(torch.from_numpy(responses))
            nsd_id.append(subject.nsd_id[row])
        images = resize_images(self._images.images(np.array(nsd_id)), self._image_size)
        shifted = shift_images(images, self._settings.max_shift_px, generator)
        return EncoderBatch(shifted, torch.stack(voxels), torch.stack(measured))


def shift_images(
    images: Float[Tensor, "batch 3 side side"], largest: int, generator: torch.Generator
) -> Float[Tensor, "batch 3 side side"]:
    """Shift each image by up to `largest` pixels each way; its edge pixels fill what comes free."""
    if largest == 0:
        return images
    side = images.shape[-1]
    shifts = torch.randint(-largest, largest + 1, (len(images), 2), generator=generator)
    places = (torch.arange(side) - shifts[:, :, None]).clamp(0, side - 1)  # (batch, axis, side)
    batch = torch.arange(len(images))[:, None, None]
    rows, columns = places[:, 0, :, None], places[:, 1, None, :]
    return images.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2).contiguous()
