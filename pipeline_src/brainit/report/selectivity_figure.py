"""Which clusters are read where a kind of object stands (figure S6; simulation only)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.report.style import new_figure, save_figure
from brainit.simulation.scenes import CONTENTS, Scene


def content_selectivity(
    weights: NDArray[np.float64], nsd_id: NDArray[np.int64], scenes: Mapping[int, Scene]
) -> NDArray[np.float64]:
    """Return (contents, clusters): attention at objects of a kind over that at any object, less 1.

    `weights` (images, queries, clusters) of queries on a square grid, row by row. A query stands at
    an object if its centre lies in the object's square. NaN for kinds that no image shows.
    """
    n_images, n_queries, n_clusters = weights.shape
    side = round(n_queries**0.5)
    centre = (np.arange(side) + 0.5) / side
    x, y = np.tile(centre, side), np.repeat(centre, side)
    at_kind = np.zeros((len(CONTENTS), n_images, n_queries), dtype=bool)
    for image, scene in enumerate(scenes[int(number)] for number in nsd_id):
        for item in scene.objects:
            is_inside = np.maximum(np.abs(x - item.x), np.abs(y - item.y)) < item.size / 2
            at_kind[CONTENTS.index(item.content), image] |= is_inside
    at_any = weights[at_kind.any(axis=0)].mean(axis=0)
    found = np.full((len(CONTENTS), n_clusters), np.nan)
    for kind, inside in enumerate(at_kind):
        if inside.any():
            found[kind] = weights[inside].mean(axis=0) / at_any - 1
    return found


def draw_selectivity(
    selectivity: NDArray[np.float64], cluster_area: Sequence[str], subject: str, path: Path
) -> None:
    """Draw the heat map; clusters sorted by `cluster_area`, the area that most of each lies in."""
    order = np.argsort(np.asarray(cluster_area), kind="stable")
    figure, (ax,) = new_figure(1, 1, 9.0, 3.0)
    limit = max(float(np.nanpercentile(np.abs(selectivity), 98)), 1e-6)
    picture = ax.imshow(
        selectivity[:, order], aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    ax.set_yticks(range(len(CONTENTS)), CONTENTS)
    ax.set_xticks(range(len(order)), [cluster_area[c] for c in order], rotation=90, fontsize=7)
    ax.set(xlabel="cluster, by the true area of most of its voxels", ylabel="objects in the image")
    figure.colorbar(picture, ax=ax, label="attention, relative")
    save_figure(figure, path, f"Clusters read at each kind of object, {subject}", True)
