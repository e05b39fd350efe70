"""Muon: AdamW whose updates of matrices are orthogonalised (Jordan et al. 2024; not in the paper).

The gradients of a BIT are nearly of low rank: few directions of the targets have most variance.
AdamW learns those first and the others late. An orthogonal update moves all directions equally.

Written here although torch has `torch.optim.Muon`, because that one iterates in bfloat16, which
CPUs without such instructions emulate tenfold slower, and leaves vectors to a second optimiser. The
tests compare both.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

MOMENTUM = 0.95
N_ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
RMS = 0.2
"""Root mean square of an update before the learning rate, about that of AdamW's updates."""


class Muon(torch.optim.AdamW):
    """Nesterov momentum, orthogonalised, for matrices; AdamW for all other parameters."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; the gradients of matrices are None afterwards."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() == 2 and parameter.grad is not None:
                    self._step_matrix(parameter, group["lr"], group["weight_decay"])
                    parameter.grad = None  # so that AdamW passes it over
        super().step()
        return loss

    def _step_matrix(self, weight: Tensor, lr: float, weight_decay: float) -> None:
        gradient, state = weight.grad, self.state[weight]
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros(())
            state["momentum"] = torch.zeros_like(weight)
        state["step"] += 1
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        direction = orthogonalise(gradient.lerp(momentum, MOMENTUM))
        weight.mul_(1 - lr * weight_decay)
        weight.add_(direction, alpha=-lr * RMS * max(weight.shape) ** 0.5)


def orthogonalise(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Return about U V^T of the matrix's singular value decomposition U S V^T.

    Five Newton-Schulz iterations of the quintic whose coefficients raise small singular values
    fastest: those above a hundredth of the Frobenius norm end between 0.5 and 1.5.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if is_tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(N_ITERATIONS):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
