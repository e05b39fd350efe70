"""Cached latents of a generator: the mode of its VAE in float16, and the refusal of others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.refusals import refused

from brainit.core.settings import FeatureSettings, ImageSettings, Settings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.images import ImageStore
from brainit.features.halves import as_halves
from brainit.features.latent_cache import LatentCache, latents_on
from brainit.features.registry import load_backbone
from brainit.steps import extract_latents


@pytest.mark.parametrize("rows_per_shard", [2, 100])
def test_the_step_keeps_the_mode_of_the_posterior(tmp_path: Path, rows_per_shard: int) -> None:
    """The VAE draws nothing: the moments' first half, times the factor, image by image."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(5, 32, 32, 3)).astype(np.uint8)
    write_shards(tmp_path / "images", iter([pixels]))
    settings = Settings(
        features=FeatureSettings(generator="demo_unclip"),
        images=ImageSettings(rows_per_shard=rows_per_shard),
    )
    words = ["--images", str(tmp_path / "images"), "--latents", str(tmp_path / "latents")]
    extract_latents.main([*words, "--settings", settings.model_dump_json()])
    generator: Any = load_backbone("generator", "demo_unclip")
    shards = ShardedArray(tmp_path / "latents")
    cache = LatentCache(shards, "demo_unclip", generator.latent_shape)
    order = np.array([4, 0, 3])
    rows = torch.empty(3, *generator.latent_shape, dtype=torch.float16)
    cache.rows_into(order, rows.numpy(), np.arange(3))
    found = latents_on(rows, torch.device("cpu"))
    assert found.dtype == torch.float32 and len(shards) == 5
    images = ImageStore(tmp_path / "images").images(order)
    for image, latents in zip(images, found, strict=True):
        resized = torch.nn.functional.interpolate(
            image[None], (64, 64), mode="bilinear", antialias=True, align_corners=False
        )
        patches = torch.nn.functional.pixel_unshuffle(2 * resized - 1, generator.patch)
        with torch.no_grad():
            moments = generator.vae.quant_conv(generator.vae.encoder(patches))
        mean = moments.chunk(2, dim=1)[0][0] * generator.scaling_factor
        torch.testing.assert_close(latents, mean, rtol=2e-3, atol=1e-3)


def test_other_shards_are_no_cache(tmp_path: Path) -> None:
    kinds = {"a": (np.float32, (4, 8, 8), "demo_unclip"), "b": (np.float16, (4, 8, 9), "x")}
    for name, (dtype, shape, generator) in kinds.items():
        rows = np.zeros((2, *shape), dtype)
        write_shards(tmp_path / name, iter([rows]), {"generator": generator})
        with refused("wrong-kind", "float16 rows of shape (4, 8, 8)", str(rows.dtype), "(4, 8,"):
            LatentCache(ShardedArray(tmp_path / name), "demo_unclip", (4, 8, 8))


def test_latents_beyond_float16_are_refused() -> None:
    with refused("bad-values", "latents within float16", "features.cache_latents: false"):
        as_halves(torch.tensor([7e4]), "latents", "features.generator", "features.cache_latents")
