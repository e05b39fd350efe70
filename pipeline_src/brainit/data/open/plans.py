"""What an import fetches, keeps and takes, beforehand: counted from published numbers of trials.

Sizes come from the sets' documentation: LAION-fMRI about 3 GB a session, MOSAIC 91,282 numbers of
float64 a trial, NSD-Imagery a session of volumes. Where the bucket can be listed, `listed_bytes`
replaces them. Hours are those of the network and of reading the unpacked data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

GB = 1e9
READ_BYTES_PER_S = 50e6
"""Unpacked bytes that one slow core reads in a second: gzip and the mask's voxels, measured."""

LAION_SUBJECTS, LAION_SESSIONS = 5, 30
LAION_TRIALS = 31_856
"""Of one subject, in 30 sessions."""
_LAION_SESSION_BYTES = 3e9
_LAION_UNPACKED_BYTES = 143**3 * 4
"""Of one trial's volume."""
_LAION_IMAGES_BYTES, _LAION_IMAGES, _LAION_OWN_IMAGES = 3.2e9, 25_052, 6_204
_LAION_VOXELS = 40_000
"""Assumed for the mask laiongeneral, whose size is not published."""

MOSAIC_TRIAL_BYTES = 91_282 * 8
_MOSAIC_CORTEX_BYTES = 59_412 * 2
"""Of one trial in the lab layout: float16."""


@dataclass(frozen=True)
class MosaicSet:
    """A data set of MOSAIC: subjects, and trials of all of them (train, test, artificial)."""

    name: str
    n_subjects: int
    n_trials: int


MOSAIC_SETS = (
    MosaicSet("NSD", 8, 190_649 + 21_118 + 5_312),
    MosaicSet("BOLD5000", 4, 13_508 + 1_615),
    MosaicSet("THINGS", 3, 25_695 + 3_600),
    MosaicSet("GOD", 5, 5_915 + 8_750),
    MosaicSet("deeprecon", 3, 17_745 + 3_600 + 2_760),
    MosaicSet("NOD", 30, 54_581 + 13_728),
    MosaicSet("BMD", 10, 29_820 + 10_200),
    MosaicSet("HAD", 30, 16_011 + 5_400),
)
IMAGERY_SUBJECTS, IMAGERY_TRIALS = 8, 720
_IMAGERY_BYTES = 1_052_494_008
"""One subject's session on the 1.8 mm grid, as HDF5 (subj01)."""


@dataclass(frozen=True)
class ImportPlan:
    """Files, bytes fetched, bytes that stay, most bytes on the disk at a time, hours of reading."""

    what: str
    n_files: int
    fetched_bytes: float
    kept_bytes: float
    peak_bytes: float
    read_hours: float

    def hours(self, bandwidth_mbit: float) -> float:
        """Return hours in all: download, then reading."""
        return self.fetched_bytes * 8 / (bandwidth_mbit * 1e6) / 3600 + self.read_hours

    def line(self, bandwidth_mbit: float) -> str:
        """Return the plan as a line to read."""
        return (
            f"{self.what}: {self.n_files} files, {self.fetched_bytes / GB:.1f} GB to fetch,"
            f" {self.kept_bytes / GB:.1f} GB stay, at most {self.peak_bytes / GB:.1f} GB on the"
            f" disk, {self.hours(bandwidth_mbit):.1f} h at {bandwidth_mbit:g} Mbit/s"
        )


def laion_plan(
    n_sessions: int = LAION_SESSIONS,
    n_voxels: int = _LAION_VOXELS,
    listed_bytes: Sequence[int] = (),
    fetches_images: bool = True,
) -> ImportPlan:
    """Return the plan of one subject of LAION-fMRI; `listed_bytes` are those of its sessions."""
    n_trials = LAION_TRIALS * n_sessions / LAION_SESSIONS
    sessions = sum(listed_bytes) or n_sessions * _LAION_SESSION_BYTES
    largest = max(listed_bytes, default=_LAION_SESSION_BYTES)
    images = _LAION_IMAGES_BYTES if fetches_images else 0.0
    own_images = _LAION_IMAGES_BYTES * _LAION_OWN_IMAGES / _LAION_IMAGES
    betas = n_trials * n_voxels * 4
    return ImportPlan(
        f"LAION-fMRI, one subject, {n_sessions} sessions, {n_voxels} voxels",
        2 * n_sessions + 2 + (2 if fetches_images else 0),
        sessions + images,
        betas + own_images,
        max(betas + largest, 2 * (betas + own_images) + images),
        n_trials * _LAION_UNPACKED_BYTES / READ_BYTES_PER_S / 3600,
    )


def mosaic_plan(name: str, listed_bytes: Sequence[int] = ()) -> ImportPlan:
    """Return the plan of one subject of a data set of MOSAIC, the mean of its subjects."""
    found = next(one for one in MOSAIC_SETS if one.name == name)
    n_trials = found.n_trials / found.n_subjects
    n_bytes = sum(listed_bytes) or n_trials * MOSAIC_TRIAL_BYTES
    kept = n_trials * _MOSAIC_CORTEX_BYTES
    return ImportPlan(
        f"MOSAIC, one subject of {name} ({n_trials:.0f} trials), all cortex",
        1,
        n_bytes,
        kept,
        n_bytes + 3 * kept,  # sessions as float32, then the folder
        n_bytes / READ_BYTES_PER_S / 3600,
    )


def imagery_plan(n_subjects: int = 1) -> ImportPlan:
    """Return the plan of NSD-Imagery's session of some of NSD's subjects, without frames."""
    n_bytes = float(n_subjects * _IMAGERY_BYTES)
    return ImportPlan(
        f"NSD-Imagery, {n_subjects} of {IMAGERY_SUBJECTS} subjects",
        n_subjects * 13,
        n_bytes,
        n_subjects * IMAGERY_TRIALS * 16_000 * 2.0,
        float(_IMAGERY_BYTES) + n_subjects * IMAGERY_TRIALS * 16_000 * 2.0,
        n_bytes / READ_BYTES_PER_S / 3600,
    )


def whole_sets() -> list[ImportPlan]:
    """Return the plans of all subjects of the three open sets, one subject after the other."""
    one = laion_plan()
    mosaic = [(mosaic_plan(found.name), found.n_subjects) for found in MOSAIC_SETS]
    laion = _times(one, LAION_SUBJECTS, "LAION-fMRI, all subjects")
    all_mosaic = ImportPlan(
        "MOSAIC, all 93 subjects",
        sum(n for _, n in mosaic),
        sum(plan.fetched_bytes * n for plan, n in mosaic),
        sum(plan.kept_bytes * n for plan, n in mosaic),
        sum(plan.kept_bytes * n for plan, n in mosaic) + max(p.peak_bytes for p, _ in mosaic),
        sum(plan.read_hours * n for plan, n in mosaic),
    )
    return [laion, all_mosaic, imagery_plan(IMAGERY_SUBJECTS)]


def _times(plan: ImportPlan, n: int, what: str) -> ImportPlan:
    return ImportPlan(
        what,
        n * plan.n_files,
        n * plan.fetched_bytes,
        n * plan.kept_bytes,
        (n - 1) * plan.kept_bytes + plan.peak_bytes,
        n * plan.read_hours,
    )
