"""The folder by which a lab's own subject enters the pipeline; `config/lab_subject.md` is its text.

`betas.npy` (trials, voxels), `trials.csv`, `images/` or `images.npy`, and `voxels.csv` if known.
Each function reads one file and raises `PipelineError` where it cannot be what the layout says.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from brainit.core.errors import PipelineError
from brainit.core.files import release_pages

BETAS, TRIALS, VOXELS = "betas.npy", "trials.csv", "voxels.csv"
IMAGE_FOLDER, IMAGE_ARRAY = "images", "images.npy"
FILES = (BETAS, TRIALS, VOXELS, IMAGE_FOLDER, IMAGE_ARRAY)

TRIAL_COLUMNS = ("trial", "session", "run", "image")
"""`trial`: row of the betas, from 0; `session` and `run` from 1; `image`: file name or row."""

SPLITS = ("train", "val", "test", "unused")
POSITION_COLUMNS = ("x_mm", "y_mm", "z_mm")

DESCRIPTION = "see config/lab_subject.md"
_DTYPES = ("float16", "float32", "float64")


def open_betas(folder: Path) -> NDArray[np.floating[Any]]:
    """Memory-map the betas: float16, float32 or float64 of axes (trials, voxels), any unit.

    Raises `PipelineError` for another kind of file, dtype or number of axes.
    """
    path = folder / BETAS
    expected = f".npy of {', '.join(_DTYPES)} of axes (trials, voxels)"
    betas = _open_npy(path, expected)
    if betas.dtype.name not in _DTYPES or betas.ndim != 2 or 0 in betas.shape:
        fix = "save it as float32 with one row per trial and one column per voxel"
        raise PipelineError(
            path, expected, f"{betas.dtype} of shape {betas.shape}", fix, code="wrong-shape"
        )
    return betas


def read_trials(folder: Path) -> pd.DataFrame:
    """Read the trial table; `image` is text.

    Raises `PipelineError` for an unreadable or empty table and for missing columns.
    """
    return _read_csv(folder / TRIALS, TRIAL_COLUMNS, {"image": str, "split": str})


def read_voxels(folder: Path) -> pd.DataFrame | None:
    """Read the voxel table: one row per column of the betas; None where there is none.

    Raises `PipelineError` for an unreadable or empty table.
    """
    path = folder / VOXELS
    return _read_csv(path, (), {}) if path.exists() else None


def _read_csv(path: Path, columns: tuple[str, ...], dtype: dict[str, Any]) -> pd.DataFrame:
    expected = f"a table with the columns {columns}" if columns else "a table"
    try:
        table = pd.read_csv(path, dtype=dtype)
    except (OSError, ValueError) as error:
        raise PipelineError(path, expected, str(error), DESCRIPTION, code="damaged-file") from error
    missing = [name for name in columns if name not in table.columns]
    if missing or table.empty:
        found = f"no {missing}" if missing else "no rows"
        raise PipelineError(path, expected, found, DESCRIPTION, code="missing-data")
    return table


def _open_npy(path: Path, expected: str) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PipelineError(path, expected, str(error), DESCRIPTION, code="damaged-file") from error
    if not isinstance(array, np.ndarray):
        raise PipelineError(
            path,
            expected,
            "an archive of arrays",
            "save the one array with np.save",
            code="wrong-kind",
        )
    return array


class LabImages:
    """The images: PNG or JPEG files by name, or rows of a uint8 array by number.

    Raises `PipelineError` where both or neither are there, or the array is another kind.
    """

    def __init__(self, folder: Path) -> None:
        files, array = folder / IMAGE_FOLDER, folder / IMAGE_ARRAY
        if files.is_dir() == array.is_file():
            found = "both" if array.is_file() else "neither"
            expected = f"either {IMAGE_FOLDER}/ or {IMAGE_ARRAY}"
            raise PipelineError(
                folder,
                expected,
                found,
                "keep the images in one of the two",
                code="inconsistent-inputs",
            )
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
        """Return whether there is an image of this name."""
        if self._array is None:
            return name in self._files
        return name.isdecimal() and int(name) < len(self._array)

    def image(self, name: str) -> Image.Image:
        """Return an image in RGB; raises `PipelineError` where the file is no readable image."""
        if self._array is not None:
            image = Image.fromarray(np.array(self._array[int(name)])).convert("RGB")
            release_pages(self._array)
            return image
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(self.path / name) as image:
                    if image.mode.startswith(("I", "F")):
                        raise ValueError(f"pixels of more than 8 bits ({image.mode})")
                    return image.convert("RGB")
        except (
            OSError,
            SyntaxError,
            ValueError,
            UnidentifiedImageError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            fix = "save it again as PNG or JPEG, or leave its trials out"
            raise PipelineError(
                self.path / name, "a readable image", str(error), fix, code="damaged-file"
            ) from error


def _open_images(path: Path) -> NDArray[np.uint8]:
    expected = "uint8 (0..255) of axes (images, height, width) or (images, height, width, rgb)"
    array = _open_npy(path, expected)
    is_shaped = array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)
    if array.dtype != np.uint8 or not is_shaped or 0 in array.shape:
        fix = "scale to 0..255, put the colour axis last and save as uint8"
        raise PipelineError(
            path, expected, f"{array.dtype} of shape {array.shape}", fix, code="wrong-shape"
        )
    return array
