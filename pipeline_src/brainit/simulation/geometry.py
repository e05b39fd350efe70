"""The geometry of the simulated brains: visual areas on the hemispheres of fsaverage5.

The surface has 10,242 vertices per hemisphere and ships with nilearn. The visual cortex is a disc
around the occipital pole: V1 in the centre, V2 and V3 as rings around it, and sectors outside (V4
and the category areas). Each subject's disc is shifted, stretched and bent, so that a vertex
belongs to different areas in different subjects.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from nilearn.datasets import fetch_surf_fsaverage
from nilearn.surface import load_surf_mesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from brainit.core.streams import numpy_generator

AREAS: tuple[str, ...] = (
    "V1", "V2", "V3", "V4", "face", "body", "place", "word", "food", "tool",
)  # fmt: skip
RETINOTOPIC = 4
_RING_EDGES = (0.52, 0.74, 0.92)
_POLE = np.array([0.0, -1.0, -0.1])


@dataclass(frozen=True)
class Hemisphere:
    """A surface: pial positions in mm, faces, and flat coordinates around the occipital pole."""

    position_mm: NDArray[np.float32]
    faces: NDArray[np.int64]
    flat: NDArray[np.float64]


@lru_cache(maxsize=2)
def hemisphere(side: int) -> Hemisphere:
    """Return hemisphere 0 (left) or 1 (right) of fsaverage5."""
    name = ("left", "right")[side]
    surfaces = fetch_surf_fsaverage("fsaverage5")
    pial = load_surf_mesh(surfaces[f"pial_{name}"])
    sphere = np.asarray(load_surf_mesh(surfaces[f"sphere_{name}"]).coordinates, dtype=np.float64)
    unit = sphere / np.linalg.norm(sphere, axis=1, keepdims=True)
    pole = _POLE / np.linalg.norm(_POLE)
    angle = np.arccos(np.clip(unit @ pole, -1, 1))
    across = np.array([-1.0, 0.0, 0.0]) if side == 0 else np.array([1.0, 0.0, 0.0])  # lateral
    across -= across @ pole * pole
    across /= np.linalg.norm(across)
    up = np.cross(pole, across) * (1 if side == 0 else -1)
    direction = np.arctan2(unit @ up, unit @ across)
    flat = angle[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return Hemisphere(
        position_mm=np.asarray(pial.coordinates, dtype=np.float32),
        faces=np.asarray(pial.faces, dtype=np.int64),
        flat=flat,
    )


def visual_vertices(side: int, n_vertices: int) -> NDArray[np.int64]:
    """Return the `n_vertices` vertices nearest the occipital pole, ascending."""
    radius = np.linalg.norm(hemisphere(side).flat, axis=1)
    return np.sort(np.argsort(radius, kind="stable")[:n_vertices])


def parcels(side: int, n_parcels: int) -> NDArray[np.int64]:
    """Return the parcel (from 0) of each vertex: the nearest of `n_parcels` random vertices."""
    position = hemisphere(side).position_mm.astype(np.float64)
    generator = numpy_generator(0, "parcels", side, n_parcels)
    centres = position[generator.permutation(len(position))[:n_parcels]]
    return np.asarray(cKDTree(centres).query(position)[1], dtype=np.int64)


@dataclass(frozen=True)
class VoxelMap:
    """Area of each voxel, and its position within: polar angle and eccentricity parameters."""

    area: NDArray[np.int64]
    around: NDArray[np.float64]
    outward: NDArray[np.float64]


def individual_map(
    side: int, vertices: NDArray[np.int64], generator: np.random.Generator
) -> VoxelMap:
    """Draw a subject's areas over `vertices`.

    `around` in [-1, 1] runs around the disc, `outward` in [0, 1) from the inner to the outer edge
    of an area.
    """
    flat = hemisphere(side).flat[vertices]
    flat = flat / np.linalg.norm(flat, axis=1).max()
    stretch = np.eye(2) + generator.normal(0, 0.07, (2, 2))
    flat = flat @ stretch + generator.normal(0, 0.05, 2)
    phase = generator.uniform(0, 2 * np.pi, 4)
    bend = 0.04 * np.stack(
        [
            np.sin(4 * flat[:, 1] + phase[0]) + np.sin(7 * flat[:, 0] + phase[1]),
            np.sin(4 * flat[:, 0] + phase[2]) + np.sin(7 * flat[:, 1] + phase[3]),
        ],
        axis=1,
    )
    flat = flat + bend
    radius = np.linalg.norm(flat, axis=1)
    around = np.arctan2(flat[:, 1], flat[:, 0]) / np.pi
    ring = np.searchsorted(_RING_EDGES, radius, side="right")
    n_sectors = len(AREAS) - 3
    turned = (around + 1) / 2 + generator.normal(0, 0.01)
    sector = np.floor(turned % 1 * n_sectors).astype(np.int64)
    area = np.where(ring < 3, ring, 3 + sector)
    inner = np.array([0.0, *_RING_EDGES])[ring]
    outer = np.array([*_RING_EDGES, 1.1])[ring]
    outward = np.clip((radius - inner) / (outer - inner), 0, 0.999)
    within = turned % 1 * n_sectors - sector
    around = np.where(ring < 3, around, 2 * within - 1)
    return VoxelMap(area=area, around=around, outward=outward)
