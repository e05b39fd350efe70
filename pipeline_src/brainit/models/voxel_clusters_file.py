"""V2C files: made from an encoder's file, and for a new subject from the base's (3.1, D.4)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from brainit.core.artifacts import read_artifact, write_artifact, write_table
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.parcellation import parcels_of_voxels
from brainit.data.voxels import read_voxels
from brainit.models.subject_voxels import require_same_subjects, voxel_counts
from brainit.models.voxel_clusters import assign_voxels, cluster_voxels


def write_clusters(
    encoder_path: Path,
    voxels: Mapping[str, Path],
    settings: Settings,
    clusters_path: Path,
    summary_path: Path,
    atlas: Sequence[Path] = (),
) -> None:
    """Cluster the voxels of an encoder's subjects and write V2C and its summary.

    `voxels` are their voxel tables, `atlas` the annotations of both hemispheres for that method.
    Raises `PipelineError` where tables are of other subjects or voxel counts, and for a faulty
    atlas.
    """
    encoder = read_artifact(encoder_path, "encoder")
    n_voxels = voxel_counts(encoder_path, encoder.attributes)
    tables = {subject: read_voxels(path) for subject, path in voxels.items()}
    counts = {subject: len(table["position_mm"]) for subject, table in tables.items()}
    if list(counts.items()) != list(n_voxels.items()):
        raise PipelineError(
            "--voxels", f"the voxels of {n_voxels}", f"{counts}", "rerun train_encoder"
        )
    is_atlas = settings.clusters.method == "atlas"
    parcels = parcels_of_voxels(atlas, tables) if is_atlas else None
    positions = np.concatenate([table["position_mm"] for table in tables.values()])
    embedding = encoder["voxel_embedding"]
    options, seed, n_threads = settings.clusters, settings.run.seed, settings.run.threads
    result = cluster_voxels(embedding, options, seed, n_threads, positions, parcels)
    attributes = {
        "subjects": list(n_voxels),
        "n_voxels": n_voxels,
        "n_clusters": result.n_clusters,
        "method": settings.clusters.method,
        "covariance": settings.clusters.covariance,
        "n_refilled": result.n_refilled,
        "seed": seed,
    }
    tensors = {"voxel_cluster": result.voxel_cluster, **result.tensors}
    write_artifact(clusters_path, "clusters", tensors, attributes)
    write_table(summary_path, result.summary(n_voxels))


def write_assigned(
    encoder_path: Path,
    base_encoder_path: Path,
    base_clusters_path: Path,
    settings: Settings,
    clusters_path: Path,
) -> None:
    """Assign a new subject's voxels to the base's clusters and write its V2C.

    The file also holds `nearest_voxel`, the base voxel whose BIT embedding a voxel starts from.
    Raises `PipelineError` where base encoder and base clusters are of other subjects.
    """
    new = read_artifact(encoder_path, "encoder")
    base = read_artifact(base_encoder_path, "encoder")
    clusters = read_artifact(base_clusters_path, "clusters")
    base_counts = voxel_counts(base_encoder_path, base.attributes)
    require_same_subjects(base_clusters_path, clusters.attributes, base_counts)
    options = settings.clusters.model_copy(
        update={"covariance": clusters.attributes.get("covariance", settings.clusters.covariance)}
    )
    with threadpool_limits(settings.run.threads, "blas"):
        cluster, nearest = assign_voxels(
            new["voxel_embedding"],
            base["voxel_embedding"],
            clusters["voxel_cluster"],
            options,
            clusters.tensors,
        )
    kept = ("n_clusters", "method", "covariance")
    attributes: dict[str, Any] = {
        **{name: clusters.attributes[name] for name in kept if name in clusters.attributes},
        "subjects": new.attributes["subjects"],
        "n_voxels": voxel_counts(encoder_path, new.attributes),
        "new_voxel": options.new_voxel,
        "base_n_voxels": base_counts,
        "seed": settings.run.seed,
    }
    tensors = {"voxel_cluster": cluster, "nearest_voxel": nearest}
    write_artifact(clusters_path, "clusters", tensors, attributes)
