"""Sampling from the token-conditioned diffusion model: Euler steps with guidance (3.3, D.3).

Latents in the sampler have unit signal and noise of standard deviation sigma; the network gets them
divided by sqrt(1 + sigma^2). Noise and tokens of "no condition" of an image are drawn by its id and
batches have one size, so that the bytes of an image do not depend on its batch.

Noise levels follow SDXL's training schedule: 1,000 steps, betas the squares of numbers evenly
spaced between the roots of 0.00085 and 0.012. A sampling schedule of n steps visits the training
steps floor(999 - 999 i / n), i = 0 .. n - 1 ("legacy DDPM" spacing), and ends without noise. The
paper says 38 steps, the released configuration runs 50; both start at step 14 (`recon.start_step`).
So the low-level image enters at training step 630 with 38 steps (sigma 2.55, 24 steps left), or at
719 with 50 (sigma 3.60, 36 left). As in the released code the starting noise has an offset, one
number per image (`recon.offset_noise`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.seeds import torch_generator
from brainit.core.settings import ReconSettings
from brainit.reconstruction.batches import fixed_batches

N_TRAINING_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012


@dataclass(frozen=True)
class NoiseSchedule:
    """Training steps visited, (n,), and noise levels, (n + 1,); the last level is 0.

    A level sigma is the standard deviation of the noise on latents of unit signal.
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


NoisePrediction = Callable[[Tensor, Tensor], Tensor]
"""Maps noisy latents of unit variance and their training steps to the noise in them."""


@runtime_checkable
class HasLatents(Protocol):
    """A network over latents of one shape (channels, height, width)."""

    latent_shape: tuple[int, int, int]


@runtime_checkable
class LatentDiffusion(HasLatents, Protocol):
    """A network that predicts noise in a VAE's latents; also the VAE."""

    @property
    def alphas_cumprod(self) -> Float[Tensor, "steps"]:
        """The share of signal variance at each training step."""
        ...

    def encode(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels latent_height latent_width"]:
        """Return the scaled latents of images in [0, 1] of any size."""
        ...

    def decode(
        self, latents: Float[Tensor, "batch channels latent_height latent_width"]
    ) -> Float[Tensor, "batch 3 side side"]:
        """Return the images of scaled latents."""
        ...


@runtime_checkable
class ImageGenerator(LatentDiffusion, Protocol):
    """A network of the role `generator`: noise prediction under tokens, over a VAE's latents."""

    n_tokens: int
    token_width: int

    def unconditional_tokens(self) -> Float[Tensor, "1 tokens features"]:
        """Return the tokens of "no condition" that all images share."""
        ...

    def predict_noise(
        self,
        noisy_latents: Float[Tensor, "batch channels latent_height latent_width"],
        timesteps: Int[Tensor, "batch"],
        tokens: Float[Tensor, "batch tokens features"],
    ) -> Float[Tensor, "batch channels latent_height latent_width"]:
        """Return the noise in latents of unit variance."""
        ...


def sample_images(
    generator: ImageGenerator,
    tokens: Float[Tensor, "images tokens features"],
    image_ids: Sequence[int],
    settings: ReconSettings,
    seed: int,
    start: Float[Tensor, "images 3 height width"] | None,
) -> Float[Tensor, "images 3 side side"]:
    """Return images in [0, 1] sampled under `tokens`, on the device of the tokens.

    `start` are images in [0, 1] whose noised latents enter at `recon.start_step`; None starts from
    noise alone at step 0. `recon.unconditional_tokens` says whether the images share the tokens of
    "no condition". Raises `PipelineError` where the tokens do not fit the generator or the start
    step lies outside the schedule.
    """
    expected = (generator.n_tokens, generator.token_width)
    if tuple(tokens.shape[1:]) != expected:
        raise PipelineError(
            "semantic BIT",
            f"(tokens, width) = {expected}",
            f"{tuple(tokens.shape[1:])}",
            "train the BIT with the same features.semantic_tokens and features.generator",
            code="inconsistent-inputs",
        )
    if start is not None and settings.start_step >= settings.n_steps:
        raise PipelineError(
            "recon.start_step",
            f"below {settings.n_steps}",
            f"{settings.start_step}",
            f"set recon.start_step below {settings.n_steps}, or recon.n_steps above the start step",
            code="invalid-setting",
        )
    is_fixed = settings.unconditional_tokens == "fixed"
    fixed = generator.unconditional_tokens().to(tokens) if is_fixed else None
    images = []
    batches = fixed_batches(len(tokens), settings.batch)
    for batch in progress(batches, "diffusion", unit="batch"):
        ids, given = [image_ids[row] for row in batch.rows], tokens[batch.rows]
        without = drawn_tokens(ids, seed, given) if fixed is None else fixed
        first = None if start is None else start[batch.rows].to(tokens)
        found = _sample_batch(generator, given, without, ids, settings, seed, first)
        images.append(found[: batch.n_kept])
    return torch.cat(images)


@torch.inference_mode()
def _sample_batch(
    generator: ImageGenerator,
    tokens: Float[Tensor, "batch tokens features"],
    without: Float[Tensor, "without tokens features"],
    image_ids: Sequence[int],
    settings: ReconSettings,
    seed: int,
    start: Float[Tensor, "batch 3 height width"] | None,
) -> Float[Tensor, "batch 3 side side"]:
    schedule = noise_schedule(settings.n_steps, generator.alphas_cumprod)
    first = 0 if start is None else settings.start_step
    sigma = schedule.sigmas[first]
    latents = noise_offset(image_ids, seed, tokens) * settings.offset_noise * sigma
    noise = latent_noise(generator, image_ids, seed, tokens)
    if start is None:
        latents = latents + noise * (1.0 + sigma**2) ** 0.5
    else:
        latents = latents + noise * sigma + generator.encode(start)
    predict = guided_pair(generator, tokens, without)
    latents = euler_steps(predict, latents, schedule, first, settings.guidance)
    images = (generator.decode(latents) - 0.5) * settings.contrast + 0.5
    return images.clamp(0.0, 1.0)


def latent_noise(
    generator: HasLatents,
    image_ids: Sequence[int],
    seed: int,
    like: Tensor,
    stream: str = "diffusion_noise",
) -> Float[Tensor, "batch channels height width"]:
    """Return standard normal latents, drawn for each image id alone, on the device of `like`."""
    shape = tuple(generator.latent_shape)
    draws = [
        torch.randn(shape, generator=torch_generator(seed, stream, int(image)))
        for image in image_ids
    ]
    return torch.stack(draws).to(like)


def noise_offset(image_ids: Sequence[int], seed: int, like: Tensor) -> Float[Tensor, "batch 1 1 1"]:
    """Return a standard normal number for each image id, on the device of `like`."""
    draws = [
        torch.randn(1, 1, 1, generator=torch_generator(seed, "diffusion_offset", int(image)))
        for image in image_ids
    ]
    return torch.stack(draws).to(like)


def drawn_tokens(
    image_ids: Sequence[int], seed: int, like: Float[Tensor, "batch tokens features"]
) -> Float[Tensor, "batch tokens features"]:
    """Return Gaussian tokens of "no condition", drawn for each image id alone; shaped as `like`."""
    draws = [
        torch.randn(like.shape[1:], generator=torch_generator(seed, "no_condition", int(image)))
        for image in image_ids
    ]
    return torch.stack(draws).to(like)


def guided_pair(
    generator: ImageGenerator,
    tokens: Float[Tensor, "batch tokens features"],
    without: Float[Tensor, "without tokens features"],
) -> NoisePrediction:
    """Return the noise prediction of a doubled batch: under `tokens`, then `without` condition.

    `without` are the tokens of each image, or one for all.
    """
    both = torch.cat([tokens, without.expand(len(tokens), -1, -1)])
    return lambda latents, moments: generator.predict_noise(latents, moments, both)


def euler_steps(
    predict: NoisePrediction,
    latents: Float[Tensor, "batch channels height width"],
    schedule: NoiseSchedule,
    first: int,
    guidance: float,
) -> Float[Tensor, "batch channels height width"]:
    """Take the Euler steps from step `first` of the schedule to the end.

    Each step predicts the noise with and without the condition in one batch (classifier-free
    guidance; the conditional half first) and moves the latents along it to the next noise level.
    """
    for step in range(first, len(schedule.timesteps)):
        sigma, following = schedule.sigmas[step], schedule.sigmas[step + 1]
        seen = (latents / (1.0 + sigma**2) ** 0.5).repeat(2, 1, 1, 1)
        moment = torch.full((len(seen),), int(schedule.timesteps[step]), device=latents.device)
        conditional, unconditional = predict(seen, moment).chunk(2)
        noise = unconditional + guidance * (conditional - unconditional)
        latents = latents + noise * (following - sigma)
    return latents
