"""Predicted fMRI for images that nobody saw (paper sections 4, D.1).

The encoder's hoisted form predicts all voxels of one subject, image batch by image batch; float16
shards of rows are written as they fill, so that the whole array is never in memory.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.device import encoder_precision
from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges, write_shards
from brainit.data.images import ImageStore
from brainit.models.voxel_encoder import HoistedVoxels, VoxelEncoder


def synthesize_fmri(
    encoder: VoxelEncoder,
    subject: str,
    images: ImageStore,
    settings: Settings,
    device: torch.device,
    out: Path,
) -> None:
    """Write the predicted z-scores of all voxels of `subject` for every image, in their order.

    Makes a `ShardedArray` of float16 (images, voxels) in the folder `out`, `images.rows_per_shard`
    rows a shard. Raises `PipelineError` where the encoder does not know the subject.
    """
    encoder = encoder.to(device).eval()
    encoder.use_precision(encoder_precision(settings, device))
    hoisted = encoder.hoist(encoder.voxel_slice(subject))
    ranges = shard_ranges(len(images), settings.images.rows_per_shard)
    attributes = {"subject": subject, "n_voxels": len(hoisted)}
    shards = (
        _predict_rows(encoder, hoisted, images, start, stop, settings.synthesis.batch)
        for start, stop in progress(ranges, f"synthetic fMRI of {subject}", unit="shard")
    )
    write_shards(out, _checked(out, shards), attributes)


def _checked(out: Path, shards: Iterator[NDArray[np.float16]]) -> Iterator[NDArray[np.float16]]:
    for shard in shards:
        if not np.isfinite(shard).all():
            raise PipelineError(
                out, "finite predictions within float16", "NaN or infinity", "rerun train_encoder"
            )
        yield shard


def _predict_rows(
    encoder: VoxelEncoder,
    hoisted: HoistedVoxels,
    images: ImageStore,
    start: int,
    stop: int,
    batch: int,
) -> NDArray[np.float16]:
    """Predict the images `start` to `stop`."""
    rows = np.empty((stop - start, len(hoisted)), dtype=np.float16)
    for first in range(start, stop, batch):
        last = min(first + batch, stop)
        index = np.arange(first, last, dtype=np.int64)
        predicted = encoder.predict(images.images(index).to(hoisted.weights.device), hoisted)
        rows[first - start : last - start] = predicted.cpu().numpy()
    return rows
