"""Noise levels of the diffusion sampler (section D.3 and the released configuration).

SDXL's training schedule: 1,000 steps, betas the squares of numbers evenly spaced between the roots
of 0.00085 and 0.012. A sampling schedule of n steps visits the training steps
floor(999 - 999 i / n), i = 0 .. n - 1 ("legacy DDPM" spacing), and ends without noise.

The paper says 38 steps, the released configuration runs 50; the start is step 14 in both. So the
low-level image enters at training step 719 (sigma 3.60, 36 steps left) or 630 (2.55, 24 left).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

N_TRAINING_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012


@dataclass(frozen=True)
class NoiseSchedule:
    """Training steps visited, (n,), and noise levels, (n + 1,); the last level is 0.

    A level sigma is the deviation of the noise on latents of unit signal.
    """

    timesteps: NDArray[np.int64]
    sigmas: NDArray[np.float64]


def alphas_cumprod() -> NDArray[np.float64]:
    """Return the share of signal variance after each training step, (1000,)."""
    betas = np.linspace(BETA_START**0.5, BETA_END**0.5, N_TRAINING_STEPS, dtype=np.float64) ** 2
    share: NDArray[np.float64] = np.cumprod(1.0 - betas).astype(np.float64)
    return share


def noise_schedule(
    n_steps: int, signal: Float[Tensor, "training_steps"] | None = None
) -> NoiseSchedule:
    """Return the schedule of `n_steps`.

    `signal` is the generator's own share of signal variance per training step; None takes SDXL's.
    """
    share = alphas_cumprod() if signal is None else signal.detach().to("cpu", torch.float64).numpy()
    last = len(share) - 1
    timesteps = np.array([last - (last * i + n_steps - 1) // n_steps for i in range(n_steps)])
    sigmas = np.sqrt((1.0 - share[timesteps]) / share[timesteps])
    return NoiseSchedule(timesteps.astype(np.int64), np.append(sigmas, 0.0))
