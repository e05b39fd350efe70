"""Check a lab's folder and report every fault at once (layout: `data.lab.layout`)."""

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import release_pages
from brainit.core.progress import progress
from brainit.data.lab import layout
from brainit.data.lab.image_identity import shown_name
from brainit.data.lab.layout import image_names, split_of_trials

_VALUES_PER_BLOCK = 1 << 24
_N_SHOWN = 5
logger = logging.getLogger(__name__)
_Read = TypeVar("_Read")


class FaultList:
    """The faults found so far, each a `PipelineError` that is not raised."""

    def __init__(self) -> None:
        self.errors: list[PipelineError] = []

    def add(self, error: PipelineError) -> None:
        """Add a fault."""
        self.errors.append(error)

    def read(self, reader: Callable[..., _Read], *args: Any) -> _Read | None:
        """Return the result of `reader`; on `PipelineError` add it and return None."""
        try:
            return reader(*args)
        except PipelineError as error:
            self.errors.append(error.with_traceback(None))  # its frames keep files open
            return None


def require_valid(folder: Path) -> None:
    """Raise one `PipelineError` that lists every fault of the folder."""
    faults = subject_faults(folder)
    if faults:
        listed = "".join(f"\n  {number}. {error}" for number, error in enumerate(faults, 1))
        found = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}{listed}\n"
        fix = f"correct them ({layout.DESCRIPTION}) and run brainit check-subject again"
        expected = "a subject in the lab layout"
        raise PipelineError(folder, expected, found, fix, code="wrong-kind")


def subject_faults(folder: Path) -> list[PipelineError]:
    """Return every fault of a folder, in the order of its files; empty where it is valid."""
    faults = FaultList()
    if not folder.is_dir():
        faults.add(
            PipelineError(folder, "a folder", "none", layout.DESCRIPTION, code="missing-file")
        )
        return faults.errors
    betas = faults.read(layout.open_betas, folder)
    voxels = faults.read(layout.read_voxels, folder)
    table = faults.read(layout.read_trials, folder)
    images = faults.read(layout.LabImages, folder)
    faults.read(layout.read_about, folder)
    if voxels is not None:
        _check_voxels(faults, folder / layout.VOXELS, voxels)
    if betas is not None:
        _check_lengths(faults, folder, betas, table, voxels)
        if not _is_transposed(betas, table):
            _check_finite(faults, folder / layout.BETAS, betas, voxels)
    if table is not None:
        _check_numbers(faults, folder / layout.TRIALS, table)
        _check_splits(faults, folder / layout.TRIALS, table)
    if table is not None and images is not None:
        _check_images(faults, folder / layout.TRIALS, table, images)
    return faults.errors


def used_columns(n_voxels: int, voxels: pd.DataFrame | None) -> NDArray[np.bool_]:
    """Mark the columns of the betas that `in_mask` keeps; without `in_mask` all."""
    if voxels is None or "in_mask" not in voxels or len(voxels) != n_voxels:
        return np.ones(n_voxels, dtype=bool)
    return voxels["in_mask"].to_numpy() == 1


def _is_transposed(betas: NDArray[np.floating[Any]], table: pd.DataFrame | None) -> bool:
    """Return True if the betas have axes (voxels, trials)."""
    return table is not None and betas.shape[1] == len(table) != len(betas)


def _check_lengths(
    faults: FaultList,
    folder: Path,
    betas: NDArray[np.floating[Any]],
    table: pd.DataFrame | None,
    voxels: pd.DataFrame | None,
) -> None:
    n_trials, n_voxels = betas.shape
    path = folder / layout.BETAS
    if table is not None and len(table) != n_trials:
        expected = f"{len(table)} rows, as {layout.TRIALS}"
        if _is_transposed(betas, table):
            found = f"{n_trials} rows of {n_voxels} columns: the axes are (voxels, trials)"
            faults.add(
                PipelineError(
                    path, expected, found, "save the transposed array", code="wrong-shape"
                )
            )
            return
        fix = f"write one row in {layout.TRIALS} per row of {layout.BETAS}"
        faults.add(PipelineError(path, expected, f"{n_trials}", fix, code="inconsistent-inputs"))
    if voxels is not None and len(voxels) != n_voxels:
        expected = f"{n_voxels} rows, one per column of {layout.BETAS}"
        fix = f"write one row per voxel, in the order of the columns of {layout.BETAS}"
        where = folder / layout.VOXELS
        faults.add(
            PipelineError(where, expected, str(len(voxels)), fix, code="inconsistent-inputs")
        )


def _check_finite(
    faults: FaultList,
    path: Path,
    betas: NDArray[np.floating[Any]],
    voxels: pd.DataFrame | None,
) -> None:
    n_trials, n_voxels = betas.shape
    is_used = used_columns(n_voxels, voxels)
    n_rows = max(1, _VALUES_PER_BLOCK // n_voxels)
    n_bad_trials, is_bad_voxel = 0, np.zeros(n_voxels, dtype=bool)
    for first in range(0, n_trials, n_rows):
        is_bad = ~np.isfinite(betas[first : first + n_rows]) & is_used
        release_pages(betas)
        n_bad_trials += int(is_bad.any(axis=1).sum())
        is_bad_voxel |= is_bad.any(axis=0)
    if n_bad_trials:
        bad = np.flatnonzero(is_bad_voxel)
        columns = first_values(bad)
        found = f"NaN or infinity in {n_bad_trials} trials, {len(bad)} voxels (columns {columns})"
        fix = f"remove these trials, or set in_mask to 0 for these voxels in {layout.VOXELS}"
        faults.add(PipelineError(path, "finite betas", found, fix, code="bad-values"))


def _check_voxels(faults: FaultList, path: Path, voxels: pd.DataFrame) -> None:
    coordinates = [name for name in layout.POSITION_COLUMNS if name in voxels]
    if coordinates and len(coordinates) < len(layout.POSITION_COLUMNS):
        expected = f"all of {layout.POSITION_COLUMNS} or none"
        fix = "add the missing coordinates, in mm"
        faults.add(PipelineError(path, expected, f"only {coordinates}", fix, code="missing-data"))
    ranges = {
        **{name: ("finite numbers, mm", -np.inf, np.inf) for name in coordinates},
        "vertex": ("whole numbers from 0", 0, np.inf),
        "hemisphere": ("0 (left) or 1 (right)", 0, 1),
        "in_mask": ("0 or 1", 0, 1),
        "noise_ceiling": ("percent, 0 to 100", 0, 100),
    }
    for name, (expected, low, high) in ranges.items():
        if name not in voxels:
            continue
        is_whole = name in ("vertex", "hemisphere", "in_mask")
        bad = rows_out_of_range(voxels[name], low, high, is_whole)
        if len(bad):
            found, fix = describe_rows(voxels[name], bad), f"write {expected} in column {name}"
            faults.add(
                PipelineError(path, f"column {name} of {expected}", found, fix, code="bad-values")
            )
    if "in_mask" in voxels and not (voxels["in_mask"] == 1).any():
        fix = "set in_mask to 1 for the voxels to use"
        faults.add(
            PipelineError(path, "a voxel whose in_mask is 1", "none", fix, code="missing-data")
        )


def _check_numbers(faults: FaultList, path: Path, table: pd.DataFrame) -> None:
    trial = pd.to_numeric(table["trial"], errors="coerce").to_numpy()
    if not np.array_equal(trial, np.arange(len(table))):
        expected = f"column trial of 0..{len(table) - 1} in order"
        found = first_values(table["trial"].tolist())
        fix = "number the rows from 0, in the order of the betas"
        faults.add(PipelineError(path, expected, found, fix, code="bad-values"))
    for name in ("session", "run"):
        bad = rows_out_of_range(table[name], 1, np.inf, is_whole=True)
        if len(bad):
            expected = f"column {name} of whole numbers from 1"
            found = describe_rows(table[name], bad)
            faults.add(
                PipelineError(
                    path, expected, found, "count from 1 in time order", code="bad-values"
                )
            )
    if table["image"].isna().any():
        found = f"{int(table['image'].isna().sum())} trials without one"
        fix = "name the image, or remove the trial"
        faults.add(PipelineError(path, "an image in every row", found, fix, code="missing-data"))
    session = pd.to_numeric(table["session"], errors="coerce")
    counts = session[session >= 1].value_counts()
    short = counts.index[counts < 2].tolist()
    if short:
        found = f"1 in session {first_values(int(number) for number in short)}"
        fix = "merge it with another session: betas are z-scored within a session"
        faults.add(
            PipelineError(
                path, "at least 2 trials in each session", found, fix, code="missing-data"
            )
        )


def _check_splits(faults: FaultList, path: Path, table: pd.DataFrame) -> None:
    split = split_of_trials(table)
    unknown = sorted({str(name) for name in split} - set(layout.SPLITS))
    if unknown:
        found, fix = first_values(unknown), f"use {', '.join(layout.SPLITS)}"
        faults.add(
            PipelineError(path, f"column split of {layout.SPLITS}", found, fix, code="bad-values")
        )
    fix = "add a column split; without it, images shown more than once are test images"
    if not (split == "test").any():
        faults.add(PipelineError(path, "test trials", "none", fix, code="missing-data"))
    is_trained = split.isin(["train", "val"])
    if not (split == "train").any():
        faults.add(PipelineError(path, "training trials", "none", fix, code="missing-data"))
    elif not ((split == "train") & (pd.to_numeric(table["session"], errors="coerce") == 1)).any():
        fix = "number the sessions so that session 1 has training trials: recon_1h uses it"
        faults.add(
            PipelineError(path, "training trials in session 1", "none", fix, code="missing-data")
        )
    trained, tested = (set(table["image"][rows].dropna()) for rows in (is_trained, split == "test"))
    leaked = sorted(trained & tested)
    if leaked:
        found = f"{len(leaked)} images in both: {first_values(leaked)}"
        fix = "give all trials of an image the same split, or set them to unused"
        faults.add(
            PipelineError(path, "test images that are not trained on", found, fix, code="leak")
        )


def _check_images(
    faults: FaultList, path: Path, table: pd.DataFrame, images: layout.LabImages
) -> None:
    named = table[table["image"].notna()]
    is_present = named["image"].map(images.holds).to_numpy(dtype=bool)
    missing = sorted(set(named["image"][~is_present]))
    if missing:
        expected = f"images that exist in {images.path.name}"
        shown = [shown_name(name, images.known) for name in missing[: _N_SHOWN + 1]]
        found = f"{len(missing)} that do not: {first_values(shown)}"
        form = "the row, from 0" if images.is_array else "the whole file name"
        fix = f"write {form} in column image, or add the images"
        faults.add(PipelineError(path, expected, found, fix, code="missing-file"))
    names = image_names(named[is_present], images.is_array)
    splits = split_of_trials(table)
    tested = set(table["image"][splits == "test"])
    pixels: dict[str, dict[bool, str]] = {}
    for name in progress(names, "images", unit="image"):
        image = faults.read(images.image, name)
        if image is not None:
            digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
            pixels.setdefault(digest, {})[name in tested] = name
    _warn_of_copies(path, [pair for pair in pixels.values() if len(pair) > 1])


def _warn_of_copies(path: Path, pairs: list[dict[bool, str]]) -> None:
    """Warn of test images that are, pixel for pixel, other images of the table.

    No fault: some recordings show the same figures on purpose (Miyawaki et al. 2008).
    """
    if pairs:
        shown = first_values(f"{pair[True]} = {pair[False]}" for pair in pairs)
        logger.warning(
            "%s: %d test images have the pixels of another image that is not tested: %s."
            " Say so beside the scores, or give both the same split",
            *(path, len(pairs), shown),
        )


def rows_out_of_range(
    column: pd.Series, low: float, high: float, is_whole: bool
) -> NDArray[np.int64]:
    """Return the rows whose value is not a finite number from `low` to `high`."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    is_good = np.isfinite(values) & (values >= low) & (values <= high)
    if is_whole:
        is_good &= values == np.floor(values)
    return np.flatnonzero(~is_good)


def describe_rows(column: pd.Series, rows: NDArray[np.int64]) -> str:
    """Return the first values in `rows` as text, the number of rows and the first row."""
    shown = first_values(column.iloc[rows[: _N_SHOWN + 1]].tolist())
    return f"{shown} in {len(rows)} rows (first: row {rows[0]})"


def first_values(values: Iterable[Any]) -> str:
    """Return the first five values as text, with "..." where more follow."""
    listed = [str(value) for value in values]
    return ", ".join(listed[:_N_SHOWN]) + (", ..." if len(listed) > _N_SHOWN else "")
