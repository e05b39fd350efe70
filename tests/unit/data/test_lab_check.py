"""Every fault of a lab's folder is found, all at once, and a valid folder has none."""

import os
import shutil
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


def one_fault(folder: Path, code: str) -> str:
    """Return the text of the only fault, which has this code."""
    faults = subject_faults(folder)
    assert [fault.code for fault in faults] == [code], faults
    return str(faults[0])


def texts_of(folder: Path, code: str) -> str:
    """Return the texts of the faults of this code."""
    return "\n".join(str(fault) for fault in subject_faults(folder) if fault.code == code)


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
    assert "amounts of data" not in caplog.text
    for about, told in {
        '{"seconds_per_trial": 4}': "by trials of 4 s",
        '{"has_sessions": false}': "by trials alone",
    }.items():
        (folder / "subject.json").write_text(about)
        with caplog.at_level("INFO"):
            assert guarded(run, ["check-subject", str(folder)]) == 0
        assert told in caplog.text


def test_all_faults_at_once(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_betas(lab, lambda betas: betas.T)
    (lab / "images" / "a.png").unlink()
    (lab / "images" / "b.png").write_bytes(b"no picture")
    edit_table(lab, "trials.csv", "session", 3, 0)
    edit_table(lab, "voxels.csv", "hemisphere", 1, 7)
    faults = subject_faults(lab)
    facts = {fault.code: f"{fault.where} {fault.found}" for fault in faults}
    assert {fault.where.rpartition("/")[2] for fault in faults} == {
        "voxels.csv",
        "betas.npy",
        "trials.csv",
        "b.png",
    }
    assert "betas.npy" in facts["wrong-shape"] and "(voxels, trials)" in facts["wrong-shape"]
    assert "trials.csv" in facts["missing-file"] and "a.png" in facts["missing-file"]
    assert "b.png" in facts["damaged-file"]
    values = [fault.expected for fault in faults if fault.code == "bad-values"]
    assert [text.split()[1] for text in values] == ["hemisphere", "session"]
    assert guarded(run, ["check-subject", str(lab)]) == 2
    printed = capsys.readouterr().err
    assert len(faults) == 5 and "5 faults" in printed
    for fault in faults:
        assert str(fault) in printed


@pytest.mark.parametrize(
    ("change", "code", "facts"),
    [
        (lambda b: np.nan_to_num(b).astype(np.int32), "wrong-shape", ["int32", "(24, 7)"]),
        (lambda b: b[None], "wrong-shape", ["float32", "(1, 24, 7)"]),
        (lambda b: b[:, :0], "wrong-shape", ["(24, 0)"]),
        (lambda b: b[:-1], "inconsistent-inputs", ["24", "trials.csv", "23"]),
    ],
)
def test_betas_of_another_form(
    lab: Path, change: Callable[[Any], Any], code: str, facts: list[str]
) -> None:
    edit_betas(lab, change)
    text = one_fault(lab, code)
    assert all(fact in text for fact in ["betas.npy", *facts]), text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_betas_that_are_not_finite(lab: Path, value: float) -> None:
    betas = np.load(lab / "betas.npy")
    betas[[3, 7], 5] = value
    np.save(lab / "betas.npy", betas)
    text = one_fault(lab, "bad-values")
    assert all(fact in text for fact in ("2 trials", "1 voxels", "columns 5", "in_mask")), text


def test_nan_in_a_voxel_that_is_used(lab: Path) -> None:
    (lab / "voxels.csv").unlink()
    text = one_fault(lab, "bad-values")
    assert all(fact in text for fact in ("1 trials", "1 voxels", "columns 2")), text


def test_betas_that_cannot_be_read(lab: Path) -> None:
    os.truncate(lab / "betas.npy", 200)
    assert "betas.npy" in one_fault(lab, "damaged-file")
    np.save(lab / "betas.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "betas.npy" in one_fault(lab, "unsafe-file")
    with (lab / "betas.npy").open("wb") as handle:
        np.savez(handle, betas=np.zeros((2, 2)))
    assert "betas.npy" in one_fault(lab, "wrong-kind")


@pytest.mark.parametrize("name", ["betas.npy", "trials.csv"])
def test_missing_file(lab: Path, name: str) -> None:
    (lab / name).unlink()
    assert name in one_fault(lab, "missing-file")


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in one_fault(tmp_path / "none", "missing-file")
    assert len(subject_faults(tmp_path)) == 3  # betas, trials, images


@pytest.mark.parametrize("column", ["trial", "session", "run", "image"])
def test_missing_column(lab: Path, column: str) -> None:
    lab_trials().drop(columns=column).to_csv(lab / "trials.csv", index=False)
    assert f"['{column}']" in one_fault(lab, "missing-data")


def test_trial_table_without_rows(lab: Path) -> None:
    lab_trials()[:0].to_csv(lab / "trials.csv", index=False)
    assert "trials.csv" in one_fault(lab, "missing-data")


@pytest.mark.parametrize(
    ("column", "row", "value", "code", "facts"),
    [
        ("trial", 4, 9, "bad-values", ["column trial", f"0..{N_TRIALS - 1}"]),
        ("trial", 4, "four", "bad-values", ["column trial", "four"]),
        ("session", 3, 1.5, "bad-values", ["column session", "1.5", "1 rows", "row 3"]),
        ("run", 3, -1, "bad-values", ["column run", "-1"]),
        ("image", 2, None, "missing-data", ["image", "1 trials"]),
        ("image", 2, "b", "missing-file", ["images", "1", ": b", "file name"]),
        ("session", 23, 3, "missing-data", ["2 trials", "1 in session 3"]),
        ("session", slice(0, 11), 9, "missing-data", ["training trials", "session 1"]),
    ],
)
def test_values_of_the_trial_table(
    lab: Path, column: str, row: int | slice, value: object, code: str, facts: list[str]
) -> None:
    edit_table(lab, "trials.csv", column, row, value)
    text = texts_of(lab, code)
    assert all(fact in text for fact in ["trials.csv", *facts]), text


@pytest.mark.parametrize(
    ("split", "code", "facts"),
    [
        (["train"] * N_TRIALS, "missing-data", ["test trials"]),
        (["test"] * N_TRIALS, "missing-data", ["training trials"]),
        (["train", "test"] * 11 + ["train", "dev"], "bad-values", ["column split", "dev"]),
        (["train", "test"] * 11 + ["train", None], "bad-values", ["column split", "nan"]),
        (["train"] * 12 + ["test"] * 12, "leak", ["4 images", "w.jpg, x.jpg, y.jpg, z.jpg"]),
    ],
)
def test_splits(lab: Path, split: list[str], code: str, facts: list[str]) -> None:
    lab_trials().assign(split=split).to_csv(lab / "trials.csv", index=False)
    text = texts_of(lab, code)
    assert all(fact in text for fact in facts), text


def test_without_repeats_or_splits_there_is_no_test(lab: Path) -> None:
    table = lab_trials()[::2].reset_index(drop=True).assign(trial=range(12))
    table.to_csv(lab / "trials.csv", index=False)
    edit_betas(lab, lambda betas: betas[::2])
    text = one_fault(lab, "missing-data")
    assert "test trials" in text and "column split" in text


@pytest.mark.parametrize(
    ("column", "value", "facts"),
    [
        ("x_mm", np.inf, ["inf"]),
        ("vertex", -3, ["from 0", "-3"]),
        ("hemisphere", "left", ["0 (left)", "1 (right)", "found left"]),
        ("in_mask", 0.5, ["0 or 1", "0.5"]),
        ("noise_ceiling", 101.0, ["0 to 100", "101.0"]),
    ],
)
def test_values_of_the_voxel_table(lab: Path, column: str, value: object, facts: list[str]) -> None:
    edit_table(lab, "voxels.csv", column, 1, value)
    text = one_fault(lab, "bad-values")
    assert all(fact in text for fact in [f"column {column}", *facts]), text


def test_voxel_table_of_another_length(lab: Path) -> None:
    table = pd.read_csv(lab / "voxels.csv")
    table[table["in_mask"] == 1].to_csv(lab / "voxels.csv", index=False)
    text = texts_of(lab, "inconsistent-inputs")
    assert all(fact in text for fact in ("voxels.csv", f"{N_VOXELS} rows", "betas.npy", "found 6"))


def test_positions_are_whole_and_some_voxel_is_used(lab: Path) -> None:
    table = pd.read_csv(lab / "voxels.csv").drop(columns="y_mm").assign(in_mask=0)
    table.to_csv(lab / "voxels.csv", index=False)
    faults = subject_faults(lab)
    assert [fault.code for fault in faults[:2]] == ["missing-data", "missing-data"]
    assert "['x_mm', 'z_mm']" in faults[0].found
    assert "in_mask" in faults[1].expected


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"text"])
def test_unreadable_image(lab: Path, content: bytes) -> None:
    (lab / "images" / "c.png").write_bytes(content)
    assert "c.png" in one_fault(lab, "damaged-file")


def test_truncated_image(lab: Path) -> None:
    os.truncate(lab / "images" / "d.png", (lab / "images" / "d.png").stat().st_size // 2)
    assert "d.png" in one_fault(lab, "damaged-file")


def test_image_of_sixteen_bits(lab: Path) -> None:
    pixels = np.full((5, 5), 40000, dtype=np.uint16)
    Image.fromarray(pixels).save(lab / "images" / "e.png")
    text = one_fault(lab, "damaged-file")
    assert "e.png" in text and "8 bits" in text


def test_missing_names_do_not_hide_shared_images(lab: Path) -> None:
    split = ["train"] * 12 + ["test"] * 12
    table = lab_trials().assign(split=split)
    table.loc[[2, 14], "image"] = None
    table.to_csv(lab / "trials.csv", index=False)
    assert "4 images" in texts_of(lab, "leak")
    assert "2 trials" in texts_of(lab, "missing-data")


def test_images_both_ways_or_not_at_all(lab: Path) -> None:
    np.save(lab / "images.npy", np.zeros((3, 4, 4), dtype=np.uint8))
    assert "found both" in one_fault(lab, "inconsistent-inputs")
    (lab / "images.npy").unlink()
    (lab / "images").rename(lab / "pictures")
    assert "found neither" in one_fault(lab, "inconsistent-inputs")


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
    text = one_fault(lab, "wrong-shape")
    assert "images.npy" in text and dtype in text and str(shape) in text


def test_image_array(lab: Path) -> None:
    as_array(lab, np.zeros((16, 4, 5), dtype=np.uint8))
    assert subject_faults(lab) == []
    edit_table(lab, "trials.csv", "image", 0, 16)
    text = one_fault(lab, "missing-file")
    assert "images.npy" in text and ": 16" in text and "from 0" in text


@pytest.mark.parametrize("spelling", ["05", "5.0", " 5", "+5"])
def test_one_row_by_another_spelling_is_one_image(lab: Path, spelling: str) -> None:
    as_array(lab, np.zeros((16, 4, 4), dtype=np.uint8))
    table = pd.read_csv(lab / "trials.csv", dtype={"image": str})
    table = table.assign(
        split=["train"] * 12 + ["test"] * 12, image=[str(n % 4) for n in range(24)]
    )
    table.loc[:11, "image"] = [str(n % 3) for n in range(12)]
    table.loc[3, "image"], table.loc[20, "image"] = "5", spelling
    table.loc[12:, "image"] = ["9"] * 8 + [spelling] + ["9"] * 3
    table.to_csv(lab / "trials.csv", index=False)
    text = texts_of(lab, "leak")
    assert "1 images" in text and text.rstrip().split("both: ")[1].startswith("5.")
    table.loc[20, "image"] = "9"
    table.to_csv(lab / "trials.csv", index=False)
    assert subject_faults(lab) == []


def test_composed_and_decomposed_names_are_one_image(lab: Path) -> None:
    composed, decomposed = "z\u00e9ro.png", "ze\u0301ro.png"
    (lab / "images" / "a.png").rename(lab / "images" / decomposed)
    edit_table(lab, "trials.csv", "image", 0, composed)
    assert subject_faults(lab) == []
    table = pd.read_csv(lab / "trials.csv").assign(split=["train", "test"] * 12)
    table.loc[1, "image"] = decomposed
    table.to_csv(lab / "trials.csv", index=False)
    assert "1 images" in texts_of(lab, "leak")
    shutil.copyfile(lab / "images" / decomposed, lab / "images" / composed)
    assert "\\xe9" in texts_of(lab, "duplicate-data")


def test_an_image_called_na_and_side_files(lab: Path) -> None:
    (lab / "images" / "a.png").rename(lab / "images" / "NA")
    (lab / "images" / "._b.png").write_bytes(b"side")
    (lab / "images" / "Thumbs.db").write_bytes(b"side")
    edit_table(lab, "trials.csv", "image", 0, "NA")
    assert subject_faults(lab) == []


@pytest.mark.parametrize(("separator", "fact"), [(";", "commas"), ("\t", "commas"), (",", "run")])
def test_what_was_found_in_place_of_the_columns(lab: Path, separator: str, fact: str) -> None:
    table = lab_trials().rename(columns={"run": "Run"})
    table.to_csv(lab / "trials.csv", index=False, sep=separator)
    text = one_fault(lab, "missing-data")
    assert f"session{separator}" in text.encode().decode("unicode_escape") or "'Run'" in text
    assert fact in text


def test_a_missing_image_is_shown_beside_the_name_most_like_it(lab: Path) -> None:
    edit_table(lab, "trials.csv", "image", 0, "A.png ")
    text = one_fault(lab, "missing-file")
    assert "'A.png '" in text and "most like it: " in text


def test_a_table_that_is_not_utf_8(lab: Path) -> None:
    lab_trials().assign(note="\u00e9").to_csv(lab / "trials.csv", index=False, encoding="latin-1")
    text = one_fault(lab, "damaged-file")
    assert "trials.csv" in text and "UTF-8" in text


def test_equal_pixels_under_two_names_are_told(lab: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copyfile(lab / "images" / "x.jpg", lab / "images" / "y.jpg")
    assert subject_faults(lab) == [] and not caplog.records  # both are tested
    shutil.copyfile(lab / "images" / "x.jpg", lab / "images" / "a.png")
    with caplog.at_level("WARNING"):
        assert subject_faults(lab) == []
    assert "1 test images" in caplog.text and "= a.png" in caplog.text
