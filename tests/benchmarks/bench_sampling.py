"""Sampling 16 images in one batch against one at a time: a tiny U-Net like SDXL's, one thread.

The per-image times are the minima of interleaved runs; the images must be the same to 1e-3.
"""

import sys
import time
from dataclasses import replace

import torch
from small_sdxl import SMALL_SDXL

from brainit.core.seeds import torch_generator
from brainit.core.settings import ReconSettings
from brainit.features.generator import Generator
from brainit.features.unclip import build_parts, generator_of
from brainit.reconstruction.sampling import sample_images

_VAE = replace(SMALL_SDXL, vae_channels=(8, 8, 16, 16), norm_groups=8, size_width=8)
SIZE = replace(_VAE, channels=(16, 32, 64), transformers=(1, 1, 2), token_width=32, n_tokens=16)
N_IMAGES, N_ROUNDS, BAR, TOLERANCE = 16, 3, 3.0, 1e-3


def tiny_generator() -> Generator:
    """Return an untrained generator of the size above."""
    torch.manual_seed(0)
    unet, vae = build_parts(SIZE)
    return generator_of(unet.eval(), vae.eval(), SIZE)


def main() -> int:
    """Print the ratio; return 1 where it is under the bar or the images differ."""
    torch.set_num_threads(1)
    generator = tiny_generator()
    draws = torch_generator(0, "bench_sampling")
    tokens = torch.randn(N_IMAGES, SIZE.n_tokens, SIZE.token_width, generator=draws)
    start = torch.rand(N_IMAGES, 3, SIZE.image_size, SIZE.image_size, generator=draws)
    batches = (1, N_IMAGES)
    seconds: dict[int, list[float]] = {batch: [] for batch in batches}
    images: dict[int, torch.Tensor] = {}
    for _ in range(N_ROUNDS):
        for batch in batches:
            settings = ReconSettings(n_steps=12, start_step=4, batch=batch)
            started = time.perf_counter()
            ids = list(range(N_IMAGES))
            images[batch] = sample_images(generator, tokens, ids, settings, 0, start)
            seconds[batch].append((time.perf_counter() - started) / N_IMAGES)
    single, together = (min(seconds[batch]) for batch in batches)
    apart = (images[1] - images[N_IMAGES]).abs().max().item()
    ratio = single / together
    detail = f"{single * 1e3:.1f} ms, {together * 1e3:.1f} ms an image; {apart:.1e} apart"
    print(f"sampling, batch {N_IMAGES} over 1: ratio {ratio:.1f} (bar {BAR}) [{detail}]")  # noqa: T201
    return int(ratio < BAR or apart > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
