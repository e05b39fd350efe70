"""Convert parameter names of SDXL models between Stability's `sgm` checkpoints and diffusers.

Both layouts hold the same tensors. `sgm` numbers the U-Net's blocks consecutively, diffusers by
level. The VAE's attention is a 1 x 1 convolution in `sgm` and a linear layer in diffusers, and the
two number the levels of its decoder from opposite ends.
"""

import re
from collections.abc import Mapping

from torch import Tensor

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."

_ENDS = (
    ("conv_in", "input_blocks.0.0"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
    ("mid_block.resnets.0", "middle_block.0"),
    ("mid_block.attentions.0", "middle_block.1"),
    ("mid_block.resnets.1", "middle_block.2"),
)
_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
_VAE_ATTENTION = (
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
)


def unet_to_sgm(name: str, has_attention: Mapping[int, bool], n_resnets: int = 2) -> str:
    """Return the `sgm` name (without prefix) of a parameter of diffusers' U-Net.

    `has_attention` tells which levels of the up path have transformers; `n_resnets` is the number
    of residual blocks per level of the down path (SDXL: 2).
    """
    for ours, theirs in _ENDS:
        if name.startswith(f"{ours}."):
            return theirs + _resnet(name[len(ours) :], ".resnets." in f".{ours}.")
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    if not match:
        return name
    way, level, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    per_level = n_resnets + 1
    if way == "down":
        block = 1 + level * per_level
        if kind == "downsamplers":
            return f"input_blocks.{block + n_resnets}.0.op.{rest.removeprefix('conv.')}"
        inner = f"input_blocks.{block + index}"
    else:
        if kind == "upsamplers":
            after = 2 if has_attention[level] else 1
            return f"output_blocks.{level * per_level + n_resnets}.{after}.{rest}"
        inner = f"output_blocks.{level * per_level + index}"
    if kind == "attentions":
        return f"{inner}.1.{rest}"
    return f"{inner}.0{_resnet(f'.{rest}', True)}"


def _resnet(rest: str, is_resnet: bool) -> str:
    """Rename a parameter within a residual block; `rest` begins with a dot."""
    if is_resnet:
        for ours, theirs in _RESNET:
            if rest.startswith(f".{ours}."):
                return f".{theirs}{rest[len(ours) + 1 :]}"
    return rest


def vae_to_sgm(name: str, n_levels: int = 4) -> str:
    """Return the `sgm` name (without prefix) of a parameter of diffusers' VAE of `n_levels`."""
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    attention = re.fullmatch(r"(\w+)\.mid_block\.attentions\.0\.(.+)\.(\w+)", name)
    if attention:
        return f"{attention[1]}.mid.attn_1.{dict(_VAE_ATTENTION)[attention[2]]}.{attention[3]}"
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    match = re.fullmatch(r"decoder\.up_blocks\.(\d)\.(resnets|upsamplers)\.(\d)\.(.+)", name)
    if not match:
        return name
    level = f"decoder.up.{n_levels - 1 - int(match[1])}"
    inner = f"block.{match[3]}" if match[2] == "resnets" else "upsample"
    return f"{level}.{inner}.{match[4]}"


def names_of_unet(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Map the names of a diffusers U-Net's state dict to their `sgm` names."""
    levels = {int(match[1]) for n in state if (match := re.match(r"up_blocks\.(\d+)\.", n))}
    attended = {
        lv: any(n.startswith(f"up_blocks.{lv}.attentions.") for n in state) for lv in levels
    }
    resnets = [n for n in state if re.match(r"down_blocks\.0\.resnets\.\d+\.conv1\.weight", n)]
    return {name: UNET_PREFIX + unet_to_sgm(name, attended, len(resnets)) for name in state}


def names_of_vae(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Map the names of a diffusers VAE's state dict to their `sgm` names."""
    levels = {match[1] for n in state if (match := re.match(r"encoder\.down_blocks\.(\d)\.", n))}
    return {name: VAE_PREFIX + vae_to_sgm(name, len(levels)) for name in state}


def from_sgm(
    published: Mapping[str, Tensor], names: Mapping[str, str], model_state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Rename the tensors of `published` to diffusers' names; unknown ones keep their `sgm` names.

    `names` maps diffusers' names to `sgm`'s; tensors get the number of axes that they have in
    `model_state`, the model's state dict.
    """
    back = {theirs: ours for ours, theirs in names.items()}
    state = {}
    for name, value in published.items():
        ours = back.get(name, name)
        wanted = model_state[ours].ndim if ours in model_state else value.ndim
        state[ours] = value[:, :, 0, 0] if (value.ndim, wanted) == (4, 2) else value
    return state


def to_sgm(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Convert a diffusers state dict to `sgm`'s names and shapes: the inverse of `from_sgm`."""
    published = {}
    for name, value in state.items():
        theirs = names[name]
        is_convolution = re.search(r"\.attn_1\.\w+\.weight$", theirs) and value.ndim == 2
        published[theirs] = value[:, :, None, None] if is_convolution else value
    return published
