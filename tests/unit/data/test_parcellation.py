"""Parcels of voxels against the annotation, vertex by vertex; faulty atlases."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.data.nsd.masks import parcels_of_voxels

N_VERTICES = 10_242


def annotation(path: Path, labels: np.ndarray) -> Path:
    colours = np.array([[i, 0, 255 - i, 0] for i in range(labels.max() + 1)])
    names = [f"parcel {i}" for i in range(len(colours))]
    nib.freesurfer.write_annot(path, labels, colours, names, fill_ctab=True)
    return path


def voxels_at(hemisphere: list[int], vertex: list[int]) -> Artifact:
    tensors = {"hemisphere": np.array(hemisphere), "vertex": np.array(vertex)}
    return Artifact(tensors, {"space": "fsaverage5"})


def test_parcels_by_loop(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 9, N_VERTICES), rng.integers(0, 5, N_VERTICES)
    left[7] = right[7] = -1
    paths = [annotation(tmp_path / "lh.annot", left), annotation(tmp_path / "rh.annot", right)]
    voxels = {
        "subj01": voxels_at([0, 1, 0, 1, 0], [7, 7, 20, 20, 4000]),
        "subj02": voxels_at([1, 0], [33, 4000]),
    }
    found = parcels_of_voxels(paths, voxels)
    true = [
        (side, (left, right)[side][vertex])
        for table in voxels.values()
        for side, vertex in zip(table["hemisphere"], table["vertex"], strict=True)
    ]
    for i, first in enumerate(true):
        for j, second in enumerate(true):
            assert (found[i] == found[j]) == (first == second)
    assert found.min() >= 0


def test_faulty_atlases(tmp_path: Path) -> None:
    voxels = {"subj01": voxels_at([0], [3])}
    good = annotation(tmp_path / "lh.annot", np.zeros(N_VERTICES, dtype=np.int64))
    volume = {"subj01": voxels_at([-1], [3])}
    with pytest.raises(PipelineError) as error:
        parcels_of_voxels([good, good], volume)
    assert error.value.code == "invalid-setting" and "subj01" in error.value.expected
    assert "nsd.space" in error.value.fix and "clusters.method" in error.value.fix
    small = annotation(tmp_path / "rh.annot", np.zeros(5, dtype=np.int64))
    with pytest.raises(PipelineError) as error:
        parcels_of_voxels([good], voxels)
    assert (error.value.code, error.value.found) == ("invalid-argument", "1")
    with pytest.raises(PipelineError) as error:
        parcels_of_voxels([good, small], voxels)
    assert (error.value.code, error.value.where) == ("inconsistent-inputs", str(small))
    assert "10242" in error.value.expected and error.value.found == "5"
    (tmp_path / "text.annot").write_text("no annotation at all")
    for name, code in (("text.annot", "damaged-file"), ("absent.annot", "missing-file")):
        with pytest.raises(PipelineError) as error:
            parcels_of_voxels([good, tmp_path / name], voxels)
        assert (error.value.code, error.value.where) == (code, str(tmp_path / name))
