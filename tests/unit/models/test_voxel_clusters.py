"""Clusters against scikit-learn itself, nearest voxels against loops, and their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture
from tests.refusals import refused

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.settings import ClusterSettings, Settings
from brainit.core.streams import derived_seed, numpy_generator
from brainit.models.voxel_clusters import (
    assign_voxels,
    cluster_voxels,
    predict_mixture,
    refill_empty,
    unit_rows,
    write_assigned,
    write_clusters,
)

FOUR = ClusterSettings(n_clusters=4)
N_VOXELS = {"subj01": 70, "subj05": 50}


def blobs(n: int = 120, name: str = "blobs") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return vectors about four orthogonal directions, of any length, and their direction."""
    generator = numpy_generator(1, name)
    group = generator.integers(4, size=n)
    vectors = np.eye(6)[group] + 0.05 * generator.standard_normal((n, 6))
    return (vectors * generator.uniform(0.5, 3, (n, 1))).astype(np.float32), group


def groups_of(labels: NDArray[np.int64]) -> set[tuple[int, ...]]:
    return {tuple(np.flatnonzero(labels == label)) for label in np.unique(labels)}


def test_planted_groups_are_found() -> None:
    embedding, group = blobs()
    result = cluster_voxels(embedding, FOUR, seed=1)
    assert groups_of(result.voxel_cluster) == groups_of(group)
    assert result.n_refilled == 0 and result.has_converged


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical", "tied"])
def test_agrees_with_sklearn_and_with_its_saved_mixture(covariance: str) -> None:
    embedding, _ = blobs()
    settings = ClusterSettings(n_clusters=4, covariance=covariance)  # type: ignore[arg-type]
    result = cluster_voxels(embedding, settings, seed=5)
    points = unit_rows(embedding)
    state = derived_seed(5, "clusters") % 2**32
    expected = GaussianMixture(4, covariance_type=covariance, random_state=state).fit(points)
    assert np.array_equal(result.voxel_cluster, expected.predict(points))
    new = unit_rows(blobs(30, "new")[0])
    found = predict_mixture(new, result.tensors, covariance)
    assert np.array_equal(found, expected.predict(new))


def test_lengths_do_not_matter_and_seed_repeats() -> None:
    embedding, _ = blobs()
    first = cluster_voxels(embedding, FOUR, seed=1).voxel_cluster
    assert np.array_equal(cluster_voxels(embedding * 4, FOUR, seed=1).voxel_cluster, first)


def test_fit_on_a_subsample_predicts_all() -> None:
    embedding, group = blobs(400)
    settings = ClusterSettings(n_clusters=4, max_fit_voxels=80)
    assert groups_of(cluster_voxels(embedding, settings, seed=1).voxel_cluster) == groups_of(group)


def test_empty_clusters_take_the_least_likely_voxels() -> None:
    clusters = np.array([0, 0, 1, 0, 0])
    likelihood = np.array([-1.0, -3.0, -9.0, -2.0, -1.0])
    found, n_refilled = refill_empty(clusters, likelihood, FOUR)
    assert found.tolist() == [0, 2, 1, 3, 0]  # voxel 2 is the only one of its cluster
    assert n_refilled == 2 and clusters.tolist() == [0, 0, 1, 0, 0]


def test_coordinates_are_used_instead_of_vectors() -> None:
    embedding, _ = blobs()
    generator = numpy_generator(2, "places")
    group = generator.integers(4, size=120)
    corner = np.array([[0, 0, 0], [90, 0, 0], [0, 1, 0], [0, 0, 9]])[group]
    positions = (corner + 0.001 * generator.standard_normal((120, 3))).astype(np.float32)
    settings = ClusterSettings(method="coordinates", n_clusters=4)
    result = cluster_voxels(embedding, settings, seed=1, positions=positions)
    assert groups_of(result.voxel_cluster) == groups_of(group)


def test_atlas_is_taken_as_given() -> None:
    embedding, _ = blobs(5)
    settings = ClusterSettings(method="atlas")
    result = cluster_voxels(embedding, settings, seed=1, atlas=np.array([7, 3, 7, 11, 3]))
    assert result.voxel_cluster.tolist() == [1, 0, 1, 2, 0] and result.n_clusters == 3


@pytest.mark.parametrize("method", ["coordinates", "atlas"])
def test_method_without_what_it_needs(method: str) -> None:
    settings = ClusterSettings(method=method, n_clusters=4)  # type: ignore[arg-type]
    with refused("missing-data", method):
        cluster_voxels(blobs()[0], settings, seed=1)


def test_too_few_voxels_or_not_finite() -> None:
    embedding, _ = blobs()
    with refused("bad-values", "at least 4 voxels"):
        cluster_voxels(embedding[:3], FOUR, seed=1)
    embedding[3, 2] = np.nan
    with refused("bad-values", "1 not finite"):
        cluster_voxels(embedding, FOUR, seed=1)


def test_nearest_voxel_equals_loops() -> None:
    base, group = blobs()
    new, _ = blobs(40, "new")
    cluster, nearest = assign_voxels(new, base, group, FOUR, {})
    for voxel in range(40):
        apart = [
            np.linalg.norm(new[voxel] / np.linalg.norm(new[voxel]) - other / np.linalg.norm(other))
            for other in base
        ]
        assert nearest[voxel] == np.argmin(apart)
        assert cluster[voxel] == group[nearest[voxel]]


def test_new_voxels_by_the_mixture_and_without_one() -> None:
    base, _ = blobs()
    result = cluster_voxels(base, FOUR, seed=1)
    settings = FOUR.model_copy(update={"new_voxel": "gmm"})
    cluster, _ = assign_voxels(base, base, result.voxel_cluster, settings, result.tensors)
    assert np.array_equal(cluster, result.voxel_cluster)
    with refused("missing-data", "gmm"):
        assign_voxels(base, base, result.voxel_cluster, settings, {})
    with refused("inconsistent-inputs", "width"):
        assign_voxels(base[:, :3], base, result.voxel_cluster, FOUR, {})


def write_encoder(path: Path, embedding: NDArray[np.float32], n_voxels: dict[str, int]) -> Path:
    attributes = {"subjects": list(n_voxels), "n_voxels": n_voxels, "settings": {}}
    attributes |= {"backbone": "tiny", "pool": "all", "seed": 1}
    write_artifact(path, "encoder", {"voxel_embedding": embedding}, attributes)
    return path


def write_voxels(folder: Path, n_voxels: dict[str, int]) -> dict[str, Path]:
    paths = {}
    for subject, count in n_voxels.items():
        tensors: dict[str, NDArray[Any]] = {
            "vertex": np.arange(count),
            "hemisphere": np.zeros(count, np.int64),
            "position_mm": np.zeros((count, 3), np.float32),
            "noise_ceiling": np.zeros(count, np.float32),
        }
        attributes = {"subject": subject, "space": "", "mask": "", "n_dropped_nan": 0}
        paths[subject] = folder / f"{subject}.safetensors"
        write_artifact(paths[subject], "voxels", tensors, attributes)
    return paths


def test_files_from_encoder_to_new_subject(tmp_path: Path) -> None:
    embedding, group = blobs()
    base = write_encoder(tmp_path / "base.safetensors", embedding, N_VOXELS)
    settings = Settings(clusters=FOUR)
    clusters, summary = tmp_path / "clusters.safetensors", tmp_path / "summary.csv"
    write_clusters(base, write_voxels(tmp_path, N_VOXELS), settings, clusters, summary)
    found = read_artifact(clusters, "clusters")["voxel_cluster"]
    assert groups_of(found) == groups_of(group)
    table = pd.read_csv(summary)
    assert table["n_voxels"].tolist() == np.bincount(found).tolist()
    assert table["n_subjects"].tolist() == [2] * 4

    new = write_encoder(tmp_path / "new.safetensors", blobs(9, "new")[0], {"subj02": 9})
    assigned = tmp_path / "assigned.safetensors"
    write_assigned(new, base, clusters, settings, assigned)
    result = read_artifact(assigned, "clusters")
    assert np.array_equal(result["voxel_cluster"], found[result["nearest_voxel"]])
    assert result.attributes["subjects"] == ["subj02"]
    assert result.attributes["n_clusters"] == 4


def test_voxel_tables_and_clusters_of_other_subjects(tmp_path: Path) -> None:
    embedding, _ = blobs()
    base = write_encoder(tmp_path / "base.safetensors", embedding, N_VOXELS)
    other = {"subj01": 60, "subj05": 60}
    out = (tmp_path / "clusters.safetensors", tmp_path / "summary.csv")
    settings = Settings(clusters=FOUR)
    with refused("inconsistent-inputs", "--voxels"):
        write_clusters(base, write_voxels(tmp_path, other), settings, *out)
    atlas = Settings(clusters=ClusterSettings(method="atlas"))
    tables = write_voxels(tmp_path, N_VOXELS)
    with refused("invalid-argument", "2 files"):
        write_clusters(base, tables, atlas, *out)
    write_clusters(base, tables, settings, *out)
    stranger = write_encoder(tmp_path / "stranger.safetensors", embedding, other)
    with refused("inconsistent-inputs", "subj"):
        write_assigned(base, stranger, out[0], settings, tmp_path / "assigned.safetensors")
