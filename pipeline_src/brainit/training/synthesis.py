"""Predicted fMRI of external images (paper sections 4, D.1).

The encoder's hoisted form predicts all voxels of all subjects, one batch of images at a time, so
that the frozen backbone sees each image once. Float16 rows are written at once: memory holds the
predictions of one batch.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainit.core.device import encoder_precision
from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.shards import new_shard, shard_ranges, start_shards, write_index
from brainit.data.images import ImageStore
from brainit.models.voxel_encoder import HoistedVoxels, VoxelEncoder

_DTYPE: np.dtype[Any] = np.dtype(np.float16)


def synthesize_fmri(
    encoder: VoxelEncoder,
    images: ImageStore,
    settings: Settings,
    device: torch.device,
    out: Path,
) -> None:
    """Write the predicted z-scores of all voxels of each subject of the encoder.

    Makes one `ShardedArray` of float16 (images, voxels) per subject in the folder `out/<subject>`:
    all images in order, `images.rows_per_shard` rows per shard. Raises `PipelineError` where a
    prediction is no finite float16; then no subject gets an index.
    """
    encoder = encoder.to(device).eval()
    encoder.use_precision(encoder_precision(settings, device))
    voxels = {out / name: encoder.hoist(encoder.voxel_slice(name)) for name in encoder.subjects}
    for folder in voxels:
        start_shards(folder)
    ranges = shard_ranges(len(images), settings.images.rows_per_shard)
    for number, rows in enumerate(progress(ranges, "synthetic fMRI", unit="shard")):
        _write_shard(encoder, voxels, images, number, range(*rows, settings.synthesis.batch))
    n_rows = [stop - start for start, stop in ranges]
    for folder, hoisted in voxels.items():
        attributes = {"subject": folder.name, "n_voxels": len(hoisted)}
        write_index(folder, n_rows, (len(hoisted),), str(_DTYPE), attributes)


def _write_shard(
    encoder: VoxelEncoder,
    voxels: Mapping[Path, HoistedVoxels],
    images: ImageStore,
    number: int,
    batches: range,
) -> None:
    """Write one shard of every folder; `batches` are its rows, in steps of a batch."""
    with ExitStack() as opened:
        files = {
            folder: opened.enter_context(
                new_shard(folder, number, (batches.stop - batches.start, len(hoisted)), _DTYPE)
            )
            for folder, hoisted in voxels.items()
        }
        for first in batches:
            index = np.arange(first, min(first + batches.step, batches.stop), dtype=np.int64)
            pixels = images.images(index).to(encoder.voxel_embedding.device)
            predicted = encoder.predict_each(pixels, list(voxels.values()))
            for (folder, file), rows in zip(files.items(), predicted, strict=True):
                file.write(_as_float16(rows, folder))


def _as_float16(rows: Float[Tensor, "batch voxels"], folder: Path) -> bytes:
    half = rows.to(torch.float16)
    if not half.isfinite().all():
        raise PipelineError(
            folder,
            "finite predictions within float16",
            "NaN or infinity",
            "rerun train_encoder",
            code="bad-values",
        )
    return half.cpu().numpy().tobytes()
