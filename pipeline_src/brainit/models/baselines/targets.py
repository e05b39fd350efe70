"""Image features that ridge predicts: semantic tokens, VGG maps, pixels; images by `nsd_id`.

VGG maps are predicted, not the BIT's tokens made of them: ridge commutes with such linear maps, and
the maps have fewer values (1.5 of 3.7 million).
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.device import frozen_precision, run_device
from brainit.core.settings import Settings
from brainit.core.shards import ShardedArray
from brainit.data.images import ImageStore, resize_images
from brainit.features.registry import load_backbone

PIXELS = "pixels"
"""In place of a network's name: the image itself."""


@runtime_checkable
class Targets(Protocol):
    """Features of images: `shape` of one image's, as they are stored.

    `slices` of the flattened features are the parts that get a penalty of their own. `network`
    names what computes them.
    """

    shape: tuple[int, ...]
    slices: tuple[slice, ...]
    network: str

    def of(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the flattened features (images, outputs)."""
        ...


class PixelTargets:
    """Pixels in [0, 1] at `side`, channels first."""

    def __init__(self, images: ImageStore, side: int) -> None:
        self.network = PIXELS
        self._images = images
        self.shape: tuple[int, ...] = (3, side, side)
        self.slices: tuple[slice, ...] = (slice(0, 3 * side * side),)

    def of(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the flattened pixels (images, outputs)."""
        resized = resize_images(self._images.images(images), self.shape[-1])
        return resized.flatten(1).numpy()


class TokenTargets:
    """Semantic tokens: read from cached shards if given, else computed by `features`."""

    def __init__(
        self,
        images: ImageStore,
        cached: ShardedArray | None,
        settings: Settings,
        weights: Path | None,
    ) -> None:
        self.network = settings.features.semantic_tokens
        self.shape: tuple[int, ...]
        self._images, self._cached, self._device = images, cached, run_device(settings)
        if cached is not None:
            self.shape = tuple(cached.row_shape)
        else:
            tower: Any = load_backbone("semantic_tokens", self.network, weights)
            tower.halve_contrast = settings.features.halve_contrast
            tower.use_precision(frozen_precision(settings, self._device))
            self._tower = tower.to(self._device)
            self.shape = (int(tower.n_tokens), int(tower.width))
        self.slices: tuple[slice, ...] = (slice(0, int(np.prod(self.shape))),)

    @torch.no_grad()
    def of(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the flattened tokens (images, outputs)."""
        if self._cached is not None:
            tokens = self._cached.rows(images).astype(np.float32)
        else:
            tokens = self._tower(self._images.images(images).to(self._device)).cpu().numpy()
        return tokens.reshape(len(images), -1)


class VggTargets:
    """The five VGG maps of an image, flattened one after the other, a part each."""

    def __init__(self, images: ImageStore, settings: Settings, weights: Path | None) -> None:
        self.network = settings.features.vgg
        self._images, self._device = images, run_device(settings)
        self._vgg: Any = load_backbone("vgg", self.network, weights).to(self._device)
        stops = np.cumsum([0, *(channels * side**2 for channels, side in map_sizes(self._vgg))])
        pairs = zip(stops[:-1].tolist(), stops[1:].tolist(), strict=True)
        self.slices: tuple[slice, ...] = tuple(slice(start, stop) for start, stop in pairs)
        self.shape: tuple[int, ...] = (int(stops[-1]),)

    @torch.no_grad()
    def of(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the flattened maps (images, outputs)."""
        maps = self._vgg(self._images.images(images).to(self._device))
        return torch.cat([each.flatten(1) for each in maps], dim=1).float().cpu().numpy()


def map_sizes(vgg: Any) -> list[tuple[int, int]]:
    """Return channels and side of each map of a network of the role `vgg`."""
    return list(zip(vgg.channels, vgg.map_sizes, strict=True))


def maps_of(
    values: Float[Tensor, "images values"], vgg: Any
) -> list[Float[Tensor, "images _channels _side _side"]]:
    """Return flattened maps as maps of the layers of `vgg`."""
    sizes = map_sizes(vgg)
    parts = torch.split(values, [channels * side**2 for channels, side in sizes], dim=1)
    pairs = zip(parts, sizes, strict=True)
    return [part.reshape(len(part), channels, side, side) for part, (channels, side) in pairs]


def open_targets(
    kind: str, stimuli: Path, tokens: Path | None, weights: Path | None, settings: Settings
) -> Targets:
    """Return the targets of the kind "semantic" or "lowlevel"; `tokens` are cached ones or None.

    Raises `PipelineError` where images, tokens or a network are missing.
    """
    images = ImageStore(stimuli)
    if kind == "semantic":
        cached = ShardedArray(tokens) if tokens else None
        return TokenTargets(images, cached, settings, weights)
    if settings.baselines.lowlevel == "vgg":
        return VggTargets(images, settings, weights)
    return PixelTargets(images, settings.baselines.pixel_side)
