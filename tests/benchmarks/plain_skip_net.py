"""Ulyanov-style skip net for one image in plain torch modules: oracle of tests, rival of benches.

Written by the book: padded convolutions, `BatchNorm2d` in training mode, a real concatenation,
`Upsample`, a separate Adam. It shares no code with the package.
"""

import torch
from torch import nn


def conv_norm(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    pad = [nn.ReflectionPad2d(1)] if kernel == 3 else []
    conv = nn.Conv2d(n_in, n_out, kernel, stride=stride, bias=False)
    return nn.Sequential(*pad, conv, nn.BatchNorm2d(n_out), nn.LeakyReLU(0.2))


class PlainScale(nn.Module):
    def __init__(self, n_in: int, width: int, skip: int, scales_left: int) -> None:
        super().__init__()
        self.skip = conv_norm(n_in, skip, 1)
        self.down = conv_norm(n_in, width, 3, 2)
        self.middle = conv_norm(width, width, 3)
        self.deeper = PlainScale(width, width, skip, scales_left - 1) if scales_left > 1 else None
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")
        self.norm = nn.BatchNorm2d(skip + width)
        self.up = conv_norm(skip + width, width, 3)
        self.last = conv_norm(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        deep = self.middle(self.down(x))
        if self.deeper is not None:
            deep = self.deeper(deep)
        joined = torch.cat([self.skip(x), self.upsample(deep)], 1)
        return self.last(self.up(self.norm(joined)))


class PlainSkipNet(nn.Module):
    def __init__(self, depth: int, width: int, skip: int, n_scales: int) -> None:
        super().__init__()
        self.scales = PlainScale(depth, width, skip, n_scales)
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.head(self.scales(x)))


def _copy_conv_norm(plain: nn.Sequential, stack: nn.Module, net: int) -> None:
    conv, norm = plain[-3], plain[-2]
    conv.weight.copy_(stack.conv.weight[net])
    norm.weight.copy_(stack.norm.gain[net])
    norm.bias.copy_(stack.norm.shift[net])


def _copy_scale(plain: PlainScale, stack: nn.Module, net: int) -> None:
    for name in ("skip", "down", "middle", "last"):
        _copy_conv_norm(getattr(plain, name), getattr(stack, name), net)
    up_conv, up_norm = plain.up[-3], plain.up[-2]
    up_conv.weight.copy_(torch.cat([stack.up_skip.weight[net], stack.up_deep.weight[net]], 1))
    up_norm.weight.copy_(stack.norm_up.gain[net])
    up_norm.bias.copy_(stack.norm_up.shift[net])
    plain.norm.weight.copy_(torch.cat([stack.norm_skip.gain[net], stack.norm_deep.gain[net]]))
    plain.norm.bias.copy_(torch.cat([stack.norm_skip.shift[net], stack.norm_deep.shift[net]]))
    if plain.deeper is not None:
        _copy_scale(plain.deeper, stack.deeper, net)


@torch.no_grad()
def copy_network(plain: PlainSkipNet, stack: nn.Module, net: int) -> None:
    """Give `plain` the parameters of network `net` of the package's stack."""
    plain.head.weight.copy_(stack.head.weight[net])
    plain.head.bias.copy_(stack.head.bias[net])
    _copy_scale(plain.scales, stack.scales, net)


class SmallVgg(nn.Module):
    """Five stages of random 3 x 3 convolutions with the interface of the `vgg` role."""

    def __init__(self, image_size: int, channels: tuple[int, ...], seed: int = 0) -> None:
        super().__init__()
        self.image_size = image_size
        self.channels = channels
        self.map_sizes = tuple(image_size // 2**stage for stage in range(len(channels)))
        generator = torch.Generator().manual_seed(seed)
        convs, n_in = [], 3
        for n_out in channels:
            conv = nn.Conv2d(n_in, n_out, 3, padding=1)
            with torch.no_grad():
                conv.weight.normal_(0, (2 / (9 * n_in)) ** 0.5, generator=generator)
                conv.bias.zero_()
            convs.append(conv)
            n_in = n_out
        self.convs = nn.ModuleList(convs)
        self.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps, x = [], images - 0.5
        for number, conv in enumerate(self.convs):
            if number:
                x = nn.functional.avg_pool2d(x, 2)
            x = nn.functional.leaky_relu(conv(x), 0.1)
            maps.append(x)
        return maps
