"""Settings of the run, its places, the data and the pretrained networks.

Sources: P = paper, C = released code.
"""

from typing import Literal

from brainit.core.sections_base import Positive, Section, Share, Subject


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
