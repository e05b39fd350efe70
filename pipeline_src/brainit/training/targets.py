"""Images of a batch's examples, and what the BITs are to predict of them (sections 3.2, D.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray
from brainit.data.images import ImageStore
from brainit.features.vgg_tokens import VggTokenLayout, maps_to_tokens, tokens_at
from brainit.training.examples import ExampleBatch


@dataclass(frozen=True)
class BatchImages:
    """Stimuli (by nsd_id) and external images (by number)."""

    stimuli: ImageStore
    external: ImageStore | None

    def of(self, batch: ExampleBatch) -> Float[Tensor, "batch rgb height width"]:
        """Return the images of a batch in its order, in [0, 1]."""
        stores = {False: self.stimuli, True: self.external}
        return _by_kind(batch, lambda kind, index: _require(stores[kind]).images(index))


def _require(store: ImageStore | None) -> ImageStore:
    if store is None:
        raise PipelineError("--external", "the external images", "none", "give --external")
    return store


def _by_kind(batch: ExampleBatch, read: Any) -> Tensor:
    """Read real and external examples apart and put them in the batch's order."""
    parts = [
        (
            np.flatnonzero(batch.is_external == kind),
            read(kind, batch.image[batch.is_external == kind]),
        )
        for kind in (False, True)
        if (batch.is_external == kind).any()
    ]
    order = np.argsort(np.concatenate([places for places, _ in parts]), kind="stable")
    return torch.cat([values for _, values in parts])[torch.from_numpy(order)]


class SemanticTargets:
    """Semantic tokens of a batch: from cached shards where given, else computed by the network."""

    def __init__(
        self, images: BatchImages, network: nn.Module, cached: Mapping[bool, ShardedArray]
    ) -> None:
        self.images, self.network, self.cached = images, network, dict(cached)

    @torch.no_grad()
    def of(self, batch: ExampleBatch, device: torch.device) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of a batch in its order, float32.

        They are computed in the network's own precision, whatever autocast is on around.
        """
        kinds = {bool(kind) for kind in batch.is_external}
        if kinds <= set(self.cached):
            return _by_kind(batch, self._read).to(device)
        with torch.autocast(device.type, enabled=False):
            return self.network(self.images.of(batch).to(device))

    def _read(self, kind: bool, index: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.cached[kind].rows(index).astype(np.float32))


class LowlevelTargets:
    """VGG tokens of a batch, layer by layer, computed when needed."""

    def __init__(self, images: BatchImages, network: nn.Module) -> None:
        vgg: Any = network
        self.images, self.network = images, network
        self.layout = VggTokenLayout(vgg.channels, vgg.map_sizes)

    @torch.no_grad()
    def of(
        self, batch: ExampleBatch, device: torch.device
    ) -> list[Float[Tensor, "batch _tokens _width"]]:
        """Return the token tables of the five layers of a batch, in its order.

        On a GPU they are computed as the BIT's forward pass is, in bfloat16 (autocast).
        """
        return maps_to_tokens(self._maps(batch, device))

    @torch.no_grad()
    def at(
        self, batch: ExampleBatch, positions: Sequence[Int[Tensor, "batch _queries"]]
    ) -> list[Float[Tensor, "batch _queries _width"]]:
        """Return the tokens at some positions of each layer, on the positions' device."""
        return tokens_at(self._maps(batch, positions[0].device), positions)

    def _maps(self, batch: ExampleBatch, device: torch.device) -> list[Tensor]:
        return self.network(self.images.of(batch).to(device))
