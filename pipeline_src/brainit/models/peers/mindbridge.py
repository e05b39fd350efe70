"""MindBridge's aggregation and losses with one image head to our tokens, and its file.

Voxels are pooled in their stored order (vertices, hemisphere by hemisphere), without anatomy, as in
the release. Its tokens leave with length 1 and get the mean norm of the training tokens. It has no
text branch, and no best of eight chosen by the true image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from brainit.core.artifacts import Contract, TensorSpec, read_artifact
from brainit.core.settings import MindbridgeSettings, Settings
from brainit.models.brain_decoder import DecoderSpec, SubjectBatch, TokenNetwork, voxels_of
from brainit.models.peers.mindbridge_network import MindBridge, normalised, pooled
from brainit.models.peers.peer_decoder import (
    ATTRIBUTES,
    PeerDecoder,
    load_state,
    require_semantic,
)
from brainit.models.subject_voxels import subject_slices, voxel_counts

BRIDGE_SIZES = ("n_bins", "width", "n_blocks", "bottleneck")


class BridgeNetwork(TokenNetwork):
    """MindBridge of some subjects (`voxels` by name), with the tokens' norm."""

    token_norm: Tensor

    def __init__(
        self,
        voxels: dict[str, slice],
        n_tokens: int,
        token_width: int,
        sizes: dict[str, Any],
    ) -> None:
        super().__init__()
        self.n_queries, self.out_width, self.sizes = n_tokens, token_width, sizes
        self.name_of = {part.start: name for name, part in voxels.items()}
        n_outputs = n_tokens * token_width
        self.bridge = MindBridge(list(voxels), **sizes, outputs={"image": n_outputs})
        self.register_buffer("token_norm", torch.ones(1))

    def pooled(self, group: SubjectBatch) -> Float[Tensor, "trials bins"]:
        """Return the pooled responses of a group."""
        return pooled(group.betas, self.bridge.n_bins)

    def embedded(self, groups: Sequence[SubjectBatch]) -> Float[Tensor, "batch width"]:
        """Return the shared space of several subjects' examples, groups one after the other."""
        names = [self.name_of[group.voxels.start] for group in groups]
        pairs = zip(names, groups, strict=True)
        return torch.cat([self.bridge.embed(name, self.pooled(group)) for name, group in pairs])

    def tokenize_mixed(self, groups: Sequence[SubjectBatch]) -> Float[Tensor, "batch 1 width"]:
        """Return the shared space as brain tokens, one an example."""
        return self.embedded(groups)[:, None]

    def decode(
        self,
        brain_tokens: Float[Tensor, "batch 1 width"],
        query_index: Int[Tensor, "batch queries"] | None = None,
    ) -> Float[Tensor, "batch queries out"]:
        """Return all predicted tokens, with the norm of the training tokens."""
        assert query_index is None, "the tokens share their norm"
        flat = normalised(self.bridge.predict(brain_tokens[:, 0])) * self.token_norm
        return flat.reshape(len(flat), self.n_queries, self.out_width)

    def forward(
        self, betas: Float[Tensor, "batch voxels"], voxels: slice
    ) -> Float[Tensor, "batch queries out"]:
        """Return the tokens of examples of one subject."""
        return self.decode(self.tokenize_mixed([SubjectBatch(betas, voxels)]))


@dataclass
class MindbridgeDecoder(PeerDecoder):
    """MindBridge of some subjects; see `Decoder`."""

    name: ClassVar[str] = "mindbridge"
    contract: ClassVar[Contract] = Contract(
        {"token_norm": TensorSpec("float32", ("one",))},
        ATTRIBUTES,
        free_tensors=True,
        made_by="train_peer or adapt_peer",
    )

    model: BridgeNetwork

    @classmethod
    def new(cls, spec: DecoderSpec) -> "MindbridgeDecoder":
        """Return an untrained decoder over the voxels of `spec`; see `Decoder`."""
        require_semantic(spec.kind, cls.name)
        slices = subject_slices(spec.subjects)
        sizes = bridge_sizes(spec.settings.mindbridge)
        model = BridgeNetwork(slices, spec.n_queries, spec.out_width, sizes)
        return cls(model, slices, spec.settings.features.semantic_tokens)

    @classmethod
    def load(cls, path: Path) -> "MindbridgeDecoder":
        """Read a decoder, on the CPU, in evaluation mode; see `Decoder`."""
        artifact = read_artifact(path, cls.name, cls.contract)
        known = artifact.attributes
        slices = subject_slices(voxel_counts(path, known))
        model = BridgeNetwork(slices, known["n_tokens"], known["token_width"], known["sizes"])
        load_state(path, model, artifact)
        return cls(model.eval(), slices, known["network"])

    @classmethod
    def sizes_in(cls, settings: Settings) -> dict[str, Any]:
        """Return the sizes that the settings choose."""
        return bridge_sizes(settings.mindbridge)

    def retrieval_features(
        self, subject: str, betas: Float[Tensor, "trials voxels"]
    ) -> Float[Tensor, "trials queries out"]:
        """Return the features by which a response retrieves images: its tokens."""
        return self.model(betas, voxels_of(self.subjects, subject, betas))


def bridge_sizes(settings: MindbridgeSettings) -> dict[str, Any]:
    """Return the sizes that the settings choose."""
    return {name: getattr(settings, name) for name in BRIDGE_SIZES}
