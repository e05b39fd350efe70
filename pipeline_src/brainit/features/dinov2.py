"""DINOv2 with registers from its published checkpoint (the encoder's backbone, arXiv 2406.12179).

Published weights are for 518 px (37 x 37 patches); the encoder sees 224 px (16 x 16). The position
embeddings are resized as DINOv2 does it for its models with registers: bicubic, antialiased. The
final norm and the mask token take no part in the tapped layers.
"""

import re
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.weights_file import REFETCH, load_state

_UNUSED = ("mask_token", "norm.weight", "norm.bias")

_PATTERNS = (
    (r"cls_token", "class_token"),
    (r"register_tokens", "registers"),
    (r"pos_embed", "position"),
    (r"patch_embed\.proj\.(\w+)", r"patch_embedding.\1"),
    (r"blocks\.(\d+)\.(norm1|norm2)\.(\w+)", r"blocks.\1.\2.\3"),
    (r"blocks\.(\d+)\.attn\.qkv\.(\w+)", r"blocks.\1.qkv.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"blocks.\1.projection.\2"),
    (r"blocks\.(\d+)\.ls([12])\.gamma", r"blocks.\1.scale\2.gamma"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(\w+)", r"blocks.\1.mlp.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(\w+)", r"blocks.\1.mlp.2.\2"),
)


@dataclass(frozen=True)
class DinoSize:
    """Size of a DINOv2 model and the layers (from 1) that the encoder taps."""

    width: int = 1024
    n_blocks: int = 24
    n_heads: int = 16
    n_registers: int = 4
    patch: int = 14
    image_size: int = 224
    layers: tuple[int, ...] = (1, 6, 12, 18, 24)


def build_dinov2(size: DinoSize) -> EncoderBackbone:
    """Return DINOv2 of that size as it is initialised, on the device in force."""
    return EncoderBackbone(
        image_size=size.image_size,
        patch=size.patch,
        width=size.width,
        n_blocks=size.n_blocks,
        n_heads=size.n_heads,
        n_registers=size.n_registers,
        layers=size.layers,
        layer_scale=True,
        norm_eps=1.0e-6,
    )


def load_dinov2(
    path: Path, published: dict[str, Tensor], size: DinoSize | None = None
) -> EncoderBackbone:
    """Return the backbone from DINOv2's published names (ViT-L/14 where `size` is None).

    Raises `PipelineError` that lists missing and unknown names.
    """
    size = size or DinoSize()
    network = build_dinov2(size)
    state = dinov2_state(published)
    if "position" in state:
        state["position"] = resize_positions(state["position"], size.image_size // size.patch)
    load_state(path, network, state, assign=True, fix=REFETCH)
    return network


def dinov2_state(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename DINOv2's parameters to ours; names that are not known stay as they are."""
    return {_our_name(name): value for name, value in published.items() if name not in _UNUSED}


def _our_name(name: str) -> str:
    for pattern, ours in _PATTERNS:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    return name


def resize_positions(position: Tensor, side: int) -> Tensor:
    """Return position embeddings (1, 1 + n * n, width) for `side` x `side` patches.

    The class token's own stays as it is, and so do embeddings of no square.
    """
    n_patches = position.shape[1] - 1
    old = isqrt(n_patches)
    if old in (side, 0) or old**2 != n_patches:
        return position
    grid = position[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([position[:, :1], grid.flatten(2).transpose(1, 2).to(position)], dim=1)
