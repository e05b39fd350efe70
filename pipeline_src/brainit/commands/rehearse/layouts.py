"""Random weights of the published networks, in the layouts in which they are published.

Names and shapes are those of the networks that the loaders build, under their published names. The
values mean nothing: normal numbers of deviation 0.02, one for the scales of norms, so that numbers
stay finite. Nothing is fetched. The loaders check names and shapes when they read the files.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from brainit.core.compat import import_torchvision
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.features.dinov2 import DinoSize, build_dinov2
from brainit.features.lpips import CHANNELS as LPIPS_CHANNELS
from brainit.features.published_metrics import OPENAI_CLIP
from brainit.features.semantic_tokens import BIGG14, build_clip, openclip_config
from brainit.features.sgm_names import names_of_unet, names_of_vae, to_sgm
from brainit.features.text_towers import BIGG_TEXT, CLIP_L_TEXT, build_tower
from brainit.features.unclip import SDXL, UNCLIP6, SdxlSize, build_parts
from brainit.features.weights_file import renamed

Shapes = dict[str, tuple[int, ...]]

_PUBLISHED_PATCHES = 37**2
"""DINOv2 is published for 518 px: 37 x 37 patches."""
_STD = 0.02
_HALF = ("zavychromaxl_v30",)
"""Networks that are published in float16; the others in float32."""


@dataclass(frozen=True)
class NetworkSizes:
    """Depth of the large networks; the defaults are the published ones. Widths are never changed.

    `clip_layers` None: as many blocks as published, in each image and text tower.
    """

    dinov2: DinoSize = DinoSize()
    clip_layers: int | None = None
    unclip: SdxlSize = UNCLIP6
    refiner: SdxlSize = SDXL

    def vision(self, model: str) -> dict[str, Any]:
        """Return open_clip's architecture of the model of this name, at this depth."""
        architecture = openclip_config(model)
        if self.clip_layers is not None:
            architecture["vision_cfg"] = {**architecture["vision_cfg"], "layers": self.clip_layers}
        return architecture

    def texts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the sizes of the refiner's two text towers, at this depth."""
        towers = [dict(CLIP_L_TEXT), dict(BIGG_TEXT)]
        for tower in towers:
            tower["layers"] = self.clip_layers or tower["layers"]
        return towers[0], towers[1]


def of_depth(n_layers: int | None) -> NetworkSizes:
    """Return networks of true widths with `n_layers` blocks and U-Nets of two levels.

    A level of U-Net or VAE has one residual block. None returns the published depth.
    """
    if n_layers is None:
        return NetworkSizes()
    taps = tuple(sorted({min(layer, n_layers) for layer in DinoSize().layers}))
    unclip, refiner = (
        replace(size, channels=size.channels[:2], transformers=(1, 1), n_resnets=1)
        for size in (UNCLIP6, SDXL)
    )
    dinov2 = replace(DinoSize(), n_blocks=n_layers, layers=taps)
    return NetworkSizes(dinov2, n_layers, unclip, refiner)


def published_shapes(name: str, sizes: NetworkSizes) -> Shapes:
    """Return shape by published name of a network's parameters.

    Raises `PipelineError` for a network whose layout is not known here.
    """
    layouts = _layouts()
    if name not in layouts:
        raise PipelineError(
            f"the layout of {name}",
            f"one of the networks {', '.join(layouts)}",
            name,
            "name one of these in the section features, or add it to brainit/commands/rehearse",
            code="unknown-name",
        )
    return layouts[name](sizes)


def _layouts() -> Mapping[str, Callable[[NetworkSizes], Shapes]]:
    return {
        "dinov2_vitl14_reg": _dinov2,
        "openclip_vit_bigg14": lambda sizes: _visual(sizes.vision(BIGG14)),
        "clip_vit_l14": lambda sizes: _visual(sizes.vision(OPENAI_CLIP)),
        "vgg16_bn": lambda sizes: _torchvision("vgg16_bn", "features."),
        "unclip6": lambda sizes: _sdxl(sizes.unclip),
        "zavychromaxl_v30": _refiner,
        "alexnet": lambda sizes: _torchvision("alexnet", "features."),
        "inception_v3": lambda sizes: _torchvision("inception_v3", init_weights=False),
        "efficientnet_b1": lambda sizes: _torchvision("efficientnet_b1"),
        "swav_resnet50": lambda sizes: _prefixed("module.", _torchvision("resnet50", "", "fc.")),
        "lpips_alex": lambda sizes: {
            **_torchvision("alexnet", "features."),
            **{f"lin{n}.model.1.weight": (1, c, 1, 1) for n, c in enumerate(LPIPS_CHANNELS)},
        },
    }


_DINOV2_NAMES = (
    (r"class_token", "cls_token"),
    (r"registers", "register_tokens"),
    (r"position", "pos_embed"),
    (r"patch_embedding\.(\w+)", r"patch_embed.proj.\1"),
    (r"blocks\.(\d+)\.qkv\.(\w+)", r"blocks.\1.attn.qkv.\2"),
    (r"blocks\.(\d+)\.projection\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"blocks\.(\d+)\.scale([12])\.gamma", r"blocks.\1.ls\2.gamma"),
    (r"blocks\.(\d+)\.mlp\.0\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    (r"blocks\.(\d+)\.mlp\.2\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
)
_CLIP_L_NAMES = (
    (r"token_embedding\.weight", "embeddings.token_embedding.weight"),
    (r"positional_embedding", "embeddings.position_embedding.weight"),
    (r"ln_final\.(\w+)", r"final_layer_norm.\1"),
    (r"transformer\.resblocks\.(\d+)\.ln_([12])\.(\w+)", r"encoder.layers.\1.layer_norm\2.\3"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.(\w+)", r"encoder.layers.\1.mlp.fc1.\2"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj\.(\w+)", r"encoder.layers.\1.mlp.fc2.\2"),
    (r"transformer\.resblocks\.(\d+)\.attn\.(out_proj\.\w+)", r"encoder.layers.\1.self_attn.\2"),
)
_JOINED = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(\w+)")


def _renamed(shapes: Shapes, patterns: Sequence[tuple[str, str]]) -> Shapes:
    """Rename each parameter by the pattern that matches its whole name; keep all others."""
    return {renamed(name, patterns): shape for name, shape in shapes.items()}


def _prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {f"{prefix}{name}": shape for name, shape in shapes.items()}


def _shapes_of(network: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _dinov2(sizes: NetworkSizes) -> Shapes:
    with torch.device("meta"):
        shapes = _renamed(_shapes_of(build_dinov2(sizes.dinov2)), _DINOV2_NAMES)
    width = sizes.dinov2.width
    unused: Shapes = {"mask_token": (1, width), "norm.weight": (width,), "norm.bias": (width,)}
    return {**shapes, **unused, "pos_embed": (1, 1 + _PUBLISHED_PATCHES, width)}


def _visual(architecture: dict[str, Any]) -> Shapes:
    with torch.device("meta"):
        clip: Any = build_clip(architecture)
    return _prefixed("visual.", _shapes_of(clip.visual))


def _torchvision(name: str, kept: str = "", dropped: str | None = None, **options: Any) -> Shapes:
    """Return torchvision's model without the parameters that `fetch_weights` does not keep."""
    import_torchvision()
    from torchvision.models import get_model

    with torch.device("meta"):
        shapes = _shapes_of(get_model(name, weights=None, **options))
    return {
        n: shape
        for n, shape in shapes.items()
        if n.startswith(kept) and not (dropped and n.startswith(dropped))
    }


def _sdxl(size: SdxlSize) -> Shapes:
    with torch.device("meta"):
        unet, vae = build_parts(size)
    states = ((unet.state_dict(), names_of_unet), (vae.state_dict(), names_of_vae))
    return {
        name: tuple(value.shape)
        for state, names_of in states
        for name, value in to_sgm(state, names_of(state)).items()
    }


def _refiner(sizes: NetworkSizes) -> Shapes:
    small, big = sizes.texts()
    clip_l = _shapes_of(build_tower(small, quick_gelu=True, has_projection=False))
    for name in list(clip_l):
        if match := _JOINED.fullmatch(name):
            shape = clip_l.pop(name)
            for part in "qkv":
                full = f"encoder.layers.{match[1]}.self_attn.{part}_proj.{match[2]}"
                clip_l[full] = (shape[0] // 3, *shape[1:])
    bigg = _shapes_of(build_tower(big, quick_gelu=False, has_projection=True))
    return {
        **_sdxl(sizes.refiner),
        **_prefixed(
            "conditioner.embedders.0.transformer.text_model.", _renamed(clip_l, _CLIP_L_NAMES)
        ),
        **_prefixed("conditioner.embedders.1.model.", bigg),
    }


def write_weights(path: Path, name: str, sizes: NetworkSizes) -> None:
    """Write random weights of a published network as `fetch_weights` would write its own."""
    dtype = np.float16 if name in _HALF else np.float32
    write_random(path, published_shapes(name, sizes), dtype)


def write_random(
    path: Path, shapes: Shapes, dtype: Any = np.float32, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file of random tensors; in memory they share one block of numbers."""
    numbers = _numbers(max(prod(shape) for shape in shapes.values())).astype(dtype)
    ones = np.ones(max(shape[0] for shape in shapes.values() if len(shape) == 1), dtype)
    tensors = {n: _values(n, shape, numbers, ones) for n, shape in shapes.items()}
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata=metadata)


@cache
def _numbers(n: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(n, dtype=np.float32) * np.float32(_STD)


def _values(
    name: str, shape: tuple[int, ...], numbers: NDArray[Any], ones: NDArray[Any]
) -> NDArray[Any]:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) == 1 and name.rpartition(".")[2] in ("weight", "gamma", "running_var"):
        return ones[: shape[0]]
    return numbers[: prod(shape)].reshape(shape)
