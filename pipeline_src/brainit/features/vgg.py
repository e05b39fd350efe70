"""VGG-16 with batch norm and five taps, and its maps as tokens: the low-level features (3.2, D.2).

The taps are the ReLU outputs 1_2, 2_2, 3_3, 4_3, 5_3, which are the layers 5, 12, 22, 32, 42 of
torchvision's `vgg16_bn().features`, at 112 px. The demo's network has the same layers with fewer
channels, at 32 px; its training heads are not shipped.

Maps become tokens, the targets of the low-level BIT, and back. Map 1: 2x2 neighbours joined without
overlap; map 2: 2x2 neighbours joined with overlap (stride 1); maps 3-5: one token per position. A
joined token holds, channel by channel, its four pixels row by row. Narrower tokens are repeated to
the common width. Back: average the repeats, then the overlaps.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import fold, unfold
from torch.nn.utils.fusion import fuse_conv_bn_eval

from brainit.core.errors import PipelineError
from brainit.data.images import resize_images
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
        match = re.fullmatch(r"features\.(\d+)\.(.+)", name)
        if match:
            renamed = names.get(int(match[1]))
            state[f"{renamed}.{match[2]}" if renamed else name] = value
    return state


JOIN_STRIDES = (2, 1, None, None, None)
"""Stride of the 2x2 joins in each of the five maps; None: one token per position (D.2)."""


class VggTokenLayout:
    """Number, width and order of the tokens of five maps of any size.

    Parameters
    ----------
    channels
        Channels of the five maps (paper: 64, 128, 256, 512, 512).
    sizes
        Sides of the five maps in pixels (paper: 112, 56, 28, 14, 7).

    Raises
    ------
    PipelineError
        The number of maps is not five, the first map's side is odd, the second's is below 2, or a
        token width does not divide the common width.
    """

    def __init__(self, channels: Sequence[int], sizes: Sequence[int]) -> None:
        self.channels = tuple(channels)
        self.sizes = tuple(sizes)
        is_five = len(self.channels) == len(self.sizes) == len(JOIN_STRIDES)
        if not is_five or self.sizes[0] % 2 or min(self.sizes) < 1 or self.sizes[1] < 2:
            raise self._layout_error("five maps, of even side (first) and of side >= 2 (second)")
        self.grids = tuple(
            size if stride is None else (size - 2) // stride + 1
            for size, stride in zip(self.sizes, JOIN_STRIDES, strict=True)
        )
        self.joined_widths = tuple(
            count if stride is None else 4 * count
            for count, stride in zip(self.channels, JOIN_STRIDES, strict=True)
        )
        self.width = max(self.joined_widths)
        if any(self.width % joined for joined in self.joined_widths):
            raise self._layout_error(f"token widths that divide {self.width}")
        self.tokens_per_layer = tuple(grid**2 for grid in self.grids)
        self.n_tokens = sum(self.tokens_per_layer)
        stops = tuple(accumulate(self.tokens_per_layer))
        self.layer_slices = tuple(
            slice(stop - count, stop)
            for stop, count in zip(stops, self.tokens_per_layer, strict=True)
        )

    def _layout_error(self, expected: str) -> PipelineError:
        found = f"channels {self.channels}, sides {self.sizes}"
        fix = "set features.vgg to a network with five such maps, e.g. vgg16_bn"
        return PipelineError("VGG maps", expected, found, fix, code="wrong-shape")


def maps_to_tokens(
    maps: Sequence[Float[Tensor, "images _channels _height _width"]],
) -> list[Float[Tensor, "images _tokens _width"]]:
    """Convert each of the five maps to a table of tokens, all of one width (D.2).

    Positions are in row-major order. Raises `PipelineError` as `VggTokenLayout` does.
    """
    layout = VggTokenLayout([m.shape[1] for m in maps], [m.shape[-1] for m in maps])
    return [_widened(table, layout.width) for table in _joined(maps)]


def tokens_at(
    maps: Sequence[Float[Tensor, "images _channels _height _width"]],
    positions: Sequence[Int[Tensor, "images _queries"]],
) -> list[Float[Tensor, "images _queries _width"]]:
    """Return the tokens of `maps_to_tokens` at the given positions of each layer only.

    Raises `PipelineError` as `VggTokenLayout` does.
    """
    layout = VggTokenLayout([m.shape[1] for m in maps], [m.shape[-1] for m in maps])
    tokens = []
    for table, position in zip(_joined(maps), positions, strict=True):
        index = position[..., None].expand(-1, -1, table.shape[-1])
        tokens.append(_widened(table.gather(1, index), layout.width))
    return tokens


def _joined(maps: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the tokens of each layer (images, tokens, joined width), before widening."""
    for layer, stride in zip(maps, JOIN_STRIDES, strict=True):
        columns = layer.flatten(2) if stride is None else unfold(layer, 2, stride=stride)
        yield columns.transpose(1, 2)


def _widened(tokens: Tensor, width: int) -> Tensor:
    return tokens.repeat(1, 1, width // tokens.shape[-1])


def tokens_to_maps(
    tokens: Float[Tensor, "images all_tokens width"], layout: VggTokenLayout
) -> list[Float[Tensor, "images _channels _height _width"]]:
    """Convert the tokens of all five layers, concatenated in order, back to the five maps (D.2).

    Averages the repeats within each token, then the overlapping tokens at each pixel. Raises
    `PipelineError` where the tokens do not have this layout.
    """
    if tuple(tokens.shape[1:]) != (layout.n_tokens, layout.width):
        raise PipelineError(
            "VGG tokens",
            f"{layout.n_tokens} tokens of width {layout.width} (maps of sides {layout.sizes})",
            f"{tokens.shape[1]} tokens of width {tokens.shape[2]}",
            "set features.vgg to the network with which the low-level BIT was trained",
            code="wrong-shape",
        )
    maps = []
    for layer, stride in enumerate(JOIN_STRIDES):
        table = tokens[:, layout.layer_slices[layer]]
        joined = table.reshape(*table.shape[:2], -1, layout.joined_widths[layer]).mean(2)
        columns, size = joined.transpose(1, 2), layout.sizes[layer]
        if stride is None:
            maps.append(columns.reshape(*columns.shape[:2], size, size))
        else:
            maps.append(_average_joins(columns, size, stride))
    return maps


def _average_joins(columns: Tensor, size: int, stride: int) -> Tensor:
    total = fold(columns, (size, size), 2, stride=stride)
    counts = fold(torch.ones_like(columns[:1, :4]), (size, size), 2, stride=stride)
    return total / counts
