"""What stands under a table: rows that were not run, how numbers were made, what was smaller."""

import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.tables.not_run import missing_rows
from brainit.evaluation.tables.paper import PaperTable
from brainit.evaluation.tables.smaller import other_than_paper, smaller_than_paper


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
