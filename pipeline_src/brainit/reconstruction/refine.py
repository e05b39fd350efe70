"""Refinement: fused images pass through SDXL without a text prompt (3.2, A.4; released code).

An image is encoded at the refiner's size, noised to a late step of its schedule and denoised by the
last 8 of 25 steps (from training step 319, noise level 0.89).
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.settings import ReconSettings
from brainit.data.images import resize_images
from brainit.reconstruction.batches import fixed_batches
from brainit.reconstruction.sampling import (
    LatentDiffusion,
    euler_steps,
    latent_noise,
    noise_schedule,
)


@runtime_checkable
class Refiner(LatentDiffusion, Protocol):
    """A network of the role `refiner`: noise prediction under two constant prompts."""

    def predict_guided_pair(
        self,
        noisy_latents: Float[Tensor, "batch channels latent_height latent_width"],
        timesteps: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch channels latent_height latent_width"]:
        """Return the noise: the first half under the prompt, the second under the negative one."""
        ...


@torch.inference_mode()
def refine_images(
    refiner: Refiner,
    images: Float[Tensor, "images 3 height width"],
    image_ids: Sequence[int],
    settings: ReconSettings,
    seed: int,
) -> Float[Tensor, "images 3 height width"]:
    """Return refined images in [0, 1], resized to the size of `images`, on their device.

    The noise of an image is drawn by its id. Raises `PipelineError` where the start step lies
    outside the schedule.
    """
    n_steps, first = settings.refiner_steps, settings.refiner_start
    if first >= n_steps:
        raise PipelineError(
            "recon.refiner_start",
            f"below {n_steps}",
            f"{first}",
            f"set recon.refiner_start below {n_steps}, or recon.refiner_steps above {first}",
            code="invalid-setting",
        )
    schedule = noise_schedule(n_steps, refiner.alphas_cumprod)
    refined = []
    batches = fixed_batches(len(images), settings.batch)
    for batch in progress(batches, "refining", unit="batch"):
        given, ids = images[batch.rows], [image_ids[row] for row in batch.rows]
        noise = latent_noise(refiner, ids, seed, given, "refiner_noise")
        latents = refiner.encode(given) + noise * schedule.sigmas[first]
        latents = euler_steps(
            refiner.predict_guided_pair, latents, schedule, first, settings.guidance
        )
        decoded = resize_images(refiner.decode(latents), images.shape[-1]).clamp(0.0, 1.0)
        refined.append(decoded[: batch.n_kept])
    return torch.cat(refined)
