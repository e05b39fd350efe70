"""Artifact contracts: artifacts are read back as written; faulty ones are refused with a fix."""

import json
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
FULL_MESSAGE = r"expected .*found .*Fix: .*(cluster_voxels|step)"


def clusters(n: int = 3) -> dict[str, np.ndarray]:
    return {"voxel_cluster": np.arange(n, dtype=np.int64)}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "clusters.safetensors"
    write_artifact(path, "clusters", clusters(), ATTRIBUTES)
    read = read_artifact(path, "clusters")
    assert np.array_equal(read["voxel_cluster"], [0, 1, 2])
    assert read.attributes["n_clusters"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["clusters.safetensors"]


def test_bytes_do_not_depend_on_the_order_of_tensors_and_attributes(tmp_path: Path) -> None:
    """The file is the safetensors format, written out: header length, JSON header, raw numbers."""
    tensors = {**clusters(), "centre": np.array([[0.5, -1.0]], dtype=np.float32)}
    orders = {
        "a": (tensors, ATTRIBUTES),
        "b": (dict(reversed(tensors.items())), dict(reversed(ATTRIBUTES.items()))),
    }
    for name, (given, attributes) in orders.items():
        write_artifact(tmp_path / name, "clusters", given, attributes)
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = '{"artifact": "clusters", "method": "gmm", "n_clusters": 2, "n_voxels": [3], '
    metadata += '"seed": 1, "subjects": ["subj01"]}'
    assert header.pop("__metadata__") == {"brainit": metadata}
    assert {name: (t["dtype"], t["shape"]) for name, t in header.items()} == {
        "voxel_cluster": ("I64", [3]),
        "centre": ("F32", [1, 2]),
    }
    for name, tensor in header.items():
        start, stop = tensor["data_offsets"]
        assert content[8 + length + start : 8 + length + stop] == tensors[name].tobytes()


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({}, "missing-data"),
        ({"voxel_cluster": np.zeros(3, dtype=np.int32)}, "wrong-shape"),
        ({"voxel_cluster": np.zeros((3, 1), dtype=np.int64)}, "wrong-shape"),
    ],
)
def test_wrong_tensors_are_refused_before_writing(tmp_path: Path, tensors: dict, code: str) -> None:
    with pytest.raises(PipelineError, match=FULL_MESSAGE) as error:
        write_artifact(tmp_path / "x", "clusters", tensors, ATTRIBUTES)
    assert error.value.code == code
    assert all(part in error.value.expected for part in ("voxel_cluster", "int64", "(voxels)"))
    assert not list(tmp_path.iterdir())


def test_axes_of_one_name_have_one_length(tmp_path: Path) -> None:
    tensors = {
        "published": np.zeros(3, dtype=np.float32),
        "recomputed": np.zeros(4, dtype=np.float32),
    }
    with pytest.raises(PipelineError) as error:
        write_artifact(tmp_path / "x", "noise_ceiling", tensors, {"subject": "s", "n_repeats": 3})
    assert error.value.code == "wrong-shape"
    assert "recomputed" in error.value.expected and "voxels = 3" in error.value.expected
    assert "(4,)" in error.value.found


def test_undeclared_tensor_is_refused(tmp_path: Path) -> None:
    tensors = {
        "published": np.zeros(3, dtype=np.float32),
        "recomputed": np.zeros(3, dtype=np.float32),
        "other": np.zeros(3, dtype=np.float32),
    }
    with pytest.raises(PipelineError) as error:
        write_artifact(tmp_path / "x", "noise_ceiling", tensors, {"subject": "s", "n_repeats": 3})
    assert error.value.code == "wrong-kind" and "['other']" in error.value.found


def test_missing_attribute_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        write_artifact(tmp_path / "x", "clusters", clusters(), {"subjects": [], "n_voxels": []})
    assert error.value.code == "missing-data"
    assert "['n_clusters', 'method', 'seed']" in error.value.found


def test_missing_file_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        read_artifact(tmp_path / "none", "clusters")
    assert error.value.code == "missing-file" and "cluster_voxels" in error.value.fix


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "clusters.safetensors"
    write_artifact(path, "clusters", clusters(), ATTRIBUTES)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PipelineError, match=FULL_MESSAGE) as error:
        read_artifact(path, "clusters")
    assert error.value.code == "damaged-file" and error.value.where == str(path)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    save_file({"voxel_cluster": np.arange(3)}, tmp_path / "x")
    with pytest.raises(PipelineError) as error:
        read_artifact(tmp_path / "x", "clusters")
    assert error.value.code == "wrong-kind" and "clusters" in error.value.expected


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
    with pytest.raises(PipelineError, match=FULL_MESSAGE) as error:
        read_table(tmp_path / "t.csv", ("a", "c"), "step")
    assert error.value.code == "missing-data" and "['c']" in error.value.found
    with pytest.raises(PipelineError, match=FULL_MESSAGE) as error:
        read_table(tmp_path / "none.csv", ("a",), "step")
    assert error.value.code == "missing-file" and error.value.where.endswith("none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(PipelineError, match=FULL_MESSAGE) as error:
        read_table(tmp_path / "empty.csv", ("a",), "step")
    assert error.value.code == "damaged-file"
