"""Each fault of NSD's files ends in one clear error before work is wasted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from tests.unit.data.tiny_nsd import write_mgh, write_tiny_nsd

from brainit.core.errors import PipelineError
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.data.fmri import load_subject_fmri
from brainit.data.image_files import prepare_images
from brainit.data.nsd import mgh
from brainit.data.nsd.betas import prepare_betas
from brainit.data.nsd.design import prepare_design
from brainit.data.trials import write_trials

NSD = NsdSettings(validation_share=0.25)


@pytest.fixture
def tree(tmp_path: Path) -> Any:
    return write_tiny_nsd(tmp_path / "nsd")


def fault(code: str, call: Callable[..., object], *args: Any) -> str:
    """Return the text of the one error, which has this code and the three parts of every error."""
    with pytest.raises(PipelineError) as error:
        call(*args)
    assert error.value.code == code
    text = str(error.value)
    assert ": expected " in text and ", found " in text and ". Fix: " in text
    return text


def design(tree: Any, subject: str = "subj01") -> pd.DataFrame:
    return prepare_design(tree.root, subject, NSD, 42)


def betas(tree: Any, tmp_path: Path, trials: pd.DataFrame | None = None) -> Any:
    write_trials(tmp_path / "trials.csv", design(tree) if trials is None else trials)
    source = str(tree.root)
    return prepare_betas(
        "subj01", tree.root, source, tmp_path / "trials.csv", tmp_path / "work", NSD
    )


def truncate(path: Path, n_bytes: int) -> None:
    os.truncate(path, path.stat().st_size - n_bytes)


# --- betas -------------------------------------------------------------------------------------


def test_session_with_another_trial_count(
    tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree.betas_path("subj01", "lh", 1)
    write_mgh(path, tree.betas["subj01", "lh", 1][:-1])
    read: list[Path] = []
    monkeypatch.setattr(mgh, "read_mgh_vertices", lambda p, v: read.append(p))
    text = fault("inconsistent-inputs", betas, tree, tmp_path)
    assert str(path) in text and "12 frames" in text and "found 11" in text
    assert not read  # refused by its header


def test_betas_of_another_surface_than_the_mask(tree: Any, tmp_path: Path) -> None:
    values = tree.betas["subj01", "rh", 1][:, :-3]
    write_mgh(tree.betas_path("subj01", "rh", 1), values)
    text = fault("inconsistent-inputs", betas, tree, tmp_path)
    assert all(fact in text for fact in ("40 vertices", "mask algonauts", "found 37"))


def test_beta_file_of_another_shape(tree: Any, tmp_path: Path) -> None:
    path = tree.betas_path("subj01", "lh", 1)
    raw = bytearray(path.read_bytes())
    raw[4:8], raw[8:12] = (20).to_bytes(4, "big"), (2).to_bytes(4, "big")
    path.write_bytes(raw)
    assert "dims (20, 2, 1, 12)" in fault("wrong-kind", betas, tree, tmp_path)


def test_beta_file_of_another_type(tree: Any, tmp_path: Path) -> None:
    path = tree.betas_path("subj01", "lh", 1)
    raw = bytearray(path.read_bytes())
    raw[20:24] = (4).to_bytes(4, "big")
    path.write_bytes(raw)
    text = fault("wrong-kind", betas, tree, tmp_path)
    assert "float32" in text and "type 4" in text


@pytest.mark.parametrize("left", [0, 10, 284, 1000])
def test_truncated_mgh(tree: Any, tmp_path: Path, left: int) -> None:
    path = tree.betas_path("subj01", "rh", 2)
    os.truncate(path, left)
    text = fault("damaged-file", betas, tree, tmp_path)
    assert str(path) in text and f"{left} bytes" in text


def test_missing_session(tree: Any, tmp_path: Path) -> None:
    tree.betas_path("subj01", "lh", 3).unlink()
    text = fault("missing-file", betas, tree, tmp_path)
    assert "lh.betas_session03.mgh" in text


def test_all_nan_session(tree: Any, tmp_path: Path) -> None:
    for side in ("lh", "rh"):
        values = np.full_like(tree.betas["subj01", side, 2], np.nan)
        write_mgh(tree.betas_path("subj01", side, 2), values)
    text = fault("bad-values", betas, tree, tmp_path)
    assert "subj01 session 2" in text and "NaN" in text


def test_labels_of_different_surfaces(tree: Any, tmp_path: Path) -> None:
    import nibabel as nib

    image = nib.MGHImage(np.ones((39, 1, 1), dtype=np.float32), np.eye(4))
    nib.save(image, tree.label_path("lh", "nsdgeneralRSC"))
    text = fault("inconsistent-inputs", betas, tree, tmp_path)
    assert all(fact in text for fact in ("40 vertices", "lh.nsdgeneral.mgz", "found 39"))


def test_truncated_label(tree: Any, tmp_path: Path) -> None:
    truncate(tree.label_path("rh"), 30)
    assert "rh.nsdgeneral.mgz" in fault("damaged-file", betas, tree, tmp_path)


def test_truncated_surface(tree: Any, tmp_path: Path) -> None:
    truncate(tree.path("nsddata/freesurfer/fsaverage/surf/lh.pial"), 300)
    assert "lh.pial" in fault("damaged-file", betas, tree, tmp_path)


def test_ncsnr_of_another_surface(tree: Any, tmp_path: Path) -> None:
    write_mgh(tree.ncsnr_path("subj01", "lh"), np.ones((1, 41)))
    text = fault("inconsistent-inputs", betas, tree, tmp_path)
    assert "lh.ncsnr.mgh" in text and "found 41" in text


# --- images ------------------------------------------------------------------------------------


def images(tree: Any, tmp_path: Path) -> None:
    settings = ImageSettings(stored_size=8)
    prepare_images(tree.stimuli_path, tree.zip_path, settings, tmp_path / "s", tmp_path / "e")


@pytest.mark.parametrize("n_bytes", [100, 9000])
def test_truncated_hdf5(tree: Any, tmp_path: Path, n_bytes: int) -> None:
    truncate(tree.stimuli_path, n_bytes)
    assert "nsd_stimuli.hdf5" in fault("damaged-file", images, tree, tmp_path)
    assert not (tmp_path / "s" / "shards.json").exists()


def test_stimuli_of_another_shape(tree: Any, tmp_path: Path) -> None:
    with h5py.File(tree.stimuli_path, "w") as handle:
        handle["imgBrick"] = np.zeros((4, 3, 12, 12), dtype=np.uint8)
    assert "(4, 3, 12, 12)" in fault("wrong-shape", images, tree, tmp_path)


def test_stimuli_of_another_name(tree: Any, tmp_path: Path) -> None:
    with h5py.File(tree.stimuli_path, "w") as handle:
        handle["images"] = np.zeros((4, 12, 12, 3), dtype=np.uint8)
    assert "found ['images']" in fault("missing-data", images, tree, tmp_path)


def test_truncated_archive(tree: Any, tmp_path: Path) -> None:
    truncate(tree.zip_path, 40)
    assert "unlabeled2017.zip" in fault("damaged-file", images, tree, tmp_path)


# --- prepared files ----------------------------------------------------------------------------


@pytest.fixture
def prepared(tree: Any, tmp_path: Path) -> Path:
    outputs = [tmp_path / name for name in ("betas.npy", "voxels.safetensors", "betas.json")]
    betas(tree, tmp_path).write(*outputs)
    return tmp_path


def load(folder: Path, splits: tuple[str, ...] = ("train",)) -> object:
    return load_subject_fmri(
        "subj01", folder / "betas.npy", folder / "trials.csv", splits, "40h", True
    )


def test_truncated_npy(prepared: Path) -> None:
    truncate(prepared / "betas.npy", 2)
    assert "betas.npy" in fault("damaged-file", load, prepared)


def test_betas_of_another_trial_table(prepared: Path) -> None:
    np.save(prepared / "betas.npy", np.zeros((59, 3), dtype=np.float16))
    text = fault("wrong-shape", load, prepared)
    assert "60 trials" in text and "(59, 3)" in text


def test_betas_of_another_dtype(prepared: Path) -> None:
    np.save(prepared / "betas.npy", np.zeros((60, 3), dtype=np.float32))
    text = fault("wrong-shape", load, prepared)
    assert "float16" in text and "found float32" in text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_betas_that_are_not_finite(prepared: Path, value: float) -> None:
    values = np.load(prepared / "betas.npy")
    values[:, 2] = value
    np.save(prepared / "betas.npy", values)
    assert "betas.npy" in fault("bad-values", load, prepared)


def test_no_trial_left(prepared: Path) -> None:
    text = fault("missing-data", load, prepared, ("unused",))
    assert "unused" in text and "nsd.validation_share" in text


@pytest.mark.parametrize(
    ("column", "value", "fact"),
    [("trial", 7, "trials"), ("split", "dev", "found ['dev']"), ("nsd_id", -1, "nsd_id")],
)
def test_damaged_trial_table(prepared: Path, column: str, value: Any, fact: str) -> None:
    table = pd.read_csv(prepared / "trials.csv")
    table.loc[0, column] = value
    table.to_csv(prepared / "trials.csv", index=False)
    text = fault("bad-values", load, prepared)
    assert "trials.csv" in text and fact in text


def test_trial_table_without_a_column(prepared: Path) -> None:
    table = pd.read_csv(prepared / "trials.csv").drop(columns="repeat")
    table.to_csv(prepared / "trials.csv", index=False)
    with pytest.raises(PipelineError) as error:
        load(prepared)
    assert "trials.csv" in error.value.where and "['repeat']" in error.value.found
