"""MindEye2's decoder on our tokens: subject layers, backbone, projector, diffusion prior; its file.

The prior's samples are the semantic tokens; the projector's features retrieve images (never the
other way). The release averages the backbone's tokens, and the projector's features, of an image's
repeats. Ours averages the responses (`nsd.average_test_repeats`), as for every row. Of the released
backbone, which is affine, the tokens are the same; of the drawn one, and features, they are not.

The low-level branch is not built: its targets need networks that the registry lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from brainit.core.artifacts import Contract, read_artifact
from brainit.core.seeds import torch_generator
from brainit.core.settings import Mindeye2Settings, Settings
from brainit.models.brain_decoder import DecoderSpec, SubjectBatch, TokenNetwork, voxels_of
from brainit.models.peers.mindeye2_network import Backbone, SubjectLayers
from brainit.models.peers.peer_decoder import (
    ATTRIBUTES,
    PeerDecoder,
    load_state,
    require_semantic,
)
from brainit.models.peers.prior_diffusion import sample_prior
from brainit.models.peers.prior_network import PriorNetwork
from brainit.models.subject_voxels import subject_slices, voxel_counts

SIZES = ("width", "residual", "prior_depth", "prior_heads", "prior_head_width")
"""Settings that a decoder's file must agree with."""


class Mindeye2(TokenNetwork):
    """The networks of several subjects; `ridge` has a layer for each, in their order.

    `sizes` are the values of `SIZES`; `seed` draws the noise of the prior's samples.
    """

    def __init__(
        self, n_voxels: Sequence[int], n_tokens: int, token_width: int, sizes: dict[str, Any]
    ) -> None:
        super().__init__()
        self.n_queries, self.out_width, self.sizes, self.seed = n_tokens, token_width, sizes, 0
        starts = torch.tensor([0, *n_voxels]).cumsum(0)[:-1].tolist()
        self.number_of = {start: number for number, start in enumerate(starts)}
        width = sizes["width"]
        self.ridge = SubjectLayers(list(n_voxels), width)
        self.backbone = Backbone(width, n_tokens, token_width, sizes["residual"])
        self.prior = PriorNetwork(
            n_tokens=n_tokens,
            width=token_width,
            depth=sizes["prior_depth"],
            n_heads=sizes["prior_heads"],
            head_width=sizes["prior_head_width"],
        )

    def latents(self, groups: Sequence[SubjectBatch]) -> Float[Tensor, "batch width"]:
        """Return the latents of several subjects' examples, groups one after the other."""
        return torch.cat([self.ridge(g.betas, self.number_of[g.voxels.start]) for g in groups])

    def features(
        self, groups: Sequence[SubjectBatch]
    ) -> tuple[Float[Tensor, "batch tokens out"], Float[Tensor, "batch tokens out"]]:
        """Return the backbone's tokens and the projector's features."""
        tokens, features = self.backbone(self.latents(groups))
        return tokens, features

    def tokenize_mixed(self, groups: Sequence[SubjectBatch]) -> Float[Tensor, "batch tokens out"]:
        """Return the backbone's tokens, which condition the prior."""
        return self.features(groups)[0]

    def decode(
        self,
        brain_tokens: Float[Tensor, "batch tokens out"],
        query_index: Int[Tensor, "batch queries"] | None = None,
    ) -> Float[Tensor, "batch queries out"]:
        """Return tokens that the prior samples, all of them; every example gets the same noise.

        So a sample depends on its response and the seed alone, not on the batch.
        """
        assert query_index is None, "the prior samples all tokens at once"
        noise = torch_generator(self.seed, "mindeye2", "prior")
        shape = (1, self.n_queries, self.out_width)

        def next_noise() -> Tensor:
            drawn = torch.randn(shape, generator=noise).to(brain_tokens.device)
            return drawn.expand(len(brain_tokens), -1, -1)

        return sample_prior(self.prior, brain_tokens, next_noise)

    def forward(
        self, betas: Float[Tensor, "batch voxels"], voxels: slice
    ) -> Float[Tensor, "batch queries out"]:
        """Return the sampled tokens of examples of one subject."""
        return self.decode(self.tokenize_mixed([SubjectBatch(betas, voxels)]))


@dataclass
class Mindeye2Decoder(PeerDecoder):
    """MindEye2 of some subjects; see `Decoder`."""

    name: ClassVar[str] = "mindeye2"
    contract: ClassVar[Contract] = Contract(
        {}, ATTRIBUTES, free_tensors=True, made_by="train_peer or adapt_peer"
    )

    model: Mindeye2

    @classmethod
    def new(cls, spec: DecoderSpec) -> "Mindeye2Decoder":
        """Return an untrained decoder over the voxels of `spec`; see `Decoder`."""
        require_semantic(spec.kind, cls.name)
        sizes = sizes_of(spec.settings.mindeye2)
        counts = list(spec.subjects.values())
        model = Mindeye2(counts, spec.n_queries, spec.out_width, sizes)
        model.seed = spec.settings.run.seed
        return cls(model, subject_slices(spec.subjects), spec.settings.features.semantic_tokens)

    @classmethod
    def load(cls, path: Path) -> "Mindeye2Decoder":
        """Read a decoder, on the CPU, in evaluation mode; see `Decoder`."""
        artifact = read_artifact(path, cls.name, cls.contract)
        counts = voxel_counts(path, artifact.attributes)
        known = artifact.attributes
        model = Mindeye2(
            list(counts.values()), known["n_tokens"], known["token_width"], known["sizes"]
        )
        load_state(path, model, artifact)
        model.seed = known["seed"]
        return cls(model.eval(), subject_slices(counts), known["network"])

    @classmethod
    def sizes_in(cls, settings: Settings) -> dict[str, Any]:
        """Return the sizes that the settings choose."""
        return sizes_of(settings.mindeye2)

    def retrieval_features(
        self, subject: str, betas: Float[Tensor, "trials voxels"]
    ) -> Float[Tensor, "trials queries out"]:
        """Return the features by which a response retrieves images: the projector's."""
        voxels = voxels_of(self.subjects, subject, betas)
        return self.model.features([SubjectBatch(betas, voxels)])[1]


def sizes_of(settings: Mindeye2Settings) -> dict[str, Any]:
    """Return the sizes that the settings choose."""
    return {name: getattr(settings, name) for name in SIZES}
