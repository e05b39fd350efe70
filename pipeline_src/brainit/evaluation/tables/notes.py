"""What stands under a table: rows that were not run, how numbers were made, what was smaller."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.tables.rows import (
    Condition,
    PaperTable,
    command_of,
    condition_name,
    rows_of,
)


def table_notes(
    name: str, published: PaperTable, records: pd.DataFrame, settings: Settings
) -> tuple[str, ...]:
    """Return the notes of table `name`, those on rows that were not run first."""
    missing = missing_rows(name, published.title, records, settings)
    notes = [f"Not run: {'; '.join(found.rows)}. Command: {found.command}" for found in missing]
    return (*notes, *_notes(published, records, settings))


def _notes(published: PaperTable, records: pd.DataFrame, settings: Settings) -> tuple[str, ...]:
    sizes = f"both images resized to {settings.evaluation.eval_size} px first"
    notes = [
        published_note("Published rows", published)
        if published.rows
        else "The paper has no numbers of this.",
        f"Ours: mean over images, then subjects; {sizes}; PixCorr and SSIM at "
        f"{settings.evaluation.pixel_size} px; percentile bootstrap over images. P-values are not "
        "corrected for their number.",
        _smaller(published, records, settings),
        f"Other than in the paper: {'; '.join(other_than_paper(settings)) or 'nothing'}.",
        *_other_subjects(published, records, settings),
    ]
    if settings.run.simulation:
        notes.append(
            "Simulation: a simulated brain, simulated scenes and small networks, also those that "
            f"score ({', '.join(settings.features.metrics)}). No difference from the paper is "
            "computed: the numbers are not comparable. Chance: reconstructions shuffled against "
            "images."
        )
    return tuple(notes)


def published_note(what: str, published: PaperTable) -> str:
    """Say of whom published rows are a mean, and what else is to be known of them."""
    over = ", ".join(published.subjects)
    told = f"{what}: mean of {over}; no intervals or seeds are published."
    return f"{told} {published.note}".rstrip()


def _other_subjects(
    published: PaperTable, records: pd.DataFrame, settings: Settings
) -> tuple[str, ...]:
    """Say where our subjects are not those of the paper's means."""
    if settings.run.simulation or not published.rows:
        return ()
    first = records.groupby("condition").first()["subjects"]
    lacking = any(set(names.split()) < set(published.subjects) for names in first)
    shown = {subject for names in records["subjects"] for subject in names.split()}
    others = [s for s in settings.nsd.evaluated if s not in published.subjects]
    left_out, held = (
        ", ".join(s for s in others if (s in shown) == is_in) for is_in in (False, True)
    )
    notes = (
        f"Not among the paper's subjects and left out: {left_out}." if left_out else "",
        f"Not among the paper's subjects, no difference computed: {held}." if held else "",
        "No difference for a mean that lacks one of the paper's subjects: people differ more than "
        "methods."
        if lacking
        else "",
    )
    return tuple(filter(None, notes))


def _smaller(published: PaperTable, records: pd.DataFrame, settings: Settings) -> str:
    """Say what was smaller than in the paper, the test set and the subjects first."""
    found = list(smaller_than_paper(settings))
    scored = records[records["n_images"] > 0]
    n_test = max((row.n_test for row in published.rows), default=0)
    if len(scored) and scored["n_images"].min() < n_test:
        found.insert(0, f"test images {scored['n_images'].min():,} (paper: {n_test:,})")
    n_subjects = [
        len(str(names).split()) for names in scored.groupby("condition").first()["subjects"]
    ]
    if published.rows and n_subjects and min(n_subjects) < len(published.subjects):
        found.insert(0, f"subjects {min(n_subjects)} (paper: {len(published.subjects)})")
    return f"Smaller than in the paper: {'; '.join(found) if found else 'nothing'}."


@dataclass(frozen=True)
class NotRun:
    """What was not run: a table's title, or a figure's, which rows of it (none: all), and how."""

    title: str
    rows: tuple[str, ...]
    command: str


def missing_rows(
    name: str, title: str, records: pd.DataFrame, settings: Settings
) -> tuple[NotRun, ...]:
    """Return the rows of table `name` that its `records` lack, those of one command together.

    A model of as many subjects as there are is that of all of them, and not missed.
    """
    simulated = settings.run.simulation
    found: dict[str, list[str]] = {}
    for condition in rows_of(name).conditions:
        is_there = _is_there(condition, rows_of(name).n_seeds, records)
        if is_there or _is_of_all(condition.run, len(settings.nsd.subjects)):
            continue
        how = command_of(name, simulated)
        if condition.needs and not simulated:
            how = f"{how}; first {condition.needs}"
        found.setdefault(how, []).append(condition_name(condition))
    return tuple(NotRun(title, tuple(rows), how) for how, rows in found.items())


def _is_of_all(run: str, n_subjects: int) -> bool:
    return run.startswith("first") and int(run.removeprefix("first")) >= n_subjects


def _is_there(condition: Condition, n_seeds: int, records: pd.DataFrame) -> bool:
    """Tell whether a row is there, with so many seeds; its number of trials stands in brackets."""
    name = condition_name(condition)
    seeds = [
        int(n)
        for label, n in zip(records["condition"], records["n_seeds"], strict=True)
        if label == name or str(label).startswith(f"{name} (")
    ]
    return max(seeds, default=0) >= n_seeds


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
            path, pair = f"{section}.{key}", (getattr(mine, key), getattr(theirs, key))
            if path in _COUNTED:
                pair = len(pair[0]), len(pair[1])
            if path not in _ALIKE and pair[0] != pair[1]:
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
