"""Settings of the data, the simulation and the pretrained networks.

Sources: P = paper, C = released code.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from brainit.core.settings.base import MEMBER, Positive, Rate, Section, Share, Subject, can_check
from brainit.workflow.cohort import DATASETS

_TAKEN = "|".join(("subj0[1-8]", "group", "tables", "figures", "logs", "benchmarks", *DATASETS))
LAB_NAME = rf"^(?!(nsd[/-].*|lab-.*|lab/([0-9].*|.*-.*|subj[0-9]+)|(lab/)?({_TAKEN}))$){MEMBER}$"
"""Names of lab subjects: letters and digits, but no NSD subject, folder of the results or data set.

Those of another data set than `lab` have its name, too: `laion/sub-01`.
"""


class NsdSettings(Section):
    """Natural Scenes Dataset (Allen et al. 2022) as the paper uses it (P 5.1)."""

    accept_terms: bool = False
    """True states that you accepted NSD's terms and submitted its data access agreement."""
    connections: Positive = 8
    """Parallel connections: one per file, or per piece of a large file if files are fewer."""
    subjects: tuple[Subject, ...] = tuple(f"subj0{i}" for i in range(1, 9))
    """Subjects of the pool `all`."""
    evaluated: tuple[Subject, ...] = ("subj01", "subj02", "subj05", "subj07")
    """Subjects of Table 1 (P 5.2)."""
    transfer: tuple[Subject, ...] = ("subj01", "subj02", "subj05", "subj07")
    """Subjects that are also decoded as new subjects, with little data."""
    betas_version: str = "betas_fithrf_GLMdenoise_RR"
    """Version of NSD's betas (C)."""
    space: Literal["fsaverage", "func1pt8mm"] = "fsaverage"
    """fsaverage: surface vertices (P, C); func1pt8mm: the subject's 1.8-mm volume."""
    volume_format: Literal["hdf5", "nifti"] = "hdf5"
    """File format of func1pt8mm betas: nifti is half as large, hdf5 is read much faster."""
    mask: Literal["algonauts", "nsdgeneral", "files"] = "algonauts"
    """algonauts: nsdgeneral and RSC on fsaverage (39,548 vertices); files: nsd.mask_files."""
    mask_files: tuple[str, ...] = ()
    """ROI files, values above 0 are inside: left and right .mgz, or one .nii.gz with {subject}."""
    published_checks: Literal["nsd", "always", "never"] = "nsd"
    """Compare counts and checksums with the published ones; nsd: only for NSD's own server."""
    ceiling_tolerance_pct: Rate = 2.0
    """Warn if published, recomputed and paper's noise ceilings differ by more (in % points)."""
    session_tolerance_pct: Rate = 15.0
    """Warn if the noise ceilings of a session and its subject differ by more (in % points)."""
    zscore: Literal["all_trials", "training_trials"] = "all_trials"
    """Trials of a whole session, also for 15min, that give mean and deviation (C: all)."""
    average_training_repeats: bool = True
    """Average the repeats of a training image (C) instead of using single trials."""
    average_test_repeats: bool = True
    """Average the repeats of a test image before decoding (C)."""
    pool_sizes: tuple[Positive, ...] = (1, 2, 4)
    """Numbers of subjects for the subject-scaling table (only for `everything`)."""
    pairing: Literal["as_shown", "shuffled"] = "as_shown"
    """shuffled: train on trials paired with wrong images, as a control."""
    validation_share: Share = 0.1
    """Share of each subject's own images held out for validation (P D.1)."""
    test_set: Literal["shared1000", "shared982", "shared907", "shared515"] = "shared1000"
    """Shared images that form the test set."""

    @model_validator(mode="after")
    def _check_mask(self, info: Any) -> "NsdSettings":
        if not can_check(info, self, "space", "mask", "mask_files"):
            return self
        n_files = {"fsaverage": 2, "func1pt8mm": 1}[self.space] if self.mask == "files" else 0
        if len(self.mask_files) != n_files:
            raise ValueError(
                f"nsd.mask {self.mask} in nsd.space {self.space} needs {n_files} nsd.mask_files"
            )
        if self.space == "func1pt8mm" and self.mask == "algonauts":
            raise ValueError(
                "nsd.mask algonauts exists only on fsaverage: set nsd.mask to nsdgeneral or files"
            )
        return self

    @model_validator(mode="after")
    def _check_duplicates(self) -> "NsdSettings":
        for name in ("subjects", "evaluated", "transfer", "mask_files"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"nsd.{name} has a duplicate: {', '.join(values)}")
        return self


class CohortSettings(Section):
    """Subjects of any data set, in one pool: subj01, laion/sub-01, lab/anna (config/cohorts.md)."""

    subjects: tuple[Subject, ...] | None = None
    """Subjects of the pool `all`, instead of nsd.subjects; others than NSD's are in `lab`."""
    evaluated: tuple[Subject, ...] | None = None
    """Those decoded with its models; null: the first eight."""
    transfer: tuple[Subject, ...] = ()
    """Those decoded as new subjects; one outside the pool is decoded from the whole pool."""
    subjects_per_batch: Annotated[int, Field(ge=2)] = 8
    """Subjects that a BIT's batch mixes at most, about; without effect in pools of so many."""
    embedding_states: Literal["device", "host"] = "device"
    """host: the BITs keep AdamW's moments of voxel embeddings off the GPU (large cohorts)."""
    near_copy_bits: Annotated[int, Field(ge=0, le=16)] = 6
    """Bits of 63 in which the hashes of two pictures may differ that are taken for one."""

    @model_validator(mode="after")
    def _check_duplicates(self) -> "CohortSettings":
        for name in ("subjects", "evaluated", "transfer"):
            values = [v.removeprefix("lab/") for v in getattr(self, name) or ()]
            if len(set(values)) < len(values):
                raise ValueError(f"cohort.{name} has a duplicate: {', '.join(values)}")
        return self


class LabSettings(RootModel[dict[str, str]]):
    """Subjects beside NSD's: name -> folder in the layout of config/lab_subject.md."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        regex_engine="python-re",
        json_schema_extra={"additionalProperties": False},
    )
    root: dict[Annotated[str, Field(pattern=LAB_NAME)], str] = {}


class ModelsSettings(RootModel[str]):
    """Models of the pool `all`: train, authors, or an exported folder (config/models.md)."""

    model_config = ConfigDict(frozen=True, strict=True)
    root: Annotated[str, Field(min_length=1)] = "train"


class SimulationSettings(Section):
    """The simulated NSD, used only if `run.simulation` is true."""

    n_own_images: Positive = 900
    """Images that only one subject sees, for each subject (NSD: 9,000)."""
    n_shared_images: Positive = 100
    """Images that every subject sees (NSD: 1,000)."""
    n_repeats: Positive = 3
    """Presentations of each image."""
    trials_per_session: Positive = 150
    """Trials per session, in 12 runs (NSD: 750)."""
    n_external_images: Positive = 2000
    """External images, in an archive like COCO's."""
    image_size: Positive = 96
    """Side of the simulated stimuli in pixels (NSD: 425)."""
    voxels_per_hemisphere: Positive = 700
    """Mean number of masked vertices per hemisphere."""


class ImageSettings(Section):
    """Images and their storage (P 5.1, D; C)."""

    stored_size: Positive = 256
    """Side in pixels of the stored images; networks resize them."""
    n_external: Positive | None = None
    """Number of external images; null means all (about 120,000, P D.1)."""
    rows_per_shard: Positive = 4096
    """Rows per shard of images, tokens and predicted fMRI."""


class FeatureSettings(Section):
    """Pretrained networks by role; `brainit weights list` shows the names."""

    encoder_backbone: str = "dinov2_vitl14_reg"
    """Backbone of the universal voxel encoder."""
    semantic_tokens: str = "openclip_vit_bigg14"
    """Network that computes the 256 semantic tokens."""
    vgg: str = "vgg16_bn"
    """Network that computes the low-level features."""
    generator: str = "unclip6"
    """Diffusion model conditioned on the semantic tokens."""
    refiner: str = "zavychromaxl_v30"
    """Diffusion model that refines the generator's images; none switches it off."""
    metrics: tuple[str, ...] = (
        "alexnet",
        "inception_v3",
        "clip_vit_l14",
        "efficientnet_b1",
        "swav_resnet50",
        "lpips_alex",
    )
    """Networks that score the reconstructions."""
    cache_tokens: bool = False
    """Store the semantic tokens of all images in shards; false computes them on the fly."""
    token_bits: Literal[16, 8] = 16
    """Bits of a stored token's numbers; 8 keeps a scale for each token, at half the disk."""
    cache_latents: bool = False
    """Store the VAE's latents of all images in shards; false encodes them at each example."""
    halve_contrast: bool = True
    """Map the images of the semantic network to (x + 1) / 2 (C, MindEye2)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of frozen token network and U-Nets; auto: bfloat16 on a GPU, float32 on a CPU."""
