"""Settings of the run, its places, the data and the pretrained networks.

Sources: P = paper, C = released code.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from brainit.core.settings.base import Positive, Rate, Section, Share, Subject, can_check

LAB_NAME = r"^(?!(subj0[1-8]|group|tables|figures|logs|benchmarks)$)[A-Za-z][A-Za-z0-9]{0,31}$"
"""Names of lab subjects: letters and digits, none of NSD's and none of the results tree's."""


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
    checkpoint_minutes: Positive = 10
    """Minutes between two checkpoints of a training; changing it repeats no step."""
    max_hours: Positive | None = None
    """Hours after which a training's job ends, checkpoint written, for the next one to continue."""
    submit_downloads: bool = False
    """On a cluster: True makes jobs of downloads; False runs them where Snakemake runs."""
    container: str = ""
    """Image that `--software-deployment-method apptainer` runs each job in; empty for none."""


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
    connections: Positive = 8
    """Connections at the same time: files, and pieces of large ones where there are fewer."""
    subjects: tuple[Subject, ...] = tuple(f"subj0{i}" for i in range(1, 9))
    """Subjects of the pool `all`."""
    evaluated: tuple[Subject, ...] = ("subj01", "subj02", "subj05", "subj07")
    """Subjects of Table 1 (P 5.2)."""
    transfer: tuple[Subject, ...] = ("subj01", "subj02", "subj05", "subj07")
    """Subjects that are also decoded as new subjects (1 h)."""
    betas_version: str = "betas_fithrf_GLMdenoise_RR"
    """Beta version (C)."""
    space: Literal["fsaverage", "func1pt8mm"] = "fsaverage"
    """fsaverage = surface vertices (P, C); func1pt8mm = each subject's own 1.8-mm volume."""
    volume_format: Literal["hdf5", "nifti"] = "hdf5"
    """Format of func1pt8mm betas; nifti is half the bytes to fetch, hdf5 is read much faster."""
    mask: Literal["algonauts", "nsdgeneral", "files"] = "algonauts"
    """algonauts = nsdgeneral and RSC on fsaverage (39,548 vertices); files = nsd.mask_files."""
    mask_files: tuple[str, ...] = ()
    """ROI files, inside where above 0: left and right .mgz, or one .nii.gz with {subject}."""
    published_checks: Literal["nsd", "always", "never"] = "nsd"
    """Hold counts and checksums against published ones: at NSD's own bucket, always or never."""
    ceiling_tolerance_pct: Rate = 2.0
    """Warn where a subject's medians of noise ceilings differ by more percentage points."""
    session_tolerance_pct: Rate = 15.0
    """Warn where a session's median ceiling is farther from the subject's, percentage points."""
    zscore: Literal["all_trials", "training_trials"] = "all_trials"
    """Trials whose mean and deviation normalise a session (C: all)."""
    average_training_repeats: bool = True
    """Average the repeats of a training image (C) instead of using single trials."""
    average_test_repeats: bool = True
    """Average the repeats of a test image before decoding (C)."""
    pool_sizes: tuple[Positive, ...] = (1, 2, 4)
    """Also train on the first so many subjects and decode the first (only for `everything`)."""
    pairing: Literal["as_shown", "shuffled"] = "as_shown"
    """shuffled: models are trained on trials mismatched with their images, as a control."""
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
                f"nsd.mask {self.mask} in nsd.space {self.space} takes {n_files} nsd.mask_files"
            )
        if self.space == "func1pt8mm" and self.mask == "algonauts":
            raise ValueError("nsd.mask algonauts is on fsaverage: set nsdgeneral or files")
        return self

    @model_validator(mode="after")
    def _check_once(self) -> "NsdSettings":
        for name in ("subjects", "evaluated", "transfer", "mask_files"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"nsd.{name} names one twice: {', '.join(values)}")
        return self


class LabSettings(RootModel[dict[str, str]]):
    """Subjects of your own: name -> folder in the layout of config/lab_subject.md."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        regex_engine="python-re",
        json_schema_extra={"additionalProperties": False},
    )
    root: dict[Annotated[str, Field(pattern=LAB_NAME)], str] = {}


class ModelsSettings(RootModel[str]):
    """Models of the pool `all`: train, authors, or a folder of exported ones (config/models.md)."""

    model_config = ConfigDict(frozen=True, strict=True)
    root: Annotated[str, Field(min_length=1)] = "train"


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
    refiner: str = "zavychromaxl_v30"
    """Refiner after the generator; none switches it off."""
    metrics: tuple[str, ...] = (
        "alexnet",
        "inception_v3",
        "clip_vit_l14",
        "efficientnet_b1",
        "swav_resnet50",
        "lpips_alex",
    )
    """Networks of the evaluation."""
    cache_tokens: bool = False
    """Keep semantic tokens of all images in shards; false computes them when needed."""
    halve_contrast: bool = True
    """Feed the semantic network images rescaled by (x + 1) / 2 (C, MindEye2)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Weights of the frozen token network and U-Nets; auto: bfloat16 on a GPU, float32 on a CPU."""
