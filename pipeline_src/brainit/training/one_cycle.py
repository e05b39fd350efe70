"""The one-cycle schedule of MindEye2: of the learning rate, and against it of AdamW's beta 1."""

import math
from dataclasses import dataclass

import torch

_FIRST_DIVISOR, _LAST_DIVISOR = 25.0, 1000.0
_LOWEST_BETA1, _HIGHEST_BETA1 = 0.85, 0.95


@dataclass(frozen=True)
class OneCycle:
    """Rise for `warmup_steps` to `lr`, then fall, by half a cosine each; `n_steps` in all.

    The first rate is lr / 25, the last a thousandth of that. Beta 1 falls from .95 to .85 and
    rises again. As torch's OneCycleLR with its defaults, but for the last divisor.
    """

    lr: float
    n_steps: int
    warmup_steps: float

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (from 0)."""
        first = self.lr / _FIRST_DIVISOR
        return self._at(step, first, self.lr, first / _LAST_DIVISOR)

    def beta1(self, step: int) -> float:
        """Return AdamW's beta 1 of a step."""
        return self._at(step, _HIGHEST_BETA1, _LOWEST_BETA1, _HIGHEST_BETA1)

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Give the groups of an AdamW the rate and beta 1 of a step."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate(step)
            group["betas"] = (self.beta1(step), group["betas"][1])

    def _at(self, step: int, first: float, top: float, last: float) -> float:
        """Return a value that goes from `first` over `top` to `last`."""
        highest, end = self.warmup_steps - 1, self.n_steps - 1
        if step <= highest:
            return _half_cosine(first, top, step / max(highest, 1.0))
        return _half_cosine(top, last, (step - highest) / max(end - highest, 1.0))


def _half_cosine(start: float, stop: float, share: float) -> float:
    return stop + (start - stop) / 2 * (1 + math.cos(math.pi * min(share, 1.0)))
