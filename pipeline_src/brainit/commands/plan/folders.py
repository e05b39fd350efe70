"""Sizes of a cohort's subjects beside NSD's, read from their folders (`config/lab_subject.md`)."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from brainit.core.settings import Settings
from brainit.data.lab.check import used_columns
from brainit.data.lab.layout import open_betas, read_trials, read_voxels, split_of_trials
from brainit.workflow.cohort import is_nsd


@dataclass(frozen=True)
class Folder:
    """Trials, sessions, used voxels and images of a folder; also images that train and test."""

    n_trials: int
    n_sessions: int
    n_voxels: int
    n_images: int
    n_training: int
    n_test: int


def cohort_of(settings: Settings) -> tuple[str, ...]:
    """Return the subjects of the pool and the new ones outside it."""
    return tuple(dict.fromkeys([*settings.nsd.subjects, *settings.nsd.transfer]))


def folders_of(settings: Settings) -> dict[str, Folder]:
    """Return the sizes of the cohort's subjects that are not NSD's.

    Raises `PipelineError` for a folder that cannot be read.
    """
    lab = settings.lab.root
    others = [subject for subject in cohort_of(settings) if not is_nsd(subject)]
    return {subject: read_folder(Path(lab[subject])) for subject in others}


@cache
def read_folder(folder: Path) -> Folder:
    """Read the sizes of a folder, of its betas the header alone."""
    betas, table = open_betas(folder), read_trials(folder)
    images = table["image"]
    split = split_of_trials(table)
    return Folder(
        n_trials=len(table),
        n_sessions=int(table["session"].nunique()),
        n_voxels=int(used_columns(betas.shape[1], read_voxels(folder)).sum()),
        n_images=int(images.nunique()),
        n_training=int(images[split.isin(("train", "val"))].nunique()),
        n_test=int(images[split == "test"].nunique()),
    )
