"""Whose images a subject of a folder of results saw: its own, a cohort's joined ones, or NSD's."""

import json
from pathlib import Path

from brainit.core.reading import reading
from brainit.data.recons import PROVENANCE_NAME
from brainit.workflow.cohort import COHORT
from brainit.workflow.runs import NSDIMAGERY, NSDSYNTHETIC

_OF_OTHER_IMAGES = {f"recon_{run}" for run in (NSDSYNTHETIC, *NSDIMAGERY)}
_JOINED = Path(COHORT) / "images" / "stimuli"


def stimuli_of(results: Path, subject: str) -> Path:
    """Return the folder of a subject's stimuli in a folder of results.

    The one that the subject's newest run names in its provenance. Without a run, the joined ones
    for a member of a cohort beside NSD, else a lab's own, or NSD's.
    """
    if recorded := _recorded(results, subject):
        return results / recorded
    if _joined_trials(results, subject).is_file():
        return results / _JOINED
    own = results / subject / "images" / "stimuli"
    return own if own.is_dir() else results / "group" / "images" / "stimuli"


def trials_of(results: Path, subject: str) -> Path:
    """Return a subject's trial table, whose images are rows of `stimuli_of`."""
    if stimuli_of(results, subject) == results / _JOINED:
        return _joined_trials(results, subject)
    return results / subject / "design" / "trials.csv"


def _recorded(results: Path, subject: str) -> str | None:
    """Return the stimuli in the provenance of a subject's newest run, relative to `results`."""
    paths = (results / subject).glob(f"recon_*/{PROVENANCE_NAME}")
    runs = [path for path in paths if path.parent.name not in _OF_OTHER_IMAGES]
    if not runs:
        return None
    newest = max(runs, key=lambda path: (path.stat().st_mtime_ns, path))
    fix = "delete the folder and rerun gather_reconstructions"
    with reading(newest, "the provenance of a finished run", fix, ValueError, AttributeError):
        found = json.loads(newest.read_text(encoding="utf-8")).get("stimuli")
    return None if found is None else str(found)


def _joined_trials(results: Path, subject: str) -> Path:
    return results / COHORT / "trials" / f"{subject}.csv"
