"""Every kind of NSD's files, truncated, damaged or foreign: one clear error, never a traceback."""

import gzip
import os
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from tests.unit.data.tiny_nsd import TinyNsd, write_tiny_nsd

from brainit.core.errors import PipelineError
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.data.image_files import prepare_images
from brainit.data.nsd.betas import prepare_betas
from brainit.data.nsd.design import prepare_design
from brainit.data.nsd.masks import read_label
from brainit.data.trials import write_trials

NSD = NsdSettings(validation_share=0.25)

FILES: dict[str, Callable[[TinyNsd], Path]] = {
    "mat": lambda tree: tree.expdesign_path,
    "csv": lambda tree: tree.csv_path,
    "tsv": lambda tree: tree.responses_path("subj01"),
    "label": lambda tree: tree.label_path("lh"),
    "rsc": lambda tree: tree.label_path("rh", "nsdgeneralRSC"),
    "ncsnr": lambda tree: tree.ncsnr_path("subj01", "rh"),
    "surface": lambda tree: tree.path("nsddata/freesurfer/fsaverage/surf/lh.pial"),
    "betas": lambda tree: tree.betas_path("subj01", "lh", 2),
    "stimuli": lambda tree: tree.stimuli_path,
    "zip": lambda tree: tree.zip_path,
}
FOREIGN = {
    "empty": b"",
    "page": b"<!DOCTYPE html><p>access denied" * 40,
    "zeros": bytes(5000),
    "noise": random.Random(0).randbytes(5000),
    "table": b"a,b\n1,2\n" * 200,
    "gzip": gzip.compress(b"something else" * 100),
    "gzip head": b"\x1f\x8b" + bytes(500),
    "HDF5 head": b"\x89HDF\r\n\x1a\n" + bytes(3000),
    "zip head": b"PK\x03\x04" + bytes(3000),
    "MATLAB head": b"MATLAB 7.3 MAT-file" + bytes(600),
}


@pytest.fixture
def tree(tmp_path: Path) -> TinyNsd:
    return write_tiny_nsd(tmp_path / "nsd")


def arrays(tree: TinyNsd, out: Path) -> None:
    """Make the arrays of a subject and the images."""
    write_trials(out / "t.csv", prepare_design(tree.root, "subj01", NSD, 42))
    prepare_betas("subj01", tree.root, str(tree.root), out / "t.csv", out / "w", NSD)
    settings = ImageSettings(stored_size=8)
    prepare_images(tree.stimuli_path, tree.zip_path, settings, out / "s", out / "e")


def refused(tree: TinyNsd, out: Path) -> PipelineError:
    """Return the error, which has a known code and the three parts of every error."""
    with pytest.raises(PipelineError) as caught:
        arrays(tree, out)
    text = str(caught.value)
    assert ": expected " in text and ", found " in text and ". Fix: " in text
    return caught.value


@pytest.mark.parametrize("kind", FILES)
def test_foreign_files(tree: TinyNsd, tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tree)
    for content in FOREIGN.values():
        path.write_bytes(content)
        refused(tree, tmp_path)


@pytest.mark.parametrize("kind", FILES)
def test_truncated_files(tree: TinyNsd, tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tree)
    content = path.read_bytes()
    for share in (0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        refused(tree, tmp_path)


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bits_never_end_in_a_traceback(tree: TinyNsd, tmp_path: Path, kind: str) -> None:
    """Content without a checksum may pass with another value."""
    path, draw = FILES[kind](tree), random.Random(kind)
    content = path.read_bytes()
    for _ in range(12):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                arrays(tree, tmp_path)
            except PipelineError as error:
                assert ". Fix: " in str(error)


def test_a_label_whose_checksum_differs(tree: TinyNsd) -> None:
    path = tree.label_path("lh")
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # CRC-32 of what is compressed
    path.write_bytes(content)
    with pytest.raises(PipelineError) as error:
        read_label(path)
    assert (error.value.code, error.value.where) == ("damaged-file", str(path))
    assert "CRC" in error.value.found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subjectim", np.arange(1, 6.0)),
        ("stimpattern", np.ones((5, 12))),
        ("masterordering", np.array([["a", "b"]], dtype=object)),
        ("sharedix", np.array([[np.nan, 2.0]])),
    ],
)
def test_design_arrays_of_another_form(
    tree: TinyNsd, tmp_path: Path, name: str, value: object
) -> None:
    content = {k: v for k, v in loadmat(tree.expdesign_path).items() if not k.startswith("__")}
    savemat(tree.expdesign_path, {**content, name: value})
    refused(tree, tmp_path)


def test_responses_that_are_no_numbers(tree: TinyNsd, tmp_path: Path) -> None:
    path = tree.responses_path("subj01")
    lines = path.read_text().splitlines()
    fields = lines[7].split("\t")
    fields[4] = "12x"
    path.write_text("\n".join([*lines[:7], "\t".join(fields), *lines[8:]]) + "\n")
    error = refused(tree, tmp_path)
    assert (error.code, error.where) == ("bad-values", str(path))
    assert "['73KID']" in error.found


def test_a_surface_with_places_outside_any_head(tree: TinyNsd, tmp_path: Path) -> None:
    path = tree.path("nsddata/freesurfer/fsaverage/surf/lh.pial")
    content = path.read_bytes()
    first = len(content) - 12 - 12 * tree.n_vertices  # before the one face
    places = np.frombuffer(content, ">f4", 3 * tree.n_vertices, first).copy()
    places[3 * 6] = np.nan
    path.write_bytes(content[:first] + places.tobytes() + content[-12:])
    error = refused(tree, tmp_path)
    assert (error.code, error.where) == ("bad-values", str(path))
    assert "1000" in error.expected


@pytest.mark.parametrize("fault", ["deflated", "method", "encrypted"])
def test_members_that_cannot_be_unpacked(tree: TinyNsd, tmp_path: Path, fault: str) -> None:
    with zipfile.ZipFile(tree.zip_path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("unlabeled2017/1.jpg", random.Random(0).randbytes(3000) + bytes(3000))
    content = bytearray(tree.zip_path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    if fault == "deflated":
        content[200] ^= 255
    elif fault == "method":
        content[8] = content[directory + 10] = 99
    else:
        content[6] |= 1
        content[directory + 8] |= 1
    tree.zip_path.write_bytes(content)
    error = refused(tree, tmp_path)
    assert (error.code, error.where) == ("damaged-file", f"{tree.zip_path}:unlabeled2017/1.jpg")


def test_an_image_too_large_to_unpack(
    tree: TinyNsd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)  # twice as many are a bomb
    error = refused(tree, tmp_path)
    assert error.code == "damaged-file" and "exceeds limit" in error.found


def test_a_file_that_may_not_be_read(
    tree: TinyNsd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = tree.betas_path("subj01", "rh", 4)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != denied and allowed(path, mode))
    error = refused(tree, tmp_path)
    assert (error.code, error.where) == ("machine", str(denied))
