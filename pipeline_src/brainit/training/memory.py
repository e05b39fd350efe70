"""GPU memory that a training needs whatever its batch, known before it starts."""

import logging
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from brainit.core.errors import PipelineError

logger = logging.getLogger(__name__)

_BFLOAT16 = 2


def training_bytes(
    kept: Sequence[nn.Parameter],
    trained: Sequence[nn.Parameter],
    optimizer: Literal["adamw", "adafactor"],
) -> int:
    """Return the bytes of all weights, and of gradients, bfloat16 copies and optimiser of some.

    Activations come on top. AdamW keeps two numbers a weight; Adafactor a row and a column of each
    matrix (of a kernel, in its last two axes), and one number a weight of vectors.
    """
    total = sum(parameter.numel() * parameter.element_size() for parameter in kept)
    for parameter in trained:
        state = _adafactor_state(parameter) if optimizer == "adafactor" else 2 * parameter.numel()
        total += (parameter.numel() + state) * parameter.element_size()
        total += parameter.numel() * _BFLOAT16
    return total


def _adafactor_state(parameter: nn.Parameter) -> int:
    if parameter.dim() < 2:
        return parameter.numel()
    return sum(parameter.numel() // side for side in parameter.shape[-2:])


def require_memory(device: torch.device, needed: int) -> None:
    """Log what a training needs without its activations; raise where a GPU has less in all."""
    if device.type != "cuda":
        return
    total = torch.cuda.get_device_properties(device).total_memory
    logger.info("at least %.1f GB of the GPU's %.1f, and activations", needed / 1e9, total / 1e9)
    if needed > total:
        fix = "see config/gpu_24gb.yaml and config/gpu_48gb.yaml for settings of smaller GPUs"
        found = f"{total / 1e9:.1f} GB"
        raise PipelineError("the GPU", f"{needed / 1e9:.1f} GB at least", found, fix)
