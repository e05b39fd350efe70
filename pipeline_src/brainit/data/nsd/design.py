"""Turn NSD's design files into one trial table per subject (paper 5.1; NSD manual).

The design file, the stimulus table and the behavioural table describe the same trials and must
agree. NSD counts images from 1 in the first and the last and from 0 in the second; only this module
converts them, to 0-based ids.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.artifacts import TABLE_ERRORS, read_table, shown_columns
from brainit.core.errors import PipelineError
from brainit.core.reading import foreign_error, reading
from brainit.core.settings import NsdSettings
from brainit.core.streams import numpy_generator
from brainit.data import splits
from brainit.data.matlab_files import read_mat
from brainit.data.nsd import paths as nsd_paths

_MAT_KEYS = ("masterordering", "sharedix", "stimpattern", "subjectim")
_RESPONSE_COLUMNS = ("SESSION", "RUN", "73KID")
_FIX = "delete the design files and rerun download"


@dataclass(frozen=True)
class ExperimentDesign:
    """Content of nsd_expdesign.mat, indices 0-based.

    `image_order` (trials,): index into a subject's list of images; `subject_images` (subjects,
    images): the lists, as nsd_ids; `shared`: nsd_ids of the shared images; `is_stimulus` (sessions,
    runs, slots): whether a slot shows an image.
    """

    image_order: NDArray[np.int64]
    subject_images: NDArray[np.int64]
    shared: NDArray[np.int64]
    is_stimulus: NDArray[np.bool_]


def read_experiment(path: Path) -> ExperimentDesign:
    """Read nsd_expdesign.mat.

    Raises `PipelineError` for an unreadable file, a missing array, values that are not whole
    numbers, and arrays whose trial counts differ.
    """
    content = read_mat(path, _FIX)
    missing = [key for key in _MAT_KEYS if key not in content]
    if missing:
        raise PipelineError(path, f"arrays {_MAT_KEYS}", f"no {missing}", _FIX, code="missing-data")
    not_whole = [key for key in _MAT_KEYS if not _is_whole(content[key])]
    if not_whole:
        raise PipelineError(
            path, "arrays of whole numbers", f"other values in {not_whole}", _FIX, code="bad-values"
        )
    design = ExperimentDesign(
        image_order=content["masterordering"].ravel().astype(np.int64) - 1,
        subject_images=content["subjectim"].astype(np.int64) - 1,
        shared=content["sharedix"].ravel().astype(np.int64) - 1,
        is_stimulus=content["stimpattern"] > 0,
    )
    n_trials, n_listed = len(design.image_order), design.subject_images.shape[1]
    if design.is_stimulus.ndim != 3 or design.is_stimulus.sum() != n_trials:
        found = f"{design.is_stimulus.sum()} in stimpattern {design.is_stimulus.shape}"
        raise PipelineError(
            path,
            f"{n_trials} trials, as in masterordering",
            found,
            _FIX,
            code="inconsistent-inputs",
        )
    if design.image_order.min() < 0 or design.image_order.max() >= n_listed:
        found = f"{design.image_order.min() + 1}..{design.image_order.max() + 1}"
        raise PipelineError(
            path, f"masterordering within 1..{n_listed}", found, _FIX, code="bad-values"
        )
    return design


def _is_whole(array: object) -> bool:
    """Return True if a MATLAB array holds only whole numbers, of any type."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        return False
    return bool(array.size and np.isfinite(array).all() and (array == np.floor(array)).all())


def planned_trials(design: ExperimentDesign, subject: str) -> pd.DataFrame:
    """Return all planned trials of `subject`, in time order, without splits.

    Raises `PipelineError` where the design has no row for the subject.
    """
    session, run, _ = np.nonzero(design.is_stimulus)
    row = nsd_paths.subject_number(subject) - 1
    if row >= len(design.subject_images):
        raise PipelineError(
            nsd_paths.EXPDESIGN,
            f"a row of subjectim for {subject}",
            f"{len(design.subject_images)} rows",
            "remove the subject from nsd.subjects",
            code="missing-data",
        )
    nsd_id = design.subject_images[row, design.image_order]
    trials = pd.DataFrame({"trial": np.arange(len(nsd_id)), "session": session + 1, "run": run + 1})
    trials["trial_in_session"] = trials.groupby("session").cumcount()
    trials["nsd_id"] = nsd_id
    trials["repeat"] = trials.groupby("nsd_id").cumcount()
    trials["is_shared"] = np.isin(nsd_id, design.shared)
    return trials


def check_stimulus_table(path: Path, planned: pd.DataFrame, subject: str) -> int:
    """Check nsd_stim_info_merged.csv against the planned trials; return its number of images.

    Raises `PipelineError` for image ids out of range and for different shared images or trials.
    """
    number = nsd_paths.subject_number(subject)
    shown = [f"subject{number}_rep{k}" for k in range(int(planned["repeat"].max()) + 1)]
    table = read_table(path, ("nsdId", "shared1000", *shown), "download")
    n_images = len(table)
    nsd_id = planned["nsd_id"].to_numpy()
    if not np.array_equal(table["nsdId"].to_numpy(), np.arange(n_images)):
        raise PipelineError(
            path, f"nsdId 0..{n_images - 1} in order", "other ids", _FIX, code="bad-values"
        )
    if nsd_id.min() < 0 or nsd_id.max() >= n_images:
        found = f"{nsd_id.min() + 1}..{nsd_id.max() + 1} in nsd_expdesign.mat"
        raise PipelineError(path, f"image ids within 1..{n_images}", found, _FIX, code="bad-values")
    shared = table["shared1000"].to_numpy().astype(bool)
    if not np.array_equal(shared[nsd_id], planned["is_shared"].to_numpy()):
        raise PipelineError(
            path,
            "the shared images of nsd_expdesign.mat",
            "other images in shared1000",
            _FIX,
            code="inconsistent-inputs",
        )
    expected = np.zeros((n_images, len(shown)), dtype=np.int64)
    expected[nsd_id, planned["repeat"].to_numpy()] = planned["trial"].to_numpy() + 1
    differing = np.flatnonzero((table[shown].to_numpy() != expected).any(axis=1))
    if len(differing):
        found = f"{len(differing)} images with other trials, first nsdId {differing[0]}"
        raise PipelineError(
            path,
            f"the trials of {subject} in nsd_expdesign.mat",
            found,
            _FIX,
            code="inconsistent-inputs",
        )
    return n_images


def read_responses(path: Path, n_images: int) -> pd.DataFrame:
    """Read responses.tsv: one row per completed trial, image ids (73KID) 1-based.

    Raises `PipelineError` for an unreadable table, missing columns, values that are not whole
    numbers, and image ids out of range.
    """
    columns = list(_RESPONSE_COLUMNS)
    with reading(path, f"a table with columns {columns}", _FIX, *TABLE_ERRORS):
        table = pd.read_csv(path, sep="\t")
    missing = [name for name in columns if name not in table.columns]
    if missing or table.empty:
        if foreign := foreign_error(path, f"a table with columns {columns}"):
            raise foreign
        raise PipelineError(
            path,
            f"trials with columns {columns}",
            f"no {missing or 'rows'}, but the columns {shown_columns(table)}",
            _FIX,
            code="missing-data",
        )
    not_whole = [name for name in columns if table[name].dtype != np.int64]
    if not_whole:
        raise PipelineError(
            path,
            f"whole numbers in {columns}",
            f"other values in {not_whole}",
            _FIX,
            code="bad-values",
        )
    image = table["73KID"].to_numpy()
    if image.min() < 1 or image.max() > n_images:
        found = f"{image.min()}..{image.max()}"
        raise PipelineError(path, f"73KID within 1..{n_images}", found, _FIX, code="bad-values")
    return table


def check_responses(path: Path, planned: pd.DataFrame, n_images: int) -> int:
    """Check responses.tsv against the planned trials; return the number of completed sessions.

    Raises `PipelineError` as `read_responses`, and for sessions or trials that differ.
    """
    table = read_responses(path, n_images)
    n_sessions = int(table["SESSION"].max())
    done = planned[planned["session"] <= n_sessions]
    expected_count = done.groupby("session").size()
    count = table.groupby("SESSION").size().reindex(expected_count.index, fill_value=0)
    for session in expected_count.index[expected_count != count]:
        raise PipelineError(
            f"{path} session {session}",
            f"{expected_count[session]} trials, as in nsd_expdesign.mat",
            f"{count[session]}",
            _FIX,
            code="inconsistent-inputs",
        )
    found_rows = table[list(_RESPONSE_COLUMNS)].to_numpy()
    expected_rows = done[["session", "run", "nsd_id"]].to_numpy() + [0, 0, 1]
    if len(found_rows) != len(expected_rows):
        raise PipelineError(
            path,
            f"{len(expected_rows)} trials",
            f"{len(found_rows)}",
            _FIX,
            code="inconsistent-inputs",
        )
    differing = np.flatnonzero((found_rows != expected_rows).any(axis=1))
    if len(differing):
        row = differing[0]
        expected = f"session, run, 73KID {expected_rows[row].tolist()}, as in nsd_expdesign.mat"
        found = f"{found_rows[row].tolist()} ({len(differing)} rows differ)"
        raise PipelineError(
            f"{path} trial {row + 1}", expected, found, _FIX, code="inconsistent-inputs"
        )
    return n_sessions


def prepare_design(nsd_root: Path, subject: str, nsd: NsdSettings, seed: int) -> pd.DataFrame:
    """Return the trial table of the completed sessions of `subject`, with splits.

    Raises `PipelineError` where the three design files disagree.
    """
    planned = planned_trials(read_experiment(nsd_root / nsd_paths.EXPDESIGN), subject)
    n_images = check_stimulus_table(nsd_root / nsd_paths.STIM_INFO, planned, subject)
    n_sessions = check_responses(nsd_root / nsd_paths.responses(subject), planned, n_images)
    trials = planned[planned["session"] <= n_sessions].reset_index(drop=True)
    own_images = np.unique(trials.loc[~trials["is_shared"], "nsd_id"].to_numpy(dtype=np.int64))
    generator = numpy_generator(seed, "validation", subject)
    trials["split"] = splits.split_names(
        trials["nsd_id"].to_numpy(dtype=np.int64),
        trials["is_shared"].to_numpy(dtype=bool),
        splits.test_images(planned, nsd.test_set),
        splits.validation_images(own_images, nsd.validation_share, generator),
    )
    return trials
