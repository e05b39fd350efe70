"""A value or a label for each voxel of a subject, and where these voxels lie.

Voxels are vertices of two hemispheres' surfaces or cells of a volume. Their order is that of the
subject's betas.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.data.nsd import volume
from brainit.data.nsd.masks import vertices_of_space
from brainit.data.nsd.volume import read_volume

SURFACES = ("fsaverage", "fsaverage6", "fsaverage5", "fsaverage4")
LAB_SURFACE = "lab surface"
LARGEST_OFFSET = 0.05
"""Largest distance of a voxel's position from the centre of its cell, as a share of the cell."""


@dataclass(frozen=True)
class ScalarMap:
    """A value for each voxel, NaN where unknown."""

    name: str
    values: Float[NDArray[np.float32], "voxels"]
    unit: str
    about: str
    """What the values are, in a sentence."""


@dataclass(frozen=True)
class Label:
    """An entry of a label table; the colour is (red, green, blue) in [0, 1]."""

    number: int
    name: str
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class LabelMap:
    """The number of a label for each voxel, from 1, and the table of these labels."""

    name: str
    labels: Int[NDArray[np.int32], "voxels"]
    table: tuple[Label, ...]
    about: str


@dataclass(frozen=True)
class SurfacePlaces:
    """The vertex of each voxel; `hemisphere` is 0 left, 1 right. Both sides have `n_vertices`."""

    space: str
    vertex: Int[NDArray[np.int64], "voxels"]
    hemisphere: Int[NDArray[np.int64], "voxels"]
    n_vertices: int

    def on_side(self, side: int, values: NDArray[np.generic], empty: float) -> NDArray[np.generic]:
        """Return the values at all vertices of a hemisphere, `empty` where there is no voxel."""
        full = np.full(self.n_vertices, empty, dtype=values.dtype)
        here = self.hemisphere == side
        full[self.vertex[here]] = values[here]
        return full


@dataclass(frozen=True)
class VolumePlaces:
    """The cell of each voxel in a volume (X, Y, Z), and its affine from cells to mm."""

    space: str
    cell: Int[NDArray[np.int64], "voxels xyz"]
    shape: tuple[int, int, int]
    affine: Float[NDArray[np.float64], "4 4"]

    def in_volume(self, values: NDArray[np.generic], empty: float) -> NDArray[np.generic]:
        """Return the values in the volume, `empty` where there is no voxel."""
        full = np.full(self.shape, empty, dtype=values.dtype)
        full[tuple(self.cell.T)] = values
        return full


Places = SurfacePlaces | VolumePlaces


def surface_places(voxels: Artifact, space: str | None = None) -> SurfacePlaces:
    """Return the vertices of a voxel table; `space` names the surface of a lab's own vertices.

    Raises `PipelineError` where the surface is unknown, a vertex is outside it or named twice, or
    the hemisphere is unknown.
    """
    where, known = _where(voxels), str(voxels.attributes["space"])
    if known == LAB_SURFACE and space is None:
        fix = f"pass --space, one of {', '.join(SURFACES)}"
        raise PipelineError(where, "a known surface", known, fix, code="missing-data")
    name = space if known == LAB_SURFACE and space else known
    vertex, hemisphere, n_vertices = voxels["vertex"], voxels["hemisphere"], vertices_of_space(name)
    if (hemisphere < 0).any():
        fix = "add the column hemisphere to voxels.csv and rerun prepare_lab_subject"
        raise PipelineError(where, "hemispheres 0 or 1", "-1", fix, code="missing-data")
    if vertex.max() >= n_vertices:
        fix = "pass the --space of these vertices"
        expected, found = f"vertices of {name}, below {n_vertices}", f"{vertex.max()}"
        raise PipelineError(where, expected, found, fix, code="inconsistent-inputs")
    _require_distinct(where, np.stack([hemisphere, vertex], axis=1))
    return SurfacePlaces(name, vertex, hemisphere, n_vertices)


def volume_places(voxels: Artifact, reference: Path) -> VolumePlaces:
    """Return the cells of a voxel table in the volume of the NIfTI file `reference`.

    The cell is the one that contains the voxel's position. Raises `PipelineError` for an unreadable
    reference, unknown positions, and a volume in which the positions are no centres of cells, or
    which numbers the cells of an NSD subject in another way.
    """
    where, space = _where(voxels), str(voxels.attributes["space"])
    values, affine = read_volume(reference)
    shape = (values.shape[0], values.shape[1], values.shape[2])
    position = voxels["position_mm"].astype(np.float64)
    if not np.isfinite(position).all():
        fix = "add x_mm, y_mm and z_mm to voxels.csv and rerun prepare_lab_subject"
        raise PipelineError(where, "positions in mm", "NaN", fix, code="missing-data")
    exact = apply_affine(np.linalg.inv(affine), position)
    cell = np.rint(exact).astype(np.int64)
    is_inside = ((cell >= 0) & (cell < np.array(shape))).all(axis=1)
    offset = float(np.abs(exact - cell).max())
    is_same = bool(is_inside.all()) and offset <= LARGEST_OFFSET
    if is_same and space == volume.SPACE:
        number = np.ravel_multi_index(tuple(cell.T), shape, order="F")
        is_same = np.array_equal(number, voxels["vertex"])
    if not is_same:
        raise PipelineError(
            reference,
            f"the volume of {where}",
            f"{int((~is_inside).sum())} voxels outside, offsets up to {offset:.2f} cells",
            "pass a volume of the space of these betas as --reference",
            code="inconsistent-inputs",
        )
    _require_distinct(where, cell)
    return VolumePlaces(space, cell, shape, affine)


def is_on_surface(voxels: Artifact) -> bool:
    """Return True if the voxels of a table are vertices."""
    return str(voxels.attributes["space"]) not in (volume.SPACE, "lab volume")


def _where(voxels: Artifact) -> str:
    return f"voxel table of {voxels.attributes['subject']}"


def _require_distinct(where: str, rows: NDArray[np.int64]) -> None:
    n_distinct = len(np.unique(rows, axis=0))
    if n_distinct < len(rows):
        found = f"{len(rows) - n_distinct} voxels at the place of another"
        fix = "give each voxel its own vertex or position"
        raise PipelineError(where, "each voxel once", found, fix, code="duplicate-data")
