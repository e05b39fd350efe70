"""Vision transformer with register tokens: the backbone of the voxel encoder.

The paper uses DINOv2 ViT-L/14 with registers and taps it after blocks 1, 6, 12, 18 and 24. The
voxel encoder runs the blocks one by one and puts its low-rank adapters between them. Token order:
class token, register tokens, patches.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.features.resize import resize_images
from brainit.features.vgg import IMAGENET_MEAN, IMAGENET_STD
from brainit.features.weights_file import sizes_of


class LayerScale(nn.Module):
    """Learned factor per channel on the output of a residual branch (DINOv2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Return the scaled tokens."""
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block: self-attention, then an MLP of four times the width.

    With `layer_scale`, both branches end in a `LayerScale`.
    """

    def __init__(
        self, width: int, n_heads: int, layer_scale: bool = False, norm_eps: float = 1.0e-5
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.scale1 = LayerScale(width) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.scale2 = LayerScale(width) if layer_scale else nn.Identity()

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens after the block."""
        batch, n_tokens, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(batch, n_tokens, 3, self.n_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, head width) each
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        attended = self.projection(attended.reshape(batch, n_tokens, width))
        tokens = tokens + self.scale1(attended)
        return tokens + self.scale2(self.mlp(self.norm2(tokens)))


class EncoderBackbone(nn.Module):
    """Vision transformer with `n_registers` register tokens.

    Parameters
    ----------
    image_size, patch, width, n_blocks, n_heads, n_registers
        Sizes; an image has (image_size / patch) ** 2 patches.
    layers
        Numbers (from 1) of the blocks after which the encoder taps the tokens.
    layer_scale, norm_eps
        Options of each block; DINOv2 uses layer scale and 1e-6.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        image_size: int,
        patch: int,
        width: int,
        n_blocks: int,
        n_heads: int,
        n_registers: int,
        layers: Sequence[int],
        layer_scale: bool = False,
        norm_eps: float = 1.0e-5,
    ) -> None:
        super().__init__()
        self.image_size, self.patch, self.width = image_size, patch, width
        self.n_registers, self.layers = n_registers, tuple(layers)
        n_patches = (image_size // patch) ** 2
        self.n_tokens = 1 + n_patches
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.registers = nn.Parameter(torch.randn(1, n_registers, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, 1 + n_patches, width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(width, n_heads, layer_scale, norm_eps) for _ in range(n_blocks)
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def embed(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> Float[Tensor, "batch tokens_and_registers features"]:
        """Return the tokens of images in [0, 1] before the first block."""
        x = (resize_images(images, self.image_size) - self.mean) / self.std
        patches = self.patch_embedding(x).flatten(2).transpose(1, 2)
        cls = self.class_token.expand(len(x), -1, -1)
        tokens = torch.cat([cls, patches], dim=1) + self.position
        registers = self.registers.expand(len(x), -1, -1)
        return torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)

    def forward(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> Float[Tensor, "batch tokens_and_registers features"]:
        """Return all tokens after the last block."""
        tokens = self.embed(images)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


def build_encoder_backbone(architecture: dict[str, Any]) -> EncoderBackbone:
    """Return an untrained network of the given sizes."""
    return EncoderBackbone(**sizes_of(architecture))
