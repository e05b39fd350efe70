"""Notes below a table: rows that were not run, methods of the numbers, differences from the paper.

Settings are compared with their defaults in `sources`, which names the source of each.
"""

from dataclasses import dataclass

import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.tables.rows import (
    Condition,
    PaperTable,
    command_of,
    rows_of,
)
from brainit.evaluation.tables.sources import (
    chosen_between_sources,
    chosen_by_us,
    different_from_sources,
    smaller_than_sources,
)
from brainit.workflow.runs import Run

POOLED_NOTE = (
    "Where subjects saw other test images, the mean is over all images of each subject, not over "
    "the few that they share; intervals resample all of them. Chance is the mean over subjects."
)


def table_notes(
    name: str, published: PaperTable, records: pd.DataFrame, settings: Settings
) -> tuple[str, ...]:
    """Return the notes of the table `name`; rows that were not run come first."""
    missing = missing_rows(name, published.title, records, settings)
    notes = [f"Not run: {'; '.join(table.rows)}. Command: {table.command}" for table in missing]
    if name == "t7" and settings.nsd.zscore == "all_trials":
        notes.append(
            "15 and 30 min are z-scored with all trials of their session (nsd.zscore), as in C: "
            "mean and deviation of each voxel come from the whole hour, test images included."
        )
    return (*notes, *_notes(published, records, settings))


def _notes(published: PaperTable, records: pd.DataFrame, settings: Settings) -> tuple[str, ...]:
    notes = [
        published_note("Published rows", published) if published.rows else "Not in the paper.",
        "Ours: mean over images, then subjects. Both images are resized to "
        f"{settings.evaluation.eval_size} px, for PixCorr and SSIM then to "
        f"{settings.evaluation.pixel_size} px. Intervals: percentile bootstrap over images. "
        "P-values are not corrected for multiple tests.",
        *([POOLED_NOTE] if _pools_images(records) else []),
        _smaller_note(published, records, settings),
        f"Other settings than P and C: {'; '.join(different_from_sources(settings)) or 'none'}.",
        "Where sources differ this run follows the first named: "
        f"{'; '.join(chosen_between_sources(settings)) or 'none'}. Stated by no source: "
        f"{'; '.join(chosen_by_us(settings)) or 'none'}.",
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


def _pools_images(records: pd.DataFrame) -> bool:
    """Return True if a mean over subjects counts every image of each of them."""
    for _, rows in records.groupby(["condition", "metric"], sort=False):
        is_mean = rows["subjects"].str.contains(" ")
        n_mean, n_own = (int(rows["n_images"][part].sum()) for part in (is_mean, ~is_mean))
        if is_mean.any() and 0 < n_mean == n_own:
            return True
    return False


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
    phrases = list(smaller_than_sources(settings))
    scored = records[records["n_images"] > 0]
    n_test = max((row.n_test for row in published.rows), default=0)
    if len(scored) and scored["n_images"].min() < n_test:
        phrases.insert(0, f"test images {scored['n_images'].min():,} (P: {n_test:,})")
    n_subjects = [
        len(str(names).split()) for names in scored.groupby("condition").first()["subjects"]
    ]
    if published.rows and n_subjects and min(n_subjects) < len(published.subjects):
        phrases.insert(0, f"subjects {min(n_subjects)} (P: {len(published.subjects)})")
    smaller = "; ".join(phrases) if phrases else "nothing"
    return f"Smaller than in paper (P) or released code (C): {smaller}."


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
