"""One session of func1pt8mm betas at a mask's voxels, from NSD's HDF5 or NIfTI (NSD manual).

Both hold int16 of 300 times the percent signal change. MATLAB wrote the HDF5 file, so that h5py
sees its axes reversed, (trials, Z, Y, X), with one chunk per voxel: it is read by runs of voxels
that lie side by side in X. The NIfTI file is one compressed stream: it is read trial by trial.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.volume import VolumeMask

DATASET = "betas"
UNITS_PER_PERCENT = np.float32(300)
"""NSD stores percent signal change times 300."""
_FIX = "delete it, fetch it again and rerun the step"
_UNSCALED = (None, 0.0, 1.0)


def read_volume_betas(path: Path, mask: VolumeMask, n_trials: int) -> NDArray[np.float32]:
    """Return percent signal change of axes (trials, voxels); the name says which format.

    Raises `PipelineError` for a missing, foreign or truncated file, values that are not int16, and
    axes other than the mask's volume and `n_trials`.
    """
    is_hdf5 = path.name.endswith(".hdf5")
    return (read_hdf5_voxels if is_hdf5 else read_nifti_voxels)(path, mask, n_trials)


def read_hdf5_voxels(path: Path, mask: VolumeMask, n_trials: int) -> NDArray[np.float32]:
    """Read NSD's HDF5 at the mask's voxels, as `read_volume_betas`."""
    raw = np.empty((len(mask.vertex), n_trials), dtype=np.int16)
    xyz = mask.xyz
    try:
        with h5py.File(path, "r") as handle:
            dataset = _checked_dataset(path, handle, mask, n_trials)
            for first, last in _runs(mask):
                x, y, z = (int(index) for index in xyz[first])
                # One chunk per voxel: voxels of a run, and nothing between runs, are read.
                raw[first:last] = dataset[:, z, y, x : x + last - first].T
    except (OSError, RuntimeError) as error:
        raise PipelineError(path, "a readable HDF5 file of betas", str(error), _FIX) from error
    return _percent(raw.T)


def read_nifti_voxels(path: Path, mask: VolumeMask, n_trials: int) -> NDArray[np.float32]:
    """Read NSD's compressed NIfTI at the mask's voxels, one trial at a time in memory."""
    raw = np.empty((n_trials, len(mask.vertex)), dtype=np.int16)
    try:
        with gzip.open(path, "rb") as stream:
            header = nib.Nifti1Header.from_fileobj(stream)
            dtype = _checked_dtype(path, header, mask, n_trials)
            stream.seek(header.get_data_offset())
            n_bytes = int(np.prod(mask.shape)) * dtype.itemsize
            for trial in range(n_trials):
                volume = stream.read(n_bytes)
                if len(volume) < n_bytes:
                    raise EOFError(f"the stream ends in trial {trial} of {n_trials}")
                raw[trial] = np.frombuffer(volume, dtype)[mask.vertex]
            if stream.read(1):  # reading to the end also checks the stream's checksum
                raise EOFError(f"more than {n_trials} trials")
    except (OSError, EOFError, zlib.error, WrapStructError, HeaderDataError) as error:
        raise PipelineError(path, "a readable .nii.gz of betas", str(error), _FIX) from error
    return _percent(raw)


def _percent(raw: NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn NSD's integers into percent, trials first in memory."""
    percent = np.empty(raw.shape, dtype=np.float32)
    return np.divide(raw, UNITS_PER_PERCENT, out=percent, dtype=np.float32)


def _runs(mask: VolumeMask) -> Iterator[tuple[int, int]]:
    """Yield [first, last) of masked voxels that follow each other within one row of X."""
    follows = (np.diff(mask.vertex) == 1) & (mask.vertex[1:] % mask.shape[0] != 0)
    edges = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(mask.vertex)]
    yield from zip(edges[:-1], edges[1:], strict=True)


def _checked_dataset(
    path: Path, handle: h5py.File, mask: VolumeMask, n_trials: int
) -> h5py.Dataset:
    dataset = handle.get(DATASET)
    if not isinstance(dataset, h5py.Dataset):
        raise PipelineError(path, f"the dataset '{DATASET}'", f"{sorted(handle)}", _FIX)
    expected = (n_trials, *mask.shape[::-1])
    if dataset.dtype != np.int16 or dataset.shape != expected:
        raise PipelineError(
            path,
            f"int16 of {expected} (trials, Z, Y, X) as trial table and mask {mask.name}",
            f"{dataset.dtype} of {dataset.shape}",
            _FIX,
        )
    return dataset


def _checked_dtype(
    path: Path, header: nib.Nifti1Header, mask: VolumeMask, n_trials: int
) -> np.dtype[np.int16]:
    expected = (*mask.shape, n_trials)
    dtype, shape = header.get_data_dtype(), header.get_data_shape()
    slope, intercept = header.get_slope_inter()
    is_scaled = slope not in _UNSCALED or intercept not in (None, 0.0)
    if dtype.newbyteorder("=") != np.int16 or tuple(shape) != expected or is_scaled:
        raise PipelineError(
            path,
            f"int16 without scaling of {expected} (X, Y, Z, trials) as mask {mask.name} and trials",
            f"{dtype} of {tuple(shape)}, slope {slope}, intercept {intercept}",
            _FIX,
        )
    return dtype
