"""Colours of clusters, without the style of the report's figures, which changes matplotlib."""

import numpy as np
from matplotlib.colors import hsv_to_rgb
from numpy.typing import NDArray


def cluster_colours(
    voxel_cluster: NDArray[np.int64], embedding: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return a colour (clusters, rgb) for each cluster: similar mean embeddings, similar hues.

    The hue is the rank of the angle in the plane of the centres' first two principal components;
    lightness alternates so that neighbours differ.
    """
    n_clusters = int(voxel_cluster.max()) + 1
    counts = np.maximum(np.bincount(voxel_cluster, minlength=n_clusters), 1)
    centres = np.zeros((n_clusters, embedding.shape[1]))
    np.add.at(centres, voxel_cluster, embedding)
    centres /= counts[:, None]
    centres -= centres.mean(axis=0)
    axes = np.linalg.svd(centres, full_matrices=False)[2][:2]
    plane = centres @ axes.T
    angle = np.arctan2(plane[:, -1], plane[:, 0])
    rank = np.argsort(np.argsort(angle, kind="stable"), kind="stable")
    light = np.array([0.95, 0.75, 0.55])[rank % 3]
    return np.asarray(
        hsv_to_rgb(np.stack([rank / n_clusters, np.full(n_clusters, 0.75), light], 1))
    )
