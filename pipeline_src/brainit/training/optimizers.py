"""The optimisers of the BITs and of stage 2: AdamW, and Adafactor where memory is short.

Adafactor (Shazeer & Stern 2018) without a first moment, at the learning rate itself instead of its
product with each parameter's size, updates clipped to root mean square 1. Differs from the paper,
which has AdamW.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

_LEAST_SQUARE = 1.0e-16
"""Below the mean square of any gradient that matters; its square is still a float32."""


def make_optimizer(
    name: Literal["adamw", "adafactor"],
    parameters: Sequence[nn.Parameter],
    lr: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Return the optimiser; AdamW is fused where the device can."""
    if name == "adafactor":
        return torch.optim.Adafactor(
            parameters, lr=lr, eps=(_LEAST_SQUARE, 1.0), weight_decay=weight_decay
        )
    device_has_fused = parameters[0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=device_has_fused)
