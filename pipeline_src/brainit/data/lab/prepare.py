"""Turn a lab's folder into the files that the NSD steps make for one of NSD's subjects.

Betas are z-scored per session, as NSD's, unless the folder says that they are already; single
trials are stored in float16. Images go into the
subject's own store; their row there is their `nsd_id`. Validation images are drawn from the
training images, unless the trial table names some.
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
from brainit.core.files import atomic_path, release_pages, reserve_room, write_text
from brainit.core.progress import progress
from brainit.core.settings import NsdSettings, Settings
from brainit.core.shards import write_rows
from brainit.core.streams import numpy_generator
from brainit.data import splits
from brainit.data.image_files import square
from brainit.data.lab import layout
from brainit.data.lab.check import first_values, require_valid, used_columns
from brainit.data.lab.layout import image_names, split_of_trials
from brainit.data.noise_ceiling import N_REPEATS, PooledCeiling, pooled_ceiling
from brainit.data.trials import SECONDS, write_trials
from brainit.data.voxels import write_voxels
from brainit.data.zscore import zscore_session

logger = logging.getLogger(__name__)

AS_GIVEN = "as_given"
"""Betas that are z-scored already: they stay as they are."""


@dataclass(frozen=True)
class LabOutputs:
    """Output files of a subject: those of the NSD steps, its images and their names by row."""

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

    Raises one `PipelineError` with every fault of the folder.
    """
    require_valid(folder)
    about = layout.read_about(folder)
    images = layout.LabImages(folder)
    table = layout.read_trials(folder)
    names = image_names(table, images.is_array)
    trials = pipeline_trials(table, names, subject, settings.nsd, settings.run.seed)
    if (seconds := layout.seconds_of_trial(about)) is not None:
        trials[SECONDS] = seconds
    counts = trials["split"].value_counts().to_dict()
    logger.info("%s: %d trials %s, %d images", subject, len(trials), counts, len(names))
    write_trials(outputs.trials, trials)
    write_table(outputs.images, pd.DataFrame({"nsd_id": range(len(names)), "image": names}))
    side = settings.images.stored_size
    rows = (square(images.image(name), side) for name in progress(names, "images", unit="image"))
    attributes = {"side": side, "source": images.path.name}
    if about.get("images_private"):
        attributes["private"] = True
    write_rows(outputs.stimuli, rows, settings.images.rows_per_shard, attributes)

    betas, voxels = layout.open_betas(folder), layout.read_voxels(folder)
    columns = np.flatnonzero(used_columns(betas.shape[1], voxels))
    zscore = AS_GIVEN if about.get("zscored") else settings.nsd.zscore
    write_lab_betas(outputs.betas, betas, columns, trials, zscore)
    ceiling = pooled_ceiling(np.load(outputs.betas, mmap_mode="r", allow_pickle=False), trials)
    own_ceiling = _voxel_column(voxels, "noise_ceiling", columns, np.nan).astype(np.float32)
    _write_ceiling(outputs.ceiling, outputs.ceiling_summary, subject, own_ceiling, ceiling)
    percent = np.where(np.isfinite(own_ceiling), own_ceiling, ceiling.percent).astype(np.float32)
    _write_voxels(outputs.voxels, subject, voxels, columns, percent)
    summary = _summary(subject, zscore, trials, betas, columns) | (
        {"about": about} if about else {}
    )
    write_text(outputs.summary, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")


def pipeline_trials(
    table: pd.DataFrame, names: list[str], subject: str, nsd: NsdSettings, seed: int
) -> pd.DataFrame:
    """Return the pipeline's trial table (`data.trials`); `nsd_id` is the index into `names`.

    No image is shared with another subject. Where the table has no validation trials,
    `nsd.validation_share` of the training images become validation images.
    """
    row_of = {name: row for row, name in enumerate(names)}
    trials = table[["trial", "session", "run"]].astype(np.int64)
    trials["trial_in_session"] = trials.groupby("session").cumcount()
    trials["nsd_id"] = table["image"].map(row_of).astype(np.int64)
    trials["repeat"] = trials.groupby("nsd_id").cumcount()
    trials["is_shared"] = False
    trials["split"] = split_of_trials(table)
    is_train = trials["split"] == "train"
    if not (trials["split"] == "val").any():
        generator = numpy_generator(seed, "validation", subject)
        train_images: NDArray[np.int64] = np.unique(
            trials.loc[is_train, "nsd_id"].to_numpy(np.int64)
        )
        validation = splits.validation_images(train_images, nsd.validation_share, generator)
        trials.loc[is_train & trials["nsd_id"].isin(validation), "split"] = "val"
    return trials


def write_lab_betas(
    path: Path,
    betas: NDArray[np.floating[Any]],
    columns: NDArray[np.int64],
    trials: pd.DataFrame,
    zscore: str,
) -> None:
    """Write z-scores (.npy, float16, trials x used columns), one session in memory at a time.

    `zscore` names the trials that give mean and deviation (ddof 0): all_trials, training_trials, or
    as_given for betas that are z-scores already. Raises `PipelineError` for a session with fewer
    than two of them, and for z-scores beyond float16.
    """
    shape = (len(betas), len(columns))
    with atomic_path(path) as partial:
        out = np.lib.format.open_memmap(partial, mode="w+", dtype="<f2", shape=shape)
        reserve_room(partial)
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
            with np.errstate(over="ignore"):  # a value beyond float32 is infinite, and refused
                values = np.asarray(betas[index][:, columns], dtype=np.float32)
            release_pages(betas)
            if zscore == AS_GIVEN:
                out[index], is_invalid = _as_float16(values)
            else:
                out[index], is_invalid = zscore_session(values, is_reference)
            release_pages(out)
            if is_invalid.any():
                shown = first_values(columns[is_invalid].tolist())
                raise PipelineError(
                    f"{layout.BETAS} session {session}",
                    "z-scores within float16 (65504)",
                    f"larger ones in {is_invalid.sum()} voxels (columns {shown})",
                    f"set in_mask to 0 for these voxels in {layout.VOXELS}: they hardly vary in"
                    " the trials that give their deviation",
                    code="bad-values",
                )
        out.flush()


def _as_float16(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Return z-scores as they are, and a mark for each voxel that has one beyond float16."""
    with np.errstate(over="ignore"):
        scores = values.astype(np.float16)
    return scores, np.asarray(~np.isfinite(scores).all(axis=0))


def _write_ceiling(
    path: Path, summary: Path, subject: str, own_ceiling: NDArray[np.float32], pooled: PooledCeiling
) -> None:
    """Write contract `noise_ceiling` and its table of one row; NaN where the lab has none."""
    tensors = {"published": own_ceiling, "recomputed": pooled.percent}
    write_artifact(path, "noise_ceiling", tensors, {"subject": subject, "n_repeats": N_REPEATS})
    row = {
        "subject": subject,
        "median_published_pct": _finite_median(own_ceiling),
        "median_recomputed_pct": _finite_median(pooled.percent),
        "n_voxels": len(own_ceiling),
        "n_images_repeated": pooled.n_images,
    }
    write_table(summary, pd.DataFrame([row]))


def _finite_median(values: NDArray[np.float32]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan


def _write_voxels(
    path: Path,
    subject: str,
    voxels: pd.DataFrame | None,
    columns: NDArray[np.int64],
    noise_ceiling: NDArray[np.float32],
) -> None:
    """Write the voxel table of the used columns.

    Without `voxels.csv`, or without one of its columns, `vertex` is the column of the betas,
    `hemisphere` -1 and the position NaN. The space is a surface where vertices are given.
    """
    is_surface = voxels is not None and "vertex" in voxels
    number = np.arange(columns.max() + 1)[columns]
    vertex = _voxel_column(voxels, "vertex", columns, 0) if is_surface else number
    position = [_voxel_column(voxels, name, columns, np.nan) for name in layout.POSITION_COLUMNS]
    write_voxels(
        path,
        subject,
        {
            "vertex": vertex.astype(np.int64),
            "hemisphere": _voxel_column(voxels, "hemisphere", columns, -1).astype(np.int64),
            "position_mm": np.stack(position, axis=1).astype(np.float32),
            "noise_ceiling": noise_ceiling,
        },
        space="lab surface" if is_surface else "lab volume",
        mask=layout.VOXELS if voxels is not None and "in_mask" in voxels else "all",
    )


def _voxel_column(
    voxels: pd.DataFrame | None, name: str, columns: NDArray[np.int64], default: float
) -> NDArray[Any]:
    """Return a column of `voxels.csv` at the used columns of the betas, or the default."""
    if voxels is None or name not in voxels:
        return np.full(len(columns), default)
    return voxels[name].to_numpy()[columns]


def _summary(
    subject: str,
    zscore: str,
    trials: pd.DataFrame,
    betas: NDArray[np.floating[Any]],
    columns: NDArray[np.int64],
) -> dict[str, Any]:
    """Return the content of the summary."""
    return {
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
