"""How a network of each role is built from the architecture kept beside its weights."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from brainit.core.compat import import_torchvision
from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.generator import build_generator
from brainit.features.metric_network import MetricNetwork
from brainit.features.semantic_tokens import SemanticTokens, build_clip
from brainit.features.vgg import CONVOLUTIONS, VggFeatures
from brainit.features.weights_file import load_state


def _sizes(architecture: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in architecture.items() if key != "kind"}


def _metric(architecture: dict[str, Any]) -> nn.Module:
    return MetricNetwork(**{**_sizes(architecture), "widths": tuple(architecture["widths"])})


BUILDERS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "encoder_backbone": lambda architecture: EncoderBackbone(**_sizes(architecture)),
    "semantic_tokens": lambda architecture: SemanticTokens(build_clip(architecture)),
    "vgg": lambda architecture: VggFeatures(**_sizes(architecture)),
    "generator": build_generator,
    "metric": _metric,
}

BIGG14 = "ViT-bigG-14"

VGG16_CHANNELS = (64, 128, 256, 512, 512)
VGG16_IMAGE_SIZE = 112


def load_vgg16_bn(path: Path) -> VggFeatures:
    """Return VGG-16 with batch norm from torchvision's state dict, kept as safetensors.

    The classifier's weights are ignored. Raises `PipelineError` that lists missing keys.
    """
    network = VggFeatures(VGG16_CHANNELS, VGG16_IMAGE_SIZE)
    load_state(path, network, vgg16_bn_state(load_file(path)))
    return network


def openclip_config(model: str) -> dict[str, Any]:
    """Return open_clip's own architecture of a model that it names."""
    import_torchvision()
    import open_clip

    return dict(open_clip.get_model_config(model))


def load_openclip(path: Path, architecture: dict[str, Any]) -> SemanticTokens:
    """Return the tokens' network from an open_clip state dict, kept as safetensors.

    Built without memory of its own, so that the weights are in memory once. Raises `PipelineError`
    that lists missing and unknown keys.
    """
    vision = {**architecture["vision_cfg"], "output_tokens": True}
    with torch.device("meta"):
        clip: Any = build_clip({**architecture, "vision_cfg": vision})
    load_state(path, clip, load_file(path), assign=True)
    return SemanticTokens(clip)


def vgg16_bn_state(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's `features.<n>.*` to our `stages.<stage>.<layer>.*`."""
    names: dict[int, str] = {}
    number = 0
    for stage, n_convolutions in enumerate(CONVOLUTIONS):
        for layer in range(3 * n_convolutions):  # convolution, batch norm, ReLU
            names[number] = f"stages.{stage}.{layer}"
            number += 1
        number += 1  # pooling
    state = {}
    for name, value in published.items():
        found = re.fullmatch(r"features\.(\d+)\.(.+)", name)
        if found:
            state[f"{names[int(found[1])]}.{found[2]}"] = value
    return state
