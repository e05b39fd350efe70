"""Check that functional clusters match the true areas and fields, in all subjects alike (3.1)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

from brainit.core.artifacts import Artifact, read_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.core.streams import derived_seed, numpy_generator
from brainit.data.voxels import read_voxels
from brainit.evaluation.checks.verdict import Check, Interval, above, for_comparison, jackknife
from brainit.evaluation.truth import VoxelTruth
from brainit.models.voxel_clusters import cluster_voxels

LEAST_CEILING = 10.0
"""A voxel is responsive above this true noise ceiling, in percent."""
LEAST_AMI = 0.4
LEAST_PROFILE_R = 0.5
N_SHUFFLES = 50
N_BLOCKS = 20
"""Blocks of cortex of the jackknife."""
N_RESAMPLES = 1000


def check_clusters(
    clusters: Path,
    encoder: Path,
    voxels: Mapping[str, Path],
    truths: Sequence[VoxelTruth],
    settings: Settings,
) -> list[Check]:
    """Compare the clusters with true areas and fields, shuffled embeddings and coordinates.

    That each cluster has voxels of every subject is no check: clusters of 3-D coordinates have,
    too. `truths` and `voxels` must be of the subjects of `clusters`, in its order: else raises
    `PipelineError`.
    """
    artifact, seed = read_artifact(clusters, "clusters"), settings.run.seed
    _require_subjects(clusters, artifact, truths)
    functional = artifact["voxel_cluster"]
    positions = np.concatenate([read_voxels(path)["position_mm"] for path in voxels.values()])
    by_position = _coordinate_clusters(encoder, positions, artifact, settings)
    subject = np.repeat(np.arange(len(truths)), [len(truth.area) for truth in truths])
    is_responsive = np.concatenate([truth.noise_ceiling for truth in truths]) > LEAST_CEILING
    area = np.concatenate([truth.area for truth in truths])[is_responsive]
    prf = np.concatenate([truth.prf for truth in truths])[is_responsive]
    fields = _field_agreement(prf, area, int(artifact.attributes["n_clusters"]), seed)
    block = _blocks(positions[is_responsive], seed)
    pair = functional[is_responsive], by_position[is_responsive]
    return [
        _check_areas(functional, is_responsive, area, block, seed),
        _check_above_coordinates(*pair, area, block),
        _check_fields(*pair, prf, block),
        for_comparison(
            "clusters_vs_areas_ami_true_fields",
            fields,
            "the same for k-means on the true receptive fields",
        ),
        _check_profiles(functional[is_responsive], area, subject[is_responsive], seed),
    ]


def _check_areas(
    labels: NDArray[np.integer[Any]],
    is_responsive: NDArray[np.bool_],
    area: NDArray[np.int64],
    block: NDArray[np.int64],
    seed: int,
) -> Check:
    """Check that clusters match the true areas better than clusters of shuffled embeddings do."""
    responsive = labels[is_responsive]
    interval = jackknife(lambda kept: area_agreement(responsive[kept], area[kept]), block)
    null = _shuffled_agreement(labels, is_responsive, area, seed)
    text = (
        f"adjusted mutual information of clusters and true areas over {int(is_responsive.sum())} "
        f"responsive voxels; null: maximum over {N_SHUFFLES} shuffles of the embeddings; interval: "
        f"jackknife over {N_BLOCKS} blocks of cortex, each of voxels near one another"
    )
    return above("clusters_vs_areas_ami", interval, max(LEAST_AMI, null), text, null)


def _check_above_coordinates(
    functional: NDArray[np.integer[Any]],
    by_position: NDArray[np.int64],
    area: NDArray[np.int64],
    block: NDArray[np.int64],
) -> Check:
    """Check that clusters match the true areas better than clusters of 3-D coordinates do."""
    pair, name = (functional, by_position), "clusters_vs_areas_ami_above_coordinates"
    text = (
        "adjusted mutual information with the true areas of clusters minus that of a mixture on "
        f"3-D coordinates ({area_agreement(by_position, area):.3f}); interval: jackknife over "
        "the same blocks of cortex"
    )
    return above(name, _advantage(pair, area_agreement, area, block), 0.0, text)


def _check_fields(
    functional: NDArray[np.integer[Any]],
    by_position: NDArray[np.int64],
    prf: NDArray[np.float64],
    block: NDArray[np.int64],
) -> Check:
    """Check that a cluster's voxels see the same part of an image, more than neighbours do."""
    is_known, fields = _standard_fields(prf)
    pair = functional[is_known], by_position[is_known]
    values = [explained_variance(labels, fields) for labels in pair]
    text = (
        "variance of true receptive fields (x, y, log size; adjusted for the number of clusters) "
        f"that clusters explain ({values[0]:.3f}) minus what a mixture on 3-D coordinates does "
        f"({values[1]:.3f}), over {int(is_known.sum())} responsive voxels with a field; interval: "
        "jackknife over the same blocks of cortex"
    )
    interval = _advantage(pair, explained_variance, fields, block[is_known])
    return above("clusters_vs_fields_above_coordinates", interval, 0.0, text)


def _advantage(
    pair: tuple[NDArray[np.integer[Any]], NDArray[np.int64]],
    agreement: Callable[[NDArray[Any], NDArray[Any]], float],
    truth: NDArray[Any],
    block: NDArray[np.int64],
) -> Interval:
    """Return the first labels' agreement with the truth minus the second's, and its interval."""

    def difference(kept: NDArray[np.bool_]) -> float:
        first, second = (agreement(labels[kept], truth[kept]) for labels in pair)
        return first - second

    return jackknife(difference, block)


def explained_variance(labels: NDArray[np.integer[Any]], values: NDArray[np.float64]) -> float:
    """Return the share of the variance of (voxels, columns) that labels explain: 0 by chance.

    It is adjusted for the number k of labels among n voxels: one minus the quotient of the mean
    squares within, over n - k, and of all, over n - 1. NaN for as many labels as voxels, and
    without variance.
    """
    cluster = np.unique(labels, return_inverse=True)[1]
    n, k = len(values), int(cluster.max(initial=-1)) + 1
    if n <= k:
        return float("nan")
    counts = np.bincount(cluster, minlength=k)
    means = np.stack([np.bincount(cluster, column, k) / counts for column in values.T], axis=1)
    within = float(np.square(values - means[cluster]).sum())
    whole = float(np.square(values - values.mean(axis=0)).sum())
    return 1 - (within / (n - k)) / (whole / (n - 1)) if whole > 0 else float("nan")


def _blocks(positions: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """Group voxels, of all subjects together, by k-means on their positions.

    Neighbours lie in one area and respond alike, so they do not count as independent.
    """
    n_blocks, state = min(N_BLOCKS, len(positions)), derived_seed(seed, "blocks") % 2**32
    return np.asarray(KMeans(n_blocks, random_state=state).fit_predict(positions), dtype=np.int64)


def _check_profiles(
    labels: NDArray[np.integer[Any]],
    area: NDArray[np.int64],
    subject: NDArray[np.int64],
    seed: int,
) -> Check:
    """Check that a cluster lies in the same true areas in every subject."""
    value = profile_correlation(labels, area, subject)
    counts = _profile_counts(labels, area, subject)
    draws = numpy_generator(seed, "resampled_profiles")
    chosen = (draws.integers(counts.shape[1], size=counts.shape[1]) for _ in range(N_RESAMPLES))
    resampled = np.array([_correlation_of_profiles(counts[:, rows]) for rows in chosen])
    generator = numpy_generator(seed, "shuffled_profiles")
    shuffles = (generator.permutation(labels) for _ in range(N_SHUFFLES))
    null = max(profile_correlation(shuffled, area, subject) for shuffled in shuffles)
    text = (
        "correlation between subjects of the clusters' area profiles (share of each true area, "
        "minus the mean over clusters), mean over pairs of subjects; null: maximum over "
        f"{N_SHUFFLES} shuffles of clusters; interval: {N_RESAMPLES:,} resamples of clusters"
    )
    interval, threshold = Interval.of(value, resampled), max(LEAST_PROFILE_R, null)
    return above("clusters_area_profile_r", interval, threshold, text, null)


def profile_correlation(
    labels: NDArray[np.integer[Any]], area: NDArray[np.int64], subject: NDArray[np.int64]
) -> float:
    """Return the mean over pairs of subjects of the correlation of their clusters' area shares.

    Each area's mean over clusters is subtracted first. Only clusters with voxels of both subjects
    count. NaN for a single subject.
    """
    return _correlation_of_profiles(_profile_counts(labels, area, subject))


def _profile_counts(
    labels: NDArray[np.integer[Any]], area: NDArray[np.int64], subject: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the number of voxels of each subject, cluster and area."""
    cluster = np.unique(labels, return_inverse=True)[1]
    counts = np.zeros((subject.max() + 1, cluster.max() + 1, area.max() + 1))
    np.add.at(counts, (subject, cluster, area), 1)
    return counts


def _correlation_of_profiles(counts: NDArray[np.float64]) -> float:
    """Return `profile_correlation` of (subjects, clusters, areas) voxels; NaN without variance."""
    totals = counts.sum(axis=2, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    correlations = []
    for first, second in combinations(shares, 2):
        is_known = np.isfinite(first[:, 0]) & np.isfinite(second[:, 0])
        if not is_known.any():
            return float("nan")
        pair = [part[is_known] - part[is_known].mean(axis=0) for part in (first, second)]
        if not all(part.any() for part in pair):
            return float("nan")
        correlations.append(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1])
    return float(np.mean(correlations)) if correlations else float("nan")


def _require_subjects(path: Path, artifact: Artifact, truths: Sequence[VoxelTruth]) -> None:
    n_voxels = {truth.subject: len(truth.area) for truth in truths}
    subjects, n_clustered = artifact.attributes["subjects"], len(artifact["voxel_cluster"])
    if list(subjects) != list(n_voxels) or n_clustered != sum(n_voxels.values()):
        raise PipelineError(
            path,
            f"clusters of the voxels {n_voxels}",
            f"{n_clustered} voxels of {subjects}",
            f"give --voxels the tables of {', '.join(subjects)}, in this order",
            code="inconsistent-inputs",
        )


def area_agreement(labels: NDArray[np.integer[Any]], area: NDArray[np.int64]) -> float:
    """Return the adjusted mutual information of two labelings: 1 equal, 0 by chance."""
    return float(adjusted_mutual_info_score(area, labels))


def _coordinate_clusters(
    encoder: Path, positions: NDArray[np.float32], artifact: Artifact, settings: Settings
) -> NDArray[np.int64]:
    """Cluster all voxels by 3-D position, with the same number of clusters and other settings."""
    embedding = read_artifact(encoder, "encoder")["voxel_embedding"]
    changes = {"method": "coordinates", "n_clusters": int(artifact.attributes["n_clusters"])}
    options = settings.clusters.model_copy(update=changes)
    result = cluster_voxels(embedding, options, settings.run.seed, positions=positions)
    return np.asarray(result.voxel_cluster, dtype=np.int64)


def _field_agreement(
    prf: NDArray[np.float64], area: NDArray[np.int64], n_clusters: int, seed: int
) -> float:
    """Return the area agreement of k-means on position and log size of true receptive fields."""
    is_known, fields = _standard_fields(prf)
    if len(fields) < n_clusters:
        return float("nan")
    state = derived_seed(seed, "true_fields") % 2**32
    labels = KMeans(n_clusters, n_init=4, random_state=state).fit_predict(fields)
    return area_agreement(labels, area[is_known])


def _standard_fields(prf: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which voxels have a receptive field, and those: x, y, log size, standardised."""
    is_known = np.isfinite(prf).all(axis=1) & (prf[:, 2] > 0)
    fields = prf[is_known].copy()
    if not len(fields):
        return is_known, fields
    fields[:, 2] = np.log(fields[:, 2])
    return is_known, (fields - fields.mean(axis=0)) / fields.std(axis=0)


def _shuffled_agreement(
    labels: NDArray[np.integer[Any]],
    is_responsive: NDArray[np.bool_],
    area: NDArray[np.int64],
    seed: int,
) -> float:
    """Return the maximum area agreement over shuffles of the voxels' embeddings.

    Shuffled embeddings have shuffled clusters.
    """
    generator = numpy_generator(seed, "shuffled_embeddings")
    shuffles = (generator.permutation(labels)[is_responsive] for _ in range(N_SHUFFLES))
    return max(area_agreement(shuffled, area) for shuffled in shuffles)
