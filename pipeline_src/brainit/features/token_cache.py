"""Cache the semantic tokens of all images in shards, if `features.cache_tokens` is set (D.2)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.progress import progress
from brainit.core.shards import ShardedArray, shard_ranges, write_shards
from brainit.data.images import ImageStore

_BATCH = 64


def extract_tokens(
    images: ImageStore, network: nn.Module, out: Path, rows_per_shard: int, device: torch.device
) -> None:
    """Write the tokens of all images as float16 shards (images, tokens, width), one by one."""
    network = network.to(device)
    ranges = shard_ranges(len(images), rows_per_shard)
    blocks = (
        np.concatenate(list(_tokens(images, network, start, stop, device)))
        for start, stop in progress(ranges, "semantic tokens", unit="shard")
    )
    write_shards(out, blocks, {"halve_contrast": bool(getattr(network, "halve_contrast", False))})


@torch.inference_mode()
def _tokens(
    images: ImageStore, network: nn.Module, start: int, stop: int, device: torch.device
) -> Iterator[NDArray[Any]]:
    for first in range(start, stop, _BATCH):
        index = np.arange(first, min(first + _BATCH, stop))
        tokens = network(images.images(index).to(device))
        yield tokens.cpu().numpy().astype(np.float16)


class TokenCache:
    """Cached tokens of one set of images, read by the number of the image."""

    dtype = torch.float16

    def __init__(self, shards: ShardedArray) -> None:
        self._shards = shards
        self.row_shape = shards.row_shape

    @property
    def token_shape(self) -> tuple[int, int]:
        """Number and width of the tokens of an image."""
        return self.row_shape[0], self.row_shape[1]

    def rows_into(self, index: NDArray[np.int64], out: NDArray[Any], at: NDArray[np.int64]) -> None:
        """Copy what is stored of the images `index` to the rows `at` of `out`."""
        self._shards.rows_into(index, out, at)


def tokens_on(rows: Tensor, device: torch.device) -> Float[Tensor, "images tokens width"]:
    """Move rows of a cache to a device as they are stored, and return them there as float32."""
    return rows.to(device, non_blocking=True).float()
