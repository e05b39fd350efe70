"""Read GLMsingle's single-trial betas: NIfTI, NumPy array, HDF5 of Python or of MATLAB.

Trials are the last axis of (x, y, z, trials) or (voxels, trials), as GLMsingle's `betasmd`; MATLAB
stores HDF5 with all axes reversed and calls it `modelmd`. What is in memory is one session's voxels
of the mask at most.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import release_pages
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, own_dataset, require_stored
from brainit.core.reading import open_npy, reading
from brainit.data.open.grid import GridMask, require_grid
from brainit.data.open.volume_stream import masked_volumes, read_series

HDF5_SUFFIXES = (".hdf5", ".h5", ".mat")
SUFFIXES = (".nii", ".nii.gz", ".npy", *HDF5_SUFFIXES)
_DATASETS = ("betasmd", "modelmd", "betas")
_EXPECTED = "single-trial betas of axes (x, y, z, trials) or (voxels, trials)"
_FIX = (
    "save the array alone: np.save('betas.npy', results['typed']['betasmd']), or a NIfTI file of"
    " volumes (x, y, z, trials)"
)
_MASK_FIX = "name a mask on the grid of the betas (--mask)"


@dataclass(frozen=True)
class BetaFile:
    """A file of betas: shape without trials, number of trials, whether MATLAB reversed the axes."""

    path: Path
    shape: tuple[int, ...]
    n_trials: int
    dataset: str = ""
    is_reversed: bool = False


def look_at_betas(path: Path, mask: GridMask | None) -> BetaFile:
    """Return what a file holds, without its values.

    Raises `PipelineError` for another kind of file, pickled objects, other axes, and another grid
    than the mask's; warns where only the affine is another.
    """
    if path.name.endswith((".nii", ".nii.gz")):
        series = read_series(path, _FIX)
        if mask is not None:
            require_grid(path, series.shape, series.affine, mask.shape, mask.affine, _MASK_FIX)
        found = BetaFile(path, series.shape, series.n_volumes)
    elif path.suffix in HDF5_SUFFIXES:
        found = _look_at_hdf5(path)
    else:
        array = _open_array(path)
        found = _described(path, array.shape, array.dtype, "", False)
    if len(found.shape) == 3 and mask is None:
        expected = "a mask for volumes (--mask)"
        raise PipelineError(path, expected, "none", _MASK_FIX, code="invalid-argument")
    if mask is not None and found.shape != mask.shape:
        expected = f"volumes of {mask.shape}, as the mask"
        raise PipelineError(path, expected, f"{found.shape}", _MASK_FIX, code="inconsistent-inputs")
    return found


def _open_array(path: Path) -> NDArray[Any]:
    try:
        return open_npy(path, _EXPECTED, _FIX)
    except PipelineError as error:
        if error.code != "unsafe-file":
            raise
        raise PipelineError(path, _EXPECTED, error.found, _FIX, code="unsafe-file") from error


def _look_at_hdf5(path: Path) -> BetaFile:
    expected = f"HDF5 (MATLAB 7.3 or Python) with {' or '.join(_DATASETS)}"
    with reading(path, expected, _FIX, *HDF5_ERRORS), open_hdf5(path) as handle:
        name = next((name for name in _DATASETS if own_dataset(handle, name) is not None), None)
        if name is None:
            raise PipelineError(path, expected, f"{sorted(handle)}", _FIX, code="missing-data")
        dataset = handle[name]
        require_stored(path, dataset, _FIX)
        is_reversed = "MATLAB_class" in dataset.attrs
        shape = dataset.shape[::-1] if is_reversed else dataset.shape
        return _described(path, shape, dataset.dtype, name, is_reversed)


def _described(
    path: Path, shape: tuple[int, ...], dtype: Any, name: str, is_reversed: bool
) -> BetaFile:
    """Return the file's shape; GLMsingle keeps axes of length 1 for arrays of voxels."""
    kept = (*(n for n in shape[:-1] if n != 1 or len(shape) == 2), *shape[-1:])
    if len(kept) not in (2, 4) or 0 in shape or np.dtype(dtype).kind not in "iuf":
        found = f"{dtype} of {shape}"
        raise PipelineError(path, _EXPECTED, found, _FIX, code="wrong-shape")
    return BetaFile(path, tuple(int(n) for n in kept[:-1]), int(kept[-1]), name, is_reversed)


def session_rows(
    file: BetaFile, mask: GridMask | None, counts: list[int]
) -> Iterator[Iterator[NDArray[np.float32]]]:
    """Yield, for each session of `counts` trials, the rows of its trials, float32 (voxels,).

    Each session must be read before the next one. The counts add up to the file's trials.
    """
    if file.path.name.endswith((".nii", ".nii.gz")):
        assert mask is not None
        volumes = masked_volumes(read_series(file.path, _FIX), mask.flat_index, _FIX)
        for number, count in enumerate(counts, 1):
            # The last one to the end of the file, where its checksum is.
            yield volumes if number == len(counts) else _first(volumes, count)
        return
    first = 0
    for count in counts:
        yield iter(_session_array(file, mask, first, first + count))
        first += count


def _first(rows: Iterator[NDArray[np.float32]], count: int) -> Iterator[NDArray[np.float32]]:
    for _ in range(count):
        yield next(rows)


def _session_array(
    file: BetaFile, mask: GridMask | None, first: int, last: int
) -> NDArray[np.float32]:
    """Return trials `first` to `last` of an array at the mask's voxels (trials, voxels)."""
    with np.errstate(over="ignore"):
        if file.path.suffix == ".npy":
            array = _open_array(file.path)
            flat = array.reshape(*file.shape, file.n_trials)
            picked = (
                flat[:, first:last] if mask is None else flat[(*mask.xyz.T, slice(first, last))]
            )
            values = np.ascontiguousarray(np.asarray(picked, dtype=np.float32).T)
            release_pages(array)
            return values
        with reading(file.path, _EXPECTED, _FIX, *HDF5_ERRORS), open_hdf5(file.path) as handle:
            return _hdf5_session(handle[file.dataset], file, mask, first, last)


def _hdf5_session(
    dataset: h5py.Dataset, file: BetaFile, mask: GridMask | None, first: int, last: int
) -> NDArray[np.float32]:
    """Read a session by trials (MATLAB) or by slabs along x (Python)."""
    n_voxels = file.shape[0] if mask is None else len(mask)
    values = np.empty((last - first, n_voxels), dtype=np.float32)
    if file.is_reversed:
        for row, trial in enumerate(range(first, last)):
            volume = np.asarray(dataset[trial]).reshape(file.shape[::-1]).T
            values[row] = volume if mask is None else volume[tuple(mask.xyz.T)]
        return values
    if mask is None:
        values[:] = dataset[..., first:last].reshape(n_voxels, -1).T
        return values
    for x in np.unique(mask.xyz[:, 0]):
        columns = np.flatnonzero(mask.xyz[:, 0] == x)
        slab = dataset[int(x), :, :, first:last]
        values[:, columns] = slab[tuple(mask.xyz[columns, 1:].T)].T
    return values
