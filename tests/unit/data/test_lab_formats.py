"""Published recordings, as small files in their own formats, become valid folders."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from brainit.commands.program import run
from brainit.core.cli import guarded
from brainit.core.errors import PipelineError
from brainit.data.lab.bold5000 import REGIONS, import_bold5000, read_presentations
from brainit.data.lab.check import subject_faults
from brainit.data.lab.god import image_name, import_god
from brainit.data.lab.layout import LabImages
from brainit.data.lab.miyawaki import import_miyawaki
from brainit.data.lab.search import find_files


def fault(code: str, call: Any, *args: Any) -> str:
    """Return the text of the error, which has this code."""
    with pytest.raises(PipelineError) as error:
        call(*args)
    assert error.value.code == code
    return str(error.value)


def save_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 6, 3), value, dtype=np.uint8)).save(path)


# --- Miyawaki 2008 -----------------------------------------------------------------------------


def miyawaki(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "fmriTrn": rng.normal(size=(4, 5)),
        "fmriTest": rng.normal(size=(2, 5)),
        "stimTrn": rng.random((4, 784)),
        "stimTest": rng.random((2, 784)),
        "labelTrn": np.array([[21], [21], [22], [23]], dtype=np.uint16),
        "labelTest": np.array([[22], [23]], dtype=np.uint16),
        "train_indices": np.array([[0, 1, 2, 5]]),
        "test_indices": np.array([[3, 4]]),
    }


def test_miyawaki(tmp_path: Path) -> None:
    arrays = miyawaki(np.random.default_rng(0))
    savemat(tmp_path / "m.mat", arrays)
    source, folder = str(tmp_path / "m.mat"), tmp_path / "lab"
    assert guarded(run, ["import-subject", "miyawaki2008", source, str(folder)]) == 0
    table = pd.read_csv(folder / "trials.csv")
    assert table["split"].tolist() == ["train", "train", "train", "test", "test", "train"]
    assert table["run"].tolist() == [1, 1, 2, 2, 3, 3]
    betas = np.load(folder / "betas.npy")
    np.testing.assert_allclose(betas[4], arrays["fmriTest"][1], rtol=1e-6)
    np.testing.assert_allclose(betas[5], arrays["fmriTrn"][3], rtol=1e-6)
    shown = np.load(folder / "images.npy")
    for row in range(28):
        column_by_column = arrays["stimTest"][0, row::28]
        np.testing.assert_array_equal(
            shown[table["image"][3], row], np.rint(column_by_column * 255)
        )


@pytest.mark.parametrize(
    ("name", "value", "code", "fact"),
    [
        ("stimTrn", None, "missing-data", "['stimTrn']"),
        ("labelTest", np.zeros((3, 1)), "wrong-shape", "'labelTest': (3, 1)"),
        ("stimTest", np.zeros((2, 100)), "wrong-shape", "784"),
    ],
)
def test_other_miyawaki_files(tmp_path: Path, name: str, value: Any, code: str, fact: str) -> None:
    arrays = miyawaki(np.random.default_rng(0)) | {name: value}
    savemat(tmp_path / "m.mat", {k: v for k, v in arrays.items() if v is not None})
    assert fact in fault(code, import_miyawaki, tmp_path / "m.mat", tmp_path / "lab")
    assert not (tmp_path / "lab").exists()


def test_no_matlab_file_and_a_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "m.mat").write_bytes(b"no matlab")
    assert "m.mat" in fault("damaged-file", import_miyawaki, tmp_path / "m.mat", tmp_path / "lab")
    savemat(tmp_path / "m.mat", miyawaki(np.random.default_rng(0)))
    text = fault("invalid-argument", import_miyawaki, tmp_path / "m.mat", tmp_path)
    assert str(tmp_path) in text


# --- Generic Object Decoding -------------------------------------------------------------------

GOD_IMAGES = {1443537.022563: "n01443537_22563", 4252225.000031: "n04252225_31"}


def write_god(path: Path, spelling: tuple[str, str], image_key: str) -> np.ndarray:
    """Write bdpy's HDF5: seven samples (two of imagery) of four voxels, three of them in VC."""
    rng = np.random.default_rng(1)
    keys = ["VoxelData", "ROI_V1", "ROI_VC", "DataType", "Run", image_key]
    keys += [f"voxel_{axis}" for axis in "xyz"]
    values = np.full((len(keys), 7), np.nan)
    values[0, :4], values[1, :1], values[2, 1:4] = 1, 1, 1
    values[3, 4], values[4, 5], values[5, 6] = 1, 1, 1
    values[6:, :4] = rng.normal(size=(3, 4)) * 30
    samples = rng.normal(size=(7, 7))
    samples[:, 4] = [1, 1, 1, 2, 2, 3, 3]
    samples[:, 5] = [1, 1, 2, 1, 2, 1, 1]
    train, test = GOD_IMAGES
    samples[:, 6] = [train, train, train, test, test, test, test]
    with h5py.File(path, "w") as handle:
        handle[spelling[0]] = samples
        handle[f"{spelling[1]}/key"] = np.array(keys, dtype="S")
        handle[f"{spelling[1]}/description"] = np.array(keys, dtype="S")
        handle[f"{spelling[1]}/value"] = values
    return samples


@pytest.fixture
def god_images(tmp_path: Path) -> Path:
    for number, name in enumerate(GOD_IMAGES.values()):
        save_image(tmp_path / "images" / str(number) / f"{name}.JPEG", number)
    return tmp_path / "images"


@pytest.mark.parametrize("spelling", [("dataSet", "metaData"), ("dataset", "metadata")])
@pytest.mark.parametrize("image_key", ["Label", "stimulus_id"])
def test_god(tmp_path: Path, god_images: Path, spelling: tuple[str, str], image_key: str) -> None:
    samples = write_god(tmp_path / "Subject1.h5", spelling, image_key)
    words = ["god", str(tmp_path / "Subject1.h5"), str(tmp_path / "lab"), "--images"]
    assert guarded(run, ["import-subject", *words, str(god_images)]) == 0
    betas = np.load(tmp_path / "lab" / "betas.npy")
    np.testing.assert_array_equal(betas, samples[:5, 1:4].astype(np.float32))
    table = pd.read_csv(tmp_path / "lab" / "trials.csv")
    assert table["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert table["session"].tolist() == [1, 1, 1, 2, 2]
    assert table["run"].tolist() == [1, 1, 2, 1, 2]
    assert table["image"].tolist() == ["n01443537_22563.JPEG"] * 3 + ["n04252225_31.JPEG"] * 2
    with h5py.File(tmp_path / "Subject1.h5") as handle:
        place = handle[f"{spelling[1]}/value"][6:, 1:4]
    voxels = pd.read_csv(tmp_path / "lab" / "voxels.csv")
    np.testing.assert_allclose(voxels[["x_mm", "y_mm", "z_mm"]].to_numpy(), place.T)
    assert LabImages(tmp_path / "lab").image("n04252225_31.JPEG").getpixel((0, 0)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1443537.022563, "n01443537_22563.JPEG"),
        (13054560.000008, "n13054560_8.JPEG"),
        (1518878.01004, "n01518878_10040.JPEG"),
    ],
)
def test_image_id_of_god(number: float, name: str) -> None:
    assert image_name(number) == name


def test_faults_of_god(tmp_path: Path, god_images: Path) -> None:
    path, folder = tmp_path / "Subject1.h5", tmp_path / "lab"
    path.write_bytes(b"no HDF5")
    assert "Subject1.h5" in fault("damaged-file", import_god, path, god_images, folder)
    with h5py.File(path, "w") as handle:
        handle["data"] = np.zeros(3)
    assert "Subject1.h5" in fault("wrong-kind", import_god, path, god_images, folder)
    write_god(path, ("dataset", "metadata"), "Other")
    assert "key stimulus_id" in fault("missing-data", import_god, path, god_images, folder)
    write_god(path, ("dataset", "metadata"), "Label")
    (god_images / "1" / "n04252225_31.JPEG").unlink()
    text = fault("missing-file", import_god, path, god_images, folder)
    assert "n04252225_31.JPEG" in text and "0 more" in text and "--images" in text
    words = ["import-subject", "god", str(path), str(folder)]
    assert guarded(run, words) == 2
    with h5py.File(path, "a") as handle:
        del handle["metadata/value"]
        handle["metadata/value"] = np.zeros((3, 7))
    assert "value (3, 7)" in fault("wrong-shape", import_god, path, god_images, folder)
    assert not folder.exists()


# --- BOLD5000 ----------------------------------------------------------------------------------

RUNS = {
    (1, 1): ["COCO_train2014_01.jpg", "n02084071_5.JPEG", "airport1.jpg"],
    (1, 2): ["rep_n02084071_5.JPEG", "bakery2.jpg", "beach3.jpg"],
    (2, 10): ["attic4.jpg", "rep_n02084071_5.JPEG", "bar5.jpg"],
}
N_OF_REGION = {name: number + 1 for number, name in enumerate(REGIONS)}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Write release 2.0's folders; one voxel of the left LOC is NaN in one trial."""
    root, rng = tmp_path / "release", np.random.default_rng(3)
    lists = root / "BOLD5000_Stimuli" / "Stimuli_Presentation_Lists" / "CSI2"
    pictures = root / "BOLD5000_Stimuli" / "Scene_Stimuli" / "Presented_Stimuli"
    for (session, number), names in RUNS.items():
        path = lists / f"CSI2_sess{session:02d}" / f"CSI_sess{session:02d}_run{number:02d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
        for name in names:
            save_image(pictures / "Scene" / name.removeprefix("rep_"), 7)
    betas = root / "BOLD5000_GLMsingle_ROI_betas" / "py"
    betas.mkdir(parents=True)
    for side in ("LH", "RH"):
        for region, n_voxels in N_OF_REGION.items():
            values = rng.normal(size=(9, n_voxels))
            if (side, region) == ("LH", "LOC"):
                values[3, 1] = np.nan
            version = "GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses"
            np.save(betas / f"CSI2_{version}_{side}{region}.npy", values)
    return root


def test_bold5000(release: Path, tmp_path: Path) -> None:
    words = ["bold5000", str(release), str(tmp_path / "lab"), "--subject", "CSI2"]
    assert guarded(run, ["import-subject", *words]) == 0
    assert subject_faults(tmp_path / "lab") == []
    table = pd.read_csv(tmp_path / "lab" / "trials.csv")
    expected = [name.removeprefix("rep_") for names in RUNS.values() for name in names]
    assert table["image"].tolist() == expected
    assert table["session"].tolist() == [1] * 6 + [2] * 3
    assert table["run"].tolist() == [1] * 3 + [2] * 3 + [10] * 3
    is_test = [name == "n02084071_5.JPEG" for name in expected]
    assert (table["split"] == "test").tolist() == is_test
    betas, voxels = (
        np.load(tmp_path / "lab" / "betas.npy"),
        pd.read_csv(tmp_path / "lab" / "voxels.csv"),
    )
    n_side = sum(N_OF_REGION.values())
    assert betas.shape == (9, 2 * n_side - 1) and len(voxels) == 2 * n_side - 1
    assert voxels["hemisphere"].tolist() == [0] * (n_side - 1) + [1] * n_side
    name = "CSI2_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_RHPPA.npy"
    source = np.load(next(release.rglob(name))).astype(np.float32)
    chosen = (voxels["hemisphere"] == 1) & (voxels["roi"] == "PPA")
    np.testing.assert_array_equal(betas[:, chosen], source)
    assert len(list((tmp_path / "lab" / "images").iterdir())) == 7


def test_faults_of_bold5000(release: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    text = fault("missing-file", read_presentations, release, "CSI1")
    assert "Stimuli_Presentation_Lists/CSI1" in text
    picture = next(release.rglob("bakery2.jpg"))
    picture.rename(tmp_path / "bakery2.jpg")
    text = fault("missing-file", import_bold5000, release, "CSI2", folder)
    assert "bakery2.jpg" in text and "0 more" in text
    (tmp_path / "bakery2.jpg").rename(picture)
    region = next(release.rglob("*LHOPA.npy"))
    np.save(region, np.zeros((8, 2)))
    text = fault("wrong-shape", import_bold5000, release, "CSI2", folder)
    assert "LHOPA.npy" in text and "(8, 2)" in text
    region.write_bytes(b"no array")
    assert "LHOPA.npy" in fault("damaged-file", import_bold5000, release, "CSI2", folder)
    region.unlink()
    assert "LHOPA.npy" in fault("missing-file", import_bold5000, release, "CSI2", folder)
    for path in release.rglob("*.npy"):
        np.save(path, np.zeros((8, 2)))
    np.save(region, np.zeros((8, 2)))
    text = fault("inconsistent-inputs", import_bold5000, release, "CSI2", folder)
    assert "9 trials of CSI2" in text and "found 8" in text
    assert not folder.exists()


def test_recording_without_a_finite_voxel(tmp_path: Path) -> None:
    arrays = miyawaki(np.random.default_rng(0))
    arrays["fmriTrn"][0] = np.nan
    savemat(tmp_path / "m.mat", arrays)
    assert str(tmp_path / "lab") in fault(
        "bad-values", import_miyawaki, tmp_path / "m.mat", tmp_path / "lab"
    )


# --- Files anywhere below a folder -------------------------------------------------------------


def test_links_are_followed_once(release: Path, tmp_path: Path) -> None:
    stimuli, elsewhere = release / "BOLD5000_Stimuli", tmp_path / "disk" / "BOLD5000_Stimuli"
    elsewhere.parent.mkdir()
    stimuli.rename(elsewhere)
    stimuli.symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "above").symlink_to(release, target_is_directory=True)  # a loop
    import_bold5000(release, "CSI2", tmp_path / "lab")
    assert subject_faults(tmp_path / "lab") == []


def test_a_folder_first_reached_by_a_link_keeps_its_real_name(
    release: Path, tmp_path: Path
) -> None:
    def is_list(path: Path) -> bool:
        return path.parts[-4:-2] == ("Stimuli_Presentation_Lists", "CSI2")

    before = find_files(release, is_list)
    assert before
    lists = before[0].parents[1]
    (release / "0").symlink_to(lists, target_is_directory=True)
    (lists / "zzz").symlink_to(before[0].parent, target_is_directory=True)
    assert find_files(release, is_list) == before
    import_bold5000(release, "CSI2", tmp_path / "lab")
    assert subject_faults(tmp_path / "lab") == []


def test_files_of_the_system_are_passed_over(release: Path, tmp_path: Path) -> None:
    for path in [*release.rglob("*.npy"), *release.rglob("*.txt"), *release.rglob("*.jpg")]:
        path.with_name(f"._{path.name}").write_bytes(b"side")
        copy = release / "__MACOSX" / path.relative_to(release)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"side")
    import_bold5000(release, "CSI2", tmp_path / "lab")
    assert subject_faults(tmp_path / "lab") == []


@pytest.mark.parametrize("pattern", ["*LHOPA.npy", "*run01.txt", "bakery2.jpg"])
def test_two_different_files_of_one_name_are_refused(
    release: Path, tmp_path: Path, pattern: str
) -> None:
    path = next(release.rglob(pattern))
    kept = path.read_bytes()
    other = release / "0_old" / Path(*path.relative_to(release).parts[-4:])
    other.parent.mkdir(parents=True)
    other.write_bytes(kept[:-1] + b"!")
    text = fault("duplicate-data", import_bold5000, release, "CSI2", tmp_path / "lab")
    assert str(other.relative_to(release)) in text and str(path.relative_to(release)) in text
    if pattern != "*run01.txt":  # the same bytes twice leave no choice
        other.write_bytes(kept)
        import_bold5000(release, "CSI2", tmp_path / "lab")


def test_two_names_of_one_image_are_refused(release: Path, tmp_path: Path) -> None:
    path = next(release.rglob("*sess02_run10.txt"))
    path.write_text("attic4.jpg\nrep_n02084071_5.JPEG\nn02084071_5.jpg\n")
    text = fault("duplicate-data", import_bold5000, release, "CSI2", tmp_path / "lab")
    assert "n02084071_5.JPEG" in text and "n02084071_5.jpg" in text


def test_a_list_cannot_write_outside_the_folder(release: Path, tmp_path: Path) -> None:
    path = next(release.rglob("*sess02_run10.txt"))
    path.write_text("../../attic4.jpg\nrep_n02084071_5.JPEG\nbar5.jpg\n")
    before = sorted(tmp_path.rglob("*"))
    fault("bad-values", import_bold5000, release, "CSI2", tmp_path / "lab")
    assert sorted(tmp_path.rglob("*")) == before


def test_values_beyond_float32_drop_their_voxel(
    release: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = next(release.rglob("*RHPPA.npy"))
    values = np.load(path)
    values[2, 0] = 1e300
    np.save(path, values)
    with caplog.at_level("WARNING"):
        import_bold5000(release, "CSI2", tmp_path / "lab")
    betas = np.load(tmp_path / "lab" / "betas.npy")
    assert np.isfinite(betas).all() and betas.shape[1] == 2 * sum(N_OF_REGION.values()) - 2
    assert "2 voxels" in caplog.text
