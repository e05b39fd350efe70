"""Latents of a batch's images for stage 2: read from cached shards, or encoded when needed.

The host's part, `read`, is a loader's, which does it ahead; `of` is the device's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from brainit.core.shards import ShardedArray
from brainit.data.images import images_on
from brainit.features.generator import Generator
from brainit.features.latent_cache import LatentCache, latents_on
from brainit.training.examples import BatchImages, ExampleBatch, are_cached, cached_into
from brainit.training.loader import Slot


@dataclass(frozen=True)
class LatentFiles:
    """Cached latents of stage 2; without them the VAE encodes each example's image."""

    latents: Path | None = None
    """cached latents of the stimuli"""
    external_latents: Path | None = None
    """cached latents of the external images"""

    def open(self, name: str, generator: Generator) -> dict[bool, LatentCache]:
        """Open the caches of the generator `name`, by whether they are of external images.

        Raises `PipelineError` for latents of another generator or form.
        """
        paths = {False: self.latents, True: self.external_latents}
        shape = generator.latent_shape
        return {
            is_external: LatentCache(ShardedArray(path), name, shape)
            for is_external, path in paths.items()
            if path is not None
        }


@dataclass(frozen=True)
class LatentSource:
    """Latents of batches by a generator; `cached` holds caches by whether of external images."""

    images: BatchImages
    generator: Generator
    cached: Mapping[bool, LatentCache] = field(default_factory=dict)

    def read(self, batch: ExampleBatch, slot: Slot) -> Tensor:
        """Return what the host holds of a batch: float16 latents of the cache, or pixels, 0..255.

        A batch with an image that is not cached has pixels.
        """
        if not are_cached(batch, self.cached):
            return self.images.pixels(batch, slot)
        shape = (len(batch), *self.generator.latent_shape)
        return cached_into(batch, self.cached, slot.empty("latents", shape, torch.float16))

    @torch.no_grad()
    def of(self, rows: Tensor, device: torch.device) -> Float[Tensor, "batch c h w"]:
        """Return the latents of what `read` returned for a batch, float32."""
        if rows.dtype == torch.float16:
            return latents_on(rows, device)
        return self.generator.encode(images_on(rows, device))
