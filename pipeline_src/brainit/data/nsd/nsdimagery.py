"""Prepare NSD-Imagery: one session per subject in which pictures were seen and imagined.

12 runs: of each of three sets (A bars and crosses, B pictures, C words) one of vision, one of
attention, two of imagery; 48 trials a run, 6 conditions x 8. A vision or imagery trial has one
beta, an attention trial two: 720 in the order of runs and trials. Attention is left out: 432
trials, all test. Betas are z-scored within each run, as MIRAGE does (arXiv 2605.17198). A trial is
labelled by its condition, never by its cue: in half of the vision trials the cue belongs to another
picture. What was seen and what was imagined are two test sets of 18 images, each in the form of
NSD-synthetic's; words have no picture to compare with, so that their trials are unused. The order
of betas within a run is not documented: repeats of a condition must correlate more than others, and
the figures are logged and kept.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brainit.core.artifacts import Artifact, read_table, write_table
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, write_text
from brainit.core.reading import reading
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.core.shards import write_shards
from brainit.data.fetch.sources import source_files
from brainit.data.image_files import IMAGE_ERRORS, square
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.masks import VoxelMask, check_surface, vertices_of_space
from brainit.data.nsd.mgh import read_mgh_vertices
from brainit.data.nsd.terms import require_terms
from brainit.data.nsd.volume import SPACE, VolumeMask, read_volume, read_volume_betas
from brainit.data.trials import write_trials
from brainit.data.zscore import zscore_session

logger = logging.getLogger(__name__)

RUNS = ("visA", "attA", "imgA_1", "visB", "attB", "imgB_1", "visC", "attC", "imgC_1") + (
    "imgA_2",
    "imgB_2",
    "imgC_2",
)
"""In the order of the betas."""
N_PER_RUN, N_CONDITIONS, N_REPEATS = 48, 6, 8
BETAS_OF_ATTENTION = 2
"""Betas of an attention trial: its cue and its detection."""
N_BETAS = 720
SET_CLASSES = {"A": "simple", "B": "complex", "C": "words"}
WORDS = "C"
TASKS = {"vis": "vision", "img": "imagery"}
_COLUMNS = ("TRIAL", "CONDITION", "CUE", "FRAMEFILE")
_FIX = "download it again; for a source without NSD-Imagery, do not run prepare_nsdimagery"


def prepare_nsdimagery(
    subject: str,
    source: str,
    voxels: Artifact,
    work: Path,
    nsd: NsdSettings,
    images: ImageSettings,
    out: Mapping[str, Path],
) -> None:
    """Write the trials of `subject` that were seen and imagined to the folders `out[task]`.

    Each has `betas.npy`: float16 (trials, voxels), z-scored within each run, voxels in the order of
    `voxels`; `trials.csv`: a trial table whose `nsd_id` is a row of `images/`; `classes.csv`: row,
    class, set, condition; `order.json`: correlations of repeats and of other trials. Raises
    `PipelineError` where NSD's terms are not accepted (before any request), and where tables,
    frames and betas disagree.
    """
    require_terms(nsd, source, work)
    session = read_session(subject, source, work)
    values = _betas(subject, source, voxels, nsd, work)[session["beta"].to_numpy()]
    scores = zscore_runs(values, session["run"].to_numpy())
    order = json.dumps(_order(scores, session), indent=1) + "\n"
    classes = session.drop_duplicates("nsd_id").sort_values("nsd_id")
    frames = _frames(session)
    pictures = _squares(
        source, [frames[row] for row in classes["nsd_id"]], work, images.stored_size
    )
    table = classes[["nsd_id", "class", "set", "condition"]].rename(columns={"nsd_id": "row"})
    for task, folder in out.items():
        rows = np.flatnonzero(session["task"] == task)
        trials = session.iloc[rows].reset_index(drop=True)
        trials["trial"] = trials["trial_in_session"] = np.arange(len(trials))
        trials["repeat"] = trials.groupby("nsd_id").cumcount()
        with atomic_path(folder) as partial:
            partial.mkdir(parents=True)
            np.save(partial / "betas.npy", scores[rows])
            write_trials(partial / "trials.csv", trials)
            attributes = {"side": images.stored_size}
            write_shards(partial / "images", iter([pictures]), attributes)
            write_table(partial / "classes.csv", table)
            write_text(partial / "order.json", order)


def first_beta(run: str) -> int:
    """Return the row of a run's first beta among the 720."""
    before = RUNS[: RUNS.index(run)]
    return sum(N_PER_RUN * (BETAS_OF_ATTENTION if r.startswith("att") else 1) for r in before)


def read_session(subject: str, source: str, work: Path) -> pd.DataFrame:
    """Return the vision and imagery trials, with `beta`, the row of each among all betas.

    Columns of a trial table (`data.trials`) but those that count trials; and task, set, condition,
    class, frame, cue. `nsd_id` numbers the 18 pictures and words by set and condition. Raises
    `PipelineError` for other counts than 6 conditions x 8, and for conditions that differ between
    the runs of a set.
    """
    shown = [run for run in RUNS if not run.startswith("att")]
    keys = [nsd_paths.imagery_events(subject, run) for run in shown]
    with source_files(source, keys, work) as files:
        tables = [_run(file.path, run) for file, run in zip(files, shown, strict=True)]
    trials = pd.concat(tables, ignore_index=True)
    for name, rows in trials.groupby("set"):
        by_run = rows.groupby("run")["condition"].unique().map(sorted).tolist()
        if any(found != by_run[0] for found in by_run):
            found = " and ".join(str(conditions) for conditions in by_run)
            expected = f"the same conditions in all runs of set {name}"
            raise PipelineError(keys[0], expected, found, _FIX, code="inconsistent-inputs")
    picture = (trials["set"] + trials["condition"]).to_numpy(dtype=str)
    trials["nsd_id"] = np.unique(picture, return_inverse=True)[1]
    split = np.where(trials["set"] == WORDS, "unused", "test")
    return trials.assign(session=1, is_shared=False, split=split)


def _run(path: Path, run: str) -> pd.DataFrame:
    table = read_table(path, _COLUMNS, "prepare_nsdimagery", "\t").sort_values(
        "TRIAL", kind="stable", ignore_index=True
    )
    counts = table["CONDITION"].astype(str).value_counts()
    if len(table) != N_PER_RUN or len(counts) != N_CONDITIONS or set(counts) != {N_REPEATS}:
        expected = f"{N_PER_RUN} trials, {N_CONDITIONS} conditions x {N_REPEATS}"
        found = f"{len(table)} trials, {counts.to_dict()}"
        raise PipelineError(path, expected, found, _FIX, code="inconsistent-inputs")
    task, name = TASKS[run[:3]], run[3]
    return pd.DataFrame(
        {
            "run": RUNS.index(run) + 1,
            "beta": first_beta(run) + np.arange(N_PER_RUN),
            "task": task,
            "set": name,
            "condition": table["CONDITION"].astype(str),
            "class": SET_CLASSES[name],
            "cue": table["CUE"].astype(str),
            "frame": table["FRAMEFILE"].astype(str),
        }
    )


def _betas(
    subject: str, source: str, voxels: Artifact, nsd: NsdSettings, work: Path
) -> NDArray[np.float32]:
    """Return percent signal change of all 720 betas at the subject's voxels."""
    keys = nsd_paths.imagery_betas(subject, nsd)
    vertex, hemisphere = voxels.tensors["vertex"], voxels.tensors["hemisphere"]
    if nsd.space == SPACE:
        roi = nsd_paths.volume_roi(subject, "nsdgeneral")
        with source_files(source, [roi, *keys], work) as files:
            values, affine = read_volume(files[0].path)
            x, y, z = values.shape
            mask = VolumeMask("kept", vertex, (x, y, z), affine)
            return read_volume_betas(files[1].path, mask, N_BETAS)
    n_vertices = vertices_of_space(voxels.attributes["space"])
    surface = VoxelMask("kept", vertex, hemisphere, (n_vertices, n_vertices))
    parts = []
    with source_files(source, keys, work) as files:
        for side, file in enumerate(files):
            check_surface(file.path, surface, side, N_BETAS)
            parts.append(read_mgh_vertices(file.path, surface.vertices_of(side)))
    return np.concatenate(parts, axis=1)


def zscore_runs(values: NDArray[np.float32], run: NDArray[np.int64]) -> NDArray[np.float16]:
    """Return z-scores within each run (ddof 0); voxels that are not finite in a run are 0 there."""
    scores = np.zeros(values.shape, dtype=np.float16)
    n_invalid = 0
    for number in np.unique(run):
        rows = np.flatnonzero(run == number)
        scores[rows], is_invalid = zscore_session(values[rows], np.ones(len(rows), dtype=bool))
        n_invalid = max(n_invalid, int(is_invalid.sum()))
    if n_invalid == values.shape[1]:
        expected = "finite betas in every run"
        raise PipelineError("betas_nsdimagery", expected, "none in a run", _FIX, code="bad-values")
    if n_invalid:
        logger.warning("%d voxels are not finite in a run, and set to 0 there", n_invalid)
    return scores


def repeat_correlation(
    scores: NDArray[np.floating], label: NDArray[np.object_]
) -> tuple[float, float]:
    """Return the mean correlation over voxels of trials of one label, and of different labels."""
    pattern = scores.astype(np.float64)
    pattern -= pattern.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(pattern, axis=1, keepdims=True)
    pattern /= np.where(norm > 0, norm, 1.0)
    similarity = pattern @ pattern.T
    is_same = label[:, None] == label[None, :]
    is_pair = ~np.eye(len(label), dtype=bool)
    return float(similarity[is_same & is_pair].mean()), float(similarity[~is_same].mean())


def _order(scores: NDArray[np.float16], trials: pd.DataFrame) -> dict[str, float]:
    """Return correlations of repeats in vision runs, by trials in time and grouped by condition.

    Warns where trial order does not explain the betas better than the other.
    """
    same, other, grouped = [], [], []
    for _, rows in trials[trials["task"] == "vision"].groupby("run"):
        part = scores[rows.index.to_numpy()]
        condition = rows["condition"].to_numpy(dtype=object)
        in_time = repeat_correlation(part, condition)
        sorted_same, sorted_other = repeat_correlation(part, np.sort(condition))
        same.append(in_time[0])
        other.append(in_time[1])
        grouped.append(sorted_same - sorted_other)
    found = {
        "repeats": float(np.mean(same)),
        "others": float(np.mean(other)),
        "excess_grouped_by_condition": float(np.mean(grouped)),
    }
    excess = found["repeats"] - found["others"]
    logger.info("vision: repeats correlate %.3f, others %.3f", found["repeats"], found["others"])
    if excess <= max(0.0, found["excess_grouped_by_condition"]):
        logger.warning(
            "repeats of a condition correlate %.3f more than others in trial order, %.3f if betas"
            " were grouped by condition: the betas may be in another order than the trial tables",
            *(excess, found["excess_grouped_by_condition"]),
        )
    return found


def _frames(trials: pd.DataFrame) -> dict[int, str]:
    """Return the frame of each picture, by its row: that of its vision trials.

    Where the cue is part of the frame, it is the frame of the trials whose cue belongs to the
    picture. Raises `PipelineError` where more than one is left.
    """
    vision = trials[trials["task"] == "vision"]
    frames: dict[tuple[str, str], str] = {}
    for _, rows in vision.groupby(["set", "condition"]):
        own = rows[rows["cue"] == rows["condition"]]
        names = sorted(set((own if len(own) and rows["frame"].nunique() > 1 else rows)["frame"]))
        name, condition = rows["set"].iloc[0], rows["condition"].iloc[0]
        if len(names) != 1:
            expected = f"one frame of set {name}, condition {condition}"
            found = ", ".join(names[:4])
            raise PipelineError("FRAMEFILE", expected, found, _FIX, code="inconsistent-inputs")
        frames[name, condition] = names[0]
    rows = trials.drop_duplicates("nsd_id")
    return {
        int(row): frames[name, condition]
        for row, name, condition in zip(rows["nsd_id"], rows["set"], rows["condition"], strict=True)
    }


def _squares(source: str, frames: Sequence[str], work: Path, side: int) -> NDArray[np.uint8]:
    """Return the frames as squares (images, side, side, rgb)."""
    names = sorted(set(frames))
    keys = [f"{nsd_paths.IMAGERY_FRAMES}/{name}" for name in names]
    found: dict[str, NDArray[np.uint8]] = {}
    with source_files(source, keys, work) as files:
        for name, file in zip(names, files, strict=True):
            with (
                reading(file.path, "a readable image", _FIX, *IMAGE_ERRORS),
                Image.open(file.path) as image,
            ):
                found[name] = square(image.convert("RGB"), side)
    return np.stack([found[name] for name in frames])
