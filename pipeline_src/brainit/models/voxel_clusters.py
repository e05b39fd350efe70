"""V2C: every voxel of every subject in one of the shared functional clusters (paper section 3.1).

A Gaussian mixture assigns the encoder's voxel vectors of all subjects, scaled to unit length, to
clusters (hard assignment). Ablations (Table T2): the same mixture on 3-D positions, or a given
parcellation. A new subject's voxel takes the cluster of its nearest base voxel (D.4), or the
cluster that the mixture predicts.

Differs from the paper: the mixture is seeded; it may be fitted on a subsample; an empty cluster
takes the least likely voxel of the others, because an empty cluster has no brain token.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from brainit.core.artifacts import read_artifact, write_artifact, write_table
from brainit.core.errors import PipelineError
from brainit.core.settings import ClusterSettings, Settings
from brainit.core.streams import derived_seed, numpy_generator
from brainit.data.nsd.masks import parcels_of_voxels
from brainit.data.voxels import read_voxels
from brainit.models.subject_voxels import require_same_subjects, voxel_counts

logger = logging.getLogger(__name__)

_ROWS_PER_BLOCK = 1024
_MIXTURE_TENSORS = ("weights", "means", "covariances", "precisions_cholesky")


@dataclass(frozen=True)
class ClusterResult:
    """Cluster of each voxel, the mixture's parameters (none for an atlas), convergence."""

    voxel_cluster: Int[NDArray[np.int64], "voxels"]
    tensors: dict[str, NDArray[Any]]
    n_clusters: int
    n_refilled: int
    """Clusters that the mixture left empty."""
    has_converged: bool

    def summary(self, n_voxels: Mapping[str, int]) -> pd.DataFrame:
        """Return voxels and subjects of each cluster; the last two columns hold for all rows."""
        subject = np.repeat(np.arange(len(n_voxels)), list(n_voxels.values()))
        members = [self.voxel_cluster == number for number in range(self.n_clusters)]
        table = {
            "cluster": np.arange(self.n_clusters),
            "n_voxels": [int(member.sum()) for member in members],
            "n_subjects": [len(np.unique(subject[member])) for member in members],
        }
        return pd.DataFrame(table).assign(
            n_refilled=self.n_refilled, has_converged=self.has_converged
        )


def cluster_voxels(
    embedding: Float[NDArray[np.float32], "voxels width"],
    settings: ClusterSettings,
    seed: int,
    n_threads: int = 1,
    positions: Float[NDArray[np.float32], "voxels xyz"] | None = None,
    atlas: Int[NDArray[np.int64], "voxels"] | None = None,
) -> ClusterResult:
    """Assign the voxels of all subjects to clusters by `settings.method`.

    `embedding` holds the encoder's voxel vectors; `positions` (mm) are needed by the method
    coordinates and `atlas` (a label per voxel) by the method atlas. Matrix products use
    `n_threads`; k-means uses one, because the order of its threads' sums is not fixed. Raises
    `PipelineError` where these are missing or of another length, values are not finite, or there
    are fewer voxels than clusters.
    """
    if settings.method == "atlas":
        labels = _required(atlas, "atlas", "a parcel number of each voxel", len(embedding))
        parcels, clusters = np.unique(labels, return_inverse=True)
        return ClusterResult(clusters.astype(np.int64), {}, len(parcels), 0, True)
    if settings.method == "coordinates":
        coordinates = _required(
            positions, "coordinates", "position_mm of each voxel", len(embedding)
        )
        points = _standardised(coordinates)
    else:
        points = unit_rows(embedding)
    if len(points) < settings.n_clusters or not np.isfinite(points).all():
        raise PipelineError(
            "cluster_voxels",
            f"at least {settings.n_clusters} voxels with finite values",
            f"{len(points)} voxels, {int((~np.isfinite(points)).any(axis=1).sum())} not finite",
            f"set clusters.n_clusters to at most {len(points)}, or rerun train_encoder",
            code="bad-values",
        )
    import sklearn.mixture  # noqa: F401 - loads the libraries that are limited

    fit = _by_torch if settings.engine == "torch" else _by_sklearn
    with threadpool_limits({"openmp": 1, "blas": n_threads}):
        clusters, likelihood, tensors, has_converged = fit(points, settings, seed, n_threads)
    clusters, n_refilled = refill_empty(clusters, likelihood, settings)
    return ClusterResult(clusters, tensors, settings.n_clusters, n_refilled, has_converged)


def unit_rows(
    embedding: Float[NDArray[np.float32], "voxels width"],
) -> Float[NDArray[np.float32], "voxels width"]:
    """Scale each row to length one; a row of zeros stays."""
    lengths = np.linalg.norm(embedding, axis=1, keepdims=True)
    return np.asarray(embedding / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def _standardised(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return positions with mean 0 and deviation 1 along each axis."""
    spread = np.maximum(positions.std(axis=0), np.finfo(np.float32).tiny)
    return np.asarray((positions - positions.mean(axis=0)) / spread, np.float32)


def _required(values: NDArray[Any] | None, method: str, what: str, n_voxels: int) -> NDArray[Any]:
    if values is None or len(values) != n_voxels:
        found = "nothing" if values is None else f"{len(values)} rows"
        raise PipelineError(
            f"clusters.method: {method}",
            f"{what} ({n_voxels} voxels)",
            found,
            f"set clusters.method to gmm, or pass {what}",
            code="missing-data",
        )
    return values


_Fitted = tuple[NDArray[np.int64], NDArray[Any], dict[str, NDArray[Any]], bool]
"""Cluster and log-likelihood of each point, the mixture's tensors, and whether it converged."""


def _by_sklearn(
    points: NDArray[np.float32], settings: ClusterSettings, seed: int, _: int
) -> _Fitted:
    """Fit scikit-learn's mixture: k-means start, library defaults (released code)."""
    # Imported where a mixture is: it takes a second, and nearest voxels need none.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        settings.n_clusters,
        covariance_type=settings.covariance,
        max_iter=settings.max_iterations,
        random_state=derived_seed(seed, "clusters") % 2**32,
    )
    chosen = _fitted_on(points, settings, seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        mixture.fit(chosen)
    for warning in caught:
        logger.warning("mixture of %d: %s", settings.n_clusters, warning.message)
    logger.info("mixture fitted on %d voxels in %d iterations", len(chosen), mixture.n_iter_)
    clusters = mixture.predict(points).astype(np.int64)
    tensors = {name: np.asarray(getattr(mixture, f"{name}_")) for name in _MIXTURE_TENSORS}
    return clusters, mixture.score_samples(points), tensors, bool(mixture.converged_)


def _by_torch(
    points: NDArray[np.float32], settings: ClusterSettings, seed: int, n_threads: int
) -> _Fitted:
    """Fit the same mixture on torch, from the k-means start that scikit-learn's draws."""
    import torch
    from sklearn.cluster import KMeans

    from brainit.core.seeds import use_threads
    from brainit.models.gaussian_mixture import classify, fit_mixture

    chosen, n_clusters = _fitted_on(points, settings, seed), settings.n_clusters
    state = np.random.RandomState(derived_seed(seed, "clusters") % 2**32)  # noqa: NPY002 - KMeans's
    start = KMeans(n_clusters, n_init=1, random_state=state).fit(chosen).labels_.astype(np.int64)
    use_threads(n_threads)
    fit = fit_mixture(
        chosen,
        start,
        n_clusters,
        settings.covariance,
        settings.max_iterations,
        torch.device("cpu"),
    )
    if not fit.has_converged:
        logger.warning("mixture of %d: stopped at clusters.max_iterations", n_clusters)
    logger.info("mixture fitted on %d voxels in %d iterations", len(chosen), len(fit.bounds))
    clusters, likelihood = fit.cluster, fit.log_likelihood
    if len(chosen) < len(points):
        clusters, likelihood = classify(torch.from_numpy(points), fit.mixture)
    return clusters, likelihood, fit.mixture.tensors(), fit.has_converged


def _fitted_on(
    points: NDArray[np.float32], settings: ClusterSettings, seed: int
) -> NDArray[np.float32]:
    """Return the points that the mixture is fitted on: all, or `clusters.max_fit_voxels` drawn."""
    limit = settings.max_fit_voxels
    if limit is None or limit >= len(points):
        return points
    drawn = numpy_generator(seed, "clusters_fit").permutation(len(points))
    return points[np.sort(drawn[: max(limit, settings.n_clusters)])]


def refill_empty(
    clusters: Int[NDArray[np.int64], "voxels"],
    log_likelihood: Float[NDArray[np.float64], "voxels"],
    settings: ClusterSettings,
) -> tuple[Int[NDArray[np.int64], "voxels"], int]:
    """Give each empty cluster the least likely voxel that is not its cluster's only one.

    Returns the clusters, none of them empty, and how many were.
    """
    clusters = clusters.copy()
    counts = np.bincount(clusters, minlength=settings.n_clusters)
    empty = np.flatnonzero(counts == 0)
    candidates = iter(np.argsort(log_likelihood, kind="stable"))
    for cluster in empty:
        voxel = next(v for v in candidates if counts[clusters[v]] > 1)
        counts[clusters[voxel]] -= 1
        counts[cluster] += 1
        clusters[voxel] = cluster
    if len(empty):
        logger.warning("%d empty clusters took the least likely voxels", len(empty))
    return clusters, len(empty)


def assign_voxels(
    new_embedding: Float[NDArray[np.float32], "new_voxels width"],
    base_embedding: Float[NDArray[np.float32], "voxels base_width"],
    base_cluster: Int[NDArray[np.int64], "voxels"],
    settings: ClusterSettings,
    mixture: Mapping[str, NDArray[Any]],
) -> tuple[Int[NDArray[np.int64], "new_voxels"], Int[NDArray[np.int64], "new_voxels"]]:
    """Return cluster and nearest base voxel (L2 between unit vectors) of each new voxel (D.4).

    With `settings.new_voxel` gmm the cluster is the mixture's choice (`mixture` holds the tensors
    of the base's clusters). Raises `PipelineError` where widths or lengths differ, or the mixture
    is missing.
    """
    if new_embedding.shape[1] != base_embedding.shape[1] or len(base_embedding) != len(
        base_cluster
    ):
        raise PipelineError(
            "assign_voxels",
            f"vectors of width {base_embedding.shape[1]} and a cluster for each base voxel",
            f"width {new_embedding.shape[1]}, {len(base_cluster)} clusters "
            f"of {len(base_embedding)} voxels",
            "pass encoder, base encoder and base clusters of one pool",
            code="inconsistent-inputs",
        )
    new, base = unit_rows(new_embedding), unit_rows(base_embedding)
    nearest = _nearest_rows(new, base)
    if settings.new_voxel == "nearest_voxel":
        return base_cluster[nearest], nearest
    return predict_mixture(new, mixture, settings.covariance), nearest


def _nearest_rows(new: NDArray[np.float32], base: NDArray[np.float32]) -> NDArray[np.int64]:
    half_squares = 0.5 * (base**2).sum(axis=1)
    blocks = [
        np.argmax(new[start : start + _ROWS_PER_BLOCK] @ base.T - half_squares, axis=1)
        for start in range(0, len(new), _ROWS_PER_BLOCK)
    ]
    return np.concatenate(blocks).astype(np.int64)


def predict_mixture(
    points: Float[NDArray[np.float32], "voxels width"],
    tensors: Mapping[str, NDArray[Any]],
    covariance: str,
) -> Int[NDArray[np.int64], "voxels"]:
    """Return the cluster of each point by a stored mixture.

    Raises `PipelineError` where the tensors are no mixture of points of that width.
    """
    missing = [name for name in _MIXTURE_TENSORS if name not in tensors]
    if missing or tensors["means"].shape[1] != points.shape[1]:
        raise PipelineError(
            "clusters.new_voxel: gmm",
            f"a mixture on vectors of width {points.shape[1]}",
            f"no {missing}" if missing else f"width {tensors['means'].shape[1]}",
            "set clusters.new_voxel to nearest_voxel, or clusters.method to gmm",
            code="missing-data",
        )
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(len(tensors["means"]), covariance_type=covariance)
    for name in _MIXTURE_TENSORS:
        setattr(mixture, f"{name}_", tensors[name])
    return mixture.predict(points).astype(np.int64)


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
            "--voxels",
            f"the voxels of {n_voxels}",
            f"{counts}",
            "rerun train_encoder",
            code="inconsistent-inputs",
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
