"""Voxels of a volume: masks, positions, and whether two volumes are on one grid."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.data.lab.layout import POSITION_COLUMNS
from brainit.data.open.volume_stream import read_volume

logger = logging.getLogger(__name__)

_AFFINE_TOLERANCE_MM = 0.1
"""Corners of two grids that lie closer than this are one place: files round their affines."""
_MASK_FIX = "name a mask on the grid of the betas"


@dataclass(frozen=True)
class GridMask:
    """Voxels of a mask in the order of `np.argwhere`: index along x, y, z; and the grid."""

    name: str
    xyz: NDArray[np.int64]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def flat_index(self) -> NDArray[np.int64]:
        """Place of each voxel among the values of a NIfTI volume, where x runs fastest."""
        return np.ravel_multi_index(tuple(self.xyz.T), self.shape, order="F").astype(np.int64)

    @property
    def position_mm(self) -> NDArray[np.float64]:
        """Centre of each voxel by the affine (voxels, xyz)."""
        return apply_affine(self.affine, self.xyz)

    def kept(self, is_kept: NDArray[np.bool_]) -> "GridMask":
        """Return the mask of some of its voxels."""
        return GridMask(self.name, self.xyz[is_kept], self.shape, self.affine)


def read_masks(paths: list[Path], name: str, fix: str = _MASK_FIX) -> GridMask:
    """Return the voxels that any of the masks holds (values above 0).

    Raises `PipelineError` for masks on different grids and where no voxel is left.
    """
    values, affine = read_volume(paths[0], fix)
    inside = values > 0
    for path in paths[1:]:
        more, other = read_volume(path, fix)
        require_grid(path, more.shape, other, inside.shape, affine, fix)
        inside |= more > 0
    if not inside.any():
        raise PipelineError(paths[0], "voxels above 0", "none", fix, code="missing-data")
    x, y, z = inside.shape
    return GridMask(name, np.argwhere(inside).astype(np.int64), (x, y, z), affine)


def corner_distance_mm(
    shape: tuple[int, ...], first: NDArray[np.float64], second: NDArray[np.float64]
) -> float:
    """Return how far two affines move the corners of one grid apart, at most."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[:3]])).reshape(3, -1).T
    moved = apply_affine(first, corners) - apply_affine(second, corners)
    return float(np.sqrt((moved**2).sum(axis=1)).max())


def require_grid(
    path: Path | str,
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    expected_shape: tuple[int, ...],
    expected_affine: NDArray[np.float64],
    fix: str = _MASK_FIX,
) -> None:
    """Raise `PipelineError` for another shape; warn where the affine puts the grid elsewhere."""
    if tuple(shape[:3]) != tuple(expected_shape[:3]):
        raise PipelineError(
            path,
            f"a volume of {tuple(expected_shape[:3])}, as the mask",
            f"{tuple(shape[:3])}",
            fix,
            code="inconsistent-inputs",
        )
    distance = corner_distance_mm(shape, affine, expected_affine)
    if distance > _AFFINE_TOLERANCE_MM:
        logger.warning(
            "%s: its affine and the mask's differ by up to %.1f mm; voxels are taken by their"
            " index. Check that the two overlap",
            *(path, distance),
        )


def voxel_table(mask: GridMask, noise_ceiling: NDArray[np.floating] | None) -> pd.DataFrame:
    """Return the lab layout's table: place in mm, index, hemisphere by the sign of x, ceiling."""
    place = mask.position_mm
    columns = dict(zip(POSITION_COLUMNS, place.T, strict=True))
    table = pd.DataFrame({name: values.astype(np.float32) for name, values in columns.items()})
    table["hemisphere"] = (place[:, 0] >= 0).astype(np.int64)
    for axis, name in enumerate(("i", "j", "k")):
        table[name] = mask.xyz[:, axis]
    if noise_ceiling is not None:
        table["noise_ceiling"] = noise_ceiling.astype(np.float32)
    return table
