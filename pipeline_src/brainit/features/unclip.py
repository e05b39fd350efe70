"""Load MindEye2's SDXL unCLIP, the paper's generator (section 3.2), from its `sgm` checkpoint.

SDXL's U-Net and VAE, with two changes: the cross-attention takes 1,664-wide tokens (256 OpenCLIP
ViT-bigG/14 patch tokens), and the vector condition is only the original size and the crop: (height,
width, top, left), each as 256 sines and cosines. Brain-IT runs it at 256 x 256 with crop 0.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainit.core.compat import diffusers_models
from brainit.features.generator import Generator
from brainit.features.sgm_names import (
    UNET_PREFIX,
    VAE_PREFIX,
    from_sgm,
    names_of_unet,
    names_of_vae,
)
from brainit.features.weights_file import REFETCH, load_state

SDXL_SCALING = 0.13025
"""SDXL's factor from the VAE's latents to those of the U-Net."""


@dataclass(frozen=True)
class SdxlSize:
    """Size of a U-Net and a VAE of SDXL's structure; the defaults are MindEye2's unCLIP."""

    image_size: int = 256
    channels: tuple[int, ...] = (320, 640, 1280)
    transformers: tuple[int, ...] = (1, 2, 10)
    n_resnets: int = 2
    head_width: int = 64
    token_width: int = 1664
    n_tokens: int = 256
    size_width: int = 256
    pooled_width: int = 0
    n_sizes: int = 4
    vae_channels: tuple[int, ...] = (128, 256, 512, 512)
    norm_groups: int = 32


UNCLIP6 = SdxlSize()
SDXL = replace(UNCLIP6, image_size=768, token_width=2048, n_tokens=77, pooled_width=1280, n_sizes=6)
"""SDXL itself: text tokens, a pooled text vector, and the target size as a third pair."""


def unet_config(size: SdxlSize) -> dict[str, Any]:
    """Return the arguments of diffusers' `UNet2DConditionModel`.

    The first level has no attention. diffusers' `attention_head_dim` means the number of heads.
    """
    down = ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (len(size.channels) - 1)
    up = ("CrossAttnUpBlock2D",) * (len(size.channels) - 1) + ("UpBlock2D",)
    return {
        "sample_size": size.image_size // 2 ** (len(size.vae_channels) - 1),
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": size.channels,
        "down_block_types": down,
        "up_block_types": up,
        "layers_per_block": size.n_resnets,
        "transformer_layers_per_block": size.transformers,
        "attention_head_dim": tuple(width // size.head_width for width in size.channels),
        "use_linear_projection": True,
        "cross_attention_dim": size.token_width,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": size.size_width,
        "projection_class_embeddings_input_dim": size.pooled_width + size.n_sizes * size.size_width,
        "norm_num_groups": size.norm_groups,
    }


def vae_config(size: SdxlSize) -> dict[str, Any]:
    """Return the arguments of diffusers' `AutoencoderKL`."""
    n_levels = len(size.vae_channels)
    return {
        "block_out_channels": size.vae_channels,
        "down_block_types": ("DownEncoderBlock2D",) * n_levels,
        "up_block_types": ("UpDecoderBlock2D",) * n_levels,
        "layers_per_block": size.n_resnets,
        "latent_channels": 4,
        "norm_num_groups": size.norm_groups,
        "sample_size": size.image_size,
        "scaling_factor": SDXL_SCALING,
    }


def build_parts(size: SdxlSize) -> tuple[nn.Module, nn.Module]:
    """Return an untrained U-Net and VAE on torch's default device."""
    unet_class, vae_class = diffusers_models()
    return unet_class(**unet_config(size)), vae_class(**vae_config(size))


def load_parts(
    path: Path, published: dict[str, Tensor], size: SdxlSize
) -> tuple[nn.Module, nn.Module]:
    """Return U-Net and VAE in float32 from the parameters of an `sgm` checkpoint.

    Raises `PipelineError` that lists missing and unknown parameters of either.
    """
    with torch.device("meta"):
        unet, vae = build_parts(size)
    for model, prefix, names_of in (
        (unet, UNET_PREFIX, names_of_unet),
        (vae, VAE_PREFIX, names_of_vae),
    ):
        model_state = model.state_dict()
        part = {n: v.float() for n, v in published.items() if n.startswith(prefix)}
        state = from_sgm(part, names_of(model_state), model_state)
        load_state(path, model, state, assign=True, fix=REFETCH)
    return unet, vae


def load_unclip6(path: Path, published: dict[str, Tensor], size: SdxlSize = UNCLIP6) -> Generator:
    """Return MindEye2's unCLIP as a generator of images of `size.image_size` pixels.

    Raises `PipelineError` that lists missing and unknown parameters.
    """
    return generator_of(*load_parts(path, published, size), size)


def generator_of(unet: nn.Module, vae: nn.Module, size: SdxlSize) -> Generator:
    """Return a U-Net and a VAE of this size as a generator."""
    return Generator(
        unet=unet,
        vae=vae,
        image_size=size.image_size,
        n_tokens=size.n_tokens,
        token_width=size.token_width,
        size_condition=(size.image_size, size.image_size, 0, 0),
    )
