"""The published networks that score reconstructions (paper section 5.2; MindEye2's protocol).

| network | side in px | normalisation | tap |
| --- | --- | --- | --- |
| AlexNet | 256 | ImageNet | `features.4`, `features.11` |
| Inception v3 | 342 | ImageNet | `avgpool` |
| CLIP ViT-L/14 (OpenAI) | 224 | CLIP | the image embedding |
| EfficientNet-B1 (V2 weights) | 255 | ImageNet | `avgpool` |
| SwAV ResNet-50 | 224 | ImageNet | `avgpool` |

The models come from torchvision and open_clip, without their classifiers. Differs from MindEye2:
CLIP runs in float32 instead of the float16 of its file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainit.core.compat import import_torchvision
from brainit.features.resize import resize_images
from brainit.features.semantic_tokens import CLIP_MEAN, CLIP_STD, build_clip, openclip_config
from brainit.features.vgg import IMAGENET_MEAN, IMAGENET_STD
from brainit.features.weights_file import REFETCH, load_state

OPENAI_CLIP = "ViT-L-14-quickgelu"

EMBEDDING = "embedding"
"""Tap name of the network's output."""


class TappedNetwork(nn.Module):
    """A network whose intermediate outputs are features.

    Parameters
    ----------
    model
        Network for normalised images of `image_size` pixels a side.
    taps
        Names of the submodules whose outputs are the features; `EMBEDDING` is the model's output.
    image_size, mean, std
        Side in pixels to which images in [0, 1] are resized, and how they are normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        taps: Sequence[str],
        image_size: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.model, self.taps, self.image_size = model, tuple(taps), image_size
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> dict[str, Float[Tensor, "batch _features"]]:
        """Return the flattened features of images in [0, 1] at each tap."""
        seen: dict[str, Tensor] = {}
        hooks = [
            self.model.get_submodule(tap).register_forward_hook(
                lambda _module, _args, output, tap=tap: seen.update({tap: output})
            )
            for tap in self.taps
            if tap != EMBEDDING
        ]
        try:
            output = self.model((resize_images(images, self.image_size) - self.mean) / self.std)
        finally:
            for hook in hooks:
                hook.remove()
        return {tap: seen.get(tap, output).flatten(1) for tap in self.taps}


def _without(published: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {name: value for name, value in published.items() if not name.startswith(prefixes)}


def _torchvision_model(name: str, head: str, **options: Any) -> nn.Module:
    """Return torchvision's model on `meta`, its classifier `head` replaced by the identity."""
    import_torchvision()
    from torchvision.models import get_model

    with torch.device("meta"):
        model: nn.Module = get_model(name, weights=None, **options)
    setattr(model, head, nn.Identity())
    return model


def _load(path: Path, model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    load_state(path, model, state, assign=True, fix=REFETCH)
    return model


def load_alexnet(path: Path, published: dict[str, Tensor]) -> TappedNetwork:
    """Return AlexNet, tapped at the ReLUs of its second and fifth convolution."""
    model = _torchvision_model("alexnet", "classifier")
    model = _load(path, model, _without(published, "classifier."))
    return TappedNetwork(model, ("features.4", "features.11"), 256)


def load_inception_v3(path: Path, published: dict[str, Tensor]) -> TappedNetwork:
    """Return Inception v3; its `transform_input` turns ImageNet's normalisation into [-1, 1]."""
    options = {"transform_input": True, "aux_logits": False, "init_weights": False}
    model = _torchvision_model("inception_v3", "fc", **options)
    model = _load(path, model, _without(published, "fc.", "AuxLogits."))
    return TappedNetwork(model, ("avgpool",), 342)


def load_efficientnet_b1(path: Path, published: dict[str, Tensor]) -> TappedNetwork:
    """Return EfficientNet-B1."""
    model = _torchvision_model("efficientnet_b1", "classifier")
    model = _load(path, model, _without(published, "classifier."))
    return TappedNetwork(model, ("avgpool",), 255)


def load_swav_resnet50(path: Path, published: dict[str, Tensor]) -> TappedNetwork:
    """Return SwAV's ResNet-50; its file prefixes each name with `module.` and has SwAV's heads."""
    state = {name.removeprefix("module."): value for name, value in published.items()}
    model = _torchvision_model("resnet50", "fc")
    model = _load(path, model, _without(state, "projection_head.", "prototypes."))
    return TappedNetwork(model, ("avgpool",), 224)


def load_clip_vit_l14(
    path: Path, published: dict[str, Tensor], architecture: dict[str, Any] | None = None
) -> TappedNetwork:
    """Return the image tower of OpenAI's CLIP ViT-L/14, whose names are also open_clip's."""
    with torch.device("meta"):
        clip: Any = build_clip(architecture or openclip_config(OPENAI_CLIP))
    tower = nn.ModuleDict({"visual": clip.visual})
    state = {n: v.float() for n, v in published.items() if n.startswith("visual.")}
    load_state(path, tower, state, assign=True, fix=REFETCH)
    size = int(clip.visual.image_size[0])
    return TappedNetwork(clip.visual, (EMBEDDING,), size, CLIP_MEAN, CLIP_STD)
