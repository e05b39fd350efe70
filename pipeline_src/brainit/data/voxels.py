"""The voxel table of a subject, read and written; its rows follow the columns of the betas.

A file apart, so that steps that only read the table do not depend on trials or masks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from brainit.core.artifacts import Artifact, read_artifact, write_artifact


def read_voxels(path: Path) -> Artifact:
    """Read a voxel table (contract `voxels`)."""
    return read_artifact(path, "voxels")


def write_voxels(
    path: Path,
    subject: str,
    columns: Mapping[str, NDArray[Any]],
    space: str,
    mask: str,
    n_dropped_nan: int = 0,
) -> None:
    """Write a voxel table, whole or not at all.

    `columns` are `vertex` (int64: vertex of the surface, or voxel number in the volume),
    `hemisphere` (int64: 0 left, 1 right, -1 unknown), `position_mm` (float32, (voxels, xyz), NaN
    where unknown) and `noise_ceiling` (float32, % variance of the mean of three trials).
    `n_dropped_nan` counts the voxels of the mask that were dropped, as not finite.
    """
    attributes = {"subject": subject, "space": space, "mask": mask, "n_dropped_nan": n_dropped_nan}
    write_artifact(path, "voxels", columns, attributes)
