"""Figures of functional clusters and voxel embeddings (section 3.1).

The true areas of each cluster (simulation only), and embeddings in two dimensions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from brainit.core.streams import numpy_generator
from brainit.evaluation.checks.clusters import LEAST_CEILING
from brainit.evaluation.truth import VoxelTruth
from brainit.report.style import new_figure, save_figure


def area_shares(
    voxel_cluster: NDArray[np.int64], truths: Sequence[VoxelTruth]
) -> NDArray[np.float64]:
    """Return the share of each area among the responsive voxels of each cluster (clusters, areas).

    `voxel_cluster` concatenates the subjects of `truths`. Zeros for clusters without such voxels.
    """
    area = np.concatenate([truth.area for truth in truths])
    is_responsive = np.concatenate([truth.noise_ceiling for truth in truths]) > LEAST_CEILING
    counts = np.zeros((int(voxel_cluster.max()) + 1, len(truths[0].areas)))
    np.add.at(counts, (voxel_cluster[is_responsive], area[is_responsive]), 1)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def main_areas(voxel_cluster: NDArray[np.int64], truths: Sequence[VoxelTruth]) -> list[str]:
    """Return for each cluster the area of most of its responsive voxels."""
    return [truths[0].areas[k] for k in area_shares(voxel_cluster, truths).argmax(axis=1)]


def draw_clusters_by_area(
    voxel_cluster: NDArray[np.int64], truths: Sequence[VoxelTruth], path: Path
) -> None:
    """Draw each area's share of each cluster's responsive voxels, and its number of subjects.

    `voxel_cluster` concatenates the subjects of `truths`. Clusters are sorted by main area.
    """
    names = truths[0].areas
    subject = np.repeat(np.arange(len(truths)), [len(truth.area) for truth in truths])
    share = area_shares(voxel_cluster, truths)
    order = np.lexsort((-share.max(axis=1), share.argmax(axis=1)))
    n_subjects = [len(np.unique(subject[voxel_cluster == cluster])) for cluster in order]
    figure, axes = new_figure(2, 1, 9.0, 4.6)
    picture = axes[0].imshow(share[order].T, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_xticks([])
    axes[0].set_title("share of each true area among the cluster's responsive voxels")
    figure.colorbar(picture, ax=axes[0], shrink=0.8)
    axes[1].bar(range(len(order)), n_subjects, color="#4a4a4a")
    axes[1].set(
        xlabel="cluster (sorted by area)", ylabel="subjects in it", xlim=(-0.5, len(order) - 0.5)
    )
    axes[1].set_yticks(range(len(truths) + 1))
    axes[1].set_xticks(range(0, len(order), max(len(order) // 16, 1)))
    save_figure(figure, path, "Functional clusters and true areas", True)


N_DOTS = 1000
_ITERATIONS = 400

Colouring = tuple[NDArray[np.int64], Sequence[str]]
"""The group of each voxel, as an index into the names of all groups."""


def draw_embedding_map(
    embedding: NDArray[np.floating],
    groups: Colouring,
    subjects: Colouring,
    seed: int,
    path: Path,
    simulated: bool,
) -> None:
    """Draw a t-SNE of up to 1,000 random voxels twice: coloured by `groups`, and by `subjects`."""
    generator = numpy_generator(seed, "embedding_map")
    n_dots = min(N_DOTS, len(embedding))
    rows = np.sort(generator.permutation(len(embedding))[:n_dots])
    perplexity = min(30.0, (n_dots - 1) / 3)
    tsne = TSNE(
        perplexity=perplexity, max_iter=_ITERATIONS, init="pca", random_state=seed, n_jobs=1
    )
    points = tsne.fit_transform(np.asarray(embedding[rows], dtype=np.float32))
    figure, (left, right) = new_figure(1, 2, 10.4, 4.4)
    for ax, (group, names) in ((left, groups), (right, subjects)):
        _scatter(ax, points, group[rows], names)
    title = f"Voxel embeddings, t-SNE of {n_dots:,} responsive voxels"
    save_figure(figure, path, title, simulated)


def _scatter(
    ax: Axes, points: NDArray[np.float32], group: NDArray[np.int64], names: Sequence[str]
) -> None:
    colours = colormaps["tab10" if len(names) <= 10 else "tab20"]
    for number, name in enumerate(names):
        x, y = points[group == number].T
        ax.plot(x, y, ".", markersize=3, color=colours(number % colours.N), label=name)
    ax.set(xticks=[], yticks=[])
    ax.legend(markerscale=3, loc="center left", bbox_to_anchor=(1.0, 0.5))
