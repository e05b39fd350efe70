"""Refinement against a plain loop."""

import pytest
import torch
from tests.refusals import refused
from torch import Tensor, nn

from brainit.core.seeds import torch_generator
from brainit.core.settings import ReconSettings
from brainit.reconstruction.refine import refine_images
from brainit.reconstruction.sampling import alphas_cumprod

SETTINGS = ReconSettings(batch=4)


class ToyRefiner(nn.Module):
    """Refines 8 x 8 images through 2 x 4 x 4 latents."""

    latent_shape = (2, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.alphas_cumprod = torch.from_numpy(alphas_cumprod())
        self.moments: list[int] = []

    def encode(self, images: Tensor) -> Tensor:
        return nn.functional.interpolate(images, (4, 4), mode="area")[:, :2] * 2 - 1

    def decode(self, latents: Tensor) -> Tensor:
        images = torch.cat([latents, latents[:, :1]], 1) / 2 + 0.5
        return nn.functional.interpolate(images, (16, 16), mode="nearest").clamp(0, 1)

    def predict_guided_pair(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        self.moments.append(int(timesteps[0]))
        half = len(noisy) // 2
        return torch.cat([torch.tanh(noisy[:half] + 0.3), torch.tanh(noisy[half:] - 0.2)])


def plain_refinement(image: Tensor, image_id: int, seed: int) -> Tensor:
    toy, share = ToyRefiner(), alphas_cumprod()
    steps = [int(999 - 999 * i / 25) for i in range(25)]
    sigmas = [((1 - share[t]) / share[t]) ** 0.5 for t in steps] + [0.0]
    noise = torch.randn(2, 4, 4, generator=torch_generator(seed, "refiner_noise", image_id))
    x = toy.encode(image[None])[0] + noise.double() * sigmas[-9]
    for i in range(17, 25):
        scaled = x / (1 + sigmas[i] ** 2) ** 0.5
        under, against = torch.tanh(scaled + 0.3), torch.tanh(scaled - 0.2)
        x = x + (against + 5.0 * (under - against)) * (sigmas[i + 1] - sigmas[i])
    return nn.functional.interpolate(toy.decode(x[None]), (8, 8), mode="bilinear", antialias=True)[
        0
    ].clamp(0, 1)


def test_refinement_equals_a_plain_loop_whatever_the_batch() -> None:
    images = torch.rand(6, 3, 8, 8, dtype=torch.float64, generator=torch_generator(1, "i"))
    toy, ids = ToyRefiner(), [5, 3, 99, 2, 7, 1]
    found = refine_images(toy, images, ids, SETTINGS, 42)
    assert toy.moments[:8] == [319, 279, 239, 199, 159, 119, 79, 39]
    assert len(toy.moments) == 16, "two batches of eight steps"
    for row, image_id in enumerate(ids):
        expected = plain_refinement(images[row], image_id, 42)
        assert (found[row] - expected).abs().max() < 1e-12
    assert found.std() > 0.05


def test_noise_at_the_start_is_the_released_codes() -> None:
    share = alphas_cumprod()
    assert ((1 - share[319]) / share[319]) ** 0.5 == pytest.approx(0.889, abs=1e-3)


def test_a_start_outside_the_schedule_is_refused() -> None:
    settings = ReconSettings(refiner_steps=9, refiner_start=9)
    with refused("invalid-setting", "recon.refiner_start", "below 9"):
        refine_images(ToyRefiner(), torch.zeros(1, 3, 8, 8), [0], settings, 0)
