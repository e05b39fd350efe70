"""Semantic tokens: the patch tokens of an OpenCLIP vision tower (paper section 3.2).

Tokens are taken after the final LayerNorm (`ln_post`), without the class token and before the
projection. open_clip returns them so with `output_tokens` since 2.24; older versions, which return
them before the LayerNorm, are refused. If `halve_contrast` is true, images in [0, 1] are mapped to
(x + 1) / 2 before CLIP's normalisation, as in MindEye2 and the released code.
"""

from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainit.core.compat import import_torchvision
from brainit.core.errors import PipelineError
from brainit.data.images import resize_images
from brainit.features.weights_file import REFETCH, load_state

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

BIGG14 = "ViT-bigG-14"
_OPEN_CLIP = (2, 24)
"""First version that returns tokens after `ln_post`."""


def build_clip(architecture: dict[str, Any]) -> nn.Module:
    """Return open_clip's CLIP model of the given `embed_dim`, `vision_cfg` and `text_cfg`.

    Raises `PipelineError` where open_clip is older than 2.24.
    """
    version = metadata.version("open_clip_torch")
    if tuple(int(number) for number in version.split(".")[:2]) < _OPEN_CLIP:
        fix = "run `make setup`, which installs the pinned version"
        expected = "version 2.24 or later"
        raise PipelineError("open_clip_torch", expected, version, fix, code="not-installed")
    import_torchvision()
    from open_clip.model import CLIP

    return CLIP(
        embed_dim=architecture["embed_dim"],
        vision_cfg=architecture["vision_cfg"],
        text_cfg=architecture["text_cfg"],
        quick_gelu=architecture.get("quick_gelu", False),
        output_dict=False,
    )


def openclip_config(model: str) -> dict[str, Any]:
    """Return open_clip's architecture of the model of this name."""
    import_torchvision()
    import open_clip

    return dict(open_clip.get_model_config(model))


class SemanticTokens(nn.Module):
    """Patch tokens of a CLIP vision tower.

    Parameters
    ----------
    clip
        An open_clip `CLIP` whose vision tower was built with `output_tokens`.
    halve_contrast
        Map images to (x + 1) / 2 first (a switch of MindEye2's embedder).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, clip: nn.Module, halve_contrast: bool = True) -> None:
        super().__init__()
        self.clip = clip
        self.halve_contrast = halve_contrast
        visual: Any = clip.visual
        if not visual.output_tokens:
            raise ValueError("the vision tower must be built with output_tokens=True")
        self.image_size = int(visual.image_size[0])
        self.n_tokens = int(visual.grid_size[0] * visual.grid_size[1])
        self.width = int(visual.ln_post.normalized_shape[0])
        self.register_buffer("mean", torch.tensor(CLIP_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CLIP_STD).view(3, 1, 1), persistent=False)

    def use_precision(self, dtype: torch.dtype) -> None:
        """Convert the tower to `dtype`; images are prepared and tokens returned in float32."""
        self.clip.to(dtype)

    def prepare(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> Float[Tensor, "batch rgb size size"]:
        """Resize and normalise images in [0, 1] for the vision tower."""
        x = resize_images(images, self.image_size)
        if self.halve_contrast:
            x = (x + 1) / 2
        return (x - self.mean) / self.std

    def forward(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> Float[Tensor, "batch tokens features"]:
        """Return the patch tokens of images in [0, 1]."""
        visual: Any = self.clip.visual
        prepared = self.prepare(images)
        _, tokens = visual(prepared.to(visual.conv1.weight.dtype))
        return tokens.to(prepared.dtype)


def build_semantic_tokens(architecture: dict[str, Any]) -> SemanticTokens:
    """Return an untrained network of the given architecture."""
    return SemanticTokens(build_clip(architecture))


def load_openclip(
    path: Path, published: dict[str, Tensor], architecture: dict[str, Any] | None = None
) -> SemanticTokens:
    """Return the token network from an open_clip state dict (`architecture` None: ViT-bigG/14).

    Keeps only the image tower, built on `meta` so that the weights are in memory only once. Raises
    `PipelineError` that lists missing and unknown parameters.
    """
    architecture = architecture or openclip_config(BIGG14)
    vision = {**architecture["vision_cfg"], "output_tokens": True}
    with torch.device("meta"):
        clip: Any = build_clip({**architecture, "vision_cfg": vision})
    tower = nn.ModuleDict({"visual": clip.visual})
    state = {n: v.float() for n, v in published.items() if n.startswith("visual.")}
    load_state(path, tower, state, assign=True, fix=REFETCH)
    return SemanticTokens(tower)
