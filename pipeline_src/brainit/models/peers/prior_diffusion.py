"""The diffusion of MindEye2's prior: 100 steps on a cosine schedule; it predicts clean tokens.

"20 timesteps" are 19 network calls, the last of which is the output: DDIM with eta 1, whose alphas
are those of the step before (released code).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from brainit.models.peers.prior_network import PriorNetwork

N_STEPS = 100
N_TIMESTEPS = 20
DROP_SHARE = 0.2
"""Share of examples without brain, and independently without image tokens, in training."""
_OFFSET = 0.008
_LARGEST_BETA = 0.999


@dataclass(frozen=True)
class Schedule:
    """Shares of signal `alphas_cumprod` after each step, and `alphas_cumprod_prev` before it."""

    betas: Float[Tensor, "steps"]
    alphas_cumprod: Float[Tensor, "steps"]
    alphas_cumprod_prev: Float[Tensor, "steps"]


def cosine_schedule(n_steps: int = N_STEPS) -> Schedule:
    """Return the cosine schedule (Nichol & Dhariwal 2021) with s = .008, in float32."""
    grid = torch.linspace(0, n_steps, n_steps + 1, dtype=torch.float64) / n_steps
    signal = torch.cos((grid + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
    betas = (1 - signal[1:] / signal[:-1]).clamp(0, _LARGEST_BETA)
    kept = torch.cumprod(1 - betas, dim=0)
    before = torch.cat([kept.new_ones(1), kept[:-1]])
    return Schedule(betas.float(), kept.float(), before.float())


def noised(
    tokens: Float[Tensor, "batch tokens width"],
    noise: Float[Tensor, "batch tokens width"],
    times: Int[Tensor, "batch"],
) -> Float[Tensor, "batch tokens width"]:
    """Return sqrt(a) tokens + sqrt(1 - a) noise, a the signal's share after step `times`."""
    share = cosine_schedule().alphas_cumprod.to(tokens.device)[times][:, None, None]
    return share.sqrt() * tokens + (1 - share).sqrt() * noise


def prior_loss(
    network: PriorNetwork,
    tokens: Float[Tensor, "batch tokens width"],
    brain: Float[Tensor, "batch tokens width"],
    draws: "PriorDraws",
) -> Float[Tensor, ""]:
    """Return the mean squared error of the clean tokens that the prior predicts."""
    noisy = noised(tokens, draws.noise, draws.times)
    predicted = network(noisy, draws.times, brain, draws.keeps_brain, draws.keeps_image)
    return F.mse_loss(predicted, tokens)


@dataclass(frozen=True)
class PriorDraws:
    """What the prior's loss draws for a batch: noise, times, and who keeps which tokens."""

    noise: Tensor
    times: Tensor
    keeps_brain: Tensor | None = None
    keeps_image: Tensor | None = None

    @classmethod
    def of(cls, shape: tuple[int, int, int], generator: torch.Generator) -> "PriorDraws":
        """Draw for a batch of tokens of this shape, on the CPU."""
        n = shape[0]
        noise = torch.randn(shape, generator=generator)
        times = torch.randint(N_STEPS, (n,), generator=generator)
        keeps = torch.rand(2, n, generator=generator) >= DROP_SHARE
        return cls(noise, times, keeps[0], keeps[1])

    def to(self, device: torch.device) -> "PriorDraws":
        """Return the draws on a device."""
        parts = (self.noise, self.times, self.keeps_brain, self.keeps_image)
        moved = [None if part is None else part.to(device, non_blocking=True) for part in parts]
        assert moved[0] is not None and moved[1] is not None
        return PriorDraws(moved[0], moved[1], moved[2], moved[3])


def sampling_times(n_timesteps: int = N_TIMESTEPS, n_steps: int = N_STEPS) -> list[int]:
    """Return the steps of the network calls, the noisiest first."""
    grid = torch.linspace(-1.0, n_steps, n_timesteps + 1)[:-1].int().tolist()
    return [time for time in reversed(grid) if time >= 0]


@torch.no_grad()
def sample_prior(
    network: PriorNetwork,
    brain: Float[Tensor, "batch tokens width"],
    next_noise: Callable[[], Tensor],
    n_timesteps: int = N_TIMESTEPS,
) -> Float[Tensor, "batch tokens width"]:
    """Sample image tokens for brain tokens by DDIM with eta 1, without guidance.

    `next_noise` returns standard normal noise of the tokens' shape, once at first and once between
    two calls. With a, b the alphas of a step and of the next, x0 the prediction and e its noise:

        x <- sqrt(b) x0 + sqrt(1 - b - c^2) e + c noise,    c^2 = (1 - a/b) (1 - b) / (1 - a)
    """
    schedule, times = cosine_schedule(), sampling_times(n_timesteps)
    tokens = next_noise()
    for number, time in enumerate(times):
        step = torch.full((len(brain),), time, device=brain.device)
        clean: Tensor = network(tokens, step, brain)
        if number + 1 == len(times):
            return clean
        share = float(schedule.alphas_cumprod[time])
        error = (tokens / math.sqrt(share) - clean) / math.sqrt(1 / share - 1)
        here = float(schedule.alphas_cumprod_prev[time])
        after = float(schedule.alphas_cumprod_prev[times[number + 1]])
        spread = (1 - here / after) * (1 - after) / (1 - here)
        tokens = after**0.5 * clean + (1 - after - spread) ** 0.5 * error
        tokens = tokens + spread**0.5 * next_noise()
    return tokens
