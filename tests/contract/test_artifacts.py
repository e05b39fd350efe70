"""Artifact contracts: what is written is read back; what is wrong is refused with the repair."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from brainit.core.artifacts import read_artifact, read_table, write_artifact
from brainit.core.errors import PipelineError

ATTRIBUTES = {
    "subjects": ["subj01"],
    "n_voxels": [3],
    "n_clusters": 2,
    "method": "gmm",
    "seed": 1,
}
MESSAGE = r"expected .*found .*Fix: "


def clusters(n: int = 3) -> dict[str, np.ndarray]:
    return {"voxel_cluster": np.arange(n, dtype=np.int64)}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "clusters.safetensors"
    write_artifact(path, "clusters", clusters(), ATTRIBUTES)
    read = read_artifact(path, "clusters")
    assert np.array_equal(read["voxel_cluster"], [0, 1, 2])
    assert read.attributes["n_clusters"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["clusters.safetensors"]


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_artifact(tmp_path / name, "clusters", clusters(), dict(reversed(ATTRIBUTES.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"voxel_cluster": np.zeros(3, dtype=np.int32)},
        {"voxel_cluster": np.zeros((3, 1), dtype=np.int64)},
    ],
)
def test_wrong_tensors_are_refused_before_writing(tmp_path: Path, tensors: dict) -> None:
    with pytest.raises(PipelineError, match=MESSAGE):
        write_artifact(tmp_path / "x", "clusters", tensors, ATTRIBUTES)
    assert not list(tmp_path.iterdir())


def test_axes_of_one_name_have_one_length(tmp_path: Path) -> None:
    tensors = {
        "published": np.zeros(3, dtype=np.float32),
        "recomputed": np.zeros(4, dtype=np.float32),
    }
    with pytest.raises(PipelineError, match="voxels = 3"):
        write_artifact(tmp_path / "x", "noise_ceiling", tensors, {"subject": "s", "n_repeats": 3})


def test_undeclared_tensor_is_refused(tmp_path: Path) -> None:
    tensors = {
        "published": np.zeros(3, dtype=np.float32),
        "recomputed": np.zeros(3, dtype=np.float32),
        "other": np.zeros(3, dtype=np.float32),
    }
    with pytest.raises(PipelineError, match="other"):
        write_artifact(tmp_path / "x", "noise_ceiling", tensors, {"subject": "s", "n_repeats": 3})


def test_missing_attribute_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="n_clusters"):
        write_artifact(tmp_path / "x", "clusters", clusters(), {"subjects": [], "n_voxels": []})


def test_missing_file_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="run cluster_voxels"):
        read_artifact(tmp_path / "none", "clusters")


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "clusters.safetensors"
    write_artifact(path, "clusters", clusters(), ATTRIBUTES)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PipelineError, match="clusters.safetensors: expected a readable"):
        read_artifact(path, "clusters")


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    save_file({"voxel_cluster": np.arange(3)}, tmp_path / "x")
    with pytest.raises(PipelineError, match="expected a 'clusters' artifact"):
        read_artifact(tmp_path / "x", "clusters")


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "clusters.safetensors"
    write_artifact(path, "clusters", clusters(), ATTRIBUTES)
    before = path.read_bytes()
    with pytest.raises(PipelineError):
        write_artifact(path, "clusters", {"voxel_cluster": np.zeros(2)}, ATTRIBUTES)
    assert path.read_bytes() == before


def test_table_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert list(read_table(tmp_path / "t.csv", ("a",), "step")["a"]) == [1]
    with pytest.raises(PipelineError, match=MESSAGE):
        read_table(tmp_path / "t.csv", ("a", "c"), "step")
    with pytest.raises(PipelineError, match=MESSAGE):
        read_table(tmp_path / "none.csv", ("a",), "step")
