"""NSD-synthetic's files, written by nibabel, h5py and scipy alone, against plain arrays."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from tests.unit.data.tiny_nsd import VERSION, write_mgh

from brainit.core.artifacts import Artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.data.images import ImageStore
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.nsdsynthetic import prepare_nsdsynthetic, read_classes
from brainit.data.trials import read_trials

N_SHARED, N_COLOUR, SIDE, N_VERTICES = 4, 2, 8, 30
ORDER = np.array([1, 3, 3, 6, 2, 5, 4, 1])  # 1-based, one image shown one-back
NSD = NsdSettings(subjects=("subj01",), evaluated=("subj01",), transfer=("subj01",))
VOXELS = Artifact(
    {"vertex": np.array([2, 7, 29, 0, 11]), "hemisphere": np.array([0, 0, 0, 1, 1])},
    {"space": f"surface of {N_VERTICES} vertices"},
)


def written(root: Path) -> dict[str, np.ndarray]:
    """Write the session; return betas by side and all images."""
    rng = np.random.default_rng(0)
    pattern = np.zeros((2, 6), dtype=np.uint8)
    pattern[0, :5], pattern[1, 2:5] = 1, 1

    def place(key: str) -> Path:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    design = {"masterordering": ORDER[None], "stimpattern": pattern[None]}
    savemat(place(nsd_paths.SYNTHETIC_DESIGN), design)
    names = [f"class{k % 3}" for k in range(N_SHARED + N_COLOUR)]
    pd.DataFrame({"Image class": names}).to_csv(place(nsd_paths.SYNTHETIC_CLASSES))
    images = rng.integers(0, 256, (N_SHARED + N_COLOUR, SIDE, SIDE, 3), dtype=np.uint8)
    for key, part in (
        (nsd_paths.SYNTHETIC_STIMULI, images[:N_SHARED]),
        (nsd_paths.synthetic_colours("subj01"), images[N_SHARED:]),
    ):
        with h5py.File(place(key), "w") as handle:
            handle["imgBrick"] = part
    betas = {}
    for side in nsd_paths.HEMISPHERES:
        betas[side] = rng.normal(3, 2, (len(ORDER), N_VERTICES)).astype(np.float32)
        write_mgh(place(nsd_paths.synthetic_betas("subj01", VERSION, side)), betas[side])
    return {**betas, "images": images}


def prepare(root: Path, out: Path, nsd: NsdSettings = NSD, voxels: Artifact = VOXELS) -> None:
    images = ImageSettings(stored_size=SIDE)
    prepare_nsdsynthetic("subj01", str(root), voxels, out / "work", nsd, images, out / "made")


def test_session_becomes_trials_betas_and_images(tmp_path: Path) -> None:
    truth = written(tmp_path / "nsd")
    prepare(tmp_path / "nsd", tmp_path)
    made = tmp_path / "made"
    found = np.load(made / "betas.npy")
    chosen = np.concatenate([truth["lh"][:, [2, 7, 29]], truth["rh"][:, [0, 11]]], axis=1)
    for voxel in range(5):
        column = chosen[:, voxel].astype(float)
        expected = (column - column.mean()) / column.std()
        np.testing.assert_allclose(found[:, voxel], expected, atol=2e-3)
    trials = read_trials(made / "trials.csv")
    assert trials["nsd_id"].tolist() == (ORDER - 1).tolist()
    assert trials["run"].tolist() == [1, 1, 1, 1, 1, 2, 2, 2]
    assert trials["repeat"].tolist() == [0, 0, 1, 0, 0, 0, 0, 1]
    assert set(trials["split"]) == {"test"}
    store = ImageStore(made / "images")
    seen = np.array([round(255 * (value / 255) ** 0.5) for value in range(256)])
    np.testing.assert_array_equal(store.pixels(np.arange(6)), seen[truth["images"]])
    assert read_classes(made / "classes.csv") == {row: f"class{row % 3}" for row in range(6)}
    (made / "classes.csv").write_text("row,name\n0,a\n")
    with pytest.raises(PipelineError) as error:
        read_classes(made / "classes.csv")
    assert error.value.where == str(made / "classes.csv")
    assert "class" in error.value.found and "prepare_nsdsynthetic" in error.value.fix


def test_disagreeing_files_are_named(tmp_path: Path) -> None:
    root = tmp_path / "nsd"
    written(root)
    savemat(
        root / nsd_paths.SYNTHETIC_DESIGN,
        {"masterordering": ORDER[None], "stimpattern": np.ones((1, 3))},
    )
    with pytest.raises(PipelineError) as error:
        prepare(root, tmp_path)
    assert error.value.code == "inconsistent-inputs"
    assert "8 trials" in error.value.expected and "3 in stimpattern" in error.value.found
    written(root)
    write_mgh(root / nsd_paths.synthetic_betas("subj01", VERSION, "rh"), np.zeros((7, N_VERTICES)))
    with pytest.raises(PipelineError) as error:
        prepare(root, tmp_path)
    assert (error.value.code, error.value.found) == ("inconsistent-inputs", "7")
    assert "8 frames" in error.value.expected and "rh." in error.value.where
    written(root)
    (root / nsd_paths.synthetic_colours("subj01")).write_bytes(b"none")
    with pytest.raises(PipelineError) as error:
        prepare(root, tmp_path)
    assert error.value.code == "damaged-file" and "imgBrick" in error.value.expected
    with h5py.File(root / nsd_paths.synthetic_colours("subj01"), "w") as handle:
        handle["imgBrick"] = np.zeros((1, SIDE, SIDE, 3), dtype=np.uint8)
    with pytest.raises(PipelineError) as error:
        prepare(root, tmp_path)
    assert error.value.code == "inconsistent-inputs"
    assert (error.value.expected, error.value.found) == ("6 images", "5")
    assert not (tmp_path / "made").exists()


def test_other_surface_and_volume_space_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "nsd")
    other = replace(VOXELS, attributes={"space": "fsaverage5"})
    with pytest.raises(PipelineError) as error:
        prepare(tmp_path / "nsd", tmp_path, voxels=other)
    assert error.value.code == "inconsistent-inputs"
    assert "10242 vertices" in error.value.expected and error.value.found == str(N_VERTICES)
    volume = NSD.model_copy(update={"space": "func1pt8mm"})
    with pytest.raises(PipelineError) as error:
        prepare(tmp_path / "nsd", tmp_path, nsd=volume)
    assert (error.value.code, error.value.where) == ("invalid-setting", "nsd.space")
    assert error.value.found == "func1pt8mm"
