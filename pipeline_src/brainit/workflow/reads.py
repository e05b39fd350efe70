"""The settings that each step reads, declared once.

A rule passes its step these and no others; a step that reads another raises `undeclared-setting`.
So a changed setting reruns the steps that read it and what is made from their outputs, no others.
"""

import json
from collections.abc import Mapping
from typing import Any

UNTRACKED = frozenset(
    {
        "run.checkpoint_minutes",
        "run.max_hours",
        "run.tensorboard",
        "run.loader_threads",
        "run.submit_downloads",
        "run.container",
        "nsd.connections",
        "nsd.accept_terms",
    }
)
"""Settings of how and where jobs run: not passed with their section, so a change reruns nothing."""

_COMPUTE = ("run.seed", "run.threads", "run.device", "run.tf32")
_MASK = ("nsd.space", "nsd.mask", "nsd.mask_files")
"""The voxels; the settings check these keys together."""
_TRIALS = ("nsd.average_training_repeats", "nsd.pairing")
"""Settings by which trainings use a pool's trials."""
_POOL = (*_TRIALS, "cohort.subjects_per_batch", "cohort.embedding_states")
"""Those by which the trainings of a BIT draw a pool's examples and keep its voxels' moments."""
_ENCODER_SIZES = (
    "encoder.feature_width",
    "encoder.voxel_width",
    "encoder.adapter_rank",
    "encoder.adapter_alpha",
    "encoder.dropout",
)
_ENCODER = ("features.encoder_backbone", "encoder.precision", *_ENCODER_SIZES)
"""Read by every step that runs the encoder."""
_ENCODER_TRAINING = (
    "encoder.batch",
    "encoder.lr",
    "encoder.loss",
    "encoder.voxels_per_example",
    "encoder.voxel_sampling",
    "encoder.max_shift_px",
)
_CLUSTERING = (
    "clusters.method",
    "clusters.n_clusters",
    "clusters.covariance",
    "clusters.engine",
    "clusters.max_fit_voxels",
    "clusters.max_iterations",
)
_TOKENS = ("features.semantic_tokens", "features.halve_contrast", "features.precision")
"""The network of the semantic tokens."""
_VOXEL_DRAWS = ("bit_semantic.voxels_per_example", "bit_semantic.voxel_sampling")
"""Settings by which examples of the semantic BIT draw voxels, in both stages."""
_TEST_IMAGES = ("nsd.average_test_repeats", "recon.max_images", "recon.batch")
"""Settings that choose the responses to decode, and how many at once."""
_SAMPLING = (
    "features.generator",
    "features.refiner",
    "features.precision",
    "bit",
    "recon.n_steps",
    "recon.start_step",
    "recon.guidance",
    "recon.unconditional_tokens",
    "recon.offset_noise",
    "recon.contrast",
    "recon.refiner_steps",
    "recon.refiner_start",
    "dip.chunk",
)
_PEERS = ("mindeye2", "lora_skip", "mindbridge")
"""Sections of the peers; a job is passed those of its own peer, `_OF_PEER`."""
_OF_PEER = {
    "mindeye2": ("mindeye2",),
    "lora_skip": ("mindeye2", "lora_skip"),
    "mindbridge": ("mindbridge",),
}
"""Peer -> sections that it reads: `lora_skip` adapts a model of MindEye2."""
PEER_STEPS = ("train_peer", "adapt_peer", "predict_peer")
"""Steps of one peer a job."""
_TABLES = (
    "baselines",
    "peers",
    "mindeye2",
    "lora_skip",
    "mindbridge",
    "run.seed",
    "run.simulation",
    "simulation.n_own_images",
    "simulation.n_external_images",
    "simulation.trials_per_session",
    "simulation.image_size",
    "simulation.voxels_per_hemisphere",
    "nsd",
    "images",
    "features",
    "encoder",
    "clusters",
    "synthesis",
    "bit",
    "bit_lowlevel",
    "bit_semantic",
    "joint",
    "transfer",
    "dip",
    "recon",
    "evaluation",
)
"""Tables compare all of these with their defaults and sources in their notes."""

READS: dict[str, tuple[str, ...]] = {
    "simulate_nsd": (
        "run.seed",
        "run.threads",
        "nsd.subjects",
        "nsd.betas_version",
        "simulation",
    ),
    "download": ("nsd.accept_terms", "nsd.subjects", "nsd.betas_version", *_MASK),
    "download_images": ("nsd.accept_terms",),
    "fetch_weights": (),
    "prepare_design": ("run.seed", "nsd.validation_share", "nsd.test_set"),
    "prepare_betas": (
        "nsd.accept_terms",
        "nsd.betas_version",
        "nsd.volume_format",
        "nsd.published_checks",
        "nsd.zscore",
        *_MASK,
    ),
    "prepare_nsdsynthetic": (
        "nsd.accept_terms",
        "nsd.betas_version",
        *_MASK,
        "images.stored_size",
    ),
    "prepare_nsdimagery": (
        "nsd.accept_terms",
        "nsd.betas_version",
        "nsd.volume_format",
        *_MASK,
        "images.stored_size",
    ),
    "estimate_noise_ceiling": (
        "run.simulation",
        "nsd.betas_version",
        "nsd.published_checks",
        *_MASK,
        "nsd.ceiling_tolerance_pct",
        "nsd.session_tolerance_pct",
    ),
    "prepare_lab_subject": (
        "run.seed",
        "nsd.zscore",
        "nsd.validation_share",
        "images.stored_size",
        "images.rows_per_shard",
    ),
    "prepare_images": ("images",),
    "download_external": (),
    "prepare_external": ("images",),
    "join_cohort": ("cohort.near_copy_bits",),
    "screen_external": ("cohort.near_copy_bits",),
    "extract_features": (
        "run.threads",
        "run.device",
        "run.tf32",
        "images.rows_per_shard",
        "features.token_bits",
        *_TOKENS,
    ),
    "extract_latents": (
        "run.threads",
        "run.device",
        "run.tf32",
        "images.rows_per_shard",
        "features.generator",
    ),
    "train_encoder": (
        *_COMPUTE,
        *_TRIALS,
        *_ENCODER,
        *_ENCODER_TRAINING,
        "encoder.epochs",
        "encoder.plateau_patience",
        "encoder.plateau_threshold",
    ),
    "cluster_voxels": ("run.seed", "run.threads", *_CLUSTERING),
    "synthesize_fmri": (
        "run.threads",
        "run.device",
        "run.tf32",
        *_ENCODER,
        "images.rows_per_shard",
        "synthesis.batch",
    ),
    "train_bit_lowlevel": (*_COMPUTE, *_POOL, "features.vgg", "bit", "bit_lowlevel"),
    "train_bit_semantic": (*_COMPUTE, *_POOL, *_TOKENS, "bit", "bit_semantic"),
    "train_joint": (
        *_COMPUTE,
        *_POOL,
        "features.generator",
        "recon.unconditional_tokens",
        "bit",
        "joint",
        "bit_semantic.external_per_real",
        *_VOXEL_DRAWS,
    ),
    "import_authors": ("bit", *_ENCODER_SIZES),
    "adapt_encoder": (*_COMPUTE, *_ENCODER, *_ENCODER_TRAINING, "encoder.transfer_epochs"),
    "assign_voxels": ("run.seed", "run.threads", "clusters.covariance", "clusters.new_voxel"),
    "adapt_bit": (
        *_COMPUTE,
        "features.vgg",
        *_TOKENS,
        "bit",
        "bit_semantic.batch",
        "bit_semantic.weight_decay",
        "bit_semantic.optimizer",
        "bit_semantic.schedule",
        "bit_semantic.queries_per_example",
        "bit_semantic.contrastive_weight",
        "bit_semantic.contrastive_temperature",
        *_VOXEL_DRAWS,
        "bit_lowlevel.batch",
        "bit_lowlevel.weight_decay",
        "bit_lowlevel.optimizer",
        "bit_lowlevel.schedule",
        "bit_lowlevel.voxels_per_example",
        "bit_lowlevel.voxel_sampling",
        "bit_lowlevel.queries_per_layer",
        "bit_lowlevel.loss",
        "bit_lowlevel.similarity",
        "bit_lowlevel.temperature",
        "bit_lowlevel.logit_rows",
        "bit_lowlevel.logit_precision",
        "transfer.epochs",
        "transfer.lr",
        "transfer.external_per_real",
    ),
    "adapt_joint": (
        *_COMPUTE,
        "features.generator",
        "recon.unconditional_tokens",
        "bit",
        *_VOXEL_DRAWS,
        "joint.batch",
        "joint.accumulation",
        "joint.optimizer",
        "joint.offset_noise",
        "joint.unconditional_share",
        "joint.gradient_checkpointing",
        "transfer.joint_epochs",
        "transfer.joint_lr",
        "transfer.joint_max_steps",
        "transfer.external_per_real",
    ),
    "predict_ridge": (
        *_COMPUTE,
        *_TRIALS,
        *_TOKENS,
        "features.vgg",
        "baselines.alphas",
        "baselines.alpha_outputs",
        "baselines.rescale",
        "baselines.lowlevel",
        "baselines.pixel_side",
    ),
    "pick_nearest": (
        "run.seed",
        "run.threads",
        "run.simulation",
        "recon.max_images",
        "baselines.k",
    ),
    "draw_places": (
        "run.seed",
        "run.threads",
        "run.simulation",
        "simulation.image_size",
        "recon.max_images",
    ),
    "train_peer": (*_COMPUTE, *_TRIALS, *_TOKENS, *_PEERS),
    "adapt_peer": (
        *_COMPUTE,
        *_TRIALS,
        *_TOKENS,
        *_PEERS,
        "transfer.external_per_real",
    ),
    "predict_peer": (
        *_COMPUTE,
        "nsd.average_test_repeats",
        "features.semantic_tokens",
        "recon.batch",
        "bit",
        "bit_lowlevel.decoder",
        *_PEERS,
    ),
    "reconstruct_lowlevel": (
        *_COMPUTE,
        *_TEST_IMAGES,
        "features.vgg",
        "bit",
        "bit_lowlevel.decoder",
        "dip",
    ),
    "reconstruct_semantic": (*_COMPUTE, *_TEST_IMAGES, *_SAMPLING),
    "reconstruct_fused": (*_COMPUTE, *_TEST_IMAGES, *_SAMPLING),
    "halve_trials": ("run.seed",),
    "weigh_voxels": (*_COMPUTE, *_ENCODER),
    "reconstruct_searched": (
        *_COMPUTE,
        *_TEST_IMAGES,
        *_SAMPLING,
        *_ENCODER,
        "brain_search.rounds",
        "brain_search.first_samples",
        "brain_search.later_samples",
        "brain_search.start_step",
    ),
    "gather_reconstructions": ("run.simulation",),
    "extract_true_features": (
        *_COMPUTE,
        "features.metrics",
        "recon.max_images",
        "evaluation.eval_size",
        "evaluation.n_same_place",
    ),
    "evaluate": (*_COMPUTE, "features.metrics", "evaluation"),
    "evaluate_encoder": (*_COMPUTE, *_ENCODER, "evaluation.n_bootstrap"),
    "identify_images": (
        *_COMPUTE,
        *_ENCODER,
        *_TOKENS,
        "evaluation.n_bootstrap",
    ),
    "check_results": (
        *_COMPUTE,
        "run.simulation",
        "nsd.evaluated",
        "features.metrics",
        *_ENCODER,
        *_CLUSTERING,
        "evaluation.eval_size",
        "evaluation.n_bootstrap",
        "evaluation.n_permutations",
    ),
    "check_claims": (
        "run.seed",
        "run.simulation",
        "evaluation.n_bootstrap",
        "evaluation.n_permutations",
    ),
    "make_table": _TABLES,
    "make_figures": (
        *_COMPUTE,
        "run.simulation",
        "nsd.evaluated",
        "evaluation.n_bootstrap",
        *_ENCODER,
    ),
    "make_report": ("run", "models", "simulation", "ablations", "seeds", *_TABLES),
}
"""Step -> names of sections, or of single keys as `section.key`.

`train_bit` has an entry for each kind, which read different settings.
"""


def settings_read(step: str, config: Mapping[str, Any], peer: str | None = None) -> dict[str, Any]:
    """Return the part of `config` that `step` reads, by section.

    With `peer`, sections of peers that it does not read are left out: all, for Brain-IT's stage 1.
    """
    read: dict[str, Any] = {}
    left_out = set(_PEERS) - set(_OF_PEER.get(peer, ())) if peer is not None else set()
    for name in READS[step]:
        if name in left_out:
            continue
        section, _, key = name.partition(".")
        values = config[section]
        if isinstance(values, Mapping):
            keys = [key] if key else [k for k in values if f"{section}.{k}" not in UNTRACKED]
            read.setdefault(section, {}).update({k: values[k] for k in keys})
        else:
            read[section] = values
    return read


def settings_json(step: str, config: Mapping[str, Any], peer: str | None = None) -> str:
    """Return the settings that `step` reads, for `peer`, as its `--settings` JSON."""
    return json.dumps(settings_read(step, config, peer), sort_keys=True)
