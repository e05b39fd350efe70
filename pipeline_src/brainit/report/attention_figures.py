"""Figures of the semantic BIT's attention to clusters (section 5, figures S5 and S6).

Maps of clusters over the image, queries against clusters, sides on the cortex, and selectivity for
kinds of objects (simulation only).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact
from brainit.data.fmri import SubjectFmri
from brainit.evaluation.checks.cluster_attention import (
    ClusterAttention,
    contralateral_correlation,
    reads_right,
)
from brainit.models.brain_transformer import BitDecoder
from brainit.report.cortex import Scale, draw_scalar_maps
from brainit.report.style import COLOURS, new_figure, save_figure
from brainit.simulation.scenes import CONTENTS, Scene

N_MAPS = 12


def draw_attention(attention: ClusterAttention, subject: str, path: Path, simulated: bool) -> None:
    """Draw the maps of the most one-sided clusters, and what each query reads by its position."""
    known = np.flatnonzero(np.isfinite(attention.right_share))
    by_share = known[np.argsort(attention.right_share[known], kind="stable")]
    half = min(N_MAPS // 2, max(len(by_share) // 2, 1))
    shown = [*by_share[:half], *by_share[-half:]]
    figure, axes = new_figure(2, half + 2, 1.25 * half + 3.4, 3.2)
    grid = axes[0].get_gridspec()
    for ax in [*axes[half : half + 2], *axes[2 * half + 2 :]]:
        ax.remove()
    map_axes = [*axes[:half], *axes[half + 2 : 2 * half + 2]]
    relative = attention.maps / attention.maps.mean(axis=0)
    low, high = (float(value) for value in np.percentile(relative, (1, 99)))
    for ax, cluster in zip(map_axes, shown, strict=True):
        ax.imshow(relative[cluster], cmap="magma", vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{cluster}: {100 * attention.right_share[cluster]:.0f} % right", fontsize=7)
    if grid is not None:
        scatter = figure.add_subplot(grid[:, half:])
        right = 100 * reads_right(attention)
        scatter.plot(attention.query_x, right, "o", markersize=3, color=COLOURS[0])
        scatter.set(
            xlabel="query:   left   <   >   right",
            ylabel="right hemisphere in what it reads, %",
            title=f"all queries, r = {-contralateral_correlation(attention):.2f}",
        )
    title = f"Attention to clusters, {subject}, relative to the mean"
    save_figure(figure, path, title, simulated)


N_IMAGES = 100


@dataclass(frozen=True)
class QueryAttention:
    """Attention of each query to each cluster, image by image.

    `weights` (images, queries, clusters) sum to 1 over clusters; `nsd_id` are those of the images;
    `cluster` is the cluster of each voxel of the subject.
    """

    weights: NDArray[np.float64]
    nsd_id: NDArray[np.int64]
    cluster: NDArray[np.int64]


@torch.inference_mode()
def query_attention(bit: BitDecoder, fmri: SubjectFmri) -> QueryAttention:
    """Return the attention of all queries, mean over blocks and heads, for the first images.

    The BIT must have trained on the subject of `fmri`.
    """
    voxels = bit.subjects[fmri.subject]
    betas = torch.from_numpy(fmri.betas[:N_IMAGES].astype(np.float32))
    weights = [
        bit.model.cross_attention(bit.model.tokenize(example, voxels)).double().mean(dim=(0, 1, 2))
        for example in betas.split(1)  # type: ignore[no-untyped-call]
    ]
    cluster = bit.model.voxel_cluster[voxels].cpu().numpy()
    return QueryAttention(torch.stack(weights).numpy(), fmri.nsd_id[: len(weights)], cluster)


def draw_query_attention(
    attention: QueryAttention,
    right_share: NDArray[np.float64],
    subject: str,
    path: Path,
    simulated: bool,
) -> None:
    """Draw queries against clusters, sorted by `right_share` of their voxels."""
    order = np.argsort(np.nan_to_num(right_share, nan=0.5), kind="stable")
    mean = 100 * attention.weights.mean(axis=0)[:, order]
    figure, (ax,) = new_figure(1, 1, 9.0, 4.2)
    picture = ax.imshow(mean, aspect="auto", cmap="magma", vmin=0, vmax=np.percentile(mean, 99.5))
    n_queries, n_clusters = mean.shape
    step = max(n_clusters // 16, 1)
    ax.set_xticks(range(0, n_clusters, step), [str(cluster) for cluster in order[::step]])
    side = round(n_queries**0.5)
    rows = range(0, n_queries, side)
    ax.set_yticks(rows, [str(row // side + 1) for row in rows])
    ax.set(
        xlabel="cluster, from the left hemisphere to the right",
        ylabel="query token, by row of the image",
    )
    figure.colorbar(picture, ax=ax, label="% of a query's attention")
    save_figure(figure, path, f"Attention of queries to clusters, {subject}", simulated)


def draw_attention_cortex(
    maps: ClusterAttention,
    cluster: NDArray[np.int64],
    subject: str,
    voxels: Artifact,
    path: Path,
    simulated: bool,
) -> None:
    """Draw on the cortex the side of the image where each voxel's `cluster` is read."""
    side = maps.side
    limit = max(float(np.percentile(np.abs(side), 90)), 1e-6)
    scale = Scale(-limit, limit, "RdBu_r", "left   <   read at   >   right")
    title = "Side of the image where clusters are read"
    draw_scalar_maps({subject: voxels}, {subject: side[cluster]}, scale, path, title, simulated)


def content_selectivity(
    weights: NDArray[np.float64], nsd_id: NDArray[np.int64], scenes: Mapping[int, Scene]
) -> NDArray[np.float64]:
    """Return (contents, clusters): attention at objects of a kind / attention at any object - 1.

    `weights` (images, queries, clusters) of queries on a square grid, row by row. A query is at an
    object if its centre lies in the object's square. NaN for kinds that no image shows.
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
    selectivity = np.full((len(CONTENTS), n_clusters), np.nan)
    for kind, inside in enumerate(at_kind):
        if inside.any():
            selectivity[kind] = weights[inside].mean(axis=0) / at_any - 1
    return selectivity


def draw_selectivity(
    selectivity: NDArray[np.float64], cluster_area: Sequence[str], subject: str, path: Path
) -> None:
    """Draw the heat map of `selectivity`, clusters sorted by `cluster_area`, their main area."""
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
