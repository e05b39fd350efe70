"""Targets of stage 1: semantic tokens and VGG tokens of a batch's images (sections 3.2, D.2).

Each has a host's part, `read`, which a loader does ahead, and a device's part.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from brainit.core.device import frozen_precision
from brainit.core.settings import Settings
from brainit.core.shards import ShardedArray
from brainit.data.images import images_on
from brainit.features.registry import load_backbone
from brainit.features.token_cache import TokenCache, tokens_on
from brainit.features.vgg import VggTokenLayout, maps_to_tokens, tokens_at
from brainit.training.examples import BatchImages, ExampleBatch, are_cached, cached_into
from brainit.training.inputs import TokenFiles
from brainit.training.loader import Slot

TARGET_ROLES = {"lowlevel": "vgg", "semantic": "semantic_tokens"}
"""Role of the network whose features a BIT of each kind predicts."""


class SemanticTargets:
    """Semantic tokens of a batch: read from cached shards if given, else computed.

    `network` may be None where all kinds of images of a training are cached. Raises `PipelineError`
    where their caches differ in form.
    """

    def __init__(
        self,
        images: BatchImages,
        network: nn.Module | None,
        cached: Mapping[bool, ShardedArray],
    ) -> None:
        self.images, self.network = images, network
        self.cached = {kind: TokenCache(shards) for kind, shards in cached.items()}
        for cache in self.cached.values():
            cache.require_form_of(next(iter(self.cached.values())))

    @property
    def token_shape(self) -> tuple[int, int]:
        """Number and width of the tokens of an image."""
        if self.network is None:
            return next(iter(self.cached.values())).token_shape
        network: Any = self.network
        return int(network.n_tokens), int(network.width)

    def read(self, batch: ExampleBatch, slot: Slot) -> Tensor:
        """Return what the host holds of a batch: its rows of the cache, or its pixels."""
        if not are_cached(batch, self.cached):
            return self.images.pixels(batch, slot)
        first = next(iter(self.cached.values()))
        out = slot.empty("tokens", (len(batch), *first.row_shape), first.dtype)
        return cached_into(batch, self.cached, out)

    @torch.no_grad()
    def of(
        self, batch: ExampleBatch, device: torch.device, rows: Tensor | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of a batch in its order, float32.

        `rows` is what `read` returned for the batch, None reads it now. The network computes tokens
        in its own precision, also inside another autocast.
        """
        rows = self.read(batch, Slot()) if rows is None else rows
        if are_cached(batch, self.cached):
            return tokens_on(rows, device)
        assert self.network is not None
        with torch.autocast(device.type, enabled=False):
            return self.network(images_on(rows, device))


class LowlevelTargets:
    """VGG tokens of a batch, layer by layer, computed on the fly.

    The host holds a batch's pixels: `rows` is what `read` returned for it, None reads it now.
    """

    def __init__(self, images: BatchImages, network: nn.Module) -> None:
        vgg: Any = network
        self.images, self.network = images, network
        self.layout = VggTokenLayout(vgg.channels, vgg.map_sizes)

    @property
    def token_shape(self) -> tuple[int, int]:
        """Number and width of the tokens of an image."""
        return self.layout.n_tokens, self.layout.width

    def read(self, batch: ExampleBatch, slot: Slot) -> Tensor:
        """Return the pixels of a batch."""
        return self.images.pixels(batch, slot)

    @torch.no_grad()
    def of(
        self, batch: ExampleBatch, device: torch.device, rows: Tensor | None = None
    ) -> list[Float[Tensor, "batch _tokens _width"]]:
        """Return the token tables of the five layers of a batch, in its order, float32."""
        return maps_to_tokens(self._maps(batch, device, rows))

    @torch.no_grad()
    def at(
        self,
        batch: ExampleBatch,
        positions: Sequence[Int[Tensor, "batch _queries"]],
        rows: Tensor | None = None,
    ) -> list[Float[Tensor, "batch _queries _width"]]:
        """Return the tokens at some positions of each layer, float32, on the positions' device."""
        return tokens_at(self._maps(batch, positions[0].device, rows), positions)

    def _maps(self, batch: ExampleBatch, device: torch.device, rows: Tensor | None) -> list[Tensor]:
        rows = self.read(batch, Slot()) if rows is None else rows
        with torch.autocast(device.type, enabled=False):  # float32, as in the released code
            return self.network(images_on(rows, device))


def targets_of(
    kind: str,
    images: BatchImages,
    tokens: TokenFiles,
    weights: Path | None,
    settings: Settings,
    device: torch.device,
) -> SemanticTargets | LowlevelTargets:
    """Return the features that a BIT of this kind predicts.

    The token network is loaded only where tokens of some images are not cached.
    """
    if kind == "lowlevel":
        network = load_backbone("vgg", settings.features.vgg, weights)
        return LowlevelTargets(images, network.to(device))
    cached = tokens.open()
    needed = {False, True} if images.external is not None else {False}
    if needed <= set(cached):
        return SemanticTargets(images, None, cached)
    name = settings.features.semantic_tokens
    tower: Any = load_backbone("semantic_tokens", name, weights)
    tower.halve_contrast = settings.features.halve_contrast
    tower.use_precision(frozen_precision(settings, device))
    return SemanticTargets(images, tower.to(device), cached)


def highest(
    scores: Sequence[Float[Tensor, "images _tokens"]], counts: Sequence[int]
) -> list[Int[Tensor, "images _queries"]]:
    """Return the positions of the `counts` highest scores of each image and layer, at most all."""
    return [
        table.topk(min(count, table.shape[1]), dim=1).indices
        for table, count in zip(scores, counts, strict=True)
    ]
