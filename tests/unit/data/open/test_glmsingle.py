"""GLMsingle's outputs in each of their formats become the same arrays; events name the images."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.refusals import refused

from brainit.commands.program import run
from brainit.core.cli import guarded
from brainit.data.open.glmsingle import GlmsingleImport, beta_files, import_glmsingle

SHAPE, N_EACH = (5, 4, 3), 8
AFFINE = np.diag([2.0, 2, 2, 1])
AFFINE[:3, 3] = (-4, 10, 0)


def shown(session: int) -> list[str]:
    """Return images of a session in time order: six once, one twice."""
    names = [f"once {session}_{k}.png" for k in range(6)] + ["twice.png"] * 2
    return [names[i] for i in np.random.default_rng(session).permutation(N_EACH)]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Write events, images and a mask; betas come from `volumes`."""
    for session in (1, 2):
        for number in (1, 2):
            names = shown(session)[(number - 1) * 4 : number * 4]
            table = pd.DataFrame({"onset": [1.5 + 4 * k for k in range(4)], "duration": 3})
            table["stim_file"] = [f"images/{name}" for name in names]
            table["trial_type"] = "new"
            table.loc[len(table)] = [0.0, 3, "n/a", "blank"]
            folder = tmp_path / f"events/sub-01/ses-{session:02d}/func"
            folder.mkdir(parents=True, exist_ok=True)
            name = f"sub-01_ses-{session:02d}_task-images_run-{number}_events.tsv"
            table.sample(frac=1, random_state=number).to_csv(folder / name, sep="\t", index=False)
    (tmp_path / "images").mkdir()
    for number, name in enumerate(sorted({*shown(1), *shown(2)})):
        Image.fromarray(np.full((6, 6), 10 * number, np.uint8)).save(tmp_path / "images" / name)
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:4, 1:3, 1] = 1
    nib.save(nib.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii.gz")
    return tmp_path


def volumes() -> np.ndarray:
    """Return betas (x, y, z, trials) of both sessions; one voxel has a NaN in session 2."""
    values = np.random.default_rng(0).normal(2, 1, (*SHAPE, 2 * N_EACH)).astype(np.float32)
    values[2, 1, 1, 12] = np.nan
    return values


def in_mask() -> np.ndarray:
    """Return the volumes' voxels in the mask, in the order of argwhere, less the one with a NaN."""
    places = [(x, y, 1) for x in (1, 2, 3) for y in (1, 2) if (x, y) != (2, 1)]
    return np.stack([volumes()[place] for place in places], axis=1)


def as_nifti(folder: Path) -> Path:
    nib.save(nib.Nifti1Image(volumes(), AFFINE), folder / "TYPED_FITHRF.nii.gz")
    return folder / "TYPED_FITHRF.nii.gz"


def as_array(folder: Path) -> Path:
    np.save(folder / "betas.npy", np.asfortranarray(volumes()))
    return folder / "betas.npy"


def as_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "TYPED_FITHRF_GLMDENOISE_RR.hdf5", "w") as handle:
        handle["betasmd"] = volumes()
    return folder / "TYPED_FITHRF_GLMDENOISE_RR.hdf5"


def as_matlab(folder: Path) -> Path:
    with h5py.File(folder / "TYPED_FITHRF_GLMDENOISE_RR.mat", "w") as handle:
        handle["modelmd"] = volumes().T
        handle["modelmd"].attrs["MATLAB_class"] = np.bytes_("single")
    return folder / "TYPED_FITHRF_GLMDENOISE_RR.mat"


def as_sessions(folder: Path) -> Path:
    """Write a folder: GLMsingle's models of each session, of which the last is to be used."""
    for session in (1, 2):
        part = volumes()[..., (session - 1) * N_EACH : session * N_EACH]
        place = folder / f"outputs/ses-{session:02d}"
        place.mkdir(parents=True)
        np.save(place / "TYPED_FITHRF_GLMDENOISE_RR.npy", part)
        np.save(place / "TYPEB_FITHRF.npy", part * 0)
    return folder / "outputs"


def wanted(own: Path, source: Path) -> GlmsingleImport:
    return GlmsingleImport(source, own / "events", own / "images", (own / "mask.nii.gz",))


@pytest.mark.parametrize("write", [as_nifti, as_array, as_hdf5, as_matlab, as_sessions])
def test_every_format_gives_the_same_arrays(own: Path, write: Callable[[Path], Path]) -> None:
    import_glmsingle(wanted(own, write(own)), own / "sub")
    np.testing.assert_array_equal(np.load(own / "sub/betas.npy"), in_mask())
    trials = pd.read_csv(own / "sub/trials.csv")
    assert trials["image"].tolist() == shown(1) + shown(2)
    assert trials["session"].tolist() == [1] * N_EACH + [2] * N_EACH
    assert trials["run"].tolist() == [1, 1, 1, 1, 2, 2, 2, 2] * 2
    assert (trials["split"] == "test").tolist() == (trials["image"] == "twice.png").tolist()
    voxels = pd.read_csv(own / "sub/voxels.csv")
    assert voxels["x_mm"].tolist() == [-2, -2, 0, 2, 2] and len(voxels) == 5
    assert voxels["hemisphere"].tolist() == [0, 0, 1, 1, 1]


def test_from_the_command(own: Path) -> None:
    arguments = ["import-subject", "glmsingle", str(as_nifti(own)), str(own / "sub")]
    assert guarded(run, arguments) == 2  # no events
    arguments += ["--events", str(own / "events"), "--images", str(own / "images")]
    assert guarded(run, arguments) == 2  # no mask
    assert guarded(run, [*arguments, "--mask", str(own / "mask.nii.gz")]) == 0


def test_voxels_without_a_mask(own: Path) -> None:
    values = volumes()[:2].reshape(-1, 1, 1, 2 * N_EACH)
    np.save(own / "betas.npy", values)
    ask = GlmsingleImport(own / "betas.npy", own / "events", own / "images", ())
    import_glmsingle(ask, own / "sub")
    expected = values.reshape(len(values), -1).T
    np.testing.assert_array_equal(np.load(own / "sub/betas.npy"), expected)
    assert not (own / "sub/voxels.csv").exists()


def test_pickles_are_not_loaded(own: Path) -> None:
    content = np.array({"betasmd": volumes()}, dtype=object)
    np.save(own / "TYPED.npy", content, allow_pickle=True)
    with refused("unsafe-file", "betasmd"):
        import_glmsingle(wanted(own, own / "TYPED.npy"), own / "sub")


def test_trials_that_differ_from_the_events(own: Path) -> None:
    np.save(own / "betas.npy", volumes()[..., :-1])
    with refused("inconsistent-inputs", "16 trials", "found 15"):
        import_glmsingle(wanted(own, own / "betas.npy"), own / "sub")
    shutil.rmtree(own / "events/sub-01/ses-02")
    with refused("inconsistent-inputs", "[1]", "[1, 2]"):
        import_glmsingle(wanted(own, as_sessions(own)), own / "sub")
    (own / "images/twice.png").unlink()
    np.save(own / "betas.npy", volumes()[..., :N_EACH])
    with refused("missing-file", "twice.png"):
        import_glmsingle(wanted(own, own / "betas.npy"), own / "sub")


def test_masks_and_volumes_that_do_not_overlap(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = volumes()
    values[3, 1:3] = 0
    shifted = AFFINE.copy()
    shifted[1, 3] += 6
    nib.save(nib.Nifti1Image(values, shifted), own / "betas.nii.gz")
    import_glmsingle(wanted(own, own / "betas.nii.gz"), own / "sub")
    messages = " ".join(record.message for record in caplog.records)
    assert "6.0 mm" in messages and "33 %" in messages
    values[:] = 0
    np.save(own / "zeros.npy", values)
    with refused("inconsistent-inputs", "session 1", "zeros"):
        import_glmsingle(wanted(own, own / "zeros.npy"), own / "other")
    np.save(own / "small.npy", values[1:])
    with refused("inconsistent-inputs", "(4, 4, 3)"):
        import_glmsingle(wanted(own, own / "small.npy"), own / "third")


def test_an_import_that_continues_takes_no_sessions_of_other_inputs(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = wanted(own, as_sessions(own))
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr("brainit.data.open.glmsingle.write_imported", interrupt)
        import_glmsingle(ask, own / "sub")
    made = str(own / ".sub.import/sessions")
    path = next((own / "events").rglob("*ses-02*run-1*"))
    original = path.read_text()
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    table["stim_file"] = table["stim_file"].replace(
        {r"images/once.*": "images/twice.png"}, regex=True
    )
    table.to_csv(path, sep="\t", index=False)
    with refused("wrong-settings", made, "presentations"):
        import_glmsingle(ask, own / "sub")
    path.write_text(original)
    betas = own / "outputs/ses-02/TYPED_FITHRF_GLMDENOISE_RR.npy"
    np.save(betas, np.load(betas) + 1)
    with refused("wrong-settings", made, "betas"):
        import_glmsingle(ask, own / "sub")
    with refused("wrong-settings", made, "task"):
        import_glmsingle(replace(ask, task="images"), own / "sub")
    shutil.rmtree(made)
    import_glmsingle(ask, own / "sub")
    expected = in_mask() + np.repeat([0, 1], N_EACH)[:, None].astype(np.float32)
    np.testing.assert_array_equal(np.load(own / "sub/betas.npy"), expected)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_odd_events(own: Path) -> None:
    source = as_array(own)
    path = next((own / "events").rglob("*ses-02*run-1*"))
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    original = path.read_text()
    for change, code, fact in (
        (table.drop(columns="onset"), "missing-data", "onset"),
        (table.assign(onset="now"), "bad-values", "'now'"),
        (table.rename(columns={"stim_file": "other"}), "missing-data", "stim_file"),
        (table.assign(stim_file="other/twice.png"), "duplicate-data", "other/twice.png"),
    ):
        change.to_csv(path, sep="\t", index=False)
        with refused(code, fact):
            import_glmsingle(wanted(own, source), own / "sub")
    path.write_text(original)
    copy = path.with_name(path.name.replace("run-1", "acq-x_run-1"))
    shutil.copy(path, copy)
    with refused("duplicate-data", copy.name):
        import_glmsingle(wanted(own, source), own / "sub")


def test_files_of_betas_that_are_not_clear(own: Path) -> None:
    folder = own / "outputs"
    folder.mkdir()
    for name in ("a_ses-01.npy", "b_ses-1.npy"):
        np.save(folder / name, np.zeros(3))
    with refused("duplicate-data", "b_ses-1.npy"):
        beta_files(folder, [1, 2])
    (folder / "b_ses-1.npy").rename(folder / "b.npy")
    with refused("unknown-name", "b.npy"):
        beta_files(folder, [1, 2])
