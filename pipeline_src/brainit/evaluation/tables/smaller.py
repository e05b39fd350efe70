"""What of a run was not as in the paper: its settings held to the defaults, the paper's values."""

from collections.abc import Iterator
from typing import Any

from brainit.core.settings import Settings

SECTIONS = (
    *("nsd", "images", "features", "encoder", "clusters", "synthesis", "bit", "bit_lowlevel"),
    *("bit_semantic", "joint", "transfer", "dip", "recon", "evaluation"),
)
"""What is held against the paper."""
_WHAT = {
    "nsd.subjects": "subjects that train",
    "encoder.epochs": "encoder epochs",
    "clusters.n_clusters": "functional clusters",
    "bit.width": "BIT width",
    "bit.n_heads": "BIT heads",
    "bit.n_blocks": "BIT blocks",
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
    "recon.max_images": "test images reconstructed",
    "features.metrics": "networks that score",
    "evaluation.eval_size": "image side at evaluation in pixels",
}
"""What is said in words; any other key is named as in the configuration."""
_ALIKE = {
    *("nsd.accept_terms", "nsd.connections", "nsd.evaluated", "nsd.transfer", "nsd.pool_sizes"),
    *("nsd.published_checks", "nsd.ceiling_tolerance_pct", "nsd.session_tolerance_pct"),
    *("nsd.volume_format", "images.rows_per_shard", "features.cache_tokens", "synthesis.batch"),
    *("bit_lowlevel.logit_rows", "joint.batch", "joint.accumulation", "joint.processes"),
    *("joint.gradient_checkpointing", "transfer.durations", "transfer.short_durations"),
    *("transfer.further_durations", "transfer.scratch", "dip.chunk", "recon.batch"),
    *("recon.n_shards", "clusters.atlas"),
}
"""Keys that say where, how fast or which runs; stage 2's batch is said as a product."""
_COUNTED = {"nsd.subjects", "features.metrics"}
SIMULATED = (
    ("n_own_images", "own images of a subject", 9_000),
    ("n_external_images", "external images", 120_000),
    ("trials_per_session", "trials of a session", 750),
    ("image_size", "side of the stimuli in pixels", 425),
    ("voxels_per_hemisphere", "voxels of a hemisphere", 19_774),
)
"""(key, what it is, NSD's number); external images: D.1, voxels: half of the 39,548 vertices."""


def smaller_than_paper(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each count or size below the paper's; no bound there reads as all."""
    found = [_phrase(*difference) for difference in _differences(settings) if difference[3]]
    batch, paper = (s.joint.batch * s.joint.accumulation for s in (settings, Settings()))
    if batch < paper:
        found.append(_phrase("stage-2 batch", batch, paper))
    if settings.run.simulation:
        pairs = ((what, getattr(settings.simulation, key), nsd) for key, what, nsd in SIMULATED)
        found += [_phrase(what, ours, nsd) for what, ours, nsd in pairs if ours < nsd]
    return tuple(found)


def other_than_paper(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each other setting that is not the paper's: networks, choices, rates."""
    return tuple(_phrase(*found) for found in _differences(settings) if not found[3])


def _differences(settings: Settings) -> Iterator[tuple[str, Any, Any, bool]]:
    """Yield (what, ours, the paper's, whether ours is smaller) of each setting that differs."""
    paper = Settings()
    for section in SECTIONS:
        mine, theirs = getattr(settings, section), getattr(paper, section)
        for key in type(mine).model_fields:
            path = f"{section}.{key}"
            if path in _ALIKE:
                continue
            pair = getattr(mine, key), getattr(theirs, key)
            if path in _COUNTED:
                pair = len(pair[0]), len(pair[1])
            if pair[0] != pair[1]:
                yield _WHAT.get(path, path), *pair, _is_smaller(*pair)


def _is_smaller(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, tuple):
        return any(_is_smaller(*pair) for pair in zip(ours, theirs, strict=False))
    is_count = isinstance(ours, int) and not isinstance(ours, bool)
    return is_count and (theirs is None or ours < theirs)


def _phrase(what: str, ours: Any, theirs: Any, _: bool = True) -> str:
    return f"{what} {_text(ours)} (paper: {_text(theirs)})"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return "/".join(_text(part) for part in value) or "none"
    return "all" if value is None else str(value)
