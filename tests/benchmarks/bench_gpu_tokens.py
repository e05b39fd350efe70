"""Tokens a second of OpenCLIP ViT-bigG/14 and DINOv2 ViT-L/14 on a GPU, with random weights.

At batch 1 and at the best of the batches 2, 4, 8, ... that fit. Without a GPU: at tiny sizes,
which shows that it runs and nothing else.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from gpu_place import finish, first_line, peak_gb, random_backbone
from torch import Tensor, nn

from brainit.features.dinov2 import DinoSize
from brainit.features.semantic_tokens import BIGG14, SemanticTokens, build_clip, openclip_config
from brainit.features.weights_file import freeze

N_ROUNDS, LARGEST_BATCH = 5, 512
TINY_CLIP: dict[str, Any] = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 28, "layers": 2, "width": 16, "head_width": 8, "patch_size": 14},
    "text_cfg": {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1},
}
TINY_DINO = DinoSize(width=16, n_blocks=2, n_heads=2, image_size=28, layers=(1, 2))


@torch.inference_mode()
def throughput(
    forward: Callable[[Tensor], Tensor], image_size: int, largest: int, device: torch.device
) -> dict[int, float]:
    """Return images a second by batch: 1, 2, 4, ... to `largest` or until memory is out."""
    found: dict[int, float] = {}
    batch = 1
    while batch <= largest:
        images = torch.rand(batch, 3, image_size, image_size, device=device)
        try:
            forward(images)
            seconds = []
            for _ in range(N_ROUNDS):
                started = finish(device)
                forward(images)
                seconds.append(finish(device) - started)
        except torch.OutOfMemoryError:
            break
        found[batch] = batch / median(seconds)
        batch *= 2
    return found


def told(name: str, rates: dict[int, float], n_tokens: int, device: torch.device) -> str:
    """Return a line of tokens a second at batch 1 and at the best batch."""
    best = max(rates, key=lambda batch: rates[batch])
    each = [f"{rates[b] * n_tokens:,.0f} tokens/s at batch {b}" for b in (1, best)]
    ratio = rates[best] / rates[1]
    return f"{name}: {each[0]}, {each[1]} ({ratio:.1f} times; peak {peak_gb(device):.1f} GB)"


def openclip_line(architecture: dict[str, Any], largest: int, device: torch.device) -> str:
    """Time the token network as training runs it: bfloat16 on a GPU."""
    vision = {**architecture["vision_cfg"], "output_tokens": True}
    with torch.device(device):
        clip: Any = build_clip({**architecture, "vision_cfg": vision})
    network = SemanticTokens(nn.ModuleDict({"visual": clip.visual}))
    del clip
    freeze(network).to(device)
    network.use_precision(torch.bfloat16)
    peak_gb(device)
    rates = throughput(network, network.image_size, largest, device)
    return told("OpenCLIP ViT-bigG/14, bfloat16", rates, network.n_tokens, device)


def dinov2_line(size: DinoSize, largest: int, device: torch.device) -> str:
    """Time the encoder's backbone as the encoder runs it: autocast to bfloat16."""
    network = random_backbone(size, device)

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return network(images)

    peak_gb(device)
    rates = throughput(forward, size.image_size, largest, device)
    return told("DINOv2 ViT-L/14, autocast to bfloat16", rates, network.n_tokens, device)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on a GPU too")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_tiny = parser.parse_args(argv).tiny or device.type == "cpu"
    print(first_line(device, is_tiny))  # noqa: T201
    architecture, size, largest = openclip_config(BIGG14), DinoSize(), LARGEST_BATCH
    if is_tiny:
        architecture, size, largest = TINY_CLIP, TINY_DINO, 4
    print(openclip_line(architecture, largest, device))  # noqa: T201
    print(dinov2_line(size, largest, device))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
