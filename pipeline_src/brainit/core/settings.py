"""All settings: one strict class per section; defaults are the paper's values.

The JSON schema that the Snakefile validates is generated from these classes (`brainit schema`).
Sources: P = paper, C = released code; conflicts between them are switches, with the default that
the project's reference names.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainit.core.errors import PipelineError

Duration = Literal["15min", "30min", "1h", "40h"]
Subject = Annotated[str, Field(pattern=r"^subj0[1-8]$")]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of the settings: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class RunSettings(Section):
    """What holds for the whole run."""

    seed: int = 42
    """The one seed; every random stream is derived from it by name."""
    threads: Positive = 8
    """Torch threads of each step, set in-process and recorded: part of what makes bytes repeat."""
    device: Literal["cpu", "cuda", "auto"] = "auto"
    """Device of the torch steps; auto takes a GPU where there is one."""
    simulation: bool = False
    """True where the data are simulated: every table and figure then says so."""


class PathSettings(Section):
    """Where things stand."""

    results: str = "results"
    """Root of the results tree."""
    store: str = "results/.store"
    """Downloads, weights and work files; movable to scratch."""
    source: str = "https://natural-scenes-dataset.s3.amazonaws.com"
    """Root of NSD's tree: https://, file:// or the simulator's folder (file://)."""
    coco_source: str = "http://images.cocodataset.org/zips"
    """Folder (URL) that holds unlabeled2017.zip."""


class NsdSettings(Section):
    """Natural Scenes Dataset (Allen et al. 2022) as the paper uses it (P 5.1)."""

    accept_terms: bool = False
    """True states that you have accepted NSD's terms and filed its data access agreement."""
    subjects: tuple[Subject, ...] = tuple(f"subj0{i}" for i in range(1, 9))
    """Subjects of the pool `all`."""
    evaluated: tuple[Subject, ...] = ("subj01", "subj02", "subj05", "subj07")
    """Subjects of Table 1 (P 5.2)."""
    transfer: tuple[Subject, ...] = ("subj01", "subj02", "subj05", "subj07")
    """Subjects that are also decoded as new subjects (1 h)."""
    betas_version: str = "betas_fithrf_GLMdenoise_RR"
    """Beta version (C)."""
    mask: Literal["algonauts", "nsdgeneral"] = "algonauts"
    """algonauts = nsdgeneral and RSC on fsaverage (39,548 vertices); nsdgeneral = without RSC."""
    zscore: Literal["all_trials", "training_trials"] = "all_trials"
    """Trials whose mean and deviation normalise a session (C: all)."""
    average_training_repeats: bool = True
    """Average the repeats of a training image (C) instead of using single trials."""
    average_test_repeats: bool = True
    """Average the repeats of a test image before decoding (C)."""
    validation_share: Share = 0.1
    """Share of each subject's own images held out for validation (P D.1)."""
    test_set: Literal["shared1000", "shared982", "shared907", "shared515"] = "shared1000"
    """Shared images that form the test set."""


class SimulationSettings(Section):
    """The simulated NSD. Used only where `run.simulation` is true."""

    n_own_images: Positive = 900
    """Images that only one subject sees (NSD: 9,000)."""
    n_shared_images: Positive = 100
    """Images that every subject sees (NSD: 1,000)."""
    n_repeats: Positive = 3
    """Presentations of each image."""
    trials_per_session: Positive = 150
    """Trials of a session in 12 runs (NSD: 750)."""
    n_external_images: Positive = 2000
    """Images in the COCO-style archive."""
    image_size: Positive = 96
    """Side of the simulated stimuli in pixels (NSD: 425)."""
    voxels_per_hemisphere: Positive = 700
    """Mean number of masked vertices per hemisphere."""


class ImageSettings(Section):
    """Images and how they are stored (P 5.1, D; C)."""

    stored_size: Positive = 256
    """Side in pixels at which images are kept; networks resize from it."""
    n_external: Positive | None = None
    """External images used; None means all (about 120,000, P D.1)."""
    rows_per_shard: Positive = 4096
    """Rows of each shard of images, tokens and predicted fMRI."""


class FeatureSettings(Section):
    """Pretrained networks by role; names are entries of `features.registry`."""

    encoder_backbone: str = "dinov2_vitl14_reg"
    """Backbone of the universal encoder."""
    semantic_tokens: str = "openclip_vit_bigg14"
    """Network of the 256 semantic tokens."""
    vgg: str = "vgg16_bn"
    """Network of the low-level features."""
    generator: str = "unclip6"
    """Diffusion model conditioned on the semantic tokens."""
    refiner: str = "none"
    """Refiner after the generator; none switches it off."""
    metrics: tuple[str, ...] = ("alexnet", "inception_v3", "clip_vit_l14", "efficientnet_b1", "swav_resnet50")
    """Networks of the evaluation."""
    cache_tokens: bool = False
    """Keep semantic tokens of all images in shards; false computes them when needed."""
    halve_contrast: bool = True
    """Feed the semantic network images rescaled by (x + 1) / 2 (C, MindEye2)."""


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
    plateau_patience: Positive = 4
    """Epochs without progress before the rate falls tenfold."""
    plateau_threshold: Rate = 3.0e-3
    """Least absolute progress of the validation score."""
    max_shift_px: int = Field(default=3, ge=0)
    """Largest random shift of a training image, in pixels of the backbone's input."""
    transfer_epochs: Positive = 30
    """Epochs for a new subject's voxel embeddings, fixed, without validation (C)."""


class ClusterSettings(Section):
    """Voxel-to-cluster map (P 3.1)."""

    method: Literal["gmm", "coordinates", "atlas"] = "gmm"
    """gmm on encoder embeddings; coordinates = GMM on 3-D positions; atlas = a parcellation (T2)."""
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
    """Training of one BIT (P D.1, D.2)."""

    batch: Positive = 128
    """Examples per step (64 for the low-level BIT)."""
    epochs: Positive = 60
    """Epochs at most (P 60; C up to 75); the best on validation is kept."""
    lr: Rate = 5.0e-4
    """AdamW learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW weight decay."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 15.0
    """Epochs of the cubic ramp of the rate's factor from 1e-3 to 1."""
    plateau_patience: Positive = 5
    """Epochs without progress before the rate falls tenfold."""
    plateau_threshold: Rate = 1.0e-3
    """Least absolute progress of the validation loss."""
    min_lr: Rate = 1.0e-7
    """Training stops below this rate."""
    voxels_per_example: Positive = 15000
    """Voxels drawn per example (P D.1)."""
    voxel_sampling: Literal["with_replacement", "without_replacement"] = "with_replacement"
    """Draws with replacement are used as a set (C)."""
    queries_per_layer: tuple[Positive, ...] = (512, 512, 128, 64, 16)
    """Positions drawn per VGG layer and image (low-level BIT only)."""
    similarity: Literal["dot", "cosine"] = "dot"
    """InfoNCE logits: raw dot products (C), or cosine over `temperature`."""
    temperature: Rate = 0.07
    """Temperature of the cosine variant."""
    logit_rows: Positive = 2048
    """Rows of logits held at a time by the streaming InfoNCE."""
    external_per_real: Annotated[float, Field(ge=0)] | None = None
    """External examples per real one and epoch; None visits every external image once."""


class JointSettings(Section):
    """Stage 2: BIT and diffusion model trained together (P 3.2, D.1)."""

    batch: Positive = 16
    """Examples per forward pass."""
    accumulation: Positive = 4
    """Forward passes per optimiser step (effective batch 64)."""
    epochs: Positive = 10
    """Epochs over the real data (with the external mix of stage 1)."""
    max_steps: Positive | None = None
    """Stop after this many optimiser steps; None means no bound."""
    lr: Rate = 1.0e-5
    """AdamW learning rate."""
    warmup_steps: int = Field(default=1000, ge=0)
    """Linear warm-up."""
    offset_noise: Annotated[float, Field(ge=0)] = 0.04
    """Standard deviation of the per-channel noise offset."""


class TransferSettings(Section):
    """A new subject: only its voxel embeddings are trained (P 5.3, D.4)."""

    durations: tuple[Duration, ...] = ("1h",)
    """Amounts of the new subject's data: 15min, 30min, 1h."""
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


class Settings(Section):
    """Every section."""

    run: RunSettings = RunSettings()
    paths: PathSettings = PathSettings()
    nsd: NsdSettings = NsdSettings()
    simulation: SimulationSettings = SimulationSettings()
    images: ImageSettings = ImageSettings()
    features: FeatureSettings = FeatureSettings()
    encoder: EncoderSettings = EncoderSettings()
    clusters: ClusterSettings = ClusterSettings()
    synthesis: SynthesisSettings = SynthesisSettings()
    bit: BitSettings = BitSettings()
    bit_lowlevel: Stage1Settings = Stage1Settings(batch=64)
    bit_semantic: Stage1Settings = Stage1Settings()
    joint: JointSettings = JointSettings()
    transfer: TransferSettings = TransferSettings()
    dip: DipSettings = DipSettings()
    recon: ReconSettings = ReconSettings()
    evaluation: EvaluationSettings = EvaluationSettings()


def parse_sections(sections: dict[str, Any]) -> Settings:
    """Check a dictionary of sections; a section that is not given has the paper's values.

    Raises `PipelineError` that names every faulty key at once.
    """
    if not isinstance(sections, dict):
        raise PipelineError("settings", "a mapping of sections", type(sections).__name__, "see config/config.yaml")
    try:
        return Settings.model_validate_json(json.dumps(sections))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']} (found {e['input']!r})" for e in error.errors()
        )
        raise PipelineError("settings", "known keys with valid values", faults, "correct the config file") from error


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
