"""Deep Image Prior: a stack of networks against plain networks one at a time, one thread.

Both do whole iterations: noise, network, features, backward, Adam, moving average. Seconds per
image and iteration, the minimum of interleaved runs.
"""

import sys
import time
from collections.abc import Callable

import torch
from plain_skip_net import PlainSkipNet, SmallVgg, copy_network

from brainit.core.seeds import torch_generator
from brainit.core.settings import DipSettings
from brainit.models.deep_image_prior import SkipNetStack
from brainit.reconstruction.dip import invert_features

CHANNELS = (8, 16, 32, 64, 64)
N_ROUNDS, N_STEPS = 6, 8
CPU = torch.device("cpu")


def plain_run(settings: DipSettings, vgg: SmallVgg, target: list[torch.Tensor]) -> None:
    """Invert one image with plain modules."""
    net = PlainSkipNet(settings.input_depth, settings.width, 2, settings.n_scales)
    copy_network(net, SkipNetStack([torch_generator(0, "dip_network", 0)], settings), 0)
    fixed = torch.rand(1, settings.input_depth, settings.size, settings.size)
    adam = torch.optim.Adam(net.parameters(), lr=settings.lr)
    average = None
    for _ in range(settings.iterations):
        adam.zero_grad()
        image = net(settings.input_noise * fixed + settings.noise_std * torch.randn_like(fixed))
        errors = [
            torch.nn.functional.mse_loss(a, b) for a, b in zip(vgg(image), target, strict=True)
        ]
        (sum(errors) / len(errors)).backward()
        adam.step()
        output = image.detach()
        average = output if average is None else settings.ema * average + 0.01 * output


def seconds(run: Callable[[], object], n_images: int) -> float:
    """Return seconds per image and iteration."""
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) / n_images / N_STEPS


def ratio(size: int, width: int, depth: int, n_nets: int) -> tuple[float, float, float]:
    """Return plain over stacked, own stack of one over stacked, and milliseconds of the stack."""
    settings = DipSettings(
        size=size, width=width, input_depth=depth, iterations=N_STEPS, chunk=n_nets
    )
    vgg = SmallVgg(size, CHANNELS)
    targets = vgg(torch.rand(n_nets, 3, size, size))
    first = [target[:1] for target in targets]
    ids = list(range(n_nets))
    plain, single, stacked = [], [], []
    for _ in range(N_ROUNDS):
        plain.append(seconds(lambda: plain_run(settings, vgg, first), 1))
        single.append(seconds(lambda: invert_features(first, [0], vgg, settings, 0, CPU), 1))
        stacked.append(
            seconds(lambda: invert_features(targets, ids, vgg, settings, 0, CPU), n_nets)
        )
    best = min(stacked)
    return min(plain) / best, min(single) / best, best * 1e3


def main() -> int:
    """Print the ratios; return 1 where one is under its bar."""
    torch.set_num_threads(1)
    failed = 0
    for size, width, depth, n_nets, bar in ((64, 32, 32, 8, 1.7), (32, 16, 16, 16, 3.0)):
        over_plain, over_single, milliseconds = ratio(size, width, depth, n_nets)
        name = f"dip {size} px, {width} channels, {n_nets} networks"
        extra = f"own stack of one: {over_single:.2f}; {milliseconds:.2f} ms per image and step"
        print(f"{name}: ratio {over_plain:.2f} (bar {bar}) [{extra}]")  # noqa: T201
        failed |= over_plain < bar
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
