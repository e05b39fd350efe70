"""How a network of each role is built from the architecture kept beside its weights."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.generator import build_generator
from brainit.features.residual_classifier import MetricNetwork
from brainit.features.semantic_tokens import SemanticTokens, build_clip, openclip_config
from brainit.features.vgg import CONVOLUTIONS, VggFeatures
from brainit.features.weights_file import REFETCH, load_state


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


def load_vgg16_bn(path: Path, published: dict[str, Tensor]) -> VggFeatures:
    """Return VGG-16 with batch norm from torchvision's state dict.

    The classifier's weights are ignored. Raises `PipelineError` that lists missing keys.
    """
    network = VggFeatures(VGG16_CHANNELS, VGG16_IMAGE_SIZE)
    load_state(path, network, vgg16_bn_state(published), fix=REFETCH)
    return network


def load_openclip(
    path: Path, published: dict[str, Tensor], architecture: dict[str, Any] | None = None
) -> SemanticTokens:
    """Return the tokens' network from an open_clip state dict (ViT-bigG/14 where None).

    Only the image tower is kept. It is built without memory of its own, so that the weights are in
    memory once. Raises `PipelineError` that lists missing and unknown keys.
    """
    architecture = architecture or openclip_config(BIGG14)
    vision = {**architecture["vision_cfg"], "output_tokens": True}
    with torch.device("meta"):
        clip: Any = build_clip({**architecture, "vision_cfg": vision})
    tower = nn.ModuleDict({"visual": clip.visual})
    state = {n: v.float() for n, v in published.items() if n.startswith("visual.")}
    load_state(path, tower, state, assign=True, fix=REFETCH)
    return SemanticTokens(tower)


def vgg16_bn_state(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's `features.<n>.*` to our `stages.<stage>.<layer>.*`.

    Layers that VGG-16 has not keep their names; all else is left out.
    """
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
            place = names.get(int(found[1]))
            state[f"{place}.{found[2]}" if place else name] = value
    return state
