from dataclasses import replace

import pytest
import torch
from tests.benchmarks.small_sdxl import SMALL_SDXL
from tests.refusals import refused
from torch import nn

from brainit.core.seeds import torch_generator
from brainit.core.settings import ReconSettings
from brainit.features.generator import Generator
from brainit.features.unclip import build_parts, generator_of
from brainit.reconstruction.sampling import (
    alphas_cumprod,
    drawn_tokens,
    noise_offset,
    sample_images,
)

SETTINGS = ReconSettings(n_steps=10, start_step=3, guidance=2.5, contrast=0.8, batch=4)
AS_BEFORE = SETTINGS.model_copy(update={"unconditional_tokens": "fixed", "offset_noise": 0.0})


class ToyGenerator(nn.Module):
    """A generator small enough for plain loops; its noise prediction is not linear in anything."""

    n_tokens, token_width, image_size, latent_shape = 3, 2, 8, (2, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.alphas_cumprod = torch.from_numpy(alphas_cumprod())
        self.moments: list[int] = []
        self.batches: list[int] = []
        self.n_unconditional = 0

    def unconditional_tokens(self, seed: int = 0):
        self.n_unconditional += 1
        return torch.randn(1, 3, 2, generator=torch_generator(seed, "none"))

    def encode(self, images):
        small = nn.functional.interpolate(images, (4, 4), mode="area")
        return small[:, :2] * 2 - 1

    def decode(self, latents):
        images = torch.cat([latents, latents[:, :1]], 1) / 2 + 0.5
        return nn.functional.interpolate(images, (8, 8), mode="nearest")

    def predict_noise(self, noisy, timesteps, tokens):
        self.moments.append(int(timesteps[0]))
        self.batches.append(len(noisy))
        pull = tokens.mean((1, 2))[:, None, None, None]
        return torch.tanh(noisy + pull) * (1 + timesteps[:, None, None, None] / 1000)


def random_tokens(n_images: int) -> torch.Tensor:
    return torch.randn(n_images, 3, 2, dtype=torch.float64, generator=torch_generator(5, "t"))


def plain_euler(tokens, image_id: int, settings: ReconSettings, seed: int, start):
    """Sample one image by the published recipe, one number at a time where it matters."""
    toy = ToyGenerator()
    share = alphas_cumprod()
    n = settings.n_steps
    steps = [int(999 - 999 * i / n) for i in range(n)]
    sigmas = [((1 - share[t]) / share[t]) ** 0.5 for t in steps] + [0.0]
    noise = torch.randn(2, 4, 4, generator=torch_generator(seed, "diffusion_noise", image_id))
    first = 0 if start is None else settings.start_step
    offset = torch.randn(1, generator=torch_generator(seed, "diffusion_offset", image_id)).double()
    if start is None:
        x = noise.double() * (1 + sigmas[0] ** 2) ** 0.5
    else:
        x = toy.encode(start[None])[0] + noise.double() * sigmas[first]
    x = x + settings.offset_noise * offset * sigmas[first]
    if settings.unconditional_tokens == "fixed":
        none = toy.unconditional_tokens().double()
    else:
        draws = torch_generator(seed, "no_condition", image_id)
        none = torch.randn(1, 3, 2, generator=draws).double()
    for i in range(first, n):
        scaled = (x / (sigmas[i] ** 2 + 1) ** 0.5)[None]
        moment = torch.tensor([steps[i]])
        with_tokens = toy.predict_noise(scaled, moment, tokens[None])[0]
        without = toy.predict_noise(scaled, moment, none)[0]
        guided = without + settings.guidance * (with_tokens - without)
        denoised = x - sigmas[i] * guided
        slope = (x - denoised) / sigmas[i]
        x = x + slope * (sigmas[i + 1] - sigmas[i])
    image = (toy.decode(x[None])[0] - 0.5) * settings.contrast + 0.5
    return image.clip(0, 1)


@pytest.mark.parametrize("settings", [SETTINGS, AS_BEFORE])
@pytest.mark.parametrize("from_images", [False, True])
def test_sampler_equals_a_plain_loop(from_images, settings):
    tokens = random_tokens(6)
    ids = [4, 9, 2, 77, 31, 5]
    start = None
    if from_images:
        start = torch.rand(6, 3, 8, 8, dtype=torch.float64, generator=torch_generator(8, "s"))
    found = sample_images(ToyGenerator(), tokens, ids, settings, 42, start)
    assert found.shape == (6, 3, 8, 8)
    for row, image_id in enumerate(ids):
        own = None if start is None else start[row]
        wanted = plain_euler(tokens[row], image_id, settings, 42, own)
        assert (found[row] - wanted).abs().max() < 1e-12
    assert found.std() > 0.05


def test_the_start_step_and_the_schedule_are_what_runs():
    toy = ToyGenerator()
    settings = ReconSettings(n_steps=50, start_step=14, batch=2)
    sample_images(toy, random_tokens(2), [0, 1], settings, 0, torch.zeros(2, 3, 8, 8))
    assert len(toy.moments) == 36
    assert toy.moments[0] == 719
    assert set(toy.batches) == {4}
    toy = ToyGenerator()
    sample_images(toy, random_tokens(2), [0, 1], settings, 0, None)
    assert len(toy.moments) == 50
    assert toy.moments[0] == 999


def test_an_image_does_not_depend_on_its_batch():
    tokens = random_tokens(5)
    together = sample_images(ToyGenerator(), tokens, [0, 1, 2, 3, 4], SETTINGS, 1, None)
    single = SETTINGS.model_copy(update={"batch": 1})
    alone = sample_images(ToyGenerator(), tokens[[3]], [3], single, 1, None)
    assert (together[3] - alone[0]).abs().max() < 1e-12
    other_id = sample_images(ToyGenerator(), tokens[[3]], [2], single, 1, None)
    assert (other_id - alone).abs().max() > 1e-3


def test_tokens_without_condition_are_those_of_the_settings():
    """Drawn: each image has its own, in any batch; fixed: the generator's, for all."""
    tokens = torch.zeros(3, 3, 2)
    drawn = drawn_tokens([5, 6, 7], 1, tokens)
    assert torch.equal(drawn[1:], drawn_tokens([6, 7], 1, tokens[1:]))
    assert len({float(row.sum()) for row in drawn}) == 3
    assert not torch.equal(drawn, drawn_tokens([5, 6, 7], 2, tokens))
    assert abs(float(drawn_tokens(range(400), 1, torch.zeros(400, 3, 2)).std()) - 1) < 0.1


def test_the_noise_offset_is_one_number_per_image():
    offset = noise_offset(range(400), 1, torch.zeros(400, 3, 2))
    assert offset.shape == (400, 1, 1, 1) and abs(float(offset.std()) - 1) < 0.2
    assert torch.equal(offset[7:9], noise_offset([7, 8], 1, torch.zeros(2, 3, 2)))


def test_tokens_without_condition_are_made_once():
    toy = ToyGenerator()
    settings = AS_BEFORE.model_copy(update={"batch": 2})
    sample_images(toy, random_tokens(7), list(range(7)), settings, 1, None)
    assert toy.n_unconditional == 1, "not once a batch or step"
    assert len(toy.moments) == 4 * settings.n_steps


@pytest.mark.parametrize("batch", [2, 3, 5])
def test_a_unet_makes_the_same_images_at_any_batch_size(batch):
    generator = small_generator()
    tokens = torch.randn(5, 4, 12, generator=torch_generator(5, "t"))
    settings = ReconSettings(n_steps=4, start_step=1, guidance=2.5, batch=1)
    start = torch.rand(5, 3, 32, 32, generator=torch_generator(8, "s"))
    ids = [4, 9, 2, 77, 31]
    alone = sample_images(generator, tokens, ids, settings, 42, start)
    together = settings.model_copy(update={"batch": batch})
    found = sample_images(generator, tokens, ids, together, 42, start)
    assert (found - alone).abs().max() < 1e-3
    assert alone.std(0).mean() > 1e-2, "the images differ from each other"


def small_generator() -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        unet, vae = build_parts(SMALL_SDXL)
    return generator_of(unet.eval(), vae.eval(), replace(SMALL_SDXL, n_tokens=4))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.02), (torch.float16, 0.003)])
def test_images_in_half_precision_are_nearly_those_in_float32(dtype, bound):
    tokens = torch.randn(3, 4, 12, generator=torch_generator(5, "t"))
    settings = ReconSettings(n_steps=6, start_step=1, guidance=2.5, batch=3)
    start = torch.rand(3, 3, 32, 32, generator=torch_generator(8, "s"))
    wanted = sample_images(small_generator(), tokens, [4, 9, 2], settings, 42, start)
    generator = small_generator()
    generator.use_precision(dtype)
    found = sample_images(generator, tokens, [4, 9, 2], settings, 42, start)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert 0 < (found - wanted).abs().mean() < bound * wanted.std()


def test_contrast_and_guidance_do_what_they_say():
    tokens = random_tokens(2)
    plain = SETTINGS.model_copy(update={"contrast": 1.0})
    full = sample_images(ToyGenerator(), tokens, [0, 1], plain, 1, None)
    low = sample_images(
        ToyGenerator(), tokens, [0, 1], SETTINGS.model_copy(update={"contrast": 0.1}), 1, None
    )
    inside = (full > 0) & (full < 1)
    assert ((low - 0.5) - 0.1 * (full - 0.5))[inside].abs().max() < 1e-12
    unguided = SETTINGS.model_copy(update={"guidance": 0.0})
    first = sample_images(ToyGenerator(), tokens, [0, 1], unguided, 1, None)
    second = sample_images(ToyGenerator(), tokens + 1, [0, 1], unguided, 1, None)
    assert torch.equal(first, second)


def test_misfits_are_refused():
    with refused("inconsistent-inputs", "semantic BIT", "(3, 2)", "(4, 2)"):
        sample_images(ToyGenerator(), torch.zeros(1, 4, 2), [0], SETTINGS, 0, None)
    late = SETTINGS.model_copy(update={"start_step": 10})
    with refused("invalid-setting", "recon.start_step", "below 10"):
        sample_images(ToyGenerator(), random_tokens(1), [0], late, 0, torch.zeros(1, 3, 8, 8))
