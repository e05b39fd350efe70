"""A lab's folder turned into the files that NSD's preparation makes for one of its subjects.

Betas are z-scored per session like NSD's and kept as float16 single trials; images go into a store
of the subject's own, whose rows are its `nsd_id`.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import write_artifact, write_table
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, release_pages, write_text
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.core.shards import write_rows
from brainit.data.image_files import square
from brainit.data.lab import layout as layout
from brainit.data.lab.ceiling import lab_ceiling, write_lab_ceiling
from brainit.data.lab.check import require_valid, used_columns
from brainit.data.lab.trials import image_names, pipeline_trials
from brainit.data.trials import write_trials
from brainit.data.zscore import zscore_session

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabOutputs:
    """Files to write: the NSD steps' files of a subject, its images and their names by row."""

    trials: Path
    images: Path
    stimuli: Path
    betas: Path
    voxels: Path
    summary: Path
    ceiling: Path
    ceiling_summary: Path


def import_lab_subject(folder: Path, subject: str, settings: Settings, outputs: LabOutputs) -> None:
    """Check the folder and write all files of `subject`, each whole or not at all.

    Raises `PipelineError` that lists every fault of the folder.
    """
    require_valid(folder)
    images = layout.LabImages(folder)
    table = layout.read_trials(folder)
    names = image_names(table, images.is_array)
    trials = pipeline_trials(table, names, subject, settings.nsd, settings.run.seed)
    counts = trials["split"].value_counts().to_dict()
    logger.info("%s: %d trials %s, %d images", subject, len(trials), counts, len(names))
    write_trials(outputs.trials, trials)
    write_table(outputs.images, pd.DataFrame({"nsd_id": range(len(names)), "image": names}))
    side = settings.images.stored_size
    rows = (square(images.image(name), side) for name in progress(names, "images", unit="image"))
    attributes = {"side": side, "source": images.path.name}
    write_rows(outputs.stimuli, rows, settings.images.rows_per_shard, attributes)

    betas, voxels = layout.open_betas(folder), layout.read_voxels(folder)
    columns = np.flatnonzero(used_columns(betas.shape[1], voxels))
    write_lab_betas(outputs.betas, betas, columns, trials, settings.nsd.zscore)
    ceiling = lab_ceiling(np.load(outputs.betas, mmap_mode="r", allow_pickle=False), trials)
    given = _column(voxels, "noise_ceiling", columns, np.nan).astype(np.float32)
    write_lab_ceiling(outputs.ceiling, outputs.ceiling_summary, subject, given, ceiling)
    known = np.where(np.isfinite(given), given, ceiling.percent).astype(np.float32)
    write_lab_voxels(outputs.voxels, subject, voxels, columns, known)
    write_text(outputs.summary, _summary(subject, settings.nsd.zscore, trials, betas, columns))


def write_lab_betas(
    path: Path,
    betas: NDArray[np.floating[Any]],
    columns: NDArray[np.int64],
    trials: pd.DataFrame,
    zscore: str,
) -> None:
    """Write the z-scores (.npy, float16, trials x used columns), one session in memory at a time.

    `zscore` is all_trials or training_trials, the trials whose mean and deviation (ddof 0) are
    used. Raises `PipelineError` for a session with fewer than two of them.
    """
    shape = (len(betas), len(columns))
    with atomic_path(path) as partial:
        out = np.lib.format.open_memmap(partial, mode="w+", dtype="<f2", shape=shape)
        for session, rows in trials.groupby("session"):
            is_reference = np.ones(len(rows), dtype=bool)
            if zscore == "training_trials":
                is_reference = (rows["split"] == "train").to_numpy(dtype=bool)
            if is_reference.sum() < 2:
                raise PipelineError(
                    f"{path} session {session}",
                    "at least 2 training trials for the z-score",
                    f"{is_reference.sum()}",
                    "set nsd.zscore: all_trials",
                    code="missing-data",
                )
            index = rows["trial"].to_numpy()
            values = np.asarray(betas[index][:, columns], dtype=np.float32)
            release_pages(betas)
            out[index], _ = zscore_session(values, is_reference)
            release_pages(out)
        out.flush()


def write_lab_voxels(
    path: Path,
    subject: str,
    voxels: pd.DataFrame | None,
    columns: NDArray[np.int64],
    noise_ceiling: NDArray[np.float32],
) -> None:
    """Write the voxel table (contract `voxels`) of the used columns.

    `vertex` is as given or the column of the betas, `hemisphere` -1 and the position NaN where not
    given. The space is surface where vertices are given, else volume.
    """
    is_surface = voxels is not None and "vertex" in voxels
    number = np.arange(columns.max() + 1)[columns]
    vertex = _column(voxels, "vertex", columns, 0) if is_surface else number
    position = [_column(voxels, name, columns, np.nan) for name in layout.POSITION_COLUMNS]
    write_artifact(
        path,
        "voxels",
        {
            "vertex": vertex.astype(np.int64),
            "hemisphere": _column(voxels, "hemisphere", columns, -1).astype(np.int64),
            "position_mm": np.stack(position, axis=1).astype(np.float32),
            "noise_ceiling": noise_ceiling,
        },
        {
            "subject": subject,
            "space": "lab surface" if is_surface else "lab volume",
            "mask": layout.VOXELS if voxels is not None and "in_mask" in voxels else "all",
            "n_dropped_nan": 0,
        },
    )


def _column(
    voxels: pd.DataFrame | None, name: str, columns: NDArray[np.int64], default: float
) -> NDArray[Any]:
    if voxels is None or name not in voxels:
        return np.full(len(columns), default)
    return voxels[name].to_numpy()[columns]


def _summary(
    subject: str,
    zscore: str,
    trials: pd.DataFrame,
    betas: NDArray[np.floating[Any]],
    columns: NDArray[np.int64],
) -> str:
    content = {
        "subject": subject,
        "n_trials": len(trials),
        "n_voxels": len(columns),
        "n_outside_mask": betas.shape[1] - len(columns),
        "zscore": zscore,
        "sessions": [
            {"session": int(str(session)), "n_trials": len(rows)}
            for session, rows in trials.groupby("session")
        ],
    }
    return json.dumps(content, indent=1) + "\n"
