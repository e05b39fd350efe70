"""Read regions and betas in a subject's func1pt8mm volume (NSD manual), axes (X, Y, Z) in NIfTI.

A voxel's number is x + X (y + Y z), X fastest, the order of the bytes in NSD's files. In an ROI,
values above 0 are inside; -1 and 0 are outside.

Betas are int16, 300 times the percent signal change, in HDF5 or NIfTI. MATLAB wrote the HDF5 file,
so h5py sees its axes reversed, (trials, Z, Y, X), with one chunk per voxel; the reader reads runs
of voxels that are neighbours in X. The NIfTI file is one compressed stream, read trial by trial.
"""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, own_dataset, require_stored
from brainit.core.reading import reading
from brainit.data.nsd.masks import NIBABEL_ERRORS, bytes_of_values, require_content, unpacked

SPACE = "func1pt8mm"


@dataclass(frozen=True)
class VolumeMask:
    """Voxels of a region, ascending by number.

    In the voxel table `vertex` is that number, and `hemisphere` is 0 where the voxel's centre has
    x < 0 mm, else 1 (NSD's origin is the middle of the volume; x grows to the right).
    """

    name: str
    vertex: NDArray[np.int64]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def space(self) -> str:
        """Name of the volume."""
        return SPACE

    @property
    def xyz(self) -> NDArray[np.int64]:
        """Index of each voxel along X, Y and Z, of axes (voxels, xyz)."""
        return np.stack(np.unravel_index(self.vertex, self.shape, order="F"), axis=1)

    @property
    def position_mm(self) -> NDArray[np.float32]:
        """Centre of each voxel in mm by the ROI's affine, of axes (voxels, xyz)."""
        return apply_affine(self.affine, self.xyz).astype(np.float32)

    @property
    def hemisphere(self) -> NDArray[np.int64]:
        """Side of the volume's middle: 0 left, 1 right."""
        return (self.position_mm[:, 0] >= 0).astype(np.int64)

    @property
    def digest(self) -> str:
        """Hexadecimal digest of the mask's voxels."""
        content = hashlib.sha256(repr((SPACE, self.shape)).encode())
        content.update(self.vertex.tobytes())
        return content.hexdigest()


def read_volume_mask(path: Path, name: str) -> VolumeMask:
    """Read a region from an ROI file.

    Raises `PipelineError` for an unreadable file, a number of axes other than three, or an empty
    region.
    """
    values, affine = read_volume(path)
    vertex = np.flatnonzero(values.ravel(order="F") > 0).astype(np.int64)
    if not len(vertex):
        raise PipelineError(
            path,
            "voxels above 0",
            "none",
            "name an ROI file with voxels above 0 in nsd.mask_files",
            code="missing-data",
        )
    x, y, z = values.shape
    return VolumeMask(name, vertex, (x, y, z), affine)


def read_volume(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the values of a NIfTI file (X, Y, Z) and its affine (voxel index to mm).

    Raises `PipelineError` for an unreadable file, another kind of image or number of axes.
    """
    fix = "delete it and rerun download, or correct nsd.mask_files"
    with reading(path, "a readable NIfTI volume", fix, *NIBABEL_ERRORS, WrapStructError):
        image: Any = nib.load(path)  # reads the header alone
        content = unpacked(path, int(image.dataobj.offset) + bytes_of_values(image))
        require_content(image, len(content))
        values = np.asanyarray(image.dataobj, dtype=np.float32)
    if values.ndim != 3 or not isinstance(image, nib.Nifti1Image):
        found = f"{type(image).__name__} of axes {values.shape}"
        raise PipelineError(path, "a NIfTI volume of axes (X, Y, Z)", found, fix, code="wrong-kind")
    return values, np.asarray(image.affine, dtype=np.float64)


def values_in_mask(path: Path, mask: VolumeMask) -> NDArray[np.float32]:
    """Return a volume's values at the mask's voxels.

    Raises `PipelineError` for a volume of another shape than the mask's.
    """
    values, _ = read_volume(path)
    if values.shape != mask.shape:
        raise PipelineError(
            path,
            f"a volume of {mask.shape}, as the mask {mask.name}",
            f"{values.shape}",
            "name a mask of this subject in nsd.mask or nsd.mask_files",
            code="inconsistent-inputs",
        )
    return values.ravel(order="F")[mask.vertex]


DATASET = "betas"
UNITS_PER_PERCENT = np.float32(300)
"""NSD stores percent signal change times 300."""
_FIX = "delete it, download it again and rerun the step"
_UNSCALED = (None, 0.0, 1.0)


def read_volume_betas(path: Path, mask: VolumeMask, n_trials: int) -> NDArray[np.float32]:
    """Return percent signal change (trials, voxels); the suffix of the name gives the format.

    Raises `PipelineError` for a missing, truncated or other kind of file, values other than int16,
    and axes other than the mask's volume and `n_trials`.
    """
    is_hdf5 = path.name.endswith(".hdf5")
    return (read_hdf5_voxels if is_hdf5 else read_nifti_voxels)(path, mask, n_trials)


def read_hdf5_voxels(path: Path, mask: VolumeMask, n_trials: int) -> NDArray[np.float32]:
    """Read the mask's voxels of NSD's HDF5 file; see `read_volume_betas`."""
    raw = np.empty((len(mask.vertex), n_trials), dtype=np.int16)
    xyz = mask.xyz
    expected = "a readable HDF5 file of betas"
    with reading(path, expected, _FIX, *HDF5_ERRORS), open_hdf5(path) as handle:
        dataset = _checked_dataset(path, handle, mask, n_trials)
        require_stored(path, dataset, _FIX)
        for first, last in _runs(mask):
            x, y, z = (int(index) for index in xyz[first])
            # The file has one chunk per voxel, so this reads only the voxels of the run.
            raw[first:last] = dataset[:, z, y, x : x + last - first].T
    return _percent(raw.T)


def read_nifti_voxels(path: Path, mask: VolumeMask, n_trials: int) -> NDArray[np.float32]:
    """Read the mask's voxels of NSD's compressed NIfTI file, one trial in memory at a time."""
    raw = np.empty((n_trials, len(mask.vertex)), dtype=np.int16)
    expected = "a readable .nii.gz of betas"
    with (
        reading(path, expected, _FIX, *NIBABEL_ERRORS, WrapStructError),
        gzip.open(path, "rb") as stream,
    ):
        header = nib.Nifti1Header.from_fileobj(stream)
        dtype = _checked_dtype(path, header, mask, n_trials)
        stream.seek(header.get_data_offset())
        n_bytes = int(np.prod(mask.shape)) * dtype.itemsize
        for trial in range(n_trials):
            volume = stream.read(n_bytes)
            if len(volume) < n_bytes:
                raise EOFError(f"the stream ends in trial {trial} of {n_trials}")
            raw[trial] = np.frombuffer(volume, dtype)[mask.vertex]
        if stream.read(1):  # reading to the end also verifies the checksum
            raise EOFError(f"more than {n_trials} trials")
    return _percent(raw)


def _percent(raw: NDArray[np.int16]) -> NDArray[np.float32]:
    """Convert NSD's integers to percent signal change, C-contiguous (trials, voxels)."""
    percent = np.empty(raw.shape, dtype=np.float32)
    return np.divide(raw, UNITS_PER_PERCENT, out=percent, dtype=np.float32)


def _runs(mask: VolumeMask) -> Iterator[tuple[int, int]]:
    """Yield the index ranges [first, last) of masked voxels that are neighbours in a row of X."""
    follows = (np.diff(mask.vertex) == 1) & (mask.vertex[1:] % mask.shape[0] != 0)
    edges = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(mask.vertex)]
    yield from zip(edges[:-1], edges[1:], strict=True)


def _checked_dataset(
    path: Path, handle: h5py.File, mask: VolumeMask, n_trials: int
) -> h5py.Dataset:
    dataset = own_dataset(handle, DATASET)
    if dataset is None:
        raise PipelineError(
            path, f"the dataset '{DATASET}'", f"{sorted(handle)}", _FIX, code="missing-data"
        )
    expected = (n_trials, *mask.shape[::-1])
    if dataset.dtype != np.int16 or dataset.shape != expected:
        raise PipelineError(
            path,
            f"int16 of {expected} (trials, Z, Y, X), as trial table and mask {mask.name}",
            f"{dataset.dtype} of {dataset.shape}",
            _FIX,
            code="wrong-shape",
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
            f"unscaled int16 of {expected} (X, Y, Z, trials), as mask {mask.name} and trial table",
            f"{dtype} of {tuple(shape)}, slope {slope}, intercept {intercept}",
            _FIX,
            code="wrong-shape",
        )
    return dtype
