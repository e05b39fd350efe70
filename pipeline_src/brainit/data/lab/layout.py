"""The folder of a lab's own subject: its files, read and written (see `config/lab_subject.md`).

`betas.npy` (trials, voxels), `trials.csv`, `images/` or `images.npy`, and optionally `voxels.csv`.
Each reader reads one file and raises `PipelineError` where the file does not follow the layout.
"""

import logging
import math
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brainit.core.artifacts import TABLE_ERRORS, shown_columns
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, is_side_file, release_pages
from brainit.core.reading import foreign_error, open_npy, read_json, reading
from brainit.data.image_files import IMAGE_ERRORS
from brainit.data.lab.image_identity import ImageId, image_id
from brainit.workflow.cohort import HAS_SESSIONS, SECONDS_PER_TRIAL

logger = logging.getLogger(__name__)

BETAS, TRIALS, VOXELS = "betas.npy", "trials.csv", "voxels.csv"
ABOUT = "subject.json"
"""What an importer says of the subject: origin, licence, splits, quality; `zscored`, timing."""
IMAGE_FOLDER, IMAGE_ARRAY = "images", "images.npy"
FILES = (BETAS, TRIALS, VOXELS, ABOUT, IMAGE_FOLDER, IMAGE_ARRAY)

TRIAL_COLUMNS = ("trial", "session", "run", "image")
"""`trial`: row of the betas, from 0; `session` and `run` from 1; `image`: file name or row."""

SPLITS = ("train", "val", "test", "unused")
POSITION_COLUMNS = ("x_mm", "y_mm", "z_mm")

DESCRIPTION = "follow config/lab_subject.md"
_OTHER_SEPARATORS = ";\t|"
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
    """Read the trial table; `image` is the identity of each image (`data.lab.image_identity`).

    Raises `PipelineError` for an unreadable or empty table and for missing columns.
    """
    table = _read_csv(folder / TRIALS, TRIAL_COLUMNS, {"image": str, "split": str})
    is_row = (folder / IMAGE_ARRAY).is_file()
    table["image"] = [
        image_id(name, is_row=is_row) if isinstance(name, str) else None for name in table["image"]
    ]
    return table


def read_voxels(folder: Path) -> pd.DataFrame | None:
    """Read the voxel table, one row per column of the betas; None without `voxels.csv`.

    Raises `PipelineError` for an unreadable or empty table.
    """
    path = folder / VOXELS
    return _read_csv(path, (), {}) if path.exists() else None


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of `subject.json`; empty without it.

    Raises `PipelineError` for an unreadable file, a `zscored` or `has_sessions` that is neither
    true nor false, and a `seconds_per_trial` that is no number above 0.
    """
    path = folder / ABOUT
    if not path.exists():
        return {}
    expected = "a JSON object, with zscored true or false if it has it"
    content = read_json(path, expected, DESCRIPTION)
    zscored = content.get("zscored", False) if isinstance(content, dict) else None
    if not isinstance(zscored, bool):
        fix = "write true or false for zscored, or remove the file"
        raise PipelineError(path, expected, repr(zscored), fix, code="bad-values")
    if not isinstance(has_sessions := content.get(HAS_SESSIONS, True), bool):
        expected, fix = f"{HAS_SESSIONS} true or false", f"correct {HAS_SESSIONS}, or remove it"
        raise PipelineError(path, expected, repr(has_sessions), fix, code="bad-values")
    seconds = content.get(SECONDS_PER_TRIAL)
    if seconds is not None and not _is_above_0(seconds):
        expected = f"{SECONDS_PER_TRIAL} as a number above 0, such as 4.0"
        fix = f"correct {SECONDS_PER_TRIAL}, or remove it"
        raise PipelineError(path, expected, repr(seconds), fix, code="bad-values")
    return dict(content)


def _is_above_0(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf


def seconds_of_trial(about: Mapping[str, Any]) -> float | None:
    """Return the seconds of recording per trial, by which time is counted; None for sessions.

    NaN where `subject.json` says that there are no sessions, and no seconds.
    """
    if (seconds := about.get(SECONDS_PER_TRIAL)) is not None:
        return float(seconds)
    return None if about.get(HAS_SESSIONS, True) else math.nan


def _read_csv(path: Path, columns: tuple[str, ...], dtype: dict[str, Any]) -> pd.DataFrame:
    expected = f"a table with the columns {columns}" if columns else "a table"
    with reading(path, expected, DESCRIPTION, *TABLE_ERRORS):
        # An image may be called NA: only an empty field has no value.
        table = pd.read_csv(path, dtype=dtype, keep_default_na=False, na_values=[""])
    missing = [name for name in columns if name not in table.columns]
    if missing or table.empty:
        if foreign := foreign_error(path, expected):
            raise foreign
        found = f"no {missing}, but {shown_columns(table)}" if missing else "no rows"
        fix = DESCRIPTION
        if len(table.columns) == 1 and set(str(table.columns[0])) & set(_OTHER_SEPARATORS):
            fix = f"separate the columns by commas; {DESCRIPTION}"
        raise PipelineError(path, expected, found, fix, code="missing-data")
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
            self._files = _files_by_id(files)

    @property
    def is_array(self) -> bool:
        """Whether images are rows of an array, named by their number."""
        return self._array is not None

    @property
    def known(self) -> list[str]:
        """Images of the folder, by their identities; none for an array."""
        return [] if self._array is not None else list(self._files)

    def holds(self, name: str) -> bool:
        """Return True if the folder has an image of this identity."""
        if self._array is None:
            return name in self._files
        return name.isdecimal() and int(name) < len(self._array)

    def image(self, name: str) -> Image.Image:
        """Return an image in RGB; raises `PipelineError` for an unreadable file."""
        if self._array is not None:
            image = Image.fromarray(np.array(self._array[int(name)])).convert("RGB")
            release_pages(self._array)
            return image
        path = self.path / self._files[ImageId(name)]
        fix = "save it again as 8-bit PNG or JPEG, or remove its trials"
        with (
            reading(path, "a readable image", fix, *IMAGE_ERRORS),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode.startswith(("I", "F")):
                    raise ValueError(f"pixels of more than 8 bits ({image.mode})")
                return image.convert("RGB")


def _files_by_id(folder: Path) -> dict[ImageId, str]:
    """Return the name of each file of the folder by its identity.

    Raises `PipelineError` for two files that are one image by name.
    """
    files: dict[ImageId, str] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or is_side_file(Path(path.name)):
            continue
        other = files.setdefault(image_id(path.name, is_row=False), path.name)
        if other != path.name:
            found = f"{ascii(other)} and {ascii(path.name)}"
            fix = "remove one of the two files"
            raise PipelineError(folder, "one file per name", found, fix, code="duplicate-data")
    return files


def _open_images(path: Path) -> NDArray[np.uint8]:
    expected = "uint8 (0..255) of axes (images, height, width) or (images, height, width, rgb)"
    array = open_npy(path, expected, DESCRIPTION)
    is_shaped = array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)
    if array.dtype != np.uint8 or not is_shaped or 0 in array.shape:
        found = f"{array.dtype} of shape {array.shape}"
        fix = "scale to 0..255, move the colour axis last and save as uint8"
        raise PipelineError(path, expected, found, fix, code="wrong-shape")
    return array


def _refuse_names_outside(folder: Path, names: Iterable[str]) -> None:
    """Raise `PipelineError` for a name of an image that would be written outside its folder."""
    outside = [name for name in names if Path(name).name != name or name == ".."]
    if outside:
        expected, found = "names of images without a folder", f"{outside[0]!r}"
        fix = (
            "download the recording again, and compare its lists of images with the published ones"
        )
        raise PipelineError(folder, expected, found, fix, code="bad-values")


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
    require_new(folder)
    if isinstance(images, Mapping):
        _refuse_names_outside(folder, images)
    with np.errstate(over="ignore"):  # a value beyond float32 is infinite, and drops its voxel
        values = betas.astype(np.float32)
    is_kept = np.isfinite(values).all(axis=0)
    if not is_kept.any():
        expected = "voxels whose betas are finite in every trial"
        fix = "download the recording again"
        raise PipelineError(folder, expected, "none", fix, code="bad-values")
    if not is_kept.all():
        logger.warning("%s: %d voxels dropped, not finite", folder, (~is_kept).sum())
    with atomic_path(folder) as partial:
        partial.mkdir(parents=True)
        np.save(partial / BETAS, values[:, is_kept])
        kept = None if voxels is None else voxels.iloc[np.flatnonzero(is_kept)]
        write_tables_and_images(partial, trials, images, kept)


def require_new(folder: Path) -> None:
    """Raise `PipelineError` where a subject's folder exists already."""
    if folder.exists():
        fix = f"remove {folder}, or name a folder that does not exist"
        raise PipelineError(folder, "a new folder", "an existing one", fix, code="invalid-argument")


def write_tables_and_images(
    folder: Path,
    trials: pd.DataFrame,
    images: Mapping[str, Path] | NDArray[np.uint8],
    voxels: pd.DataFrame | None,
) -> None:
    """Write the tables and the images of a subject into its folder, which exists."""
    trials.to_csv(folder / TRIALS, index=False)
    if voxels is not None:
        voxels.to_csv(folder / VOXELS, index=False)
    if isinstance(images, np.ndarray):
        np.save(folder / IMAGE_ARRAY, images)
        return
    _refuse_names_outside(folder, images)
    (folder / IMAGE_FOLDER).mkdir()
    for name, path in images.items():
        shutil.copyfile(path, folder / IMAGE_FOLDER / name)
