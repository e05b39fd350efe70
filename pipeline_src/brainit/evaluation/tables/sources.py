"""Settings of a run beside their defaults, and the source of each default.

P = paper, C = released code, E = paper of the encoder, MindEye2 = its released code. A default that
none of them states is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from brainit.core.settings import Settings

SECTIONS = (
    *("nsd", "images", "features", "encoder", "clusters", "synthesis", "bit", "bit_lowlevel"),
    *("bit_semantic", "joint", "transfer", "dip", "recon", "baselines", "evaluation"),
)
"""Sections whose settings are compared."""

_STAGE1 = {
    **dict.fromkeys(("batch", "lr", "warmup_epochs", "voxels_per_example"), "P, C"),
    **dict.fromkeys(("voxel_sampling", "external_per_real"), "P, C"),
    "epochs": "P",
    **dict.fromkeys(("weight_decay", "plateau_patience", "plateau_threshold", "min_lr"), "C"),
    **dict.fromkeys(("warmup_ramp", "plateau_from", "validation_examples"), "C"),
}
_SOURCES_BY_SECTION = {
    "nsd": {
        **dict.fromkeys(("subjects", "space", "mask", "mask_files", "test_set", "pairing"), "P, C"),
        "validation_share": "P",
        **dict.fromkeys(("betas_version", "zscore"), "C"),
        **dict.fromkeys(("average_training_repeats", "average_test_repeats"), "C"),
    },
    "images": {"stored_size": "C", "n_external": "P, C"},
    "features": {
        **dict.fromkeys(("semantic_tokens", "vgg", "generator", "metrics"), "P, C"),
        **dict.fromkeys(("encoder_backbone", "refiner"), "C"),
        "halve_contrast": "C, MindEye2",
    },
    "encoder": {
        **dict.fromkeys(("feature_width", "voxel_width", "adapter_rank", "adapter_alpha"), "C"),
        **dict.fromkeys(("dropout", "loss", "voxels_per_example", "voxel_sampling"), "C"),
        **dict.fromkeys(("batch", "epochs", "lr", "plateau_patience", "plateau_threshold"), "C"),
        **dict.fromkeys(("max_shift_px", "transfer_epochs"), "C"),
    },
    "clusters": {
        **dict.fromkeys(("method", "n_clusters"), "P, C"),
        **dict.fromkeys(
            ("covariance", "engine", "max_fit_voxels", "max_iterations", "new_voxel"), "C"
        ),
    },
    "synthesis": {"enabled": "P, C"},
    "bit": dict.fromkeys(("width", "n_heads", "n_blocks"), "P, C"),
    "bit_lowlevel": {
        **_STAGE1,
        **dict.fromkeys(("queries_per_layer", "decoder", "loss", "calibration"), "P, C"),
        "mlp_width": "P",
        "similarity": "C",
    },
    "bit_semantic": _STAGE1,
    "joint": {
        **dict.fromkeys(("epochs", "lr", "optimizer", "unet_weights"), "P, C"),
        **dict.fromkeys(("max_steps", "warmup_steps", "offset_noise", "validation_examples"), "C"),
    },
    "transfer": dict.fromkeys(
        ("epochs", "lr", "external_per_real", "joint_epochs", "joint_lr", "joint_max_steps"), "C"
    ),
    "dip": {
        **dict.fromkeys(("input_depth", "width", "n_scales", "input_noise", "noise_std"), "P, C"),
        **{"iterations": "P", "ema": "P, C", "lr": "C", "size": "C", "skip_channels": "C"},
    },
    "recon": {
        **dict.fromkeys(("start_step", "max_images"), "P, C"),
        **dict.fromkeys(("n_steps", "guidance", "unconditional_tokens", "offset_noise"), "C"),
        **dict.fromkeys(("contrast", "refiner_steps", "refiner_start"), "C"),
    },
    "evaluation": {"eval_size": "C", "pixel_size": "C, MindEye2", "retrieval_pool": "MindEye2"},
}
SOURCES = {
    f"{section}.{key}": source
    for section, sources in _SOURCES_BY_SECTION.items()
    for key, source in sources.items()
}
"""Sources that state the default of a setting; a setting that is not here has a default of ours."""

OTHERS = {
    "nsd.validation_share": "C: 2,500 images of all subjects",
    "encoder.loss": "E: tenth_mse_minus_cosine",
    "encoder.precision": "C: float32",
    "features.precision": "P, C: float16",
    "bit_lowlevel.epochs": "C: at most 75",
    "bit_semantic.epochs": "C: at most 75",
    "dip.iterations": "C: 1,800",
    "dip.size": "P: 112",
    "recon.n_steps": "P: 38",
    "evaluation.eval_size": "MindEye2: 256",
}
"""Settings for which another source states another value."""

_WHAT = {
    "nsd.subjects": "subjects that train",
    "nsd.validation_share": "share of images for validation",
    "encoder.epochs": "encoder epochs",
    "clusters.n_clusters": "functional clusters",
    "bit.width": "BIT width",
    "bit.n_heads": "BIT heads",
    "bit.n_blocks": "BIT blocks",
    "bit_lowlevel.loss": "low-level loss",
    "bit_lowlevel.epochs": "low-level BIT epochs",
    "bit_lowlevel.batch": "low-level BIT batch",
    "bit_lowlevel.mlp_width": "hidden units of T5's MLP",
    "bit_semantic.epochs": "semantic BIT epochs",
    "bit_semantic.batch": "semantic BIT batch",
    "joint.epochs": "stage-2 epochs",
    "joint.max_steps": "stage-2 steps at most",
    "transfer.epochs": "transfer epochs",
    "transfer.joint_epochs": "transfer stage-2 epochs",
    "transfer.joint_max_steps": "transfer stage-2 steps at most",
    "images.n_external": "external images",
    "images.stored_size": "side of stored images in pixels",
    "dip.iterations": "DIP iterations",
    "dip.size": "DIP image side in pixels",
    "recon.n_steps": "diffusion schedule steps",
    "recon.contrast": "contrast of the unCLIP's images",
    "recon.max_images": "test images reconstructed",
    "features.metrics": "networks that score",
    "evaluation.eval_size": "image side at evaluation in pixels",
    "evaluation.retrieval_pool": "images of a retrieval pool",
}
"""Phrases for common keys; other keys keep their names in the configuration."""
_ALIKE = {
    *("nsd.accept_terms", "nsd.connections", "nsd.evaluated", "nsd.transfer", "nsd.pool_sizes"),
    *("nsd.published_checks", "nsd.ceiling_tolerance_pct", "nsd.session_tolerance_pct"),
    *("nsd.volume_format", "images.rows_per_shard", "features.cache_tokens", "synthesis.batch"),
    *("bit_lowlevel.logit_rows", "joint.batch", "joint.accumulation", "joint.processes"),
    *("joint.gradient_checkpointing", "transfer.durations", "transfer.short_durations"),
    *("transfer.further_durations", "transfer.scratch", "dip.chunk", "recon.batch"),
    *("recon.n_shards", "clusters.atlas"),
}
"""Keys that choose places, speed or runs, and stage 2's batch, whose product is compared."""
_COUNTED = {"nsd.subjects", "features.metrics"}

SIMULATED = (
    ("n_own_images", "own images of a subject", 9_000, "NSD"),
    ("n_external_images", "external images", 120_000, "P"),
    ("trials_per_session", "trials of a session", 750, "NSD"),
    ("image_size", "side of the stimuli in pixels", 425, "NSD"),
    ("voxels_per_hemisphere", "voxels of a hemisphere", 19_774, "NSD"),
)
"""(key, phrase, number, its source); voxels of a hemisphere: half of 39,548 vertices."""


@dataclass(frozen=True)
class Compared:
    """A setting: its path, its value in the run, its default and the default's source."""

    path: str
    ours: Any
    default: Any

    @property
    def source(self) -> str:
        """Source of the default."""
        return SOURCES.get(self.path, "ours")

    @property
    def is_smaller(self) -> bool:
        """True for a count or size below the default; null as a default means all."""
        return _is_smaller(self.ours, self.default)

    def phrase(self) -> str:
        """Return the name, the run's value, and what each source states."""
        stated = "; ".join(filter(None, (f"{self.source}: {_text(self.default)}", self._other())))
        return f"{self._name()} {_text(self.ours)} ({stated})"

    def choice(self) -> str:
        """Return the name and the default, with its source where another states another value."""
        value = f"{self._name()} {_text(self.default)}"
        return f"{value} ({self.source}; {self._other()})" if self._other() else value

    def _name(self) -> str:
        return _WHAT.get(self.path, self.path)

    def _other(self) -> str:
        return OTHERS.get(self.path, "")


def smaller_than_sources(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each count or size below its default, with the default's source."""
    phrases = [c.phrase() for c in _compared(settings) if c.ours != c.default and c.is_smaller]
    batch, default = (s.joint.batch * s.joint.accumulation for s in (settings, Settings()))
    if batch < default:
        phrases.append(f"stage-2 batch {_text(batch)} (P, C: {_text(default)})")
    if settings.run.simulation:
        for key, what, number, source in SIMULATED:
            ours = getattr(settings.simulation, key)
            if ours < number:
                phrases.append(f"{what} {_text(ours)} ({source}: {_text(number)})")
    return tuple(phrases)


def different_from_sources(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each other setting that is not its default: networks, choices, rates."""
    compared = _compared(settings)
    return tuple(c.phrase() for c in compared if c.ours != c.default and not c.is_smaller)


def chosen_between_sources(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each default that the run keeps and that another source contradicts."""
    kept = (c for c in _compared(settings) if c.ours == c.default)
    return tuple(c.choice() for c in kept if c.path in OTHERS)


def chosen_by_us(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each default that the run keeps and that no source states."""
    kept = (c for c in _compared(settings) if c.ours == c.default)
    return tuple(c.choice() for c in kept if c.source == "ours" and c.path not in OTHERS)


def _compared(settings: Settings) -> Iterator[Compared]:
    defaults = Settings()
    for section in SECTIONS:
        mine, theirs = getattr(settings, section), getattr(defaults, section)
        for key in type(mine).model_fields:
            path = f"{section}.{key}"
            if path in _ALIKE:
                continue
            ours, default = getattr(mine, key), getattr(theirs, key)
            if path in _COUNTED:
                ours, default = len(ours), len(default)
            yield Compared(path, ours, default)


def _is_smaller(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, tuple):
        return any(_is_smaller(*pair) for pair in zip(ours, theirs, strict=False))
    is_count = isinstance(ours, int) and not isinstance(ours, bool)
    return is_count and (theirs is None or ours < theirs)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return "/".join(_text(part) for part in value) or "none"
    return "all" if value is None else str(value)
