"""Optimisers, falls of their learning rate, and the GPU memory that they need.

AdamW trains the BITs and stage 2, Adam with amsgrad the voxel encoder (released code).

Two differ from the paper. Muon (`muon`) may replace AdamW in stage 1, where few steps must do.
Adafactor (Shazeer & Stern 2018) may replace AdamW in stage 2 where memory is short: it has no first
moment, uses the learning rate itself instead of its product with each parameter's size, and clips
updates to root mean square 1.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from brainit.core.errors import PipelineError
from brainit.training.muon import Muon

logger = logging.getLogger(__name__)

OptimizerName = Literal["adamw", "muon", "adafactor", "adam_amsgrad"]

_LEAST_SQUARE = 1.0e-16
"""Below the mean square of any gradient that matters; its square is still a float32."""

_BFLOAT16_BYTES = 2


def make_optimizer(
    name: OptimizerName, parameters: Sequence[nn.Parameter], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return the optimiser, fused where the device supports it; "adam_amsgrad" has no decay."""
    if name == "adafactor":
        return torch.optim.Adafactor(
            parameters, lr=lr, eps=(_LEAST_SQUARE, 1.0), weight_decay=weight_decay
        )
    device_has_fused = parameters[0].device.type in ("cpu", "cuda")
    if name == "adam_amsgrad":
        return torch.optim.Adam(parameters, lr=lr, amsgrad=True, fused=device_has_fused)
    kind = Muon if name == "muon" else torch.optim.AdamW
    return kind(parameters, lr=lr, weight_decay=weight_decay, fused=device_has_fused)


@dataclass
class Plateau:
    """Divide a factor by ten after more than `patience` epochs without progress.

    Progress is a cost lower than the best by more than `threshold` (absolute), as in torch's
    ReduceLROnPlateau with mode min. A fall by at most `least_fall` is left out, as torch does.
    """

    patience: int
    threshold: float
    factor: float = 1.0
    least_fall: float = 0.0
    best: float = float("inf")
    n_bad: int = 0

    def update(self, cost: float) -> float:
        """Take the validation cost of an epoch; return the factor of the next."""
        if cost < self.best - self.threshold:
            self.best, self.n_bad = cost, 0
        else:
            self.n_bad += 1
        if self.n_bad > self.patience:
            lower = self.factor * 0.1
            self.factor = lower if self.factor - lower > self.least_fall else self.factor
            self.n_bad = 0
        return self.factor


def training_bytes(
    kept: Sequence[nn.Parameter],
    trained: Sequence[nn.Parameter],
    optimizer: Literal["adamw", "adafactor"],
) -> int:
    """Return the bytes of all `kept` weights, and those that training adds for the `trained` ones.

    That is gradients, bfloat16 copies and the optimiser's state; activations come on top. AdamW
    keeps two numbers per weight. Adafactor keeps a row and a column per matrix (of a kernel, in its
    last two axes), and one number per weight of a vector.
    """
    total = sum(parameter.numel() * parameter.element_size() for parameter in kept)
    for parameter in trained:
        state = _adafactor_state(parameter) if optimizer == "adafactor" else 2 * parameter.numel()
        total += (parameter.numel() + state) * parameter.element_size()
        total += parameter.numel() * _BFLOAT16_BYTES
    return total


def _adafactor_state(parameter: nn.Parameter) -> int:
    if parameter.dim() < 2:
        return parameter.numel()
    return sum(parameter.numel() // side for side in parameter.shape[-2:])


def require_memory(device: torch.device, needed: int) -> None:
    """Log the bytes that a training needs without its activations; check that a GPU has them.

    Raises `PipelineError` where the GPU's whole memory is smaller.
    """
    if device.type != "cuda":
        return
    total = torch.cuda.get_device_properties(device).total_memory
    logger.info("needs %.1f GB of the GPU's %.1f, plus activations", needed / 1e9, total / 1e9)
    if needed > total:
        raise PipelineError(
            "the GPU",
            f"at least {needed / 1e9:.1f} GB",
            f"{total / 1e9:.1f} GB",
            "use the settings of config/gpu_24gb.yaml or config/gpu_48gb.yaml",
            code="out-of-memory",
        )
