"""MindEye2 fine-tuned for a new subject by LoRA and Skip-LoRA, after MindTuner (2404.12630).

Placement, rank and weights are a third party's: LoRA on every linear layer of backbone and
projector; skips from the raw voxels to the latent, to each residual block's output and to the
tokens. Frozen are the pre-trained weights and the prior; the subject layer trains.

On the released, linear backbone the LoRA of the channel mixer and the skips of the blocks would
never reach the output, so they are left out: `residual: drawn` has all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from brainit.core.artifacts import Contract, read_artifact
from brainit.core.seeds import seeded_init
from brainit.core.settings import Settings
from brainit.models.brain_decoder import DecoderSpec, SubjectBatch
from brainit.models.peers.adapters import SkipLora, use_lora
from brainit.models.peers.mindeye2 import Mindeye2, Mindeye2Decoder, sizes_of
from brainit.models.peers.mindeye2_network import N_BLOCKS
from brainit.models.peers.peer_decoder import ATTRIBUTES, load_state, require_semantic
from brainit.models.subject_voxels import subject_slices, voxel_counts

LORA_SIZES = ("rank", "alpha")


class LoraSkip(Mindeye2):
    """MindEye2 of one subject, with adapters; `sizes` also holds `LORA_SIZES`."""

    def __init__(
        self, n_voxels: Sequence[int], n_tokens: int, token_width: int, sizes: dict[str, Any]
    ) -> None:
        super().__init__(n_voxels, n_tokens, token_width, sizes)
        rank, alpha, width = sizes["rank"], sizes["alpha"], sizes["width"]
        n_outputs = n_tokens * token_width
        is_drawn = sizes["residual"] == "drawn"
        self.is_adapted = False
        n_skips = 1 + (N_BLOCKS if is_drawn else 0)
        self.skips = nn.ModuleList(
            SkipLora(n_voxels[0], width, rank, alpha) for _ in range(n_skips)
        )
        self.token_skip = SkipLora(n_voxels[0], n_outputs, rank, alpha)

    def adapt(self) -> None:
        """Freeze the pre-trained weights and give the linear layers their LoRA, once.

        `seed` draws it, apart from all other weights.
        """
        assert not self.is_adapted
        self.is_adapted = True
        rank, alpha = self.sizes["rank"], self.sizes["alpha"]
        for parameter in (*self.backbone.parameters(), *self.prior.parameters()):
            parameter.requires_grad_(False)
        places = ["backbone_linear", "clip_proj"]
        if self.sizes["residual"] == "drawn":
            places.append("mixer_blocks1")
        kept = nn.Module()
        for name in places:
            setattr(kept, name, getattr(self.backbone, name))
        with seeded_init(self.seed, "lora_skip", "adapters"):
            use_lora(kept, rank, alpha)
        for name in places:
            setattr(self.backbone, name, getattr(kept, name))

    def layers_and_skips(
        self, groups: Sequence[SubjectBatch]
    ) -> tuple[Float[Tensor, "batch tokens out"], list[tuple[Tensor, Tensor]]]:
        """Return the backbone's tokens, and each layer's output with its skip, tokens left out."""
        assert len(groups) == 1, "the adapters are of one subject"
        voxels = groups[0].betas
        skips = [skip(voxels) for skip in self.skips]
        latent = self.latents(groups)
        pairs = [(latent, skips[0])]
        mixed = latent + skips[0]
        if self.backbone.residual == "drawn":
            for block, skip in zip(self.backbone.mixer_blocks1, skips[1:], strict=True):
                mixed = mixed + block(mixed)
                pairs.append((mixed, skip))
                mixed = mixed + skip
        else:
            mixed = self.backbone.mixed(mixed)
        tokens = self.backbone.tokens(mixed)
        return tokens + self.token_skip(voxels).reshape(tokens.shape), pairs

    def features(
        self, groups: Sequence[SubjectBatch]
    ) -> tuple[Float[Tensor, "batch tokens out"], Float[Tensor, "batch tokens out"]]:
        """Return the backbone's tokens and the projector's features."""
        tokens, _ = self.layers_and_skips(groups)
        return tokens, self.backbone.clip_proj(tokens)


@dataclass
class LoraSkipDecoder(Mindeye2Decoder):
    """MindEye2 with adapters of one subject; see `Decoder`."""

    name: ClassVar[str] = "lora_skip"
    contract: ClassVar[Contract] = Contract({}, ATTRIBUTES, free_tensors=True, made_by="adapt_peer")

    model: LoraSkip

    @classmethod
    def new(cls, spec: DecoderSpec) -> "LoraSkipDecoder":
        """Return a decoder whose adapters are not made yet; see `Decoder`."""
        require_semantic(spec.kind, cls.name)
        counts = list(spec.subjects.values())
        model = LoraSkip(counts, spec.n_queries, spec.out_width, all_sizes(spec.settings))
        model.seed = spec.settings.run.seed
        return cls(model, subject_slices(spec.subjects), spec.settings.features.semantic_tokens)

    @classmethod
    def load(cls, path: Path) -> "LoraSkipDecoder":
        """Read a decoder, on the CPU, in evaluation mode; see `Decoder`."""
        artifact = read_artifact(path, cls.name, cls.contract)
        counts, known = voxel_counts(path, artifact.attributes), artifact.attributes
        sizes = known["n_tokens"], known["token_width"], known["sizes"]
        model = LoraSkip(list(counts.values()), *sizes)
        model.adapt()
        load_state(path, model, artifact)
        model.seed = known["seed"]
        return cls(model.eval(), subject_slices(counts), known["network"])

    @classmethod
    def sizes_in(cls, settings: Settings) -> dict[str, Any]:
        """Return the sizes of the base and of its adapters, as the settings choose them."""
        return all_sizes(settings)


def all_sizes(settings: Settings) -> dict[str, Any]:
    """Return the sizes of the base and of its adapters."""
    adapters = {name: getattr(settings.lora_skip, name) for name in LORA_SIZES}
    return {**sizes_of(settings.mindeye2), **adapters}
