"""Cache the semantic tokens of all images in shards, if `features.cache_tokens` is set (D.2)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.shards import shard_ranges, write_shards
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
        half = tokens.to(torch.float16)
        if not bool(half.isfinite().all()):
            expected, found = "tokens within float16", "NaN, infinity or larger numbers"
            fix = "set features.cache_tokens: false, or check the network's weights"
            raise PipelineError("features.semantic_tokens", expected, found, fix, code="bad-values")
        yield half.cpu().numpy()
