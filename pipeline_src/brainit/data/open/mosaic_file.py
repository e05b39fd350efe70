"""Read a subject's HDF5 file of MOSAIC: one dataset of 91,282 values per trial.

Group `betas`: `sub-01_NSD_stimulus-<stem>_phase-train_rep-0`, z-scored already, on fsLR 32k: 29,696
left and 29,716 right vertices of cortex first, then subcortex. Group `noiseceilings`, percent:
`sub-01_NSD_phase-test_n-1_noiseceiling`. Infinite values count as missing, like NaN.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, own_dataset, require_stored
from brainit.core.reading import reading
from brainit.data.open.quality import ceiling_of_three

N_LEFT, N_CORTEX, N_GRAYORDINATES = 29_696, 59_412, 91_282
"""Vertices of the left hemisphere, of both, and all places, in CIFTI's order of 91k."""
_NAME = re.compile(
    r"(?P<subject>sub-\d+)_(?P<set>[A-Za-z0-9]+)_stimulus-(?P<stem>.+)"
    r"_phase-(?P<phase>train|test)_rep-(?P<rep>\d+)",
    re.DOTALL,
)
_EXPECTED = "a subject's HDF5 file of MOSAIC with the groups betas and noiseceilings"
_FIX = "download the subject's file of MOSAIC again"


@dataclass(frozen=True)
class MosaicFile:
    """A file and its trials: `name`, `stem`, `phase` (train, test), `rep` (from 0)."""

    path: Path
    subject: str
    trials: pd.DataFrame


def read_mosaic_file(path: Path) -> MosaicFile:
    """Read the names of all trials, by stem and repetition.

    Raises `PipelineError` for another kind of file, names of another form, several subjects, and a
    repetition in both phases.
    """
    with reading(path, _EXPECTED, _FIX, *HDF5_ERRORS), open_hdf5(path) as handle:
        group = handle.get("betas")
        if not isinstance(group, h5py.Group) or not len(group):
            raise PipelineError(path, _EXPECTED, f"{sorted(handle)}", _FIX, code="missing-data")
        names = list(group)
    matches = [_NAME.fullmatch(name) for name in names]
    if None in matches:
        found = f"{names[matches.index(None)]!r}"
        expected = "trials named sub-01_NSD_stimulus-STEM_phase-train_rep-0"
        raise PipelineError(path, expected, found, _FIX, code="wrong-kind")
    table = pd.DataFrame([match.groupdict() for match in matches if match])
    table.insert(0, "name", names)
    table["rep"] = table["rep"].astype(np.int64)
    subjects = sorted({f"{s}_{d}" for s, d in zip(table["subject"], table["set"], strict=True)})
    if len(subjects) > 1:
        raise PipelineError(path, "one subject", f"{subjects}", _FIX, code="wrong-kind")
    twice = table.duplicated(["stem", "rep"])
    if twice.any():
        found = f"{table['stem'][twice].iloc[0]!r} twice"
        raise PipelineError(path, "each presentation once", found, _FIX, code="duplicate-data")
    order = table.sort_values(["stem", "rep"], ignore_index=True)
    return MosaicFile(path, subjects[0], order[["name", "stem", "phase", "rep"]])


def cortex_rows(
    file: MosaicFile, names: Iterable[str], vertices: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """Yield the values of each named trial at `vertices` of cortex, float32; infinite become NaN.

    Only cortex is read. Raises `PipelineError` for a damaged file and another number of values.
    """
    with reading(file.path, _EXPECTED, _FIX, *HDF5_ERRORS), open_hdf5(file.path) as handle:
        for name in names:
            dataset = _dataset(file.path, handle, f"betas/{name}")
            yield _finite(dataset[:N_CORTEX][vertices])


def _dataset(path: Path, handle: h5py.File, name: str) -> h5py.Dataset:
    dataset = own_dataset(handle, name)
    if dataset is None:
        raise PipelineError(path, f"the dataset {name!r}", "none", _FIX, code="missing-data")
    if dataset.shape != (N_GRAYORDINATES,) or dataset.dtype.kind not in "fiu":
        found = f"{dataset.dtype} of {dataset.shape}"
        raise PipelineError(
            path, f"{N_GRAYORDINATES} numbers in {name!r}", found, _FIX, code="wrong-shape"
        )
    require_stored(path, dataset, _FIX)
    return dataset


def _finite(values: NDArray[np.floating]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        row = np.asarray(values).astype(np.float32)
    return np.where(np.isfinite(row), row, np.float32(np.nan))


def published_ceiling(
    file: MosaicFile, vertices: NDArray[np.int64]
) -> tuple[NDArray[np.float32] | None, str | None]:
    """Return the ceiling as that of means of three, and the name of its dataset; None for none.

    The file has that of single trials (`n-1`), of test images or, without repeats, of training.
    """
    with reading(file.path, _EXPECTED, _FIX, *HDF5_ERRORS), open_hdf5(file.path) as handle:
        for phase in ("test", "train"):
            name = f"noiseceilings/{file.subject}_phase-{phase}_n-1_noiseceiling"
            if name in handle:
                values = _dataset(file.path, handle, name)[:N_CORTEX][vertices]
                percent = np.nan_to_num(_finite(values), nan=0.0)
                return ceiling_of_three(percent, 1.0), name
    return None, None
