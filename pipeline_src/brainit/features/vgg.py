"""VGG-16 with batch norm and five taps: the low-level features (paper section 3.2, D.2).

The taps are the ReLU outputs 1_2, 2_2, 3_3, 4_3, 5_3, which are the layers 5, 12, 22, 32, 42 of
torchvision's `vgg16_bn().features`, at 112 px. The demo's network has the same layers with fewer
channels, at 32 px; its training heads are not shipped.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from brainit.features.resize import resize_images
from brainit.features.weights_file import REFETCH, load_state, sizes_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CONVOLUTIONS = (2, 2, 3, 3, 3)
VGG16_CHANNELS = (64, 128, 256, 512, 512)
VGG16_IMAGE_SIZE = 112


class VggFeatures(nn.Module):
    """Five stages of 3x3 convolutions with batch norm, tapped before each pooling.

    Parameters
    ----------
    channels
        Output channels of the five stages (VGG-16: 64, 128, 256, 512, 512).
    image_size
        Side in pixels to which images are resized (paper: 112).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: Sequence[int], image_size: int) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.image_size = image_size
        self.map_sizes = tuple(image_size // 2**stage for stage in range(5))
        stages: list[nn.Module] = []
        width = 3
        for n_convolutions, out in zip(CONVOLUTIONS, self.channels, strict=True):
            layers: list[nn.Module] = []
            for _ in range(n_convolutions):
                layers += [nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
                width = out
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> list[Float[Tensor, "batch _channels _map_height _map_width"]]:
        """Return the five maps of images in [0, 1] of any size; differentiable."""
        x = (resize_images(images, self.image_size) - self.mean) / self.std
        maps = []
        for number, stage in enumerate(self.stages):
            if number:
                x = nn.functional.max_pool2d(x, 2)
            x = stage(x)
            maps.append(x)
        return maps

    def folded(self) -> "VggFeatures":
        """Fold each batch norm into its convolution, for inference only; return this network.

        The maps are equal up to rounding. Weights become channels-last, which is faster on a CPU
        and, in half precision, on a GPU. Changes the network, which must be in evaluation mode.
        """
        for number, stage in enumerate(self.stages):
            modules = list(stage.children())
            layers: list[nn.Module] = []
            for conv, norm in zip(modules[::3], modules[1::3], strict=True):
                layers += [fuse_conv_bn_eval(conv, norm), nn.ReLU()]  # type: ignore[arg-type,type-var]
            self.stages[number] = nn.Sequential(*layers)
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_vgg(architecture: dict[str, Any]) -> VggFeatures:
    """Return an untrained network of the given sizes."""
    return VggFeatures(**sizes_of(architecture))


def load_vgg16_bn(path: Path, published: dict[str, Tensor]) -> VggFeatures:
    """Return VGG-16 with batch norm from torchvision's state dict.

    Ignores the classifier's weights. Raises `PipelineError` that lists missing parameters.
    """
    network = VggFeatures(VGG16_CHANNELS, VGG16_IMAGE_SIZE)
    load_state(path, network, vgg16_bn_state(published), fix=REFETCH)
    return network


def vgg16_bn_state(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's `features.<n>.*` to our `stages.<stage>.<layer>.*`.

    Drops all other parameters. Layers that VGG-16 does not have keep their names.
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
