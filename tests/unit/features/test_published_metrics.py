"""The scoring networks in their published layouts, against the libraries' own models."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.compat import import_torchvision
from brainit.core.errors import PipelineError
from brainit.features.lpips import CHANNELS, load_lpips
from brainit.features.published_metrics import (
    OPENAI_CLIP,
    TappedNetwork,
    load_alexnet,
    load_clip_vit_l14,
    load_efficientnet_b1,
    load_inception_v3,
    load_swav_resnet50,
)
from brainit.features.semantic_tokens import (
    BIGG14,
    CLIP_MEAN,
    CLIP_STD,
    build_clip,
    load_openclip,
    openclip_config,
)
from brainit.features.vgg import IMAGENET_MEAN, IMAGENET_STD, load_vgg16_bn, vgg16_bn_state
from brainit.features.weights_file import count_parameters

PATH = Path("weights.pth")
TINY_CLIP = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 28, "layers": 2, "width": 64, "head_width": 32, "patch_size": 14},
    "text_cfg": {"context_length": 7, "vocab_size": 9, "width": 16, "heads": 2, "layers": 1},
}


@cache
def model_of(name: str, **options) -> nn.Module:
    """Return torchvision's model with random weights and batch statistics, built once."""
    import_torchvision()
    from torchvision.models import get_model

    torch.manual_seed(0)
    model = get_model(name, weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def normalised(images: Tensor, size: int, mean=IMAGENET_MEAN, std=IMAGENET_STD) -> Tensor:
    """Resize and normalise as torchvision's transforms do."""
    from torchvision.transforms import functional as transforms

    resized = transforms.resize(images, [size, size], antialias=True)
    return transforms.normalize(resized, mean, std)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def of_swav(model: nn.Module) -> dict[str, Tensor]:
    """Return a ResNet-50 in the layout of SwAV's file."""
    heads = {
        "projection_head.0.weight": torch.ones(2, 2),
        "prototypes.weight": torch.ones(3, 2),
    }
    body = {name: v for name, v in model.state_dict().items() if not name.startswith("fc.")}
    return {f"module.{name}": value for name, value in {**body, **heads}.items()}


CASES = [
    ("alexnet", {}, load_alexnet, 256, ("features.4", "features.11"), (192 * 31**2, 256 * 15**2)),
    ("inception_v3", {"init_weights": False}, load_inception_v3, 342, ("avgpool",), (2048,)),
    ("efficientnet_b1", {}, load_efficientnet_b1, 255, ("avgpool",), (1280,)),
    ("resnet50", {}, load_swav_resnet50, 224, ("avgpool",), (2048,)),
]


@pytest.mark.parametrize(("name", "options", "load", "size", "taps", "widths"), CASES)
@torch.no_grad()
def test_features_equal_those_of_torchvisions_feature_extractor(
    images: Tensor, name: str, options: dict, load: Callable, size: int, taps, widths
) -> None:
    model = model_of(name, **options)
    from torchvision.models.feature_extraction import create_feature_extractor

    published = of_swav(model) if name == "resnet50" else model.state_dict()
    network = load(PATH, published).eval()
    found = network(images)
    if name == "inception_v3":
        model.transform_input = True  # as torchvision sets it for its own weights
    nodes = list(taps)
    extractor = create_feature_extractor(model, nodes, suppress_diff_warning=True).eval()
    expected = extractor(normalised(images, size))
    assert tuple(found) == taps == network.taps
    for tap in taps:
        wanted = expected[tap].flatten(1)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(found[tap], wanted, atol=1e-4, rtol=1e-4)
    assert tuple(found[tap].shape[1] for tap in taps) == widths


@torch.no_grad()
def test_clip_embedding_is_that_of_the_image_tower(images: Tensor) -> None:
    import_torchvision()
    torch.manual_seed(0)
    clip = build_clip(TINY_CLIP).eval()
    published = {name: value.half() for name, value in clip.state_dict().items()}
    network = load_clip_vit_l14(PATH, published, TINY_CLIP).eval()
    clip.load_state_dict({name: value.float() for name, value in published.items()})
    expected = clip.encode_image(normalised(images, 28, CLIP_MEAN, CLIP_STD))
    torch.testing.assert_close(network(images)["embedding"], expected, atol=1e-4, rtol=1e-4)
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


@torch.no_grad()
def test_openais_clip_has_quick_gelu() -> None:
    assert openclip_config(OPENAI_CLIP)["quick_gelu"]
    clip = build_clip(TINY_CLIP)
    activation = clip.visual.transformer.resblocks[0].mlp.gelu
    x = torch.linspace(-3, 3, 7)
    assert torch.allclose(activation(x), x * torch.sigmoid(1.702 * x))


def of_meta(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.state_dict())


def test_full_sizes_are_the_published_ones() -> None:
    clip_l, big = on_meta(OPENAI_CLIP), on_meta(BIGG14)
    network = load_clip_vit_l14(PATH, of_meta(clip_l))
    assert count_parameters(network) == 303_966_208
    assert network.image_size == 224
    tokens = load_openclip(PATH, of_meta(big))
    assert count_parameters(big) == pytest.approx(2_539.57e6, abs=5e3)
    assert count_parameters(tokens) == pytest.approx(1_844.9e6, abs=5e4)
    assert (tokens.n_tokens, tokens.width, tokens.image_size) == (256, 1664, 224)
    vision = openclip_config(BIGG14)["vision_cfg"]
    assert (vision["layers"], vision["width"] // vision["head_width"]) == (48, 16)


@torch.no_grad()
def test_full_size_tokens_have_the_papers_shape() -> None:
    tokens = load_openclip(PATH, of_meta(on_meta(BIGG14)))
    tokens.to("meta")
    assert tokens(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 256, 1664)


COUNTS = [
    ("alexnet", load_alexnet, 61_100_840),
    ("inception_v3", load_inception_v3, 27_161_264),
    ("efficientnet_b1", load_efficientnet_b1, 7_794_184),
    ("resnet50", load_swav_resnet50, 25_557_032),
]


@cache
def on_meta(name: str) -> nn.Module:
    """Return a network at full size without memory; one of OpenAI's or OpenCLIP's, or a model.

    Built once: the tests read its names and shapes.
    """
    import_torchvision()
    from torchvision.models import get_model

    with torch.device("meta"):
        if name.startswith("ViT"):
            return build_clip(openclip_config(name))
        options = {"init_weights": False} if name == "inception_v3" else {}
        return get_model(name, weights=None, **options)


@pytest.mark.parametrize(("name", "load", "published"), COUNTS)
def test_full_sizes_are_torchvisions_less_the_classifier(
    name: str, load: Callable, published: int
) -> None:
    model = on_meta(name)
    assert count_parameters(model) == published
    heads = ("classifier.", "fc.", "AuxLogits.")
    left_out = sum(p.numel() for n, p in model.named_parameters() if n.startswith(heads))
    state = of_swav(model) if load is load_swav_resnet50 else of_meta(model)
    assert count_parameters(load(PATH, state)) == published - left_out


LAYOUTS = [
    (load_alexnet, "alexnet", "features."),
    (load_inception_v3, "inception_v3", ""),
    (load_efficientnet_b1, "efficientnet_b1", ""),
    (load_swav_resnet50, "resnet50", "module."),
    (load_clip_vit_l14, OPENAI_CLIP, "visual."),
    (load_openclip, BIGG14, "visual."),
    (load_vgg16_bn, "vgg16_bn", "features.99."),
]


@pytest.mark.parametrize(("load", "name", "place"), LAYOUTS)
def test_wrong_and_missing_names_are_listed_at_once(load: Callable, name: str, place: str) -> None:
    """At full size, in the published layout: two names gone, one of another shape, one too many."""
    model = on_meta(name)
    state = of_swav(model) if load is load_swav_resnet50 else of_meta(model)
    kept = place.split(".")[0]
    first, second, third = [n for n in state if n.startswith(kept) and n.endswith("weight")][:3]
    del state[first], state[second]
    state |= {third: torch.zeros(5, 4), f"{place}surprise": torch.zeros(1)}
    with pytest.raises(PipelineError) as error:
        load(PATH, state)
    assert error.value.code == "wrong-kind"
    assert "brainit weights fetch" in error.value.fix
    names = [name.removeprefix("module.") for name in (first, second, third)]
    if load is load_vgg16_bn:
        names = list(vgg16_bn_state({name: torch.zeros(0) for name in names}))
    for part in (*names, "(5, 4)", "surprise", "missing"):
        assert part in error.value.found, part


def test_old_files_may_lack_the_count_of_batches() -> None:
    model = model_of("resnet50")
    state = {n: v for n, v in of_swav(model).items() if not n.endswith("num_batches_tracked")}
    network = load_swav_resnet50(PATH, state)
    assert isinstance(network, TappedNetwork)
    assert not any(buffer.is_meta for buffer in network.buffers())


def lpips_by_loops(alexnet: nn.Module, heads: list[Tensor], one: Tensor, other: Tensor) -> float:
    """Zhang et al. 2018, equation 1, one channel and layer at a time."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    total = 0.0
    x, y = (((image[None] * 2 - 1) - shift) / scale for image in (one, other))
    layers = list(alexnet.features)
    for start, stop, head in zip((0, 2, 5, 8, 10), (2, 5, 8, 10, 12), heads, strict=True):
        for layer in layers[start:stop]:
            x, y = layer(x), layer(y)
        length_x = sum(x[0, c] ** 2 for c in range(x.shape[1])) ** 0.5
        length_y = sum(y[0, c] ** 2 for c in range(x.shape[1])) ** 0.5
        weighted = torch.zeros_like(x[0, 0])
        for c in range(x.shape[1]):
            difference = x[0, c] / (length_x + 1e-10) - y[0, c] / (length_y + 1e-10)
            weighted += head[0, c, 0, 0] * difference**2
        total += float(weighted.mean())
    return total


@torch.no_grad()
def test_lpips_by_loops(images: Tensor) -> None:
    alexnet = model_of("alexnet")
    heads = [torch.rand(1, width, 1, 1) for width in CHANNELS]
    published = {f"lin{i}.model.1.weight": head for i, head in enumerate(heads)}
    network = load_lpips(PATH, {**alexnet.state_dict(), **published}).eval()
    other = (images + 0.3 * torch.rand(images.shape, generator=torch.Generator())).clamp(0, 1)
    found = network(images, other)
    for row in range(2):
        expected = lpips_by_loops(alexnet, heads, images[row], other[row])
        assert expected > 0.01
        assert float(found[row]) == pytest.approx(expected, rel=1e-4)
    assert torch.equal(network(images, images), torch.zeros(2))
    torch.testing.assert_close(network(other, images), found, atol=1e-6, rtol=1e-5)


def test_the_missing_head_of_lpips_is_named() -> None:
    state = model_of("alexnet").state_dict()
    heads = {f"lin{i}.model.1.weight": torch.ones(1, n, 1, 1) for i, n in enumerate(CHANNELS[:4])}
    with pytest.raises(PipelineError) as error:
        load_lpips(PATH, {**state, **heads})
    assert error.value.code == "wrong-kind" and "['heads.4']" in error.value.found


def test_resizing_goes_up_too(images: Tensor) -> None:
    network = load_alexnet(PATH, model_of("alexnet").state_dict())
    up = F.interpolate(images, (256, 256), mode="bilinear", antialias=True)
    assert torch.equal(network(images)["features.4"], network(up)["features.4"])
