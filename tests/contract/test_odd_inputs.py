"""Odd inputs of each format: axes, byte orders, NaN, doubles, bombs, encodings, and properties.

The faults that any file can have are in `test_bad_inputs.py`. Each case here names what it ends in:
"right" values, or the code of one error.
"""

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.lab_folder import lab_trials, write_lab_folder

from brainit.core.errors import PipelineError
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.core.shards import write_shards
from brainit.data.fmri import load_subject_fmri
from brainit.data.image_files import external_rows, stimulus_rows
from brainit.data.lab.check import subject_faults
from brainit.data.lab.image_identity import image_id
from brainit.data.lab.prepare import pipeline_trials
from brainit.data.nsd.masks import read_label
from brainit.data.nsd.volume import read_volume
from brainit.data.pixels import PixelStore
from brainit.data.trials import TRIAL_COLUMNS

SIZES = ImageSettings(stored_size=8)
Make = Callable[[Path], Any]


def code_of(call: Callable[[], Any]) -> str:
    """Return "right" or the code of the error."""
    try:
        call()
    except PipelineError as error:
        return error.code
    return "right"


# --- a lab's betas and table ---------------------------------------------------------------------

BETAS: dict[str, tuple[Callable[[np.ndarray], Any], list[str]]] = {
    "big-endian": (lambda b: b.astype(">f4"), []),
    "Fortran order": (np.asfortranarray, []),
    "float64": (lambda b: b.astype("f8"), []),
    "subnormal": (lambda b: b * np.float32(1e-40), []),
    "integers": (lambda b: np.nan_to_num(b).astype("i4"), ["wrong-shape"]),
    "complex": (lambda b: b.astype("c8"), ["wrong-shape"]),
    "text": (lambda b: np.nan_to_num(b).astype("U8"), ["wrong-shape"]),
    "records": (lambda b: np.zeros(24, [("a", "f4")]), ["wrong-shape"]),
    "a scalar": (lambda b: np.float32(1), ["wrong-shape"]),
    "three axes": (lambda b: b[..., None], ["wrong-shape"]),
    "negative infinity": (lambda b: np.where(b > 4, -np.inf, b), ["bad-values"]),
    "one row twice": (lambda b: np.concatenate([b, b[-1:]]), ["inconsistent-inputs"]),
}


@pytest.mark.parametrize("name", BETAS)
def test_betas(tmp_path: Path, name: str) -> None:
    folder = write_lab_folder(tmp_path / "lab")
    change, codes = BETAS[name]
    np.save(folder / "betas.npy", change(np.load(folder / "betas.npy")))
    assert [fault.code for fault in subject_faults(folder)] == codes


def as_text(**words: Any) -> Callable[[pd.DataFrame], bytes]:
    def write(table: pd.DataFrame) -> bytes:
        buffer = io.BytesIO()
        table.to_csv(buffer, index=False, **words)
        return buffer.getvalue()

    return write


TABLES: dict[str, tuple[Callable[[pd.DataFrame], bytes], list[str]]] = {
    "byte order mark": (as_text(encoding="utf-8-sig"), []),
    "Windows's lines": (as_text(lineterminator="\r\n"), []),
    "all quoted": (as_text(quoting=1), []),
    "no last newline": (lambda t: as_text()(t).rstrip(b"\n"), []),
    "blank lines": (lambda t: as_text()(t).replace(b"\n", b"\n\n"), []),
    "another column": (lambda t: as_text()(t.assign(note='a "b", c')), []),
    "columns reordered": (lambda t: as_text()(t[t.columns[::-1]]), []),
    "whole numbers with points": (lambda t: as_text()(t.astype({"run": float})), []),
    "UTF-16": (as_text(encoding="utf-16"), ["damaged-file"]),
    "semicolons": (as_text(sep=";"), ["missing-data"]),
    "a title line": (lambda t: b"my trials\n" + as_text()(t), ["missing-data"]),
    "rows reordered": (lambda t: as_text()(t[::-1]), ["bad-values"]),
    "a row twice": (lambda t: as_text()(pd.concat([t, t[-1:]])), ["inconsistent-inputs"]),
    "a NUL": (lambda t: as_text()(t).replace(b"a.png", b"a\0.png"), ["missing-file"]),
    "huge numbers": (lambda t: as_text()(t.assign(run=10.0**30)), []),
    "NaN": (lambda t: as_text(na_rep="NaN")(t.assign(run=np.nan)), ["bad-values"]),
    "infinity": (lambda t: as_text()(t.assign(session=np.inf)), ["bad-values"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path: Path, name: str) -> None:
    folder = write_lab_folder(tmp_path / "lab")
    write, codes = TABLES[name]
    (folder / "trials.csv").write_bytes(write(lab_trials()))
    found = [fault.code for fault in subject_faults(folder)]
    assert found[: len(codes)] == codes and bool(found) == bool(codes), found


# --- bombs, doubles and other kinds ---------------------------------------------------------------


def gzip_bomb(path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    path.write_bytes(b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush())


def images_in(path: Path, *members: tuple[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)


def jpeg(side: int = 6, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, "JPEG")
    return buffer.getvalue()


def stimuli(path: Path, shape: tuple[int, ...], dtype: str = "u1") -> None:
    with h5py.File(path, "w") as handle:
        handle["imgBrick"] = np.zeros(shape, dtype)


def nifti(path: Path, values: np.ndarray, kind: Any = nib.Nifti1Image) -> None:
    nib.save(kind(values, np.eye(4)), path)


ONE = "unlabeled2017/1.jpg"
FILES: dict[str, tuple[str, Make, Callable[[Path], Any], str]] = {
    "label that unpacks to 200 MiB": ("a.mgz", gzip_bomb, read_label, "damaged-file"),
    "region that unpacks to 200 MiB": ("a.nii.gz", gzip_bomb, read_volume, "damaged-file"),
    "region of NaN": (
        "a.nii",
        lambda p: nifti(p, np.full((2, 2, 2), np.nan, "f4")),
        read_volume,
        "right",
    ),
    "region of four axes": (
        "a.nii",
        lambda p: nifti(p, np.ones((2, 2, 2, 2), "f4")),
        read_volume,
        "wrong-kind",
    ),
    "region in NIfTI-2": (
        "a.nii",
        lambda p: nifti(p, np.ones((2, 2, 2), "f4"), nib.Nifti2Image),
        read_volume,
        "right",
    ),
    "gzip in gzip": (
        "a.mgz",
        lambda p: p.write_bytes(gzip.compress(gzip.compress(b"x" * 300))),
        read_label,
        "damaged-file",
    ),
    "stimuli of 16 bits": ("s.h5", lambda p: stimuli(p, (2, 4, 4, 3), "u2"), None, "wrong-shape"),
    "stimuli in grey": ("s.h5", lambda p: stimuli(p, (2, 4, 4)), None, "wrong-shape"),
    "no stimuli": ("s.h5", lambda p: stimuli(p, (0, 4, 4, 3)), None, "right"),
    "archive of one image twice": (
        "a.zip",
        lambda p: images_in(p, (ONE, jpeg()), ("unlabeled2017//1.jpg", jpeg())),
        None,
        "duplicate-data",
    ),
    "archive with macOS's side files": (
        "a.zip",
        lambda p: images_in(p, (ONE, jpeg()), (f"__MACOSX/{ONE}", b"x"), (".DS_Store", b"x")),
        None,
        "right",
    ),
    "archive of PNGs named JPEG": (
        "a.zip",
        lambda p: images_in(p, (ONE, b"\x89PNG\r\n\x1a\n")),
        None,
        "damaged-file",
    ),
    "archive of grey JPEGs": (
        "a.zip",
        lambda p: images_in(p, (ONE, jpeg(mode="L"))),
        None,
        "right",
    ),
    "archive of nothing": ("a.zip", lambda p: images_in(p), None, "missing-data"),
    "store of floats": (
        "store",
        lambda p: write_shards(p, iter([np.zeros((2, 4, 4, 3), "f4")])),
        PixelStore,
        "wrong-kind",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str) -> None:
    file, make, read, expected = FILES[name]
    path = tmp_path / file
    make(path)
    rows = external_rows if file.endswith("zip") else stimulus_rows
    assert code_of(lambda: read(path) if read else list(rows(path, SIZES))) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_betas_of_a_subject_that_are_not_finite(tmp_path: Path, value: float) -> None:
    table = pd.DataFrame({name: range(4) for name in TRIAL_COLUMNS})
    table = table.assign(session=1, run=1, is_shared=False, split=["train", "val", "test", "test"])
    table.to_csv(tmp_path / "t.csv", index=False)
    betas = np.ones((4, 3), np.float16)
    betas[0, 1] = value
    np.save(tmp_path / "b.npy", betas)
    paths = ("subj01", tmp_path / "b.npy", tmp_path / "t.csv")
    assert code_of(lambda: load_subject_fmri(*paths, ("train",), "40h", True)) == "bad-values"
    assert code_of(lambda: load_subject_fmri(*paths, ("test",), "40h", True)) == "right"


# --- properties, over tables drawn from a seed ----------------------------------------------------


def drawn_table(rng: np.random.Generator) -> tuple[pd.DataFrame, list[str]]:
    """Return a table of random trials of up to nine rows of images, each written in some way."""
    n_trials, n_images = int(rng.integers(4, 30)), int(rng.integers(2, 10))
    numbers = rng.integers(0, n_images, n_trials)
    ways = (str, lambda n: f"{n:03d}", lambda n: f"{n}.0", lambda n: f" {n} ", lambda n: f"+{n}")
    written = [ways[rng.integers(len(ways))](int(number)) for number in numbers]
    table = pd.DataFrame({"trial": range(n_trials), "session": 1, "run": 1, "image": written})
    return table, [str(number) for number in numbers]


@pytest.mark.parametrize("seed", range(40))
def test_spelling_changes_no_split(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table, plain = drawn_table(rng)
    known = [image_id(text, is_row=True) for text in table["image"]]
    assert known == plain
    assert [image_id(text, is_row=True) for text in known] == known  # its own identity
    names = sorted(set(known), key=int)
    nsd = NsdSettings(validation_share=0.3)
    found = pipeline_trials(table.assign(image=known), names, "labsub", nsd, seed)
    expected = pipeline_trials(table.assign(image=plain), names, "labsub", nsd, seed)
    pd.testing.assert_frame_equal(found, expected)
    splits = found.groupby("nsd_id")["split"].unique()
    assert all(len(of_image) == 1 for of_image in splits), "an image has one split"
    for nsd_id, rows in found.groupby("nsd_id"):
        assert rows["repeat"].tolist() == list(range(len(rows))), nsd_id
        assert (rows["split"] == "test").all() == (len(rows) > 1)
