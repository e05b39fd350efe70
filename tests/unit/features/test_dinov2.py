"""DINOv2 in its published layout against timm's own model."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from brainit.core.compat import import_torchvision
from brainit.core.errors import PipelineError
from brainit.features.dinov2 import DinoSize, load_dinov2
from brainit.features.vgg import IMAGENET_MEAN, IMAGENET_STD

SMALL = DinoSize(width=32, n_blocks=4, n_heads=4, image_size=56, layers=(1, 2, 4))
PATH = Path("dinov2.pth")


def published_shapes(size: DinoSize, grid: int = 37) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of DINOv2's released files, written out."""
    width = size.width
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + grid * grid, width),
        "register_tokens": (1, size.n_registers, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(size.n_blocks):
        for name, shape in {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "ls1.gamma": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
            "ls2.gamma": (width,),
        }.items():
            shapes[f"blocks.{block}.{name}"] = shape
    return shapes


def random_file(size: DinoSize, grid: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: 0.2 * torch.randn(shape, generator=generator) + ("norm" in name or "gamma" in name)
        for name, shape in published_shapes(size, grid).items()
    }


@pytest.fixture(scope="module")
def timm_model():
    import_torchvision()
    import timm

    def build(state: dict[str, Tensor]):
        from timm.models.vision_transformer import checkpoint_filter_fn

        model = timm.create_model(
            "vit_large_patch14_reg4_dinov2",
            img_size=SMALL.image_size,
            embed_dim=SMALL.width,
            depth=SMALL.n_blocks,
            num_heads=SMALL.n_heads,
        ).eval()
        model.load_state_dict(checkpoint_filter_fn(dict(state), model))
        return model

    return build


def test_layers_equal_timms_and_registers_are_where_the_encoder_drops_them(timm_model) -> None:
    state = random_file(SMALL)
    network = load_dinov2(PATH, state, SMALL).eval()
    images = torch.rand(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected = timm_model(state).forward_intermediates(
            (images - mean) / std,
            indices=[number - 1 for number in SMALL.layers],
            return_prefix_tokens=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        tokens, found = network.embed(images), []
        for number, block in enumerate(network.blocks, start=1):
            tokens = block(tokens)
            if number in network.layers:
                found.append(tokens)
    assert len(expected) == len(found) == 3
    for (patches, prefix), ours in zip(expected, found, strict=True):
        assert ours.std() > 0.5
        torch.testing.assert_close(ours[:, :1], prefix[:, :1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours[:, 1:5], prefix[:, 1:], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours[:, 5:], patches, atol=1e-4, rtol=1e-4)
    assert network.n_tokens == 17


def test_full_size_has_the_published_parameters() -> None:
    import_torchvision()
    import timm

    shapes = published_shapes(DinoSize())
    with torch.device("meta"):
        timm_model = timm.create_model("vit_large_patch14_reg4_dinov2", num_classes=0)
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
        network = load_dinov2(PATH, state)
    n_published = sum(value.numel() for value in state.values())
    n_timm = sum(value.numel() for value in timm_model.parameters())
    assert n_published == 304_372_736 == n_timm + 1024 + 1024, "timm lacks mask and class position"
    unused = 1024 + 2 * 1024 + (37 * 37 - 16 * 16) * 1024
    assert sum(p.numel() for p in network.parameters()) == n_published - unused
    assert (network.n_tokens, network.width, network.layers) == (257, 1024, (1, 6, 12, 18, 24))


def test_wrong_and_missing_names_are_listed_at_once() -> None:
    state = random_file(SMALL)
    del state["blocks.1.ls1.gamma"], state["register_tokens"]
    state |= {"cls_token": torch.zeros(1, 1, 7), "head.weight": torch.zeros(3)}
    with pytest.raises(PipelineError) as error:
        load_dinov2(PATH, state, SMALL)
    assert error.value.code == "wrong-kind"
    expected = ("blocks.1.scale1.gamma", "registers", "head.weight", "class_token (1, 1, 7)")
    assert all(name in error.value.found for name in expected)
    state = random_file(SMALL)
    state["pos_embed"] = torch.zeros(1, 8, SMALL.width)
    with pytest.raises(PipelineError) as error:
        load_dinov2(PATH, state, SMALL)
    assert error.value.code == "wrong-kind"
    assert all(part in error.value.found for part in ("position", "(1, 8, 32)", "(1, 17, 32)"))
