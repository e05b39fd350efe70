"""The folder of a lab's own subject: its files, read and written (see `config/lab_subject.md`).

`betas.npy` (trials, voxels), `trials.csv`, `images/` or `images.npy`, and optionally `voxels.csv`.
Each reader reads one file and raises `PipelineError` where the file does not follow the layout.
"""

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brainit.core.artifacts import TABLE_ERRORS, shown_columns
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, release_pages
from brainit.core.reading import open_npy, reading
from brainit.data.image_files import IMAGE_ERRORS

BETAS, TRIALS, VOXELS = "betas.npy", "trials.csv", "voxels.csv"
IMAGE_FOLDER, IMAGE_ARRAY = "images", "images.npy"
FILES = (BETAS, TRIALS, VOXELS, IMAGE_FOLDER, IMAGE_ARRAY)

TRIAL_COLUMNS = ("trial", "session", "run", "image")
"""`trial`: row of the betas, from 0; `session` and `run` from 1; `image`: file name or row."""

SPLITS = ("train", "val", "test", "unused")
POSITION_COLUMNS = ("x_mm", "y_mm", "z_mm")

DESCRIPTION = "follow config/lab_subject.md"
_DTYPES = ("float16", "float32", "float64")


def open_betas(folder: Path) -> NDArray[np.floating[Any]]:
    """Memory-map the betas: float16, float32 or float64 of axes (trials, voxels), any unit.

    Raises `PipelineError` for an unreadable file, another dtype or another number of axes.
    """
    path = folder / BETAS
    expected = f".npy of {', '.join(_DTYPES)} of axes (trials, voxels)"
    betas = open_npy(path, expected, DESCRIPTION)
    if betas.dtype.name not in _DTYPES or betas.ndim != 2 or 0 in betas.shape:
        found = f"{betas.dtype} of shape {betas.shape}"
        fix = "save it as float32 with one row per trial and one column per voxel"
        raise PipelineError(path, expected, found, fix, code="wrong-shape")
    return betas


def read_trials(folder: Path) -> pd.DataFrame:
    """Read the trial table; `image` is text.

    Raises `PipelineError` for an unreadable or empty table and for missing columns.
    """
    return _read_csv(folder / TRIALS, TRIAL_COLUMNS, {"image": str, "split": str})


def read_voxels(folder: Path) -> pd.DataFrame | None:
    """Read the voxel table, one row per column of the betas; None without `voxels.csv`.

    Raises `PipelineError` for an unreadable or empty table.
    """
    path = folder / VOXELS
    return _read_csv(path, (), {}) if path.exists() else None


def _read_csv(path: Path, columns: tuple[str, ...], dtype: dict[str, Any]) -> pd.DataFrame:
    expected = f"a table with the columns {columns}" if columns else "a table"
    with reading(path, expected, DESCRIPTION, *TABLE_ERRORS):
        table = pd.read_csv(path, dtype=dtype)
    missing = [name for name in columns if name not in table.columns]
    if missing or table.empty:
        found = f"no {missing}, but {shown_columns(table)}" if missing else "no rows"
        raise PipelineError(path, expected, found, DESCRIPTION, code="missing-data")
    return table


def split_of_trials(table: pd.DataFrame) -> pd.Series:
    """Return the split of each row of `trials.csv`, or derive it from repeats.

    Without a column `split`, images shown more than once are test images and images shown once are
    training images, as in BOLD5000.
    """
    if "split" in table.columns:
        return table["split"]
    n_shown = table.groupby("image")["image"].transform("size")
    return pd.Series(np.where(n_shown > 1, "test", "train"), index=table.index)


def image_names(table: pd.DataFrame, is_array: bool) -> list[str]:
    """Return each shown image once, sorted: file names as text, rows of an array by number.

    The order is that of the rows in the image store.
    """
    return sorted(set(table["image"]), key=int if is_array else str)


class LabImages:
    """The images of a folder: PNG or JPEG files by name, or rows of a uint8 array by number.

    Raises `PipelineError` where the folder has both or neither, or for another kind of array.
    """

    def __init__(self, folder: Path) -> None:
        files, array = folder / IMAGE_FOLDER, folder / IMAGE_ARRAY
        if files.is_dir() == array.is_file():
            found = "both" if array.is_file() else "neither"
            fix = f"keep either {IMAGE_FOLDER}/ or {IMAGE_ARRAY}"
            expected = f"either {IMAGE_FOLDER}/ or {IMAGE_ARRAY}"
            raise PipelineError(folder, expected, found, fix, code="inconsistent-inputs")
        self.path = array if array.is_file() else files
        self._array: NDArray[np.uint8] | None = None
        if array.is_file():
            self._array = _open_images(array)
        else:
            self._files = {path.name for path in files.iterdir() if path.is_file()}

    @property
    def is_array(self) -> bool:
        """Whether images are rows of an array, named by their number."""
        return self._array is not None

    def holds(self, name: str) -> bool:
        """Return True if the folder has an image of this name."""
        if self._array is None:
            return name in self._files
        return name.isdecimal() and int(name) < len(self._array)

    def image(self, name: str) -> Image.Image:
        """Return an image in RGB; raises `PipelineError` for an unreadable file."""
        if self._array is not None:
            image = Image.fromarray(np.array(self._array[int(name)])).convert("RGB")
            release_pages(self._array)
            return image
        fix = "save it again as 8-bit PNG or JPEG, or remove its trials"
        with (
            reading(self.path / name, "a readable image", fix, *IMAGE_ERRORS),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(self.path / name) as image:
                if image.mode.startswith(("I", "F")):
                    raise ValueError(f"pixels of more than 8 bits ({image.mode})")
                return image.convert("RGB")


def _open_images(path: Path) -> NDArray[np.uint8]:
    expected = "uint8 (0..255) of axes (images, height, width) or (images, height, width, rgb)"
    array = open_npy(path, expected, DESCRIPTION)
    is_shaped = array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)
    if array.dtype != np.uint8 or not is_shaped or 0 in array.shape:
        found = f"{array.dtype} of shape {array.shape}"
        fix = "scale to 0..255, move the colour axis last and save as uint8"
        raise PipelineError(path, expected, found, fix, code="wrong-shape")
    return array


def write_subject(
    folder: Path,
    betas: NDArray[np.floating[Any]],
    trials: pd.DataFrame,
    images: Mapping[str, Path] | NDArray[np.uint8],
    voxels: pd.DataFrame | None = None,
) -> None:
    """Write a new folder, whole or not at all.

    `images` are the files to copy, by the name in the trial table, or the rows of `images.npy`.
    Voxels with a NaN or infinite beta are dropped from betas and voxel table. Raises
    `PipelineError` where the folder exists or no voxel remains.
    """
    if folder.exists():
        fix = f"remove {folder}, or name a folder that does not exist"
        raise PipelineError(folder, "a new folder", "an existing one", fix, code="invalid-argument")
    is_kept = np.isfinite(betas).all(axis=0)
    if not is_kept.any():
        expected = "voxels whose betas are finite in every trial"
        fix = "download the recording again"
        raise PipelineError(folder, expected, "none", fix, code="bad-values")
    with atomic_path(folder) as partial:
        partial.mkdir(parents=True)
        np.save(partial / BETAS, betas[:, is_kept].astype(np.float32))
        trials.to_csv(partial / TRIALS, index=False)
        if voxels is not None:
            voxels[is_kept].to_csv(partial / VOXELS, index=False)
        if isinstance(images, np.ndarray):
            np.save(partial / IMAGE_ARRAY, images)
        else:
            (partial / IMAGE_FOLDER).mkdir()
            for name, path in images.items():
                shutil.copyfile(path, partial / IMAGE_FOLDER / name)


def find_images(root: Path, names: list[str], fix: str) -> dict[str, Path]:
    """Return the file of each name anywhere below `root`; the suffix may differ.

    Raises `PipelineError` with the number of missing images and `fix`.
    """
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    by_stem = {path.stem: path for path in files} | {path.name: path for path in files}
    missing = [name for name in names if name not in by_stem and Path(name).stem not in by_stem]
    if missing:
        found = f"no {missing[0]} and {len(missing) - 1} more missing"
        raise PipelineError(root, f"{len(names)} images", found, fix, code="missing-file")
    return {name: by_stem.get(name, by_stem.get(Path(name).stem)) for name in names}  # type: ignore[misc]
