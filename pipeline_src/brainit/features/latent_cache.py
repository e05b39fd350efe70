"""Cache the latents of all images in shards, if `features.cache_latents` is set (section 3.2).

Stage 2 crops no image and takes the mode of the VAE's posterior, which draws nothing: an image has
the same latents in every epoch, and nothing is left to draw when they are read. They are kept as
float16, times the generator's scaling factor.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.shards import ShardedArray, shard_ranges, write_shards
from brainit.data.images import ImageStore, images_on
from brainit.features.generator import Generator
from brainit.features.halves import as_halves

_BATCH = 16


def extract_latents(
    images: ImageStore,
    generator: Generator,
    name: str,
    out: Path,
    rows_per_shard: int,
    device: torch.device,
) -> None:
    """Write the latents of all images by the generator `name` as shards (images, c, h, w)."""
    nn.Module.to(generator.vae, device)  # the U-Net is not used, and stays where it is
    ranges = shard_ranges(len(images), rows_per_shard)
    blocks = (
        np.concatenate(list(_latents(images, generator, start, stop, device)))
        for start, stop in progress(ranges, "latents", unit="shard")
    )
    write_shards(out, blocks, {"generator": name})


@torch.inference_mode()
def _latents(
    images: ImageStore, generator: Generator, start: int, stop: int, device: torch.device
) -> Iterator[NDArray[Any]]:
    for first in range(start, stop, _BATCH):
        index = np.arange(first, min(first + _BATCH, stop))
        pixels = torch.from_numpy(images.pixels(index))
        latents = generator.encode(images_on(pixels, device))
        yield as_halves(latents, "latents", "features.generator", "features.cache_latents")


class LatentCache:
    """Cached latents of one set of images, read by the number of the image as they are stored.

    Raises `PipelineError` for shards of another generator, dtype or shape.
    """

    def __init__(self, shards: ShardedArray, name: str, shape: tuple[int, int, int]) -> None:
        found = shards.attributes.get("generator"), str(shards.dtype), shards.row_shape
        if found != (name, "float16", shape):
            raise PipelineError(
                shards.folder,
                f"latents of {name}, float16 rows of shape {shape}",
                f"those of {found[0]}, {found[1]} rows of shape {found[2]}",
                "delete the folder and rerun extract_latents",
                code="wrong-kind",
            )
        self._shards = shards

    def rows_into(self, index: NDArray[np.int64], out: NDArray[Any], at: NDArray[np.int64]) -> None:
        """Copy the latents of the images `index` to the rows `at` of `out`."""
        self._shards.rows_into(index, out, at)


def latents_on(
    rows: Float[Tensor, "images c h w"], device: torch.device
) -> Float[Tensor, "images c h w"]:
    """Move latents to a device as they are stored, and return them there as float32."""
    return rows.to(device, non_blocking=True).float()
