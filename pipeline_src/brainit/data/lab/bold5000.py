"""BOLD5000 (Chang et al. 2019), release 2.0: one subject from its region betas and its image lists.

Betas: `CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_LHEarlyVis.npy` and its siblings, all
sessions, axes (trials, voxels), percent signal change (BOLD5000_GLMsingle_ROI_betas.zip, folder
`py`). Images: `BOLD5000_Stimuli` with the pictures and
`Stimuli_Presentation_Lists/CSI1/CSI1_sess01/CSI_sess01_run01.txt`, one file name a line in the
order shown; `rep_` marks a repeat. Images shown more than once are the test, as is usual here.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.lab.trials import lab_splits
from brainit.data.lab.write import found_images, write_subject

REGIONS = ("EarlyVis", "LOC", "OPA", "PPA", "RSC")
SIDES = ("LH", "RH")
_VERSION = "GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses"
_REPEAT = "rep_"
_FIX = "unpack BOLD5000_GLMsingle_ROI_betas.zip and BOLD5000_Stimuli.zip of release 2.0 there"


def import_bold5000(source: Path, subject: str, folder: Path) -> None:
    """Write `subject` (CSI1 to CSI4) from the release's files anywhere below `source`.

    Voxels carry hemisphere and region. Raises `PipelineError` where betas or lists are missing, or
    hold different numbers of trials.
    """
    trials = read_presentations(source, subject)
    betas, voxels = read_regions(source, subject)
    if len(betas) != len(trials):
        expected = f"{len(trials)} trials of {subject} as its presentation lists"
        raise PipelineError(source, expected, f"{len(betas)}", _FIX, code="inconsistent-inputs")
    trials["split"] = lab_splits(trials)
    files = found_images(source, sorted(set(trials["image"])), _FIX)
    write_subject(folder, betas, trials, files, voxels)


def read_presentations(source: Path, subject: str) -> pd.DataFrame:
    """Return trial, session, run and image (without `rep_`) of each trial, in time order."""
    pattern = re.compile(r"sess0*(\d+)_run0*(\d+)\.txt$")
    found = {}
    for path in source.rglob(f"Stimuli_Presentation_Lists/{subject}/*/*.txt"):
        match = pattern.search(path.name)
        if match:
            found[int(match[1]), int(match[2])] = path
    if not found:
        expected = f"Stimuli_Presentation_Lists/{subject}/*/*sessNN_runNN.txt"
        raise PipelineError(source, expected, "none", _FIX, code="missing-file")
    rows = [
        (session, run, name.removeprefix(_REPEAT))
        for (session, run), path in sorted(found.items())
        for name in path.read_text(encoding="utf-8").split()
    ]
    trials = pd.DataFrame(rows, columns=["session", "run", "image"])
    trials.insert(0, "trial", np.arange(len(trials)))
    return trials


def read_regions(source: Path, subject: str) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Return the betas of all regions side by side, and hemisphere and region of each voxel."""
    parts: list[NDArray[np.float32]] = []
    tables: list[pd.DataFrame] = []
    for hemisphere, side in enumerate(SIDES):
        for region in REGIONS:
            name = f"{subject}_{_VERSION}_{side}{region}.npy"
            path = next(iter(sorted(source.rglob(name))), None)
            if path is None:
                raise PipelineError(source, name, "no such file", _FIX, code="missing-file")
            try:
                part = np.load(path, allow_pickle=False)
            except (OSError, ValueError) as error:
                raise PipelineError(
                    path, "a readable .npy", str(error), _FIX, code="damaged-file"
                ) from error
            if part.ndim != 2 or len(part) != len((parts or [part])[0]):
                expected = "axes (trials, voxels), trials as in the other regions"
                raise PipelineError(path, expected, f"shape {part.shape}", _FIX, code="wrong-shape")
            parts.append(part.astype(np.float32))
            tables.append(pd.DataFrame({"hemisphere": hemisphere, "roi": [region] * part.shape[1]}))
    return np.concatenate(parts, axis=1), pd.concat(tables, ignore_index=True)
