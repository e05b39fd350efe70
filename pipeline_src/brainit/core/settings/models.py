"""Settings of what is trained, reconstructed and scored.

Sources: P = paper, C = released code.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from brainit.core.settings.base import Duration, Positive, Rate, Section, Share, can_check

FiveCounts = Annotated[tuple[Positive, ...], Field(min_length=5, max_length=5)]
"""One for each of VGG's five taps."""


class EncoderSettings(Section):
    """The universal voxel encoder (arXiv 2406.12179)."""

    feature_width: Positive = 128
    """Width of each tapped layer's projection."""
    voxel_width: Positive = 256
    """Width of a voxel embedding."""
    adapter_rank: Positive = 7
    """Rank of the low-rank residual after every block."""
    adapter_alpha: Rate = 0.01
    """Scale of the adapters is alpha / rank."""
    dropout: Share = 0.25
    """Dropout after the spatial attention."""
    loss: Literal["mse_minus_tenth_cosine", "tenth_mse_minus_cosine"] = "mse_minus_tenth_cosine"
    """MSE - 0.1 cos (C) or 0.1 MSE - 0.9 cos (quoted from the encoder paper)."""
    voxels_per_example: Positive = 5000
    """Random voxels of the image's subject per example."""
    batch: Positive = 32
    """Images per step."""
    epochs: Positive = 30
    """At most this many epochs."""
    lr: Rate = 1.0e-3
    """Adam (amsgrad) learning rate."""
    plateau_patience: int = Field(default=4, ge=0)
    """Epochs without progress before the rate falls tenfold."""
    plateau_threshold: Rate = 3.0e-3
    """Least absolute progress of the validation score."""
    max_shift_px: int = Field(default=3, ge=0)
    """Largest random shift of a training image, in pixels of the backbone's input."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What it computes in, its weights in float32; auto: bfloat16 on a GPU, float32 on a CPU."""
    transfer_epochs: Positive = 30
    """Epochs for a new subject's voxel embeddings, fixed, without validation (C)."""


class ClusterSettings(Section):
    """Voxel-to-cluster map (P 3.1)."""

    method: Literal["gmm", "coordinates", "atlas"] = "gmm"
    """gmm on encoder embeddings; coordinates: on 3-D positions; atlas: a parcellation (T2)."""
    atlas: str = ""
    """Annotation files on fsaverage for the method atlas, with {hemisphere} (lh, rh), {store}."""
    n_clusters: Positive = 128
    """Number of functional clusters."""
    covariance: Literal["full", "diag", "spherical", "tied"] = "full"
    """Covariance of each Gaussian."""
    max_fit_voxels: Positive | None = None
    """Fit on a random subsample of this size and predict all; None fits on all voxels."""
    max_iterations: Positive = 100
    """EM iterations at most."""
    new_voxel: Literal["nearest_voxel", "gmm"] = "nearest_voxel"
    """Cluster of a new subject's voxel: that of its nearest base voxel (C), or the GMM's own."""


class SynthesisSettings(Section):
    """Predicted fMRI for the external images (P 4, D.1)."""

    enabled: bool = True
    """False trains without external images (T1)."""
    batch: Positive = 64
    """Images per forward pass."""


class BitSettings(Section):
    """Size of the Brain Interaction Transformer (P 4)."""

    width: Positive = 512
    """Width of voxel and cluster embeddings and of the brain tokens."""
    n_heads: Positive = 8
    """Heads of the self- and cross-attention."""
    n_blocks: Positive = 5
    """Pairs of self- and cross-attention after the first cross-attention."""


class Stage1Settings(Section):
    """Training of the semantic BIT (P D.1, D.2).

    The low-level one has these keys too.
    """

    batch: Positive = 128
    """Examples per step."""
    epochs: Positive = 60
    """Epochs at most (P 60; C up to 75); the best on validation is kept."""
    lr: Rate = 5.0e-4
    """AdamW learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW weight decay."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 15.0
    """Epochs of the cubic ramp of the rate's factor from 1e-3 to 1."""
    plateau_patience: int = Field(default=5, ge=0)
    """Epochs without progress before the rate falls tenfold."""
    plateau_threshold: Rate = 1.0e-3
    """Least absolute progress of the validation loss."""
    min_lr: Rate = 1.0e-7
    """Training stops below this rate."""
    voxels_per_example: Positive = 15000
    """Voxels drawn per example (P D.1)."""
    voxel_sampling: Literal["with_replacement", "without_replacement"] = "with_replacement"
    """Draws with replacement are used as a set (C)."""
    external_per_real: Annotated[float, Field(ge=0)] | None = None
    """External examples per real one and epoch; None visits every external image once."""


class LowlevelSettings(Stage1Settings):
    """Training of the low-level BIT (P D.1, D.2)."""

    batch: Positive = 64
    """Examples per step, the pool of the InfoNCE."""
    queries_per_layer: FiveCounts = (512, 512, 128, 64, 16)
    """Positions drawn per VGG layer and image."""
    decoder: Literal["bit", "mlp"] = "bit"
    """mlp: one hidden layer of `mlp_width` in the BIT's place (T5)."""
    mlp_width: Positive = 1000
    """Hidden width of that MLP (P T5)."""
    loss: Literal["infonce", "mse"] = "infonce"
    """Loss of the tokens (T5 has mse); the semantic BIT's is always L2."""
    similarity: Literal["dot", "cosine"] = "dot"
    """InfoNCE logits: raw dot products (C), or cosine over `temperature`."""
    temperature: Rate = 0.07
    """Temperature of the cosine variant."""
    calibration: Literal["none", "affine"] = "none"
    """affine: per-layer map of predicted to true VGG tokens, by least squares on validation."""
    logit_rows: Positive = 2048
    """Rows of logits held at a time by the streaming InfoNCE."""


class JointSettings(Section):
    """Stage 2: BIT and diffusion model trained together (P 3.2, D.1)."""

    batch: Positive = 16
    """Examples per forward pass."""
    accumulation: Positive = 4
    """Forward passes per optimiser step (effective batch 64)."""
    processes: Positive = 1
    """Processes, a GPU each, that share the passes of a step; divides joint.accumulation."""
    epochs: Positive = 10
    """Epochs over the real data (with the external mix of stage 1)."""
    max_steps: Positive | None = None
    """Stop after this many optimiser steps; None means no bound."""
    lr: Rate = 1.0e-5
    """Learning rate."""
    warmup_steps: int = Field(default=1000, ge=0)
    """Linear warm-up."""
    offset_noise: Annotated[float, Field(ge=0)] = 0.04
    """Standard deviation of the per-channel noise offset."""
    unconditional_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of examples whose tokens are the unconditional ones, for guidance (ours, not P)."""
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """adafactor keeps a row and a column per matrix instead of AdamW's two moments (small GPUs)."""
    unet_weights: Literal["all", "cross_attention"] = "all"
    """cross_attention: only its keys and values of the tokens are trained (small GPUs, not P)."""
    gradient_checkpointing: bool = True
    """Compute the U-Net's activations again in backward instead of keeping them (C)."""

    @model_validator(mode="after")
    def _check_processes(self, info: Any) -> "JointSettings":
        can_compare = can_check(info, self, "processes", "accumulation")
        if can_compare and self.accumulation % self.processes:
            raise ValueError(
                f"joint.processes {self.processes} does not divide joint.accumulation"
                f" {self.accumulation}: at a batch of {self.batch} each needs the same passes"
            )
        return self


class TransferSettings(Section):
    """A new subject: only its voxel embeddings are trained (P 5.3, D.4)."""

    durations: tuple[Duration, ...] = ("1h",)
    """Amounts of the new subject's data: 15min, 30min, 450trials, or sessions: 1h, 2h, ... 39h."""
    short_durations: tuple[Duration, ...] = ("15min", "30min")
    """Amounts that the first subject alone is also decoded from (T7)."""
    further_durations: tuple[Duration, ...] = ("450trials", "2h", "5h", "10h")
    """The same, only for `everything`: the paper's count of trials, and sessions (data scaling)."""
    epochs: Positive = 50
    """Epochs of each BIT (C)."""
    lr: Rate = 5.0e-4
    """AdamW learning rate of stage 1."""
    external_per_real: Annotated[float, Field(ge=0)] = 3.0
    """External examples per real one and epoch (C: 3)."""
    joint_epochs: int = Field(default=200, ge=0)
    """Epochs of stage 2 (C)."""
    joint_lr: Rate = 1.0e-5
    """Learning rate of stage 2."""
    joint_max_steps: Positive | None = None
    """Stop stage 2 after this many optimiser steps; None means no bound."""
    scratch: bool = False
    """Also train everything on the new subject's hour alone, as a baseline."""


class DipSettings(Section):
    """Deep Image Prior inversion (P D.2)."""

    iterations: Positive = 2000
    """Optimiser steps (P 2,000; C 1,800)."""
    lr: Rate = 1.0e-3
    """Adam learning rate (C)."""
    size: Positive = 224
    """Side of the network's output in pixels (C 224; P 112)."""
    input_depth: Positive = 32
    """Channels of the input noise."""
    width: Positive = 128
    """Channels of each scale."""
    n_scales: Positive = 3
    """Scales of the U-Net."""
    skip_channels: Positive = 2
    """Channels of the skip connections (C)."""
    input_noise: Rate = 0.1
    """Scale of the uniform input noise."""
    noise_std: Annotated[float, Field(ge=0)] = 1.0 / 30.0
    """Deviation of the regularising noise, new at each step."""
    ema: Share = 0.99
    """Decay of the moving average of the outputs."""
    chunk: Positive = 16
    """Images optimised at once; results do not depend on how chunks are spread over jobs."""


class ReconSettings(Section):
    """Diffusion sampling and fusion (P 3.3, D.3)."""

    n_steps: Positive = 50
    """Steps of the schedule (C 50; P says 38)."""
    start_step: int = Field(default=14, ge=0)
    """Schedule step at which the low-level image enters (P D.3)."""
    guidance: float = Field(default=5.0, ge=0)
    """Classifier-free guidance scale (C)."""
    contrast: Rate = 0.8
    """Contrast about mid-grey after the unCLIP (C); 1 switches it off."""
    refiner_steps: Positive = 25
    """Steps of the refiner's schedule (C)."""
    refiner_start: int = Field(default=17, ge=0)
    """Step at which an image enters the refiner: the last 9 of 26 noise levels, 8 steps (C)."""
    batch: Positive = 16
    """Images per sampler call."""
    n_shards: Positive = 1
    """Jobs over which the test images are spread."""
    max_images: Positive | None = None
    """Reconstruct only the first test images; None means all."""


class EvaluationSettings(Section):
    """Metrics (P 5.2; MindEye2's protocol)."""

    eval_size: Positive = 224
    """Side to which both images are resized first (C 224; MindEye2 256)."""
    pixel_size: Positive = 425
    """Side at which PixCorr and SSIM are computed."""
    n_bootstrap: Positive = 1000
    """Resamples of the 95 % interval."""
    n_permutations: Positive = 1000
    """Permutations of the null distribution."""
    retrieval_pool: Positive = 300
    """Images of each retrieval trial."""


class SeedSettings(Section):
    """Rows that `everything` repeats with other seeds: mean and spread stand beside them."""

    values: tuple[int, ...] = ()
    """Seeds of BITs, stage 2 and sampling; encoder, clusters and data keep the run's one."""
    rows: tuple[str, ...] = ("main",)
    """What is repeated: main, the full run, and names of ablations."""


VARIANT_NAME = r"^(?!main$|scratch$)[a-z][a-z0-9]*(_[a-z0-9]+)*$"
Overlay = dict[str, dict[str, Any]] | None


class AblationSettings(RootModel[dict[str, Overlay]]):
    """Ablations: name -> section -> the settings in which it differs; null: not run."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        regex_engine="python-re",
        json_schema_extra={"additionalProperties": False},
    )
    root: dict[Annotated[str, Field(pattern=VARIANT_NAME)], Overlay] = {
        **{f"k{n}": {"clusters": {"n_clusters": n}} for n in (8, 16, 32, 64, 128, 256, 512)},
        "coordinates": {"clusters": {"method": "coordinates"}},
        "no_external": {"synthesis": {"enabled": False}},
        "mlp_infonce": {"bit_lowlevel": {"decoder": "mlp"}},
        "mlp_mse": {"bit_lowlevel": {"decoder": "mlp", "loss": "mse"}},
    }
