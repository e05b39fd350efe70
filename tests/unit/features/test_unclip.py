"""MindEye2's unCLIP from its `sgm` layout: the same numbers, by plain functions on those names."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.benchmarks.small_sdxl import SMALL_SDXL
from tests.unit.features.plain_sgm import GROUPS, PlainUnet, PlainVae
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.features.generator import Generator
from brainit.features.sgm_names import (
    UNET_PREFIX,
    VAE_PREFIX,
    from_sgm,
    names_of_unet,
    names_of_vae,
    to_sgm,
)
from brainit.features.unclip import (
    SDXL,
    UNCLIP6,
    SdxlSize,
    build_parts,
    load_unclip6,
    unet_config,
    vae_config,
)
from brainit.features.weights_file import count_parameters

PATH = Path("unclip.ckpt")
WIDTHS = {"size_width": 6, "vae_channels": (8, 8, 16, 16)}
SMALL = replace(SMALL_SDXL, transformers=(1, 2, 3), n_tokens=9, norm_groups=GROUPS, **WIDTHS)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Random weights in the layout of the checkpoint, with an entry that nothing uses."""
    torch.manual_seed(0)
    unet, vae = build_parts(SMALL)
    for parameter in [*unet.parameters(), *vae.parameters()]:
        parameter.data = parameter.data + 0.1 * torch.randn(parameter.shape)
    own, latent = unet.state_dict(), vae.state_dict()
    file = {**to_sgm(own, names_of_unet(own)), **to_sgm(latent, names_of_vae(latent))}
    return {**file, "conditioner.embedders.0.model.visual.proj": torch.ones(2)}


@pytest.fixture(scope="module")
def generator(published: dict[str, Tensor]) -> Generator:
    return load_unclip6(PATH, published, SMALL).eval()


def part(published: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in published.items() if n.startswith(prefix)}


@torch.no_grad()
def test_noise_prediction_equals_plain_functions_on_the_published_names(
    published: dict[str, Tensor], generator: Generator
) -> None:
    plain = PlainUnet(part(published, UNET_PREFIX), SMALL.head_width, 8, SMALL.size_width)
    latents, tokens = torch.randn(2, 4, 4, 4), torch.randn(2, 9, 12)
    steps = torch.tensor([719, 3])
    sizes = torch.tensor([[32.0, 32.0, 0.0, 0.0]]).expand(2, -1)
    expected = plain(latents, steps, tokens, sizes)
    found = generator.predict_noise(latents, steps, tokens)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    other = plain(latents, steps, tokens, sizes * 2)
    assert (other - expected).abs().max() > 1e-3, "the size has an effect"
    changed = generator.predict_noise(latents, steps, tokens.roll(1, 0))
    assert (changed - found).abs().max() > 1e-3, "the tokens have an effect"


@torch.no_grad()
def test_latents_equal_plain_functions_on_the_published_names(
    published: dict[str, Tensor], generator: Generator
) -> None:
    plain = PlainVae(part(published, VAE_PREFIX))
    images = torch.rand(2, 3, 32, 32)
    latents = generator.encode(images)
    assert latents.shape == (2, 4, 4, 4)
    expected = plain.encode(images * 2 - 1) * 0.13025
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    decoded = (plain.decode(latents / 0.13025) / 2 + 0.5).clamp(0, 1)
    assert decoded.std() > 0.05
    torch.testing.assert_close(generator.decode(latents), decoded, atol=1e-4, rtol=1e-4)


def test_conversion_and_back_is_the_same_file(
    published: dict[str, Tensor], generator: Generator
) -> None:
    for model, prefix, names_of in (
        (generator.unet, UNET_PREFIX, names_of_unet),
        (generator.vae, VAE_PREFIX, names_of_vae),
    ):
        own = model.state_dict()
        again = to_sgm(own, names_of(own))
        wanted = {n: v for n, v in published.items() if n.startswith(prefix)}
        assert set(again) == set(wanted)
        assert all(torch.equal(again[name], wanted[name]) for name in wanted)
        back = from_sgm(again, names_of(own), own)
        assert set(back) == set(own) and all(torch.equal(back[n], own[n]) for n in own)


SDXL_VECTOR = replace(UNCLIP6, n_sizes=11)  # 2816 = 11 x 256
SIZES = [(UNCLIP6, 2501.27), (SDXL_VECTOR, 2503.57), (SDXL, 2567.46)]


@pytest.mark.parametrize(("size", "millions"), SIZES)
def test_full_size_is_sdxls_and_its_names_are_those_that_diffusers_converts(
    size: SdxlSize, millions: float
) -> None:
    with torch.device("meta"):
        unet, vae = build_parts(size)  # imports diffusers as all of the package does
    from diffusers.loaders.single_file_utils import (
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
    )

    assert count_parameters(unet) / 1e6 == pytest.approx(millions, abs=0.01)
    assert count_parameters(vae) == 83_653_863
    own = unet.state_dict()
    file = to_sgm(own, names_of_unet(own))
    assert len(file) == len(own) == 1680
    config = {**unet_config(size), "class_embed_type": None}
    converted = convert_ldm_unet_checkpoint(copy.copy(file), config)
    assert {n: v.shape for n, v in converted.items()} == {n: v.shape for n, v in own.items()}
    assert all(converted[n] is own[n] for n in own), "each tensor goes where diffusers puts it"
    names = names_of_vae(vae.state_dict())
    latent = to_sgm(vae.state_dict(), names)
    converted = convert_ldm_vae_checkpoint(copy.copy(latent), vae_config(size))
    assert {n: v.shape for n, v in converted.items()} == {
        n: v.shape for n, v in vae.state_dict().items()
    }
    keys = (
        "input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight",
        "output_blocks.2.2.conv.weight",
        "label_emb.0.0.weight",
    )
    shapes = [tuple(file[UNET_PREFIX + key].shape) for key in keys]
    vector = 1024 if size is UNCLIP6 else 2816
    assert shapes == [(640, size.token_width), (1280, 1280, 3, 3), (1280, vector)]


def test_full_size_unclip_takes_256_tokens_of_1664() -> None:
    with torch.device("meta"):
        unet, vae = build_parts(UNCLIP6)
    own, latent = unet.state_dict(), vae.state_dict()
    file = {**to_sgm(own, names_of_unet(own)), **to_sgm(latent, names_of_vae(latent))}
    generator = load_unclip6(PATH, file)
    assert generator.latent_shape == (4, 32, 32)
    assert (generator.n_tokens, generator.token_width) == (256, 1664)
    assert generator.size_condition.tolist() == [256, 256, 0, 0]
    generator.to("meta")
    latents = torch.empty(1, 4, 32, 32, device="meta")
    tokens = torch.empty(1, 256, 1664, device="meta")
    step = torch.zeros(1, dtype=torch.int64, device="meta")
    assert generator.predict_noise(latents, step, tokens).shape == (1, 4, 32, 32)


def test_wrong_and_missing_names_are_listed_at_once(published: dict[str, Tensor]) -> None:
    file = dict(published)
    del file[f"{UNET_PREFIX}middle_block.1.proj_in.weight"]
    file[f"{UNET_PREFIX}middle_block.7.weight"] = torch.ones(1)
    file[f"{UNET_PREFIX}label_emb.0.0.weight"] = torch.ones(32, 2816)
    with pytest.raises(PipelineError) as error:
        load_unclip6(PATH, file, SMALL)
    assert error.value.code == "wrong-kind"
    for part in ("mid_block.attentions.0.proj_in.weight", "middle_block.7", "(32, 2816)"):
        assert part in error.value.found
    file = {n: v for n, v in published.items() if "decoder.conv_in" not in n}
    with pytest.raises(PipelineError) as error:
        load_unclip6(PATH, file, SMALL)
    assert error.value.code == "wrong-kind"
    assert "['decoder.conv_in.bias', 'decoder.conv_in.weight']" in error.value.found
