"""SDXL as the refiner: its text encoders and noise, against golden values and plain functions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.benchmarks.small_sdxl import SMALL_SDXL
from tests.unit.features.plain_sgm import GROUPS, PlainUnet
from torch import Tensor

from brainit.core.compat import import_torchvision
from brainit.core.errors import PipelineError
from brainit.features import refiner as refiner_module
from brainit.features.refiner import NEGATIVE_PROMPT, SdxlRefiner, load_sdxl_refiner
from brainit.features.semantic_tokens import build_clip
from brainit.features.sgm_names import UNET_PREFIX, names_of_unet, names_of_vae, to_sgm
from brainit.features.text_towers import (
    BIGG_TEXT,
    CLIP_L_TEXT,
    build_tower,
    load_bigg_tower,
    load_clip_l_tower,
    tokenise,
)
from brainit.features.unclip import build_parts
from brainit.features.weights_file import count_parameters

PATH = Path("sdxl.safetensors")
SMALL_L = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 3}
SMALL_G = {"context_length": 77, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 3}
WIDTHS = {"token_width": 40, "size_width": 6, "pooled_width": 24, "vae_channels": (8, 8, 16, 16)}
COUNTS = {"transformers": (1, 1, 2), "n_tokens": 77, "n_sizes": 6, "norm_groups": GROUPS}
SIZE = replace(SMALL_SDXL, **WIDTHS, **COUNTS)
CLIP_L = "conditioner.embedders.0.transformer.text_model."
BIGG = "conditioner.embedders.1.model."


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, Tensor]:
    """Weights of a small CLIP text model and its hidden states before the last layer."""
    arrays = np.load(golden_dir / "clip_text_small.npz")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def open_clip_model():
    import_torchvision()
    torch.manual_seed(1)
    vision = {"image_size": 2, "layers": 1, "width": 64, "head_width": 64, "patch_size": 1}
    model = build_clip({"embed_dim": 24, "vision_cfg": vision, "text_cfg": SMALL_G})
    return model.eval().half().float()


@pytest.fixture(scope="module")
def published(golden: dict[str, Tensor], open_clip_model) -> dict[str, Tensor]:
    torch.manual_seed(2)
    unet, vae = build_parts(SIZE)
    for parameter in unet.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn(parameter.shape)
    own, latent = unet.state_dict(), vae.state_dict()
    file = {**to_sgm(own, names_of_unet(own)), **to_sgm(latent, names_of_vae(latent))}
    file |= {f"{CLIP_L}{name}": value for name, value in of_prefix(golden, "weights/").items()}
    words = 0.06 * torch.randn(SMALL_L["vocab_size"], SMALL_L["width"])
    words[golden["token_ids"]] = golden["token_rows"].float()
    file[f"{CLIP_L}embeddings.token_embedding.weight"] = words
    file[f"{CLIP_L}embeddings.position_ids"] = torch.arange(77)[None]
    for name, value in open_clip_model.state_dict().items():
        if not name.startswith("visual."):
            file[f"{BIGG}{name}"] = value
    return {n: v.half() if v.is_floating_point() else v for n, v in file.items()}


@pytest.fixture(scope="module")
def refiner(published: dict[str, Tensor]) -> SdxlRefiner:
    return load_sdxl_refiner(PATH, published, SIZE, (SMALL_L, SMALL_G)).eval()


def of_prefix(file: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in file.items() if n.startswith(prefix)}


@torch.no_grad()
def test_clip_l_tokens_are_transformers_before_its_last_layer(
    published: dict[str, Tensor], golden: dict[str, Tensor]
) -> None:
    tower = load_clip_l_tower(PATH, of_prefix(published, CLIP_L), SMALL_L).eval()
    tokens = tokenise(["a red house", ""], pad_with_end=True)
    assert torch.equal(tokens, golden["tokens"])
    torch.testing.assert_close(tower(tokens)[0], golden["hidden"], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_bigg_pooled_output_is_open_clips(published: dict[str, Tensor], open_clip_model) -> None:
    tower = load_bigg_tower(PATH, of_prefix(published, BIGG), SMALL_G).eval()
    tokens = tokenise(["a red house", ""], pad_with_end=False)
    seen: list[Tensor] = []
    last = open_clip_model.transformer.resblocks[-1]
    handle = last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    expected = open_clip_model.encode_text(tokens)
    handle.remove()
    hidden, pooled = tower(tokens)
    torch.testing.assert_close(pooled, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(hidden, seen[0], atol=1e-4, rtol=1e-4)


def test_tokens_end_once_or_are_filled_with_ends() -> None:
    zeros, ends = (tokenise(["", "house"], pad_with_end=flag) for flag in (False, True))
    assert zeros[0].tolist() == [49406, 49407] + 75 * [0]
    assert ends[0].tolist() == [49406] + 76 * [49407]
    assert zeros[1, 2] == ends[1, 2] == 49407 and zeros[1, 3] == 0
    negative = tokenise([NEGATIVE_PROMPT], pad_with_end=False)[0]
    assert int(negative.argmax()) == 71, "it fits: nothing is cut off"


@torch.no_grad()
def test_noise_equals_plain_functions_under_both_prompts(
    published: dict[str, Tensor], refiner: SdxlRefiner
) -> None:
    file = {n: v.float() for n, v in of_prefix(published, UNET_PREFIX).items()}
    plain = PlainUnet(file, SIZE.head_width, 8, SIZE.size_width)
    latents, steps = torch.randn(4, 4, 4, 4), torch.full((4,), 319)
    found = refiner.predict_guided_pair(latents, steps)
    sizes = torch.tensor([[32.0, 32.0, 0.0, 0.0, 1024.0, 1024.0]])
    for row in range(4):
        prompt = 0 if row < 2 else 1
        expected = plain(
            latents[[row]], steps[[row]], refiner.texts[[prompt]], sizes, refiner.pooled[[prompt]]
        )
        torch.testing.assert_close(found[[row]], expected, atol=1e-4, rtol=1e-4)
    swapped = refiner.predict_guided_pair(latents.roll(2, 0), steps).roll(2, 0)
    assert (swapped - found).abs().max() > 1e-3, "the prompts differ"


def test_prompts_are_encoded_once_and_the_encoders_are_not_kept(
    published: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    encode = refiner_module.encode_prompts
    monkeypatch.setattr(
        refiner_module, "encode_prompts", lambda *a: calls.append(a[2]) or encode(*a)
    )
    refiner = load_sdxl_refiner(PATH, published, SIZE, (SMALL_L, SMALL_G))
    with torch.no_grad():
        for _ in range(3):
            refiner.predict_guided_pair(torch.zeros(2, 4, 4, 4), torch.tensor([1, 1]))
    assert calls == [("", NEGATIVE_PROMPT)]
    kept = count_parameters(refiner)
    assert kept == count_parameters(refiner.unet) + count_parameters(refiner.vae)


def test_full_size_text_encoders_are_sdxls() -> None:
    clip_l = build_tower(CLIP_L_TEXT, quick_gelu=True, has_projection=False)
    bigg = build_tower(BIGG_TEXT, quick_gelu=False, has_projection=True)
    assert count_parameters(clip_l) == 123_060_480
    assert count_parameters(bigg) == 694_659_840


def test_missing_names_are_listed(published: dict[str, Tensor]) -> None:
    file = {n: v for n, v in published.items() if "layers.1.self_attn.k_proj.bias" not in n}
    with pytest.raises(PipelineError) as error:
        load_sdxl_refiner(PATH, file, SIZE, (SMALL_L, SMALL_G))
    assert error.value.code == "wrong-kind"
    assert "resblocks.1.attn.in_proj_bias" in error.value.found
    file = {n: v for n, v in published.items() if not n.endswith("text_projection")}
    with pytest.raises(PipelineError) as error:
        load_sdxl_refiner(PATH, file, SIZE, (SMALL_L, SMALL_G))
    assert error.value.code == "wrong-kind" and "['text_projection']" in error.value.found
