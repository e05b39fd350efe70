"""Import a subject of BOLD5000 (Chang et al. 2019), release 2.0, from region betas and image lists.

Betas: `CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_LHEarlyVis.npy` and the other regions, all
sessions, axes (trials, voxels), percent signal change (BOLD5000_GLMsingle_ROI_betas.zip, folder
`py`). Images: `BOLD5000_Stimuli` with the pictures and
`Stimuli_Presentation_Lists/CSI1/CSI1_sess01/CSI_sess01_run01.txt`, one file name per line in order
of presentation; `rep_` marks a repeat. Images shown more than once are test images, as usual for
this data set.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.reading import open_npy, reading
from brainit.data.lab.layout import split_of_trials, write_subject
from brainit.data.lab.search import find_file, find_files, find_images

REGIONS = ("EarlyVis", "LOC", "OPA", "PPA", "RSC")
SIDES = ("LH", "RH")
_VERSION = "GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses"
_LISTS = "Stimuli_Presentation_Lists"
_LIST_NAME = re.compile(r"sess0*(\d+)_run0*(\d+)\.txt$")
_REPEAT = "rep_"
_FIX = "unpack BOLD5000_GLMsingle_ROI_betas.zip and BOLD5000_Stimuli.zip of release 2.0 here"


def import_bold5000(source: Path, subject: str, folder: Path) -> None:
    """Write `subject` (CSI1 to CSI4) from the files of the release anywhere below `source`.

    The voxel table has hemisphere and region. Raises `PipelineError` where betas or lists are
    missing or their numbers of trials differ.
    """
    trials = read_presentations(source, subject)
    betas, voxels = read_regions(source, subject)
    if len(betas) != len(trials):
        expected = f"{len(trials)} trials of {subject}, as in its presentation lists"
        raise PipelineError(source, expected, f"{len(betas)}", _FIX, code="inconsistent-inputs")
    trials["split"] = split_of_trials(trials)
    files = find_images(source, sorted(set(trials["image"])), _FIX)
    write_subject(folder, betas, trials, files, voxels)


def read_presentations(source: Path, subject: str) -> pd.DataFrame:
    """Return trial, session, run and image (without `rep_`) of each trial, in time order.

    Raises `PipelineError` where `source` has no presentation list of the subject.
    """
    lists: dict[tuple[int, int], Path] = {}
    for path in find_files(source, lambda path: path.parts[-4:-2] == (_LISTS, subject)):
        match = _LIST_NAME.search(path.name)
        if match:
            run = int(match[1]), int(match[2])
            if lists.setdefault(run, path) != path:
                found = " and ".join(str(p.relative_to(source)) for p in (lists[run], path))
                fix = "keep one of them, or name a folder that holds only the release"
                expected = f"one list of session {run[0]}, run {run[1]} of {subject}"
                raise PipelineError(source, expected, found, fix, code="duplicate-data")
    if not lists:
        expected = f"Stimuli_Presentation_Lists/{subject}/*/*sessNN_runNN.txt"
        raise PipelineError(source, expected, "none", _FIX, code="missing-file")
    rows = [
        (session, run, name.removeprefix(_REPEAT))
        for (session, run), path in sorted(lists.items())
        for name in _names(path)
    ]
    trials = pd.DataFrame(rows, columns=["session", "run", "image"])
    trials.insert(0, "trial", np.arange(len(trials)))
    return trials


def _names(path: Path) -> list[str]:
    """Return the images of a run in order: one per line, so that a name may hold blanks."""
    with reading(path, "a list of images", _FIX, UnicodeDecodeError):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_regions(source: Path, subject: str) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Return the betas of all regions (trials, voxels), and hemisphere and region of each voxel.

    Raises `PipelineError` for a missing or unreadable region and for unequal trial counts.
    """
    parts: list[NDArray[np.float32]] = []
    tables: list[pd.DataFrame] = []
    for hemisphere, side in enumerate(SIDES):
        for region in REGIONS:
            path = find_file(source, f"{subject}_{_VERSION}_{side}{region}.npy", _FIX)
            part = open_npy(path, "a readable .npy", _FIX)
            is_number = part.dtype.kind in "fiu"
            if not is_number or part.ndim != 2 or len(part) != len((parts or [part])[0]):
                expected = "numbers (trials, voxels), as many trials as the other regions"
                found = f"{part.dtype} of shape {part.shape}"
                raise PipelineError(path, expected, found, _FIX, code="wrong-shape")
            with np.errstate(over="ignore"):  # a value beyond float32 is infinite
                parts.append(part.astype(np.float32))
            tables.append(pd.DataFrame({"hemisphere": hemisphere, "roi": [region] * part.shape[1]}))
    return np.concatenate(parts, axis=1), pd.concat(tables, ignore_index=True)
