"""Read a mask's voxels from a 4-D NIfTI file as a stream: one volume in memory at a time.

Volumes lie one after the other, x fastest. A compressed file is decompressed once, to its end,
which verifies gzip's checksum. The header's data type and scaling hold: value = slope raw + inter.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.reading import reading
from brainit.data.nsd.masks import NIBABEL_ERRORS

_EXPECTED = "a readable NIfTI file of volumes (x, y, z, trials)"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class VolumeSeries:
    """The header of a 4-D NIfTI file."""

    path: Path
    shape: tuple[int, int, int]
    n_volumes: int
    affine: NDArray[np.float64]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float


def read_series(path: Path, fix: str) -> VolumeSeries:
    """Return the header; a volume alone (x, y, z) is a series of one.

    Raises `PipelineError` for another kind of file, other axes and values that are no real numbers.
    """
    with reading(path, _EXPECTED, fix, *NIBABEL_ERRORS, WrapStructError):
        image: Any = nib.load(path)  # reads the header alone
        if not isinstance(image, nib.Nifti1Image):
            raise ValueError(f"a file of kind {type(image).__name__}")
        shape, proxy = tuple(int(n) for n in image.shape), image.dataobj
        dtype = np.dtype(proxy.dtype)
        affine = np.asarray(image.affine, dtype=np.float64)
        offset, slope, intercept = int(proxy.offset), float(proxy.slope), float(proxy.inter)
    if len(shape) not in (3, 4) or 0 in shape or dtype.kind not in "iuf":
        found = f"{dtype} of axes {shape}"
        raise PipelineError(path, _EXPECTED, found, fix, code="wrong-shape")
    n_volumes = shape[3] if len(shape) == 4 else 1
    return VolumeSeries(
        path, (shape[0], shape[1], shape[2]), n_volumes, affine, dtype, offset, slope, intercept
    )


def masked_volumes(
    series: VolumeSeries, flat_index: NDArray[np.int64], fix: str
) -> Iterator[NDArray[np.float32]]:
    """Yield the values of each volume at `flat_index` (x fastest), float32 (voxels,).

    Raises `PipelineError` for a damaged file, and for one that is shorter or longer than its header
    states.
    """
    n_bytes = int(np.prod(series.shape)) * series.dtype.itemsize
    with reading(series.path, _EXPECTED, fix, *NIBABEL_ERRORS), _opened(series.path) as stream:
        if len(stream.read(series.offset)) < series.offset:
            raise EOFError("the file ends in its header")
        for number in range(series.n_volumes):
            volume = stream.read(n_bytes)
            if len(volume) < n_bytes:
                raise EOFError(f"the file ends in volume {number} of {series.n_volumes}")
            raw = np.frombuffer(volume, series.dtype)[flat_index].astype(np.float64)
            with np.errstate(over="ignore"):  # a value beyond float32 is infinite
                yield (raw * series.slope + series.intercept).astype(np.float32)
        if stream.read(1):
            raise EOFError(f"more than {series.n_volumes} volumes")


def read_volume(path: Path, fix: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the values (x, y, z) and the affine of a file that holds one volume.

    Raises `PipelineError` as `read_series` and `masked_volumes`, and for several volumes.
    """
    series = read_series(path, fix)
    if series.n_volumes != 1:
        expected, found = "one volume (x, y, z)", f"{series.n_volumes} volumes"
        raise PipelineError(path, expected, found, fix, code="wrong-shape")
    (values,) = masked_volumes(series, np.arange(np.prod(series.shape)), fix)
    return values.reshape(series.shape, order="F"), series.affine


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, decompressed if gzip wrote it, whatever its name says."""
    with path.open("rb") as handle:
        is_packed = handle.read(2) == _GZIP_MAGIC
    with gzip.open(path, "rb") if is_packed else path.open("rb") as stream:
        yield stream  # type: ignore[misc]
