"""Deep Image Prior networks, many at once: one independent skip network per image (section D.2).

Each network is Ulyanov et al.'s "skip" U-Net with the paper's sizes: at every scale a strided and a
plain 3 x 3 convolution go down, a 1 x 1 convolution skips, a 3 x 3 and a 1 x 1 convolution come
back up; reflection padding, batch norm over the one image, LeakyReLU, bilinear upsampling, sigmoid.
All parameters carry a leading axis of networks, and one grouped convolution serves all networks.

Differs from the paper: nothing in the function computed. Convolutions before a batch norm have no
bias (the norm would cancel it), the concatenation of skip and deep branch is never formed (batch
norm is per channel, a convolution is a sum over channels), and resampling is a product with a
matrix, which is faster and deterministic on every device.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.core.settings import DipSettings

LEAK = 0.2
"""Slope of LeakyReLU below zero."""
NORM_EPSILON = 1.0e-5


class ConvStack(nn.Module):
    """Convolutions of several networks, each on its own input, as one grouped convolution.

    `generators` gives one generator per network; weights (and the bias, if any) are uniform within
    one over the root of the fan-in, torch's own start. Kernels are 1 or, with reflection padding,
    3 px wide; the sides are kept, or halved for `stride` 2.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_in * kernel * kernel)
        shape = (n_out, n_in, kernel, kernel)
        self.stride = stride
        self.weight = nn.Parameter(_uniform(generators, shape, bound))
        self.bias = nn.Parameter(_uniform(generators, (n_out,), bound)) if bias else None

    def forward(
        self, maps: Float[Tensor, "nets channels height width"]
    ) -> Float[Tensor, "nets out new_height new_width"]:
        """Convolve each network's maps with its own weights."""
        nets, n_out, n_in, kernel, _ = self.weight.shape
        if kernel == 1:
            out = torch.bmm(self.weight.reshape(nets, n_out, n_in), maps.flatten(2))
            out = out.reshape(nets, n_out, *maps.shape[2:])
        else:
            folded = reflect_one(maps).reshape(1, nets * n_in, *(s + 2 for s in maps.shape[2:]))
            weight = self.weight.reshape(nets * n_out, n_in, kernel, kernel)
            out = functional.conv2d(folded, weight, stride=self.stride, groups=nets)
            out = out.reshape(nets, n_out, *out.shape[2:])
        return out if self.bias is None else out + self.bias[:, :, None, None]


class NormStack(nn.Module):
    """Batch norm with the statistics of each network's one image (training mode, no memory).

    That is group norm with a group for each channel, which torch computes several times faster.
    `leaky` adds a LeakyReLU.
    """

    def __init__(self, nets: int, channels: int, *, leaky: bool = False) -> None:
        super().__init__()
        self.leaky = leaky
        self.gain = nn.Parameter(torch.ones(nets, channels))
        self.shift = nn.Parameter(torch.zeros(nets, channels))

    def forward(
        self, maps: Float[Tensor, "nets channels height width"]
    ) -> Float[Tensor, "nets channels height width"]:
        """Normalise each channel over its own pixels, then scale and shift it."""
        folded = maps.reshape(1, -1, *maps.shape[2:])
        gain, shift = self.gain.reshape(-1), self.shift.reshape(-1)
        normed = functional.group_norm(folded, gain.numel(), gain, shift, NORM_EPSILON)
        if self.leaky:
            normed = functional.leaky_relu_(normed, LEAK)
        return normed.reshape(maps.shape)


class ConvNorm(nn.Module):
    """Convolution, batch norm, LeakyReLU."""

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv = ConvStack(generators, n_in, n_out, kernel, stride=stride)
        self.norm = NormStack(len(generators), n_out, leaky=True)

    def forward(
        self, maps: Float[Tensor, "nets channels height width"]
    ) -> Float[Tensor, "nets out new_height new_width"]:
        """Apply the three in turn."""
        return self.norm(self.conv(maps))


class SkipScale(nn.Module):
    """One scale of the U-Net; contains the deeper scales."""

    def __init__(
        self, generators: Sequence[torch.Generator], n_in: int, settings: DipSettings, depth: int
    ) -> None:
        super().__init__()
        nets, width, skip = len(generators), settings.width, settings.skip_channels
        self.skip = ConvNorm(generators, n_in, skip, 1)
        self.down = ConvNorm(generators, n_in, width, 3, stride=2)
        self.middle = ConvNorm(generators, width, width, 3)
        last = depth + 1 == settings.n_scales
        self.deeper = None if last else SkipScale(generators, width, settings, depth + 1)
        self.norm_skip = NormStack(nets, skip)
        self.norm_deep = NormStack(nets, width)
        joined = ConvStack(generators, skip + width, width, 3).weight.detach()
        self.up_skip = _with_weight(joined[:, :, :skip])
        self.up_deep = _with_weight(joined[:, :, skip:])
        self.norm_up = NormStack(nets, width, leaky=True)
        self.last = ConvNorm(generators, width, width, 1)

    def forward(
        self, maps: Float[Tensor, "nets channels height width"]
    ) -> Float[Tensor, "nets out height width"]:
        """Send the maps down, through the deeper scales and up again, beside the skip branch."""
        skip = self.norm_skip(self.skip(maps))
        deep = self.middle(self.down(maps))
        if self.deeper is not None:
            deep = self.deeper(deep)
        deep = self.norm_deep(resize(deep, maps.shape[-1], "bilinear"))
        return self.last(self.norm_up(self.up_deep(deep) + self.up_skip(skip)))


class SkipNetStack(nn.Module):
    """Independent skip networks, one per generator.

    `forward` takes one noise map per network and gives one image per network, in (0, 1). Raises
    `PipelineError` where `dip.size` cannot be halved `dip.n_scales` times down to at least 2 px.
    """

    def __init__(self, generators: Sequence[torch.Generator], settings: DipSettings) -> None:
        super().__init__()
        smallest, rest = divmod(settings.size, 2**settings.n_scales)
        if rest or smallest < 2:
            raise PipelineError(
                "dip.size",
                f"a multiple of {2**settings.n_scales}, at least {2 * 2**settings.n_scales}",
                f"{settings.size}",
                f"set dip.size to {2**settings.n_scales * max(2, smallest)}, or lower dip.n_scales",
                code="invalid-setting",
            )
        self.scales = SkipScale(generators, settings.input_depth, settings, 0)
        self.head = ConvStack(generators, settings.width, 3, 1, bias=True)

    def forward(
        self, noise: Float[Tensor, "nets depth size size"]
    ) -> Float[Tensor, "nets 3 size size"]:
        """Return the images that the networks make of their input noise."""
        return torch.sigmoid(self.head(self.scales(noise)))


def reflect_one(
    maps: Float[Tensor, "nets channels height width"],
) -> Float[Tensor, "nets channels padded_height padded_width"]:
    """Pad by one pixel, mirrored without the edge.

    On a GPU by slices, because torch's own padding has no deterministic gradient there.
    """
    if maps.device.type == "cpu":
        return functional.pad(maps, (1, 1, 1, 1), mode="reflect")
    maps = torch.cat((maps[..., 1:2, :], maps, maps[..., -2:-1, :]), -2)
    return torch.cat((maps[..., 1:2], maps, maps[..., -2:-1]), -1)


def resize(
    maps: Float[Tensor, "nets channels side side"],
    side: int,
    mode: Literal["bilinear", "bicubic"],
) -> Float[Tensor, "nets channels new_side new_side"]:
    """Resize square maps with antialiasing (which upsampling does not change)."""
    if maps.shape[-1] == side:
        return maps
    matrix = _resize_matrix(maps.shape[-1], side, mode).to(maps)
    return torch.matmul(matrix, functional.linear(maps, matrix))


@lru_cache(maxsize=64)
def _resize_matrix(
    n_in: int, n_out: int, mode: Literal["bilinear", "bicubic"]
) -> Float[Tensor, "n_out n_in"]:
    unit = torch.eye(n_in, dtype=torch.float64)[None, None]
    shape = (n_in, n_out)
    columns = functional.interpolate(unit, shape, mode=mode, antialias=True, align_corners=False)
    return columns[0, 0].T.contiguous()


def _uniform(
    generators: Sequence[torch.Generator], shape: tuple[int, ...], bound: float
) -> Float[Tensor, "nets ..."]:
    draws = [torch.rand(shape, generator=generator) for generator in generators]
    return torch.stack(draws).mul_(2 * bound).sub_(bound)


def _with_weight(weight: Float[Tensor, "nets out in 3 3"]) -> ConvStack:
    nets, n_out, n_in, kernel, _ = weight.shape
    stack = ConvStack([torch.Generator()] * nets, n_in, n_out, kernel)
    stack.weight = nn.Parameter(weight.clone())
    return stack
