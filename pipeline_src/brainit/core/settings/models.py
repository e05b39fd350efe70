"""Settings of the models, their training, the reconstruction and the evaluation.

Sources: P = paper, C = released code.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, model_validator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticKnownError

from brainit.core.decoders import DECODERS
from brainit.core.settings.base import Duration, Positive, Rate, Section, Share, can_check

VoxelSampling = Literal["with_replacement", "without_replacement"]
FiveCounts = Annotated[tuple[Positive, ...], Field(min_length=5, max_length=5)]
"""One number for each of VGG's five taps."""


def _require_decoder(value: Any) -> Any:
    """Refuse all but the names in the registry of decoders, as a `Literal` of them would."""
    if value not in tuple(DECODERS):
        *others, last = (f"'{name}'" for name in DECODERS)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})
    return value


DecoderName = Annotated[
    str,
    BeforeValidator(_require_decoder),
    WithJsonSchema({"enum": list(DECODERS), "type": "string"}),
]


class EncoderSettings(Section):
    """The universal voxel encoder (arXiv 2406.12179)."""

    feature_width: Positive = 128
    """Width to which the features of each tapped layer are projected."""
    voxel_width: Positive = 256
    """Width of a voxel embedding."""
    adapter_rank: Positive = 7
    """Rank of the low-rank adapter after each block."""
    adapter_alpha: Rate = 0.01
    """The adapters are scaled by alpha / rank."""
    dropout: Share = 0.25
    """Dropout rate after the spatial attention."""
    loss: Literal["mse_minus_tenth_cosine", "tenth_mse_minus_cosine"] = "mse_minus_tenth_cosine"
    """MSE - 0.1 cos (C) or 0.1 MSE - 0.9 cos (from the encoder's paper)."""
    voxels_per_example: Positive = 5000
    """Voxels of the image's subject drawn per example."""
    voxel_sampling: VoxelSampling = "with_replacement"
    """Drawing of voxels; with replacement, a voxel drawn twice counts twice in the loss (C)."""
    batch: Positive = 32
    """Images per optimiser step."""
    epochs: Positive = 30
    """Maximum number of epochs."""
    lr: Rate = 1.0e-3
    """Learning rate of Adam (amsgrad)."""
    plateau_patience: int = Field(default=4, ge=0)
    """Epochs without improvement before the learning rate falls tenfold."""
    plateau_threshold: Rate = 3.0e-3
    """Smallest change of the validation score that counts as improvement."""
    max_shift_px: int = Field(default=3, ge=0)
    """Largest random shift of a training image, in pixels of the backbone's input."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Autocast dtype, with float32 weights; auto: bfloat16 on a GPU, float32 on a CPU."""
    transfer_epochs: Positive = 30
    """Epochs for the voxel embeddings of a new subject, without validation (C)."""


class ClusterSettings(Section):
    """Voxel-to-cluster map (P 3.1)."""

    method: Literal["gmm", "coordinates", "atlas"] = "gmm"
    """gmm: of voxel embeddings; coordinates: GMM of 3-D positions; atlas: a parcellation (T2)."""
    atlas: str = ""
    """Annotation files (fsaverage) of the atlas; may contain {hemisphere} (lh, rh) and {store}."""
    n_clusters: Positive = 128
    """Number of clusters."""
    covariance: Literal["full", "diag", "spherical", "tied"] = "full"
    """Form of the Gaussians' covariances."""
    engine: Literal["sklearn", "torch"] = "sklearn"
    """sklearn (C); torch: the same mixture in fewer products, of covariances other than tied."""
    max_fit_voxels: Positive | None = None
    """Fit on a random subsample of this many voxels; null means all."""
    max_iterations: Positive = 100
    """Maximum number of EM iterations."""
    new_voxel: Literal["nearest_voxel", "gmm"] = "nearest_voxel"
    """Cluster of a new subject's voxel: of the nearest training voxel (C), or by the GMM."""


class SynthesisSettings(Section):
    """Predicted fMRI for the external images (P 4, D.1)."""

    enabled: bool = True
    """False: train without external images (T1)."""
    batch: Positive = 64
    """Images per forward pass."""


class BitSettings(Section):
    """Size of the Brain Interaction Transformer (P 4)."""

    width: Positive = 512
    """Width of voxel embeddings, cluster embeddings and brain tokens."""
    n_heads: Positive = 8
    """Attention heads of self- and cross-attention."""
    n_blocks: Positive = 5
    """Blocks of self- and cross-attention after the first cross-attention."""


class Stage1Settings(Section):
    """Training of a BIT in stage 1 (P D.1, D.2); defaults of the semantic BIT."""

    batch: Positive = 128
    """Examples per optimiser step."""
    epochs: Positive = 60
    """Maximum number of epochs (P 60; C up to 75); the best on validation is kept."""
    lr: Rate = 5.0e-4
    """Learning rate of the optimiser."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon orthogonalises the updates of matrices, for short trainings (not in P)."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay of the optimiser."""
    schedule: Literal["plateau", "cosine"] = "plateau"
    """After the warm-up: fall at plateaus (C), or by half a cosine to 0 at the end (not in P)."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 15.0
    """Epochs of the cubic warm-up of the learning rate, from a factor of 1e-3 to 1."""
    warmup_ramp: Literal["per_epoch", "per_step"] = "per_epoch"
    """The warm-up's factor changes at each epoch (C) or at each optimiser step."""
    plateau_from: Literal["warmup_end", "start"] = "warmup_end"
    """First epoch that counts for the plateau: the last of the warm-up (C), or the very first."""
    plateau_patience: int = Field(default=5, ge=0)
    """Epochs without improvement before the learning rate falls tenfold."""
    plateau_threshold: Rate = 1.0e-3
    """Smallest change of the validation loss that counts as improvement."""
    validation_examples: Positive | None = None
    """Validation examples scored after each epoch, drawn once; null means all (C)."""
    min_lr: Rate = 1.0e-7
    """Training stops when the learning rate falls below this."""
    voxels_per_example: Positive = 15000
    """Voxels drawn per example (P D.1)."""
    voxel_sampling: VoxelSampling = "with_replacement"
    """Drawing of voxels; with replacement, duplicates are dropped (C)."""
    external_per_real: Annotated[float, Field(ge=0)] | None = None
    """External examples per real example and epoch; null means each external image once."""


class SemanticSettings(Stage1Settings):
    """Training of the semantic BIT (P D.1, D.2)."""

    queries_per_example: Positive | None = None
    """Tokens drawn per example, whose loss is computed; null means all (P)."""
    calibration: Literal["none", "deviation"] = "none"
    """deviation: give predicted tokens the mean and deviation of true ones, by validation."""
    contrastive_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight, beside L2, of InfoNCE of a projector's features; 0 means no projector (P)."""
    contrastive_temperature: Rate = 0.006
    """Temperature of that InfoNCE; drawn tokens then are the same for a whole batch."""


class LowlevelSettings(Stage1Settings):
    """Training of the low-level BIT (P D.1, D.2)."""

    batch: Positive = 64
    """Examples per optimiser step; InfoNCE takes its negatives from them."""
    queries_per_layer: FiveCounts = (512, 512, 128, 64, 16)
    """Positions drawn per image in each VGG layer."""
    decoder: DecoderName = "bit"
    """mlp: an MLP with one hidden layer instead of the BIT (T5)."""
    mlp_width: Positive = 1000
    """Hidden width of the MLP (P T5)."""
    loss: Literal["infonce", "mse"] = "infonce"
    """Loss of the tokens (T5 also uses mse); the semantic BIT always uses L2."""
    similarity: Literal["dot", "cosine"] = "dot"
    """InfoNCE logits: dot products (C), or cosine similarities divided by `temperature`."""
    temperature: Rate = 0.07
    """Temperature of the cosine similarity."""
    calibration: Literal["none", "affine"] = "none"
    """affine: map predicted to true VGG tokens per layer, by least squares on validation."""
    logit_rows: Positive = 2048
    """Rows of InfoNCE logits in memory at a time."""
    logit_precision: Literal["float32", "tf32", "bfloat16"] = "tf32"
    """A GPU's products in InfoNCE: tf32 has the 10 bits of mantissa of C's float16 logits."""


class JointSettings(Section):
    """Stage 2: BIT and diffusion model trained together (P 3.2, D.1)."""

    batch: Positive = 16
    """Examples per forward pass."""
    accumulation: Positive = 4
    """Forward passes per optimiser step (effective batch 64)."""
    processes: Positive = 1
    """Processes, one GPU each, that share the passes of a step; must divide joint.accumulation."""
    epochs: Positive = 10
    """Epochs over the real data (with external images as in stage 1)."""
    max_steps: Positive | None = None
    """Maximum number of optimiser steps; null means no limit."""
    lr: Rate = 1.0e-5
    """Learning rate."""
    warmup_steps: int = Field(default=1000, ge=0)
    """Optimiser steps of the linear warm-up of the learning rate."""
    offset_noise: Annotated[float, Field(ge=0)] = 0.04
    """Standard deviation of the noise offset of each latent channel."""
    unconditional_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of examples with unconditional tokens, for classifier-free guidance (not in P)."""
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """adafactor needs less memory: factored second moments, no first moments (small GPUs)."""
    unet_weights: Literal["all", "cross_attention"] = "all"
    """cross_attention: train only the U-Net's token keys and values (small GPUs, not P)."""
    validation_examples: Positive | None = None
    """Validation examples scored after each epoch, drawn once; null means all (C)."""
    gradient_checkpointing: bool = True
    """Recompute the U-Net's activations in the backward pass instead of storing them (C)."""

    @model_validator(mode="after")
    def _check_processes(self, info: Any) -> "JointSettings":
        can_compare = can_check(info, self, "processes", "accumulation")
        if can_compare and self.accumulation % self.processes:
            raise ValueError(
                f"joint.processes {self.processes} does not divide joint.accumulation"
                f" {self.accumulation}, so processes would run different numbers of passes of"
                f" joint.batch {self.batch}"
            )
        return self


class TransferSettings(Section):
    """Transfer to a new subject, which trains only voxel embeddings (P 5.3, D.4)."""

    durations: tuple[Duration, ...] = ("1h",)
    """Amounts of the new subject's data: 15min, 30min, 450trials, or sessions: 1h, 2h, ... 39h."""
    short_durations: tuple[Duration, ...] = ("15min", "30min")
    """Further amounts for the first subject of nsd.transfer (T7)."""
    further_durations: tuple[Duration, ...] = ("450trials", "2h", "5h", "10h")
    """Further amounts for the data-scaling table (only for `everything`); 450trials is P's."""
    epochs: Positive = 50
    """Epochs of each BIT (C)."""
    lr: Rate = 5.0e-4
    """Learning rate in stage 1; the optimiser is that of the BIT."""
    external_per_real: Annotated[float, Field(ge=0)] = 3.0
    """External examples per real example and epoch (C: 3)."""
    joint_epochs: int = Field(default=200, ge=0)
    """Epochs of stage 2 (C)."""
    joint_lr: Rate = 1.0e-5
    """Learning rate of stage 2."""
    joint_max_steps: Positive | None = None
    """Maximum number of optimiser steps of stage 2; null means no limit."""
    scratch: bool = False
    """Also train all models on the new subject's hour alone, as a baseline."""


class DipSettings(Section):
    """Deep Image Prior inversion (P D.2)."""

    iterations: Positive = 2000
    """Optimiser steps (P 2,000; C 1,800)."""
    lr: Rate = 1.0e-3
    """Learning rate of Adam (C)."""
    size: Positive = 224
    """Side of the network's output in pixels (C 224; P 112)."""
    input_depth: Positive = 32
    """Channels of the input noise."""
    width: Positive = 128
    """Channels at each scale."""
    n_scales: Positive = 3
    """Scales of the U-Net."""
    skip_channels: Positive = 2
    """Channels of the skip connections (C)."""
    input_noise: Rate = 0.1
    """Scale of the uniform input noise."""
    noise_std: Annotated[float, Field(ge=0)] = 1.0 / 30.0
    """Standard deviation of the regularising noise, drawn anew at each step."""
    ema: Share = 0.99
    """Decay of the moving average of the outputs."""
    chunk: Positive = 16
    """Images optimised at a time; how chunks are divided among jobs does not change results."""


class ReconSettings(Section):
    """Diffusion sampling and fusion (P 3.3, D.3)."""

    n_steps: Positive = 50
    """Sampling steps of the generator (C 50; P says 38)."""
    start_step: int = Field(default=14, ge=0)
    """Sampling step that starts from the noised low-level image (P D.3)."""
    guidance: float = Field(default=5.0, ge=0)
    """Scale of classifier-free guidance (C)."""
    unconditional_tokens: Literal["drawn", "fixed"] = "drawn"
    """Gaussian tokens of "no condition", also in stage 2: drawn for each image (C), or the same."""
    offset_noise: Annotated[float, Field(ge=0)] = 0.04
    """Standard deviation of an image's constant added to its starting noise (C); 0: none."""
    contrast: Rate = 0.8
    """Factor of the contrast around mid-grey after the unCLIP (C); 1 leaves it unchanged."""
    refiner_steps: Positive = 25
    """Sampling steps of the refiner (C)."""
    refiner_start: int = Field(default=17, ge=0)
    """Sampling step that starts from the image: the last 9 of 26 noise levels, 8 steps (C)."""
    batch: Positive = 16
    """Images per sampler call."""
    n_shards: Positive = 1
    """Jobs among which the test images are divided."""
    max_images: Positive | None = None
    """Reconstruct only this many test images, the first; null means all."""


class BrainSearchSettings(Section):
    """Brain-consistent search of images (not in P; after Kneeland et al. 2023)."""

    enabled: bool = False
    """Add rows of searched images to the table of peers; recon_<run>_search needs no switch."""
    rounds: Positive = 4
    """Rounds; each later one starts from the image kept so far."""
    first_samples: Positive = 8
    """Samples of an image in the first round, from its low-level image or from noise."""
    later_samples: Positive = 4
    """Samples of an image in each later round."""
    start_step: int | None = Field(default=None, ge=0)
    """Sampling step at which later rounds start from the kept image; null: recon.start_step."""
    encoder: Literal["pool", "half_a", "half_b"] = "pool"
    """Encoder that chooses: the pool's, or one trained on half of the training images."""


class EvaluationSettings(Section):
    """Metrics (P 5.2; MindEye2's protocol)."""

    eval_size: Positive = 224
    """Side in pixels to which both images are resized first (C 224; MindEye2 256)."""
    pixel_size: Positive = 425
    """Side in pixels at which PixCorr and SSIM are computed."""
    n_bootstrap: Positive = 1000
    """Bootstrap resamples of the 95 % intervals."""
    n_permutations: Positive = 1000
    """Permutations of the null distributions."""
    retrieval_pool: Positive = 300
    """Candidate images of each retrieval trial."""
    similar_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the test images, the most alike, among which `similar_*` identifies (ours)."""
    n_same_place: Positive = 20
    """Distractors in `same_place`: other objects at an image's place (ours; simulation)."""


class BaselineSettings(Section):
    """Blind baselines on the same data: ridge regression and nearest neighbours (not in P)."""

    alphas: tuple[Rate, ...] = tuple(2.0**power for power in range(-6, 9))
    """Penalties of ridge to choose from, times the mean eigenvalue of the training responses."""
    alpha_outputs: Positive = 4096
    """Outputs drawn at random to choose a target's penalty on, which all its outputs share."""
    rescale: Literal["none", "validation"] = "validation"
    """validation: give predicted tokens the training deviation, by those of held-out images."""
    lowlevel: Literal["pixels", "vgg"] = "pixels"
    """Ridge's low-level images: pixels, or VGG features through the same Deep Image Prior."""
    pixel_side: Positive = 64
    """Side in pixels of the images that ridge predicts."""
    k: Positive = 1
    """Nearest training images whose mean is the reconstruction of knn."""


class SeedSettings(Section):
    """Table rows that `everything` repeats with other seeds, to show mean and spread."""

    values: tuple[int, ...] = ()
    """Seeds of BITs, stage 2 and sampling; encoder, clusters and data keep run.seed."""
    rows: tuple[str, ...] = ("main",)
    """Rows to repeat: main (the full run) or names of ablations."""


VARIANT_NAME = (
    r"^(?!(main|scratch|ridge|knn|place_only|stage1|mindeye2|lora_skip|mindbridge|(.*_)?search)$)"
    r"[a-z][a-z0-9]*(_[a-z0-9]+)*$"
)
Overlay = dict[str, dict[str, Any]] | None


class AblationSettings(RootModel[dict[str, Overlay]]):
    """Ablations: name -> section -> changed settings; null skips the ablation."""

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
