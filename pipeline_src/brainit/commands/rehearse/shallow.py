"""The real loaders at reduced depth, for a rehearsal that only shows that the code runs.

`at_depth` names these in the registry's table of loaders while a step runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from brainit.commands.rehearse.layouts import NetworkSizes
from brainit.features import dinov2, published_metrics, refiner, semantic_tokens, unclip
from brainit.features.loaders import LOADERS

_SIZES = [NetworkSizes()]
_NAMES = {
    "encoder_backbone": "dinov2_vitl14_reg",
    "semantic_tokens": "openclip_vit_bigg14",
    "generator": "unclip6",
    "refiner": "zavychromaxl_v30",
    "metric": "clip_vit_l14",
}


@contextmanager
def at_depth(sizes: NetworkSizes) -> Iterator[None]:
    """Load the large networks at these sizes within the block."""
    before = {role: LOADERS[role][name] for role, name in _NAMES.items()}
    _SIZES.append(sizes)
    for role, name in _NAMES.items():
        LOADERS[role][name] = f"{__name__}:{name}"
    try:
        yield
    finally:
        _SIZES.pop()
        for role, name in _NAMES.items():
            LOADERS[role][name] = before[role]


def dinov2_vitl14_reg(path: Path, published: dict[str, Tensor]) -> nn.Module:
    """Return the encoder's backbone."""
    return dinov2.load_dinov2(path, published, _SIZES[-1].dinov2)


def openclip_vit_bigg14(path: Path, published: dict[str, Tensor]) -> nn.Module:
    """Return the token network."""
    architecture = _SIZES[-1].vision(semantic_tokens.BIGG14)
    return semantic_tokens.load_openclip(path, published, architecture)


def unclip6(path: Path, published: dict[str, Tensor]) -> nn.Module:
    """Return the generator."""
    return unclip.load_unclip6(path, published, _SIZES[-1].unclip)


def zavychromaxl_v30(path: Path, published: dict[str, Tensor]) -> nn.Module:
    """Return the refiner."""
    sizes = _SIZES[-1]
    return refiner.load_sdxl_refiner(path, published, sizes.refiner, sizes.texts())


def clip_vit_l14(path: Path, published: dict[str, Tensor]) -> Any:
    """Return CLIP's image tower, which scores reconstructions."""
    architecture = _SIZES[-1].vision(published_metrics.OPENAI_CLIP)
    return published_metrics.load_clip_vit_l14(path, published, architecture)
