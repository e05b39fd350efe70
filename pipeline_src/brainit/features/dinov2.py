"""Load DINOv2 with registers, the encoder's backbone (arXiv 2406.12179), from its checkpoint.

The published weights are for 518 px (37 x 37 patches); the encoder uses 224 px (16 x 16). Position
embeddings are resized as DINOv2 resizes them for its models with registers: bicubic, antialiased.
The final norm and the mask token are dropped, since the tapped layers do not use them.
"""

from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.weights_file import REFETCH, load_state, renamed

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
    """Size of a DINOv2 model and the blocks (from 1) after which the encoder taps its tokens."""

    width: int = 1024
    n_blocks: int = 24
    n_heads: int = 16
    n_registers: int = 4
    patch: int = 14
    image_size: int = 224
    layers: tuple[int, ...] = (1, 6, 12, 18, 24)


def build_dinov2(size: DinoSize) -> EncoderBackbone:
    """Return an untrained DINOv2 of this size on torch's default device."""
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
    """Return the backbone with DINOv2's published weights (ViT-L/14 if `size` is None).

    Raises `PipelineError` that lists missing and unknown parameters.
    """
    size = size or DinoSize()
    network = build_dinov2(size)
    state = dinov2_state(published)
    if "position" in state:
        state["position"] = resize_positions(state["position"], size.image_size // size.patch)
    load_state(path, network, state, assign=True, fix=REFETCH)
    return network


def dinov2_state(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename DINOv2's parameters to those of `EncoderBackbone`; keep unknown names."""
    return {
        renamed(name, _PATTERNS): value for name, value in published.items() if name not in _UNUSED
    }


def resize_positions(position: Tensor, side: int) -> Tensor:
    """Resize position embeddings (1, 1 + n * n, width) to `side` x `side` patches.

    The class token's embedding is kept. Embeddings of a grid that is not square are returned
    unchanged.
    """
    n_patches = position.shape[1] - 1
    old = isqrt(n_patches)
    if old in (side, 0) or old**2 != n_patches:
        return position
    grid = position[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([position[:, :1], grid.flatten(2).transpose(1, 2).to(position)], dim=1)
