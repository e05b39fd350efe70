"""A small simulated NSD, read back by other libraries than those the pipeline reads with."""

import gzip
import json
import zipfile
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import loadmat

from brainit.core.settings import Settings, parse_sections
from brainit.data.nsd import paths as nsd_paths
from brainit.simulation.simulate import simulate

pytestmark = pytest.mark.xdist_group("simulated_nsd")  # its fixtures are made once

SIZES = {
    "n_own_images": 40,
    "n_shared_images": 10,
    "trials_per_session": 75,
    "n_external_images": 3,
    "image_size": 32,
    "voxels_per_hemisphere": 60,
}
SUBJECTS = ["subj01", "subj02"]


@pytest.fixture(scope="module")
def settings() -> Settings:
    sections = {
        "run": {"simulation": True, "threads": 1},
        "nsd": {"subjects": SUBJECTS},
        "simulation": SIZES,
    }
    return parse_sections(sections)


@pytest.fixture(scope="module")
def out(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(settings, folder)
    return folder


def read_mgh(path: Path) -> nib.MGHImage:
    """Read a whole MGH or MGZ file, and close it."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".mgz" else path.read_bytes()
    return nib.MGHImage.from_bytes(data)


def test_stimuli_and_design_have_nsd_s_shapes(out: Path) -> None:
    with h5py.File(out / "nsd" / nsd_paths.STIMULI) as file:
        stimuli = file["imgBrick"]
        assert (stimuli.shape, stimuli.dtype) == ((90, 32, 32, 3), np.uint8)
    design = loadmat(out / "nsd" / nsd_paths.EXPDESIGN)
    assert design["subjectim"].shape[1] == 50
    assert design["subjectim"].min() == 1
    assert design["sharedix"].size == 10
    order, lists = design["masterordering"].ravel(), design["subjectim"]
    assert order.shape == (150,)
    np.testing.assert_array_equal(np.bincount(order)[1:], 3)
    assert set(lists[0]) & set(lists[1]) == set(design["sharedix"].ravel())


def test_betas_are_mgh_with_trials_last(out: Path, settings: Settings) -> None:
    version = settings.nsd.betas_version
    for session in (1, 2):
        key = nsd_paths.betas("subj02", version, "lh", session)
        image = read_mgh(out / "nsd" / key)
        assert image.shape[1:3] == (1, 1)
        assert image.shape[3] == 75
    label = read_mgh(out / "nsd" / nsd_paths.label("lh", "nsdgeneral")).get_fdata().ravel()
    snr = read_mgh(out / "nsd" / nsd_paths.ncsnr("subj02", version, "lh")).get_fdata().ravel()
    assert len(label) == len(snr) == image.shape[0]
    assert np.isfinite(snr).sum() <= 60
    assert (label == 1).sum() == 57  # the other three are RSC
    values, _ = nib.freesurfer.read_geometry(out / "nsd" / nsd_paths.pial("lh"))
    assert len(values) == len(label)


def test_atlases_part_each_hemisphere(out: Path) -> None:
    folder = out / "nsd/nsddata/freesurfer/fsaverage/label"
    for n_parcels in (400, 1000):
        sides = [
            nib.freesurfer.read_annot(folder / f"{side}.parcels{n_parcels}.annot")[0]
            for side in ("lh", "rh")
        ]
        for labels in sides:
            assert len(labels) == 10_242
            assert sorted(set(labels.tolist())) == list(range(n_parcels // 2))
        assert not np.array_equal(*sides)


def test_behaviour_has_a_row_per_trial(out: Path) -> None:
    table = pd.read_csv(out / "nsd" / nsd_paths.responses("subj01"), sep="\t")
    assert len(table) == 150
    design = loadmat(out / "nsd" / nsd_paths.EXPDESIGN)
    planned = design["subjectim"][0][design["masterordering"].ravel() - 1]
    np.testing.assert_array_equal(table["73KID"], planned)


def test_archive_holds_rgb_jpegs(out: Path) -> None:
    with zipfile.ZipFile(out / "coco" / nsd_paths.COCO_ARCHIVE) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        assert len(names) == 3
        with archive.open(names[0]) as file, Image.open(file) as image:
            assert (image.size, image.mode) == ((32, 32), "RGB")


def test_card_states_the_difficulty(out: Path) -> None:
    card = json.loads((out / "card.json").read_text())
    assert [entry["subject"] for entry in card["subjects"]] == SUBJECTS
    assert card["silent_share"] >= 0.2
    assert {"nearest_training_thumbnail_r_max", "n_test"} <= set(card["stimuli"])


def test_the_same_seed_writes_the_same_bytes_with_more_processes(
    out: Path, settings: Settings, tmp_path: Path
) -> None:
    simulate(settings, tmp_path, workers=2)
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        again = tmp_path / path.relative_to(out)
        assert again.read_bytes() == path.read_bytes(), path
