"""Every fault of a lab's folder is found, all at once, and a valid folder has none."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.lab_folder import N_TRIALS, N_VOXELS, lab_trials, write_lab_folder

from brainit.commands.program import run
from brainit.core.cli import guarded
from brainit.data.lab.check import subject_faults


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return write_lab_folder(tmp_path / "lab")


def one_fault(folder: Path) -> str:
    faults = subject_faults(folder)
    assert len(faults) == 1, faults
    assert ": expected " in faults[0] and ", found " in faults[0] and ". Fix: " in faults[0]
    return faults[0]


def edit_betas(folder: Path, change: Callable[[Any], Any]) -> None:
    np.save(folder / "betas.npy", change(np.load(folder / "betas.npy")))


def edit_table(folder: Path, name: str, column: str, row: int | slice, value: object) -> None:
    table = pd.read_csv(folder / name).astype({column: object} if column != "new" else {})
    table.loc[row, column] = value
    table.to_csv(folder / name, index=False)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_valid_folder(tmp_path: Path, dtype: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_lab_folder(tmp_path / "lab", dtype)
    with caplog.at_level("INFO"):
        assert guarded(run, ["check-subject", str(folder)]) == 0
    assert "2 sessions, 16 images, 6 voxels" in caplog.text
    assert "12 train" in caplog.text and "12 test" in caplog.text


def test_all_faults_at_once(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_betas(lab, lambda betas: betas.T)
    (lab / "images" / "a.png").unlink()
    (lab / "images" / "b.png").write_bytes(b"no picture")
    edit_table(lab, "trials.csv", "session", 3, 0)
    edit_table(lab, "voxels.csv", "hemisphere", 1, 7)
    assert guarded(run, ["check-subject", str(lab)]) == 2
    said = capsys.readouterr().err
    assert "the axes are (voxels, trials)" in said and "save the transposed array" in said
    assert "1 that it does not: a.png" in said
    assert "b.png: expected a readable image" in said
    assert "column session of whole numbers from 1" in said
    assert "column hemisphere of 0 (left) or 1 (right)" in said
    assert "found 5 faults" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: np.nan_to_num(b).astype(np.int32), "int32 of shape (24, 7)"),
        (lambda b: b[None], "float32 of shape (1, 24, 7)"),
        (lambda b: b[:, :0], "shape (24, 0)"),
        (lambda b: b[:-1], "24 rows, as trials.csv, found 23"),
    ],
)
def test_betas_of_another_form(lab: Path, change: Callable[[Any], Any], said: str) -> None:
    edit_betas(lab, change)
    assert said in one_fault(lab)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_betas_that_are_not_finite(lab: Path, value: float) -> None:
    betas = np.load(lab / "betas.npy")
    betas[[3, 7], 5] = value
    np.save(lab / "betas.npy", betas)
    said = one_fault(lab)
    assert "2 trials, 1 voxels (columns 5)" in said and "in_mask" in said


def test_nan_in_a_voxel_that_is_used(lab: Path) -> None:
    (lab / "voxels.csv").unlink()
    assert "1 trials, 1 voxels (columns 2)" in one_fault(lab)


def test_betas_that_cannot_be_read(lab: Path) -> None:
    os.truncate(lab / "betas.npy", 200)
    assert "betas.npy: expected .npy of float16" in one_fault(lab)
    np.save(lab / "betas.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "betas.npy: expected .npy of float16" in one_fault(lab)
    with (lab / "betas.npy").open("wb") as handle:
        np.savez(handle, betas=np.zeros((2, 2)))
    assert "an archive of arrays" in one_fault(lab)


@pytest.mark.parametrize("name", ["betas.npy", "trials.csv"])
def test_missing_file(lab: Path, name: str) -> None:
    (lab / name).unlink()
    assert name in one_fault(lab)


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    assert "expected a folder" in one_fault(tmp_path / "none")
    assert len(subject_faults(tmp_path)) == 3  # betas, trials, images


@pytest.mark.parametrize("column", ["trial", "session", "run", "image"])
def test_missing_column(lab: Path, column: str) -> None:
    lab_trials().drop(columns=column).to_csv(lab / "trials.csv", index=False)
    assert f"no ['{column}']" in one_fault(lab)


def test_trial_table_without_rows(lab: Path) -> None:
    lab_trials()[:0].to_csv(lab / "trials.csv", index=False)
    assert "no rows" in one_fault(lab)


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        ("trial", 4, 9, f"column trial of 0..{N_TRIALS - 1} in order"),
        ("trial", 4, "four", "in order"),
        ("session", 3, 1.5, "column session of whole numbers from 1, found 1.5 in 1 rows (first: "),
        ("run", 3, -1, "column run of whole numbers from 1, found -1"),
        ("image", 2, None, "an image in every row, found 1 trials without one"),
        ("image", 2, "b", "does not: b. Fix: write the whole file name"),
        ("session", 23, 3, "at least 2 trials in each session, found 1 in session 3"),
        ("session", slice(0, 11), 9, "training trials in session 1, found none"),
    ],
)
def test_values_of_the_trial_table(
    lab: Path, column: str, row: int | slice, value: object, said: str
) -> None:
    edit_table(lab, "trials.csv", column, row, value)
    assert said in "\n".join(subject_faults(lab))


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (["train"] * N_TRIALS, "test trials, found none"),
        (["test"] * N_TRIALS, "training trials, found none"),
        (["train", "test"] * 11 + ["train", "dev"], "found dev. Fix: correct the names"),
        (["train", "test"] * 11 + ["train", None], "found nan. Fix: correct the names"),
        (["train"] * 12 + ["test"] * 12, "4 images in both: w.jpg, x.jpg, y.jpg, z.jpg"),
    ],
)
def test_splits(lab: Path, split: list[str], said: str) -> None:
    lab_trials().assign(split=split).to_csv(lab / "trials.csv", index=False)
    assert said in "\n".join(subject_faults(lab))


def test_without_repeats_or_splits_there_is_no_test(lab: Path) -> None:
    table = lab_trials()[::2].reset_index(drop=True).assign(trial=range(12))
    table.to_csv(lab / "trials.csv", index=False)
    edit_betas(lab, lambda betas: betas[::2])
    assert "test trials, found none. Fix: add the column split" in one_fault(lab)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("x_mm", np.inf, "column x_mm of finite numbers"),
        ("vertex", -3, "column vertex of whole numbers from 0, found -3"),
        ("hemisphere", "left", "column hemisphere of 0 (left) or 1 (right), found left"),
        ("in_mask", 0.5, "column in_mask of 0 or 1"),
        ("noise_ceiling", 101.0, "column noise_ceiling of percent, 0 to 100, found 101.0"),
    ],
)
def test_values_of_the_voxel_table(lab: Path, column: str, value: object, said: str) -> None:
    edit_table(lab, "voxels.csv", column, 1, value)
    assert said in one_fault(lab)


def test_voxel_table_of_another_length(lab: Path) -> None:
    table = pd.read_csv(lab / "voxels.csv")
    table[table["in_mask"] == 1].to_csv(lab / "voxels.csv", index=False)
    said = "\n".join(subject_faults(lab))
    assert f"voxels.csv: expected {N_VOXELS} rows, one per column of betas.npy, found 6" in said


def test_positions_are_whole_and_some_voxel_is_used(lab: Path) -> None:
    table = pd.read_csv(lab / "voxels.csv").drop(columns="y_mm").assign(in_mask=0)
    table.to_csv(lab / "voxels.csv", index=False)
    said = subject_faults(lab)
    assert "only ['x_mm', 'z_mm']" in said[0]
    assert "a voxel whose in_mask is 1, found none" in said[1]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"text"])
def test_unreadable_image(lab: Path, content: bytes) -> None:
    (lab / "images" / "c.png").write_bytes(content)
    assert "c.png: expected a readable image" in one_fault(lab)


def test_truncated_image(lab: Path) -> None:
    os.truncate(lab / "images" / "d.png", (lab / "images" / "d.png").stat().st_size // 2)
    assert "d.png: expected a readable image" in one_fault(lab)


def test_image_of_sixteen_bits(lab: Path) -> None:
    pixels = np.full((5, 5), 40000, dtype=np.uint16)
    Image.fromarray(pixels).save(lab / "images" / "e.png")
    assert "e.png: expected a readable image, found pixels of more than 8 bits" in one_fault(lab)


def test_missing_names_do_not_hide_shared_images(lab: Path) -> None:
    split = ["train"] * 12 + ["test"] * 12
    table = lab_trials().assign(split=split)
    table.loc[[2, 14], "image"] = None
    table.to_csv(lab / "trials.csv", index=False)
    said = "\n".join(subject_faults(lab))
    assert "4 images in both" in said and "2 trials without one" in said


def test_images_both_ways_or_not_at_all(lab: Path) -> None:
    np.save(lab / "images.npy", np.zeros((3, 4, 4), dtype=np.uint8))
    assert "either images/ or images.npy, found both" in one_fault(lab)
    (lab / "images.npy").unlink()
    (lab / "images").rename(lab / "pictures")
    assert "found neither" in one_fault(lab)


def as_array(lab: Path, images: np.ndarray) -> None:
    (lab / "images").rename(lab / "pictures")
    names = sorted(set(lab_trials()["image"]))
    table = lab_trials().assign(image=[names.index(name) for name in lab_trials()["image"]])
    table.to_csv(lab / "trials.csv", index=False)
    np.save(lab / "images.npy", images)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((16, 4, 4), "float32"), ((16, 3, 4, 4), "uint8"), ((16, 16), "uint8")]
)
def test_image_array_of_another_form(lab: Path, shape: tuple[int, ...], dtype: str) -> None:
    as_array(lab, np.zeros(shape, dtype=dtype))
    assert f"{dtype} of shape {shape}" in one_fault(lab)


def test_image_array(lab: Path) -> None:
    as_array(lab, np.zeros((16, 4, 5), dtype=np.uint8))
    assert subject_faults(lab) == []
    edit_table(lab, "trials.csv", "image", 0, 16)
    assert "does not: 16. Fix: write its row, from 0" in one_fault(lab)
