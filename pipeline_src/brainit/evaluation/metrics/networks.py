"""The networks that score, and their features (paper section 5.2)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainit.core.progress import progress
from brainit.core.shards import shard_ranges
from brainit.features.lpips import Lpips
from brainit.features.registry import load_backbone
from brainit.features.resize import resize_images

BATCH = 64


def load_metric_networks(
    names: Sequence[str], weights_dir: Path | None, device: torch.device
) -> dict[str, nn.Module]:
    """Load the networks of the role `metric` that `features.metrics` names."""
    return {name: load_backbone("metric", name, weights_dir).to(device) for name in names}


@torch.inference_mode()
def tap_features(
    network: nn.Module,
    images: Float[Tensor, "images 3 height width"],
    eval_size: int,
    device: torch.device,
) -> dict[str, Float[Tensor, "images _features"]]:
    """Return the features of images in [0, 1] at each tap, float32, on the CPU.

    Images are first resized to `eval_size`; the network resizes to its own size.
    """
    blocks: list[dict[str, Tensor]] = []
    for start, stop in progress(shard_ranges(len(images), BATCH), "features", unit="batch"):
        batch = resize_images(images[start:stop], eval_size).to(device)
        blocks.append({tap: found.flatten(1).cpu() for tap, found in network(batch).items()})
    return {tap: torch.cat([block[tap] for block in blocks]) for tap in blocks[0]}


@torch.inference_mode()
def pair_distances(
    network: Lpips,
    recons: Float[Tensor, "images 3 height width"],
    targets: Float[Tensor, "images 3 side side"],
    eval_size: int,
    device: torch.device,
) -> Float[Tensor, "images"]:
    """Return the perceptual distance of each reconstruction in [0, 1] from its target, on the CPU.

    Images are first resized to `eval_size`.
    """
    blocks = []
    for start, stop in progress(shard_ranges(len(recons), BATCH), "LPIPS", unit="batch"):
        pair = (resize_images(images[start:stop], eval_size) for images in (recons, targets))
        first, second = (images.to(device) for images in pair)
        blocks.append(network(first, second).double().cpu())
    return torch.cat(blocks)
