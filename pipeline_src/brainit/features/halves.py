"""Conversion of a network's outputs to float16, the form in which caches keep them."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.errors import PipelineError


def as_halves(values: Tensor, what: str, network: str, cache: str) -> NDArray[Any]:
    """Return values as a float16 array; raises `PipelineError` where that cannot hold them.

    `network` and `cache` are the settings that name the network and switch the cache on.
    """
    half = values.to(torch.float16)
    if not bool(half.isfinite().all()):
        raise PipelineError(
            network,
            f"{what} within float16",
            "NaN, infinity or larger numbers",
            f"set {cache}: false, or check the network's weights",
            code="bad-values",
        )
    array: NDArray[Any] = half.cpu().numpy()
    return array
