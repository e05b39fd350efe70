"""VGG maps as tokens and back (section D.2): the targets of the low-level BIT.

Map 1: 2x2 neighbours joined without overlap; map 2: 2x2 neighbours joined, overlapping (stride 1);
maps 3-5: one token per position. A joined token holds, channel by channel, its four pixels row by
row. Narrower tokens are repeated to the common width. Back: repeats are averaged, then overlaps.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import fold, unfold

from brainit.core.errors import PipelineError

JOIN_STRIDES = (2, 1, None, None, None)
"""Stride of the 2x2 joins of each of the five maps; None joins nothing (D.2)."""


class VggTokenLayout:
    """Where the tokens of each map lie, for maps of any size.

    Parameters
    ----------
    channels
        Channels of the five maps (paper: 64, 128, 256, 512, 512).
    sizes
        Sides of the five maps in pixels (paper: 112, 56, 28, 14, 7).

    Raises
    ------
    PipelineError
        There are not five maps, the first map's side is odd, the second's below 2, or a token does
        not fit the common width a whole number of times.
    """

    def __init__(self, channels: Sequence[int], sizes: Sequence[int]) -> None:
        self.channels = tuple(channels)
        self.sizes = tuple(sizes)
        is_five = len(self.channels) == len(self.sizes) == len(JOIN_STRIDES)
        if not is_five or self.sizes[0] % 2 or min(self.sizes) < 1 or self.sizes[1] < 2:
            raise self._error("five maps, the first of even side, the second of side 2 or more")
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
            raise self._error(f"token widths that divide {self.width}")
        self.tokens_per_layer = tuple(grid**2 for grid in self.grids)
        self.n_tokens = sum(self.tokens_per_layer)
        stops = tuple(accumulate(self.tokens_per_layer))
        self.layer_slices = tuple(
            slice(stop - count, stop)
            for stop, count in zip(stops, self.tokens_per_layer, strict=True)
        )

    def _error(self, expected: str) -> PipelineError:
        found = f"channels {self.channels}, sides {self.sizes}"
        return PipelineError("VGG maps", expected, found, "choose another VGG in features.vgg")


def maps_to_tokens(
    maps: Sequence[Float[Tensor, "images _channels _height _width"]],
) -> list[Float[Tensor, "images _tokens _width"]]:
    """Turn the five maps into one token table each, all of one width (D.2).

    Positions go row by row. Raises `PipelineError` as `VggTokenLayout` does.
    """
    layout = VggTokenLayout([m.shape[1] for m in maps], [m.shape[-1] for m in maps])
    return [_widened(table, layout.width) for table in _joined(maps)]


def tokens_at(
    maps: Sequence[Float[Tensor, "images _channels _height _width"]],
    positions: Sequence[Int[Tensor, "images _queries"]],
) -> list[Float[Tensor, "images _queries _width"]]:
    """Return the tokens of `maps_to_tokens` at some positions of each layer, no others being made.

    Raises `PipelineError` as `VggTokenLayout` does.
    """
    layout = VggTokenLayout([m.shape[1] for m in maps], [m.shape[-1] for m in maps])
    found = []
    for table, position in zip(_joined(maps), positions, strict=True):
        index = position[..., None].expand(-1, -1, table.shape[-1])
        found.append(_widened(table.gather(1, index), layout.width))
    return found


def _joined(maps: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield each layer's tokens (images, tokens, joined width), not yet of the common width."""
    for layer, stride in zip(maps, JOIN_STRIDES, strict=True):
        columns = layer.flatten(2) if stride is None else unfold(layer, 2, stride=stride)
        yield columns.transpose(1, 2)


def _widened(tokens: Tensor, width: int) -> Tensor:
    return tokens.repeat(1, 1, width // tokens.shape[-1])


def tokens_to_maps(
    tokens: Float[Tensor, "images all_tokens width"], layout: VggTokenLayout
) -> list[Float[Tensor, "images _channels _height _width"]]:
    """Put tokens, the five layers one after the other, back into the five maps (D.2).

    Repeats within a token are averaged, then the values that overlapping tokens give one pixel.
    Raises `PipelineError` where the tokens are not of this layout.
    """
    if tuple(tokens.shape[1:]) != (layout.n_tokens, layout.width):
        raise PipelineError(
            "VGG tokens",
            f"{layout.n_tokens} tokens of width {layout.width} (maps of sides {layout.sizes})",
            f"{tokens.shape[1]} tokens of width {tokens.shape[2]}",
            "use the BIT that was trained with this VGG",
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
