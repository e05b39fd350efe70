"""Maps of voxels on the inflated cortex, seen from behind (fsaverage5, shipped with nilearn).

The first 10,242 vertices of fsaverage are those of fsaverage5, so voxels on either surface are
drawn without fetching anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from nilearn.datasets import fetch_surf_fsaverage
from nilearn.surface import load_surf_data, load_surf_mesh
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact
from brainit.evaluation.checks.clusters import LEAST_CEILING
from brainit.report.cluster_colours import cluster_colours
from brainit.report.style import new_figure, save_figure

SPACES = ("fsaverage", "fsaverage5")
_TILT = np.deg2rad(15.0)
_TOWARDS = np.array([0.0, -np.cos(_TILT), -np.sin(_TILT)])
_UP = np.array([0.0, -np.sin(_TILT), np.cos(_TILT)])
_GAP_MM = 4.0
_MARGIN_MM = 18.0


@dataclass(frozen=True)
class Surface:
    """The visible faces, far ones first: their corners on the page (mm) and their grey level."""

    faces: NDArray[np.int64]
    corners: NDArray[np.float64]
    grey: NDArray[np.float64]
    n_vertices: int


@dataclass(frozen=True)
class Scale:
    """Lowest and highest value, name of matplotlib's colour map, and label of the colour bar."""

    low: float
    high: float
    colours: str
    label: str


@lru_cache(maxsize=2)
def surface(side: int) -> Surface:
    """Return hemisphere 0 (left) or 1 (right) from behind and a little below."""
    name = ("left", "right")[side]
    files = fetch_surf_fsaverage("fsaverage5")
    mesh = load_surf_mesh(files[f"infl_{name}"])
    coordinates = np.asarray(mesh.coordinates, dtype=np.float64)
    faces = np.asarray(mesh.faces, dtype=np.int64)
    coordinates[:, 0] += (
        _GAP_MM - coordinates[:, 0].min() if side else -_GAP_MM - coordinates[:, 0].max()
    )
    first, second, third = (coordinates[faces[:, corner]] for corner in range(3))
    normal = np.cross(second - first, third - first)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    facing = normal @ _TOWARDS
    nearness = (coordinates @ _TOWARDS)[faces].mean(axis=1)
    order = np.argsort(nearness, kind="stable")
    order = order[facing[order] > 0]
    page = np.stack([coordinates[:, 0], coordinates @ _UP], axis=1)
    depth = np.asarray(load_surf_data(files[f"sulc_{name}"]))[faces[order]].mean(axis=1)
    grey = np.where(depth > 0, 0.62, 0.78) * (0.75 + 0.25 * facing[order])
    return Surface(faces[order], page[faces[order]], grey, len(coordinates))


def draw_cortex(
    ax: Axes,
    hemisphere: NDArray[np.int64],
    vertex: NDArray[np.int64],
    colour: NDArray[np.float64],
) -> None:
    """Draw both hemispheres; `colour` (voxels, rgb) in [0, 1] of the voxels at `vertex`.

    A face takes the colour of its first corner that is a voxel, else the grey of the cortex. The
    axes are cut to the voxels plus a margin.
    """
    outlines = []
    for side in (0, 1):
        drawn = surface(side)
        here = (hemisphere == side) & (vertex < drawn.n_vertices)
        of_vertex = np.full((drawn.n_vertices, 3), np.nan)
        of_vertex[vertex[here]] = colour[here]
        face_colour = np.repeat(drawn.grey[:, None], 3, axis=1)
        for corner in (2, 1, 0):
            corner_colour = of_vertex[drawn.faces[:, corner]]
            is_known = np.isfinite(corner_colour[:, 0])
            face_colour[is_known] = corner_colour[is_known]
            outlines.append(drawn.corners[is_known].reshape(-1, 2))
        faces = PolyCollection(
            drawn.corners,  # type: ignore[arg-type]  # one array: its stubs know lists alone
            facecolors=face_colour,
            linewidths=0,
            antialiaseds=False,
        )
        ax.add_collection(faces)
    corners = np.concatenate(outlines)
    if len(corners):
        (left, low), (right, high) = corners.min(axis=0), corners.max(axis=0)
        ax.set_xlim(left - _MARGIN_MM, right + _MARGIN_MM)
        ax.set_ylim(low - _MARGIN_MM, high + _MARGIN_MM)
    else:
        ax.autoscale_view()
    ax.set_aspect("equal")
    ax.axis("off")


def is_on_surface(tables: Mapping[str, Artifact]) -> bool:
    """Return True if the voxels of all tables are vertices of fsaverage or fsaverage5."""
    return all(table.attributes["space"] in SPACES for table in tables.values())


def draw_scalar_maps(
    tables: Mapping[str, Artifact],
    values: Mapping[str, NDArray[np.floating]],
    scale: Scale,
    path: Path,
    title: str,
    simulated: bool,
) -> None:
    """Draw the values of voxels, a panel per subject; voxels with NaN stay grey."""
    norm, colour_map = Normalize(scale.low, scale.high), colormaps[scale.colours]
    figure, axes = new_figure(1, len(values), 3.6 * len(values) + 0.7, 2.8)
    for ax, (subject, scalars) in zip(axes, values.items(), strict=True):
        known = np.isfinite(scalars)
        colour = colour_map(norm(scalars[known]))[:, :3]
        table = tables[subject]
        draw_cortex(ax, table["hemisphere"][known], table["vertex"][known], colour)
        ax.set_title(subject)
    mappable = ScalarMappable(norm, colour_map)
    figure.colorbar(mappable, ax=axes, shrink=0.7, label=scale.label)
    save_figure(figure, path, title, simulated)


def draw_noise_ceiling_maps(tables: Mapping[str, Artifact], path: Path, simulated: bool) -> None:
    """Draw the noise ceiling of each subject's voxels; `tables` are voxel tables by subject."""
    values = {subject: table["noise_ceiling"] for subject, table in tables.items()}
    high = float(np.nanpercentile(np.concatenate(list(values.values())), 99))
    scale = Scale(0.0, max(high, 1.0), "viridis", "% of variance")
    draw_scalar_maps(tables, values, scale, path, "Noise ceiling", simulated)


def draw_cluster_maps(
    tables: Mapping[str, Artifact],
    voxel_cluster: NDArray[np.int64],
    embedding: NDArray[np.floating],
    path: Path,
    simulated: bool,
) -> None:
    """Draw each responsive voxel in the colour of its cluster.

    `voxel_cluster` and `embedding` concatenate the subjects of `tables`.
    """
    colour = cluster_colours(voxel_cluster, embedding)[voxel_cluster]
    ends = np.cumsum([len(table["vertex"]) for table in tables.values()])
    figure, axes = new_figure(1, len(tables), 3.6 * len(tables), 2.8)
    parts = np.split(colour, ends[:-1])
    for ax, (subject, table), part in zip(axes, tables.items(), parts, strict=True):
        shown = table["noise_ceiling"] > LEAST_CEILING
        draw_cortex(ax, table["hemisphere"][shown], table["vertex"][shown], part[shown])
        ax.set_title(subject)
    n_clusters = len(np.unique(voxel_cluster))
    title = f"{n_clusters} functional clusters, voxels of a noise ceiling above {LEAST_CEILING:g} %"
    save_figure(figure, path, title, simulated)
