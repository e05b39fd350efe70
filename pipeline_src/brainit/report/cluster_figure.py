"""Which true areas the functional clusters hold (section 3.1; simulation only)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.evaluation.checks.clusters import LEAST_CEILING
from brainit.evaluation.truth import VoxelTruth
from brainit.report.style import new_figure, save_figure


def area_shares(
    voxel_cluster: NDArray[np.int64], truths: Sequence[VoxelTruth]
) -> NDArray[np.float64]:
    """Return the share of each area among the responsive voxels of each cluster (clusters, areas).

    `voxel_cluster` runs over the subjects of `truths`, in order. A row of zeros where none is.
    """
    area = np.concatenate([truth.area for truth in truths])
    is_responsive = np.concatenate([truth.noise_ceiling for truth in truths]) > LEAST_CEILING
    counts = np.zeros((int(voxel_cluster.max()) + 1, len(truths[0].areas)))
    np.add.at(counts, (voxel_cluster[is_responsive], area[is_responsive]), 1)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def main_areas(voxel_cluster: NDArray[np.int64], truths: Sequence[VoxelTruth]) -> list[str]:
    """Return of each cluster the area that most of its responsive voxels lie in."""
    return [truths[0].areas[k] for k in area_shares(voxel_cluster, truths).argmax(axis=1)]


def draw_clusters_by_area(
    voxel_cluster: NDArray[np.int64], truths: Sequence[VoxelTruth], path: Path
) -> None:
    """Draw the share of each area in each cluster over responsive voxels, and in how many subjects.

    `voxel_cluster` runs over the subjects of `truths`, in order. Clusters are sorted by their
    largest area.
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
