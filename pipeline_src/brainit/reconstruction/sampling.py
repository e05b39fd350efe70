"""Sampling from the token-conditioned diffusion model: Euler steps with guidance (3.3, D.3).

In the sampler the latents carry noise of deviation sigma on unit signal; the network sees them
divided by the root of 1 + sigma^2. The noise of an image is drawn by its id, so that an image does
not depend on the batch it is in.

Differs from the paper: no per-channel offset is added to the starting noise.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.seeds import torch_generator
from brainit.core.settings import ReconSettings
from brainit.core.shards import shard_ranges
from brainit.reconstruction.noise_schedule import NoiseSchedule, noise_schedule

NoisePrediction = Callable[[Tensor, Tensor], Tensor]
"""From noisy latents, whose signal and noise have unit variance together, and their training steps
to the noise in them."""


@runtime_checkable
class HasLatents(Protocol):
    """A network over latents of one shape (channels, height, width)."""

    latent_shape: tuple[int, int, int]


@runtime_checkable
class ImageGenerator(HasLatents, Protocol):
    """A network of the role `generator`: noise prediction under tokens, over a VAE's latents."""

    n_tokens: int
    token_width: int
    alphas_cumprod: Tensor

    def unconditional_tokens(self) -> Float[Tensor, "1 tokens features"]:
        """Return the tokens that stand for "no condition"."""
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

    def predict_noise(
        self,
        noisy_latents: Float[Tensor, "batch channels latent_height latent_width"],
        timesteps: Int[Tensor, "batch"],
        tokens: Float[Tensor, "batch tokens features"],
    ) -> Float[Tensor, "batch channels latent_height latent_width"]:
        """Return the noise in latents whose signal and noise have unit variance together."""
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
    noise alone at step 0. Raises `PipelineError` where the tokens do not fit the generator or the
    start step lies outside the schedule. The tokens for "no condition" are the same for all images
    and made once.
    """
    expected = (generator.n_tokens, generator.token_width)
    if tuple(tokens.shape[1:]) != expected:
        raise PipelineError(
            "semantic BIT",
            f"(tokens, width) = {expected}",
            f"{tuple(tokens.shape[1:])}",
            "train the BIT for the network of features.semantic_tokens and features.generator",
        )
    if start is not None and settings.start_step >= settings.n_steps:
        raise PipelineError(
            "recon.start_step", f"below {settings.n_steps}", f"{settings.start_step}", "lower it"
        )
    without = generator.unconditional_tokens().to(tokens)
    batches = shard_ranges(len(tokens), settings.batch)
    images = [
        _sample_batch(
            generator,
            tokens[a:b],
            without,
            image_ids[a:b],
            settings,
            seed,
            None if start is None else start[a:b].to(tokens),
        )
        for a, b in progress(batches, "diffusion", unit="batch")
    ]
    return torch.cat(images)


@torch.inference_mode()
def _sample_batch(
    generator: ImageGenerator,
    tokens: Float[Tensor, "batch tokens features"],
    without: Float[Tensor, "1 tokens features"],
    image_ids: Sequence[int],
    settings: ReconSettings,
    seed: int,
    start: Float[Tensor, "batch 3 height width"] | None,
) -> Float[Tensor, "batch 3 side side"]:
    schedule = noise_schedule(settings.n_steps, generator.alphas_cumprod)
    latents = latent_noise(generator, image_ids, seed, tokens)
    if start is None:
        first = 0
        latents = latents * (1.0 + schedule.sigmas[0] ** 2) ** 0.5
    else:
        first = settings.start_step
        latents = generator.encode(start) + latents * schedule.sigmas[first]
    predict = guided_pair(generator, tokens, without)
    latents = euler_steps(predict, latents, schedule, first, settings.guidance)
    images = (generator.decode(latents) - 0.5) * settings.contrast + 0.5
    return images.clamp(0.0, 1.0)


def latent_noise(
    generator: HasLatents,
    image_ids: Sequence[int],
    seed: int,
    place: Tensor,
    stream: str = "diffusion_noise",
) -> Float[Tensor, "batch channels height width"]:
    """Return standard normal latents, drawn for each image id alone, on the device of `place`."""
    shape = tuple(generator.latent_shape)
    draws = [
        torch.randn(shape, generator=torch_generator(seed, stream, int(image)))
        for image in image_ids
    ]
    return torch.stack(draws).to(place)


def guided_pair(
    generator: ImageGenerator,
    tokens: Float[Tensor, "batch tokens features"],
    without: Float[Tensor, "1 tokens features"],
) -> NoisePrediction:
    """Return the noise prediction of a doubled batch: under `tokens`, then `without` condition."""
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
