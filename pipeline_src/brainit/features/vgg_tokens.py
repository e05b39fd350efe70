"""Convert VGG maps to tokens, the targets of the low-level BIT, and back (section D.2).

Map 1: 2x2 neighbours joined without overlap; map 2: 2x2 neighbours joined with overlap (stride 1);
maps 3-5: one token per position. A joined token holds, channel by channel, its four pixels row by
row. Narrower tokens are repeated to the common width. Back: average the repeats, then the overlaps.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import fold, unfold

from brainit.core.errors import PipelineError

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
    found = []
    for table, position in zip(_joined(maps), positions, strict=True):
        index = position[..., None].expand(-1, -1, table.shape[-1])
        found.append(_widened(table.gather(1, index), layout.width))
    return found


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
