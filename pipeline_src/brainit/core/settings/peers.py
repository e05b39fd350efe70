"""Settings of the peers, decoders of other papers on our data and tokens (not in P).

Defaults are those of each release; P, C as in `core.settings.models`.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from brainit.core.settings.base import Duration, Positive, Rate, Section, Share

Form = Literal["corrected", "released"]
_UNIQUE: dict[str, JsonValue] = {"uniqueItems": True}


class PeersSettings(Section):
    """Peers that the table `peers` compares: one data set, tokens and generator for all rows."""

    methods: Annotated[
        tuple[Literal["stage1", "mindeye2", "lora_skip", "mindbridge"], ...],
        Field(min_length=1, json_schema_extra=_UNIQUE),
    ] = ("stage1", "mindeye2", "lora_skip", "mindbridge")
    """Rows beside ridge; stage1: Brain-IT's stage 1 with the generator that peers have."""
    durations: Annotated[tuple[Duration, ...], Field(json_schema_extra=_UNIQUE)] = ("1h",)
    """Amounts of a new subject's data, also others than transfer's, beside 40h of nsd.evaluated."""
    n_subjects: Positive = 1
    """Subjects, the first of nsd.evaluated and of nsd.transfer."""

    @model_validator(mode="after")
    def _check_duplicates(self) -> "PeersSettings":
        for name in ("methods", "durations"):
            values = self.__dict__.get(name, ())
            if len(set(values)) < len(values):
                raise ValueError(f"peers.{name} has a duplicate: {', '.join(values)}")
        return self


class Mindeye2Settings(Section):
    """MindEye2 (arXiv 2403.11207, released code): sizes and training."""

    width: Positive = 4096
    """Width of the latent that all subjects share."""
    residual: Literal["released", "drawn"] = "drawn"
    """drawn: four residual blocks, as in its figure; released: a backbone that is linear."""
    prior_depth: Positive = 6
    """Blocks of the diffusion prior."""
    prior_heads: Positive = 32
    """Attention heads of the prior."""
    prior_head_width: Positive = 52
    """Width of each head of the prior."""
    prior_weight: Rate = 30.0
    """Weight of the prior's loss beside the contrastive one."""
    batch: Positive = 24
    """Examples per optimiser step, of all subjects together; repeated images are left out."""
    epochs: Positive = 150
    """Epochs; the last state is kept."""
    lr: Rate = 3.0e-4
    """Highest learning rate of AdamW, by one cycle of 2 epochs up and the rest down."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of all but biases."""
    mixed_share: Share = 0.33
    """First part of the epochs (49 of 150), with BiMixCo; SoftCLIP afterwards."""
    self_partners: Form = "corrected"
    """BiMixCo targets of examples that are their own partners; released: they lose their target."""
    across_subjects: Form = "corrected"
    """BiMixCo partners; released: those of later subjects are looked up among the first's."""
    transfer_epochs: Positive = 150
    """Epochs on a new subject, in which all weights train."""
    transfer_bias: Form = "corrected"
    """A new subject's layer; released: it has the bias of the first pre-training subject."""


class LoraSkipSettings(Section):
    """Fine-tuning of MindEye2 by LoRA and Skip-LoRA, after MindTuner (details: a third party)."""

    rank: Positive = 8
    """Rank of all adapters."""
    alpha: Rate = 8.0
    """The adapters are scaled by alpha / rank."""
    skip_weight: Annotated[float, Field(ge=0)] = 1.5
    """Weight of the mean |correlation| of layers' outputs with their skips."""
    skip_gradient: Form = "corrected"
    """That term; released: detached, so that it trains nothing."""
    batch: Positive = 10
    """Examples per optimiser step."""
    epochs: Positive = 150
    """Epochs on the new subject; the last state is kept."""
    lr: Rate = 3.0e-4
    """Highest learning rate; optimiser and schedule are those of MindEye2."""


class MindbridgeSettings(Section):
    """MindBridge (CVPR 2024, released code): sizes and training, with one image head."""

    n_bins: Positive = 8192
    """Values to which the voxels are max-pooled, in their stored order."""
    width: Positive = 2048
    """Width of the shared space."""
    n_blocks: Positive = 4
    """Residual blocks of the translator."""
    bottleneck: Positive = 128
    """Width within the residual bottleneck of embedder and builder."""
    mse_weight: Annotated[float, Field(ge=0)] = 1.0e4
    """Weight of the squared error of normalised features; SoftCLIP has 1."""
    cycle_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the cycle through another subject's responses."""
    batch: Positive = 200
    """Examples per optimiser step, of all subjects together (50 of each of four)."""
    epochs: Positive = 600
    """Epochs; the last state is kept."""
    lr: Rate = 1.5e-4
    """Highest learning rate of AdamW, by one cycle of 2 epochs up and the rest down."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of all but biases."""
    transfer_epochs: Positive = 200
    """Epochs on a new subject, in which its embedder and builder train."""
