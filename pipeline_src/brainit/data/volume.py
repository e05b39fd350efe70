"""Regions and values in a subject's func1pt8mm volume (NSD manual), of axes (X, Y, Z) in NIfTI.

A voxel's number is x + X (y + Y z), X fastest, as the bytes of NSD's files lie. ROI values are -1
outside, 0, and 1 and up inside: only values above 0 count.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.image_faults import FAULTS, unpacked

SPACE = "func1pt8mm"


@dataclass(frozen=True)
class VolumeMask:
    """Voxels of a region, ascending by number.

    For the voxel table `vertex` is that number, and `hemisphere` is 0 where the voxel's centre has
    x < 0 mm and 1 elsewhere (NSD's origin is the middle of the volume; x grows to the right).
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

    Raises `PipelineError` for an unreadable file, other than three axes, or an empty region.
    """
    values, affine = read_volume(path)
    vertex = np.flatnonzero(values.ravel(order="F") > 0).astype(np.int64)
    if not len(vertex):
        raise PipelineError(path, "voxels above 0", "none", "use another ROI file")
    x, y, z = values.shape
    return VolumeMask(name, vertex, (x, y, z), affine)


def read_volume(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the values of a NIfTI file of axes (X, Y, Z) and its affine (voxel index to mm)."""
    fix = "delete it and rerun download, or correct nsd.mask_files"
    try:
        unpacked(path)
        image: Any = nib.load(path)
        values = np.asanyarray(image.dataobj, dtype=np.float32)
    except FAULTS as error:
        raise PipelineError(path, "a readable NIfTI volume", str(error), fix) from error
    if values.ndim != 3 or not isinstance(image, nib.Nifti1Image):
        found = f"{type(image).__name__} of axes {values.shape}"
        raise PipelineError(path, "a NIfTI volume of axes (X, Y, Z)", found, fix)
    return values, np.asarray(image.affine, dtype=np.float64)


def values_in_mask(path: Path, mask: VolumeMask) -> NDArray[np.float32]:
    """Return a volume's values at the mask's voxels.

    Raises `PipelineError` for a volume of another shape than the mask's.
    """
    values, _ = read_volume(path)
    if values.shape != mask.shape:
        raise PipelineError(
            path,
            f"a volume of {mask.shape} as the mask {mask.name}",
            f"{values.shape}",
            "use volume and mask of the same subject",
        )
    return values.ravel(order="F")[mask.vertex]
