"""Notes below a table: rows that were not run, methods of the numbers, differences from the paper.

Settings are compared with the defaults, which are the paper's values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.tables.rows import (
    Condition,
    PaperTable,
    command_of,
    rows_of,
)
from brainit.workflow.runs import Run


def table_notes(
    name: str, published: PaperTable, records: pd.DataFrame, settings: Settings
) -> tuple[str, ...]:
    """Return the notes of the table `name`; rows that were not run come first."""
    missing = missing_rows(name, published.title, records, settings)
    notes = [f"Not run: {'; '.join(table.rows)}. Command: {table.command}" for table in missing]
    return (*notes, *_notes(published, records, settings))


def _notes(published: PaperTable, records: pd.DataFrame, settings: Settings) -> tuple[str, ...]:
    notes = [
        published_note("Published rows", published) if published.rows else "Not in the paper.",
        "Ours: mean over images, then subjects. Both images are resized to "
        f"{settings.evaluation.eval_size} px, for PixCorr and SSIM then to "
        f"{settings.evaluation.pixel_size} px. Intervals: percentile bootstrap over images. "
        "P-values are not corrected for multiple tests.",
        _smaller_note(published, records, settings),
        f"Different from the paper: {'; '.join(different_from_paper(settings)) or 'nothing'}.",
        *_other_subjects(published, records, settings),
    ]
    if settings.run.simulation:
        notes.append(
            "Simulation: the brain and the scenes are simulated, the networks are small, and other "
            f"networks score ({', '.join(settings.features.metrics)}). The numbers are not "
            "comparable with the paper's, so no difference is computed. Chance: reconstructions "
            "shuffled against images."
        )
    return tuple(notes)


def published_note(what: str, published: PaperTable) -> str:
    """Return the note on published rows: their subjects, and the table's own note."""
    over = ", ".join(published.subjects)
    text = f"{what}: mean of {over}; no intervals or seeds are published."
    return f"{text} {published.note}".rstrip()


def _other_subjects(
    published: PaperTable, records: pd.DataFrame, settings: Settings
) -> tuple[str, ...]:
    """Return notes on subjects that are not those of the paper's means."""
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
        f"Left out, not among the paper's subjects: {left_out}." if left_out else "",
        f"No difference computed, not among the paper's subjects: {held}." if held else "",
        "No difference computed for means that lack one of the paper's subjects: people differ "
        "more than methods."
        if lacking
        else "",
    )
    return tuple(filter(None, notes))


def _smaller_note(published: PaperTable, records: pd.DataFrame, settings: Settings) -> str:
    """Return the note on sizes smaller than in the paper; subjects and test images first."""
    phrases = list(smaller_than_paper(settings))
    scored = records[records["n_images"] > 0]
    n_test = max((row.n_test for row in published.rows), default=0)
    if len(scored) and scored["n_images"].min() < n_test:
        phrases.insert(0, f"test images {scored['n_images'].min():,} (paper: {n_test:,})")
    n_subjects = [
        len(str(names).split()) for names in scored.groupby("condition").first()["subjects"]
    ]
    if published.rows and n_subjects and min(n_subjects) < len(published.subjects):
        phrases.insert(0, f"subjects {min(n_subjects)} (paper: {len(published.subjects)})")
    return f"Smaller than in the paper: {'; '.join(phrases) if phrases else 'nothing'}."


@dataclass(frozen=True)
class NotRun:
    """A table or figure that was not run: its title, its rows (none: all), and the command."""

    title: str
    rows: tuple[str, ...]
    command: str


def missing_rows(
    name: str, title: str, records: pd.DataFrame, settings: Settings
) -> tuple[NotRun, ...]:
    """Return the rows of the table `name` that its `records` lack, grouped by command.

    A model of the first n subjects is not missing if the pool has only n.
    """
    simulated = settings.run.simulation
    headings: dict[str, list[str]] = {}
    for condition in rows_of(name).conditions:
        run, n_subjects = Run.parse(condition.run), len(settings.nsd.subjects)
        is_whole_pool = run.is_of_fewer_subjects and run.n_subjects >= n_subjects
        if is_whole_pool or _n_seeds(condition, records) >= rows_of(name).n_seeds:
            continue
        how = command_of(name, simulated)
        if condition.needs and not simulated:
            how = f"{how}; first {condition.needs}"
        headings.setdefault(how, []).append(condition.heading)
    return tuple(NotRun(title, tuple(rows), how) for how, rows in headings.items())


def _n_seeds(condition: Condition, records: pd.DataFrame) -> int:
    """Return with how many seeds a row was run; in `records` its heading may end in "(n trials)".

    0 for a row without records.
    """
    name = condition.heading
    seeds = [
        int(n)
        for label, n in zip(records["condition"], records["n_seeds"], strict=True)
        if label == name or str(label).startswith(f"{name} (")
    ]
    return max(seeds, default=0)


SECTIONS = (
    *("nsd", "images", "features", "encoder", "clusters", "synthesis", "bit", "bit_lowlevel"),
    *("bit_semantic", "joint", "transfer", "dip", "recon", "evaluation"),
)
"""Sections that are compared with the paper."""
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
    ("n_own_images", "own images of a subject", 9_000),
    ("n_external_images", "external images", 120_000),
    ("trials_per_session", "trials of a session", 750),
    ("image_size", "side of the stimuli in pixels", 425),
    ("voxels_per_hemisphere", "voxels of a hemisphere", 19_774),
)
"""(key, phrase, NSD's number); external images: paper D.1; voxels: half of 39,548 vertices."""


def smaller_than_paper(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each count or size below the paper's; null in the paper means all."""
    phrases = [_phrase(*difference) for difference in _differences(settings) if difference[3]]
    batch, paper = (s.joint.batch * s.joint.accumulation for s in (settings, Settings()))
    if batch < paper:
        phrases.append(_phrase("stage-2 batch", batch, paper))
    if settings.run.simulation:
        pairs = ((what, getattr(settings.simulation, key), nsd) for key, what, nsd in SIMULATED)
        phrases += [_phrase(what, ours, nsd) for what, ours, nsd in pairs if ours < nsd]
    return tuple(phrases)


def different_from_paper(settings: Settings) -> tuple[str, ...]:
    """Return a phrase for each other difference from the paper: networks, choices, rates."""
    return tuple(_phrase(*difference) for difference in _differences(settings) if not difference[3])


def _differences(settings: Settings) -> Iterator[tuple[str, Any, Any, bool]]:
    """Yield (phrase, ours, the paper's, whether ours is smaller) of each setting that differs."""
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
