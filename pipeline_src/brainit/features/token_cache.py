"""Cache the semantic tokens of all images in shards, if `features.cache_tokens` is set (D.2).

A token is kept as float16, or by `features.token_bits` 8 as bytes: its numbers as integers from
-127 to 127, and after them the float32 by which they are multiplied.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int8
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.shards import ShardedArray, shard_ranges, write_shards
from brainit.data.images import ImageStore
from brainit.features.halves import as_halves

_BATCH = 64
_LARGEST = 127
_SCALE_BYTES = 4


def extract_tokens(
    images: ImageStore,
    network: nn.Module,
    out: Path,
    rows_per_shard: int,
    device: torch.device,
    n_bits: int = 16,
) -> None:
    """Write the tokens of all images as shards (images, tokens, width), one by one.

    With 8 of `n_bits` a row of int8 is `as_bytes` of the tokens.
    """
    network = network.to(device)
    ranges = shard_ranges(len(images), rows_per_shard)
    blocks = (
        np.concatenate(list(_tokens(images, network, start, stop, device, n_bits)))
        for start, stop in progress(ranges, "semantic tokens", unit="shard")
    )
    write_shards(out, blocks, {"halve_contrast": bool(getattr(network, "halve_contrast", False))})


@torch.inference_mode()
def _tokens(
    images: ImageStore,
    network: nn.Module,
    start: int,
    stop: int,
    device: torch.device,
    n_bits: int,
) -> Iterator[NDArray[Any]]:
    for first in range(start, stop, _BATCH):
        index = np.arange(first, min(first + _BATCH, stop))
        tokens = network(images.images(index).to(device))
        if n_bits == 8:
            yield as_bytes(tokens).cpu().numpy()
        else:
            yield as_halves(tokens, "tokens", "features.semantic_tokens", "features.cache_tokens")


def as_bytes(
    tokens: Float[Tensor, "images tokens width"],
) -> Int8[Tensor, "images tokens width_and_scale"]:
    """Return each token as integers from -127 to 127 and the four bytes of its float32 scale.

    The scale is the token's largest absolute number over 127, so that the error of a number is at
    most half of it.
    """
    scale = tokens.float().abs().amax(-1, keepdim=True) / _LARGEST
    divisor = torch.where(scale > 0, scale, torch.ones_like(scale))
    whole = (tokens.float() / divisor).round_().clamp_(-_LARGEST, _LARGEST).to(torch.int8)
    return torch.cat([whole, scale.view(torch.int8)], dim=-1)


class TokenCache:
    """Cached tokens of one set of images, read by the number of the image as they are stored.

    Raises `PipelineError` for shards of another dtype.
    """

    def __init__(self, shards: ShardedArray) -> None:
        if shards.dtype not in (np.float16, np.int8) or len(shards.row_shape) != 2:
            raise PipelineError(
                shards.folder,
                "float16 or int8 rows of axes (tokens, width)",
                f"{shards.dtype} rows of shape {shards.row_shape}",
                "delete the folder and rerun extract_features",
                code="wrong-kind",
            )
        self._shards = shards
        self.row_shape: tuple[int, int] = (shards.row_shape[0], shards.row_shape[1])
        self.dtype = torch.int8 if shards.dtype == np.int8 else torch.float16

    @property
    def token_shape(self) -> tuple[int, int]:
        """Number and width of the tokens of an image."""
        n_tokens, stored = self.row_shape
        return n_tokens, stored - (_SCALE_BYTES if self.dtype == torch.int8 else 0)

    def rows_into(self, index: NDArray[np.int64], out: NDArray[Any], at: NDArray[np.int64]) -> None:
        """Copy what is stored of the images `index` to the rows `at` of `out`."""
        self._shards.rows_into(index, out, at)

    def require_form_of(self, other: "TokenCache") -> None:
        """Raise `PipelineError` unless both caches keep tokens of one shape in one form."""
        if (self.row_shape, self.dtype) != (other.row_shape, other.dtype):
            raise PipelineError(
                self._shards.folder,
                f"{other.dtype} rows of shape {other.row_shape}, as the other images' tokens",
                f"{self.dtype} rows of shape {self.row_shape}",
                "delete the folder and rerun extract_features",
                code="inconsistent-inputs",
            )


def tokens_on(rows: Tensor, device: torch.device) -> Float[Tensor, "images tokens width"]:
    """Move rows of a cache to a device as they are stored, and return them there as float32."""
    moved = rows.to(device, non_blocking=True)
    if moved.dtype != torch.int8:
        return moved.float()
    scale = moved[..., -_SCALE_BYTES:].contiguous().view(torch.float32)
    return moved[..., :-_SCALE_BYTES].float().mul_(scale)
