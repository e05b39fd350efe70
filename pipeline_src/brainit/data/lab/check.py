"""What is wrong with a lab's folder, all of it at once (layout: `data.lab.layout`)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import release_pages
from brainit.core.progress import progress
from brainit.data.lab import layout as layout
from brainit.data.lab.trials import image_names, lab_splits

_VALUES_PER_BLOCK = 1 << 24


def require_valid(folder: Path) -> None:
    """Raise one `PipelineError` that lists every fault of the folder."""
    faults = subject_faults(folder)
    if faults:
        listed = "".join(f"\n  {number}. {text}" for number, text in enumerate(faults, 1))
        found = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}{listed}\n"
        fix = f"mend them, {layout.DESCRIPTION}, and run brainit check-subject again"
        raise PipelineError(folder, "a subject in the lab layout", found, fix, code="wrong-kind")


def subject_faults(folder: Path) -> list[str]:
    """Return every fault of a folder, in the order of its files; none where it is valid."""
    faults = Faults()
    if not folder.is_dir():
        faults.add(folder, "a folder", "none", layout.DESCRIPTION)
        return faults.found
    betas = faults.read(layout.open_betas, folder)
    voxels = faults.read(layout.read_voxels, folder)
    table = faults.read(layout.read_trials, folder)
    images = faults.read(layout.LabImages, folder)
    if voxels is not None:
        _check_voxels(faults, folder / layout.VOXELS, voxels)
    if betas is not None:
        _check_betas(faults, folder / layout.BETAS, betas, table, voxels)
    if table is not None:
        _check_numbers(faults, folder / layout.TRIALS, table)
        _check_splits(faults, folder / layout.TRIALS, table)
    if table is not None and images is not None:
        _check_images(faults, folder / layout.TRIALS, table, images)
    return faults.found


def used_columns(n_voxels: int, voxels: pd.DataFrame | None) -> NDArray[np.bool_]:
    """Mark the columns of the betas that `in_mask` keeps; all where it is not given."""
    if voxels is None or "in_mask" not in voxels or len(voxels) != n_voxels:
        return np.ones(n_voxels, dtype=bool)
    return voxels["in_mask"].to_numpy() == 1


def _check_betas(
    faults: Faults,
    path: Path,
    betas: NDArray[np.floating[Any]],
    table: pd.DataFrame | None,
    voxels: pd.DataFrame | None,
) -> None:
    n_trials, n_voxels = betas.shape
    if table is not None and len(table) != n_trials:
        expected = f"{len(table)} rows, as {layout.TRIALS}"
        if n_voxels == len(table):
            found = f"{n_trials} of {n_voxels} columns: the axes are (voxels, trials)"
            faults.add(path, expected, found, "save the transposed array")
            return
        fix = "give each row of the betas one row there"
        faults.add(path, expected, f"{n_trials}", fix)
    if voxels is not None and len(voxels) != n_voxels:
        where = path.with_name(layout.VOXELS)
        expected = f"{n_voxels} rows, one per column of {layout.BETAS}"
        faults.add(where, expected, str(len(voxels)), "write one row per voxel, in their order")
    is_used = used_columns(n_voxels, voxels)
    n_rows = max(1, _VALUES_PER_BLOCK // n_voxels)
    bad_trials, is_bad_voxel = 0, np.zeros(n_voxels, dtype=bool)
    for first in range(0, n_trials, n_rows):
        is_bad = ~np.isfinite(betas[first : first + n_rows]) & is_used
        release_pages(betas)
        bad_trials += int(is_bad.any(axis=1).sum())
        is_bad_voxel |= is_bad.any(axis=0)
    if bad_trials:
        bad = np.flatnonzero(is_bad_voxel)
        found = f"NaN or infinity in {bad_trials} trials, {len(bad)} voxels (columns {some(bad)})"
        fix = f"leave these trials out, or set in_mask to 0 for these voxels in {layout.VOXELS}"
        faults.add(path, "finite betas", found, fix)


def _check_voxels(faults: Faults, path: Path, voxels: pd.DataFrame) -> None:
    given = [name for name in layout.POSITION_COLUMNS if name in voxels]
    if given and len(given) < len(layout.POSITION_COLUMNS):
        expected = f"all of {layout.POSITION_COLUMNS} or none"
        faults.add(path, expected, f"only {given}", "add the others, in mm")
    ranges = {
        **{name: ("finite numbers, mm", -np.inf, np.inf) for name in given},
        "vertex": ("whole numbers from 0", 0, np.inf),
        "hemisphere": ("0 (left) or 1 (right)", 0, 1),
        "in_mask": ("0 or 1", 0, 1),
        "noise_ceiling": ("percent, 0 to 100", 0, 100),
    }
    for name, (expected, low, high) in ranges.items():
        if name not in voxels:
            continue
        is_whole = name in ("vertex", "hemisphere", "in_mask")
        bad = bad_numbers(voxels[name], low, high, is_whole)
        if len(bad):
            faults.add(
                path, f"column {name} of {expected}", values_at(voxels[name], bad), "correct it"
            )
    if "in_mask" in voxels and not (voxels["in_mask"] == 1).any():
        faults.add(path, "a voxel whose in_mask is 1", "none", "set in_mask to 1 for voxels to use")


def _check_numbers(faults: Faults, path: Path, table: pd.DataFrame) -> None:
    trial = pd.to_numeric(table["trial"], errors="coerce").to_numpy()
    if not np.array_equal(trial, np.arange(len(table))):
        found = some(table["trial"].tolist())
        fix = "number the rows in the order of the betas, from 0"
        faults.add(path, f"column trial of 0..{len(table) - 1} in order", found, fix)
    for name in ("session", "run"):
        bad = bad_numbers(table[name], 1, np.inf, is_whole=True)
        if len(bad):
            expected = f"column {name} of whole numbers from 1"
            faults.add(path, expected, values_at(table[name], bad), "count from 1 in time order")
    if table["image"].isna().any():
        found = f"{int(table['image'].isna().sum())} trials without one"
        faults.add(path, "an image in every row", found, "name it, or leave the trial out")
    session = pd.to_numeric(table["session"], errors="coerce")
    counts = session[session >= 1].value_counts()
    few = counts.index[counts < 2].tolist()
    if few:
        found = f"1 in session {some(int(number) for number in few)}"
        fix = "join these with another session: betas are z-scored within a session"
        faults.add(path, "at least 2 trials in each session", found, fix)


def _check_splits(faults: Faults, path: Path, table: pd.DataFrame) -> None:
    split = lab_splits(table)
    unknown = sorted({str(name) for name in split} - set(layout.SPLITS))
    if unknown:
        faults.add(path, f"column split of {layout.SPLITS}", some(unknown), "correct the names")
    fix = "add the column split; without it images shown more than once are the test"
    if not (split == "test").any():
        faults.add(path, "test trials", "none", fix)
    is_trained = split.isin(["train", "val"])
    if not (split == "train").any():
        faults.add(path, "training trials", "none", fix)
    elif not ((split == "train") & (pd.to_numeric(table["session"], errors="coerce") == 1)).any():
        fix = "number the sessions so that session 1 has training trials: recon_1h uses it"
        faults.add(path, "training trials in session 1", "none", fix)
    trained, tested = (set(table["image"][rows].dropna()) for rows in (is_trained, split == "test"))
    leaked = sorted(trained & tested)
    if leaked:
        found = f"{len(leaked)} images in both: {some(leaked)}"
        fix = "give every trial of an image the same split, or call it unused"
        faults.add(path, "test images that are not trained on", found, fix)


def _check_images(
    faults: Faults, path: Path, table: pd.DataFrame, images: layout.LabImages
) -> None:
    known = table[table["image"].notna()]
    is_there = known["image"].map(images.holds).to_numpy(dtype=bool)
    missing = sorted(set(known["image"][~is_there]))
    if missing:
        expected = f"images that {images.path.name} holds"
        found = f"{len(missing)} that it does not: {some(missing)}"
        fix = "write the whole file name" if not images.is_array else "write its row, from 0"
        faults.add(path, expected, found, f"{fix}, or add the images")
    names = image_names(known[is_there], images.is_array)
    if not images.is_array:
        for name in progress(names, "images", unit="image"):
            faults.read(images.image, name)


_NAMED = 5
_Read = TypeVar("_Read")


@dataclass
class Faults:
    """The faults found so far, each in the words of a `PipelineError`."""

    found: list[str] = field(default_factory=list)

    def add(self, where: Path | str, expected: str, found: str, fix: str) -> None:
        """Add a fault."""
        self.found.append(str(PipelineError(where, expected, found, fix)))

    def read(self, reader: Callable[..., _Read], *args: Any) -> _Read | None:
        """Return what `reader` reads, or None with its fault added."""
        try:
            return reader(*args)
        except PipelineError as error:
            self.found.append(str(error))
            return None


def bad_numbers(column: pd.Series, low: float, high: float, is_whole: bool) -> NDArray[np.int64]:
    """Return the rows whose value is no finite number within the bounds."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    is_good = np.isfinite(values) & (values >= low) & (values <= high)
    if is_whole:
        is_good &= values == np.floor(values)
    return np.flatnonzero(~is_good)


def values_at(column: pd.Series, rows: NDArray[np.int64]) -> str:
    """Return the first of the values in `rows` as text, with their number and the first row."""
    named = some(column.iloc[rows[: _NAMED + 1]].tolist())
    return f"{named} in {len(rows)} rows (first: row {rows[0]})"


def some(values: Iterable[Any]) -> str:
    """Return the first values as text, with dots where there are more."""
    listed = [str(value) for value in values]
    return ", ".join(listed[:_NAMED]) + (", ..." if len(listed) > _NAMED else "")
