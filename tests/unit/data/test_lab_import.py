"""A lab's folder becomes the pipeline's files: value for value those of its arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.lab_folder import N_TRIALS, lab_trials, lab_voxels, write_lab_folder

from brainit.core.artifacts import read_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import ImageSettings, NsdSettings, Settings
from brainit.data.fmri import load_subject_fmri
from brainit.data.images import ImageStore
from brainit.data.lab.prepare import LabOutputs, import_lab_subject
from brainit.data.noise_ceiling import ceiling_percent, ncsnr_from_trials, pooled_ceiling
from brainit.data.trials import SECONDS, read_trials

KEPT = [0, 1, 3, 4, 5, 6]
SETTINGS = Settings(
    nsd=NsdSettings(validation_share=0.25), images=ImageSettings(stored_size=8, rows_per_shard=5)
)


def outputs(root: Path) -> LabOutputs:
    names = ("trials.csv", "names.csv", "stimuli", "betas.npy", "voxels.safetensors")
    rest = ("betas.json", "ceiling.safetensors", "ceiling.csv")
    return LabOutputs(*(root / name for name in (*names, *rest)))


def imported(folder: Path, root: Path, settings: Settings = SETTINGS) -> LabOutputs:
    made = outputs(root)
    import_lab_subject(folder, "labsub", settings, made)
    return made


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab_folder(tmp_path_factory.mktemp("source") / "lab")


@pytest.fixture(scope="module")
def made(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> LabOutputs:
    return imported(lab, tmp_path_factory.mktemp("made"))


def test_betas_are_z_scores_of_the_folder(lab: Path, made: LabOutputs) -> None:
    raw = np.load(lab / "betas.npy").astype(np.float64)
    betas = np.load(made.betas)
    assert betas.dtype == np.float16 and betas.shape == (N_TRIALS, len(KEPT))
    for first in (0, 12):
        for place, column in enumerate(KEPT):
            values = [raw[row, column] for row in range(first, first + 12)]
            mean = sum(values) / 12
            deviation = (sum((v - mean) ** 2 for v in values) / 12) ** 0.5
            expected = [(value - mean) / deviation for value in values]
            np.testing.assert_allclose(betas[first : first + 12, place], expected, atol=2e-3)


def test_trials_name_the_rows_of_the_store(lab: Path, made: LabOutputs) -> None:
    trials, names = read_trials(made.trials), pd.read_csv(made.images)
    assert names["nsd_id"].tolist() == list(range(16))
    by_row = dict(zip(names["nsd_id"], names["image"], strict=True))
    source = lab_trials()
    assert [by_row[row] for row in trials["nsd_id"]] == source["image"].tolist()
    for column in ("trial", "session", "run"):
        assert trials[column].tolist() == source[column].tolist()
    assert trials["trial_in_session"].tolist() == list(range(12)) * 2
    is_often = source["image"].str.endswith("jpg")
    assert (trials["split"] == "test").tolist() == is_often.tolist()
    assert (trials["split"] == "val").sum() == 3  # a quarter of the 12 images shown once
    seen: dict[int, int] = {}
    for nsd_id, repeat in zip(trials["nsd_id"], trials["repeat"], strict=True):
        assert repeat == seen.get(nsd_id, 0)
        seen[nsd_id] = repeat + 1


def test_images_are_the_centre_squares(lab: Path, made: LabOutputs) -> None:
    store = ImageStore(made.stimuli)
    assert len(store) == 16 and store.image_size == 8
    for row, name in enumerate(pd.read_csv(made.images)["image"]):
        with Image.open(lab / "images" / name) as file:
            image = file.convert("RGB")
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        box = (left, top, left + short, top + short)
        expected = np.asarray(image.resize((8, 8), Image.Resampling.BICUBIC, box=box))
        np.testing.assert_array_equal(store.pixels(np.array([row]))[0], expected)


def test_voxels(made: LabOutputs) -> None:
    voxels = read_artifact(made.voxels, "voxels")
    source = lab_voxels().iloc[KEPT]
    assert voxels["vertex"].tolist() == source["vertex"].tolist()
    assert voxels["hemisphere"].tolist() == source["hemisphere"].tolist()
    np.testing.assert_allclose(voxels["position_mm"], source[["x_mm", "y_mm", "z_mm"]], rtol=1e-6)
    assert voxels["noise_ceiling"].tolist() == source["noise_ceiling"].tolist()
    assert voxels.attributes["space"] == "lab surface"


def test_ceiling_of_three_repeats_is_that_of_nsd(made: LabOutputs) -> None:
    trials, betas = read_trials(made.trials), np.load(made.betas)
    expected = ceiling_percent(ncsnr_from_trials(betas, trials["nsd_id"].to_numpy()), {3: 1})
    found = read_artifact(made.ceiling, "noise_ceiling")
    np.testing.assert_allclose(found["recomputed"], expected, rtol=1e-4, atol=1e-3)
    assert expected.max() > 1


def test_ceiling_of_unequal_repeats() -> None:
    rng = np.random.default_rng(2)
    nsd_id = [0, 1, 0, 2, 1, 0, 3, 3]
    signal = np.array([1.0, -1.0, 0.5, 0.2])[nsd_id]
    betas = (signal[:, None] + 0.4 * rng.normal(size=(8, 3))).astype(np.float16)
    trials = pd.DataFrame({"trial": range(8), "nsd_id": nsd_id})
    found = pooled_ceiling(betas, trials)
    for voxel in range(3):
        squares, freedom = 0.0, 0
        for image in (0, 1, 3):
            values = [float(betas[row, voxel]) for row in range(8) if nsd_id[row] == image]
            mean = sum(values) / len(values)
            squares += sum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
        noise = squares / freedom
        assert found.percent[voxel] == pytest.approx(100 * (1 - noise) / (1 - noise + noise / 3))
    assert found.n_images == 3


def test_what_is_not_given_is_not_made_up(lab: Path, tmp_path: Path) -> None:
    folder = write_lab_folder(tmp_path / "plain")
    (folder / "voxels.csv").unlink()
    betas = np.nan_to_num(np.load(folder / "betas.npy"))[::2]
    np.save(folder / "betas.npy", betas)
    table = lab_trials()[::2].assign(trial=range(12), split=["train", "test"] * 6)
    table.to_csv(folder / "trials.csv", index=False)
    made = imported(folder, tmp_path)
    voxels = read_artifact(made.voxels, "voxels")
    assert (
        voxels["vertex"].tolist() == list(range(7)) and voxels.attributes["space"] == "lab volume"
    )
    assert set(voxels["hemisphere"]) == {-1}
    for name in ("position_mm", "noise_ceiling"):
        assert np.isnan(voxels[name]).all(), name
    assert np.isnan(read_artifact(made.ceiling, "noise_ceiling")["recomputed"]).all()
    assert pd.read_csv(made.ceiling_summary)["n_images_repeated"].tolist() == [0]


def test_one_hour_is_the_whole_first_session(lab: Path, made: LabOutputs) -> None:
    fmri = load_subject_fmri("labsub", made.betas, made.trials, ("train", "val"), "1h", False)
    assert len(fmri.nsd_id) == 6
    quarter = load_subject_fmri("labsub", made.betas, made.trials, ("train", "val"), "15min", False)
    run = lab_trials()["run"][:12:2]
    assert len(quarter.nsd_id) == (run <= 3).sum()


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, None),
        ({"has_sessions": True}, None),
        ({"seconds_per_trial": 90}, 90.0),
        ({"has_sessions": False, "seconds_per_trial": 90.0}, 90.0),
        ({"has_sessions": False}, np.nan),
    ],
)
def test_time_by_trials_where_the_folder_says_so(
    tmp_path: Path, about: dict[str, Any], expected: float | None
) -> None:
    """Trials of 90 s: ten in 15 minutes, twenty in 30, over both sessions of twelve."""
    folder = write_lab_folder(tmp_path / "lab")
    (folder / "subject.json").write_text(json.dumps(about))
    made = imported(folder, tmp_path / "made")
    trials = read_trials(made.trials)
    if expected is None:
        assert SECONDS not in trials
        return
    np.testing.assert_array_equal(trials[SECONDS], expected)
    is_own = trials["split"].isin(("train", "val"))
    if np.isnan(expected):
        with pytest.raises(PipelineError) as error:
            load_subject_fmri("labsub", made.betas, made.trials, ("train",), "15min", False)
        assert error.value.code == "missing-data" and "recon_500trials" in error.value.fix
        return
    for duration, n_trials in {"15min": 10, "30min": 20, "1h": N_TRIALS}.items():
        splits = ("train", "val")
        fmri = load_subject_fmri("labsub", made.betas, made.trials, splits, duration, False)
        assert len(fmri.nsd_id) == is_own[:n_trials].sum(), duration


@pytest.mark.parametrize(
    ("field", "value"),
    [("seconds_per_trial", v) for v in (0, -3.0, "4", True, float("inf"))]
    + [("has_sessions", v) for v in ("no", 0, None)],
)
def test_timing_that_is_none_is_refused(tmp_path: Path, field: str, value: object) -> None:
    folder = write_lab_folder(tmp_path / "lab")
    (folder / "subject.json").write_text(json.dumps({field: value}))
    with pytest.raises(PipelineError) as error:
        imported(folder, tmp_path / "made")
    assert field in str(error.value) and repr(value) in str(error.value)


def test_statistics_of_training_trials(lab: Path, tmp_path: Path) -> None:
    settings = Settings(
        nsd=NsdSettings(validation_share=0.0, zscore="training_trials"), images=SETTINGS.images
    )
    made = imported(lab, tmp_path, settings)
    is_train = (read_trials(made.trials)["split"] == "train").to_numpy()
    betas = np.load(made.betas).astype(np.float64)
    for session in (slice(0, 12), slice(12, 24)):
        reference = betas[session][is_train[session]]
        np.testing.assert_allclose(reference.mean(axis=0), 0, atol=2e-3)
        np.testing.assert_allclose(reference.std(axis=0), 1, atol=2e-3)


def test_session_without_training_trials_has_no_training_statistics(tmp_path: Path) -> None:
    folder = write_lab_folder(tmp_path / "lab")
    table = lab_trials()
    split = table["session"].map({1: "train", 2: "test"})
    split[table["image"].str.endswith("jpg") & (table["session"] == 1)] = "unused"
    table.assign(split=split).to_csv(folder / "trials.csv", index=False)
    settings = Settings(nsd=NsdSettings(zscore="training_trials"), images=SETTINGS.images)
    with pytest.raises(PipelineError) as error:
        imported(folder, tmp_path, settings)
    assert error.value.code == "missing-data" and "session 2" in error.value.where
    assert (error.value.found, "nsd.zscore" in error.value.fix) == ("0", True)
    assert not outputs(tmp_path).betas.exists()


def test_invalid_folder_writes_nothing(tmp_path: Path) -> None:
    folder = write_lab_folder(tmp_path / "lab")
    (folder / "images" / "a.png").unlink()
    with pytest.raises(PipelineError) as error:
        imported(folder, tmp_path / "made")
    assert error.value.code == "wrong-kind"
    assert "1 fault" in error.value.found and "a.png" in error.value.found
    assert not (tmp_path / "made").exists()


def test_zscores_beyond_float16_are_refused(tmp_path: Path) -> None:
    folder = write_lab_folder(tmp_path / "lab")
    betas = np.load(folder / "betas.npy")
    is_train = lab_trials()["image"].str.endswith("png").to_numpy()
    betas[is_train, 3] = np.arange(is_train.sum()) % 2 * 1e-6
    np.save(folder / "betas.npy", betas)
    nsd = NsdSettings(validation_share=0.25, zscore="training_trials")
    with pytest.raises(PipelineError) as error:
        imported(folder, tmp_path / "made", SETTINGS.model_copy(update={"nsd": nsd}))
    assert error.value.code == "bad-values" and "columns 3" in error.value.found
    assert not (tmp_path / "made" / "betas.npy").exists()
    betas[:, 3] = np.arange(N_TRIALS)
    wide = betas.astype(np.float64)
    wide[2, 5] = 1e300  # beyond float32
    np.save(folder / "betas.npy", wide)
    with pytest.raises(PipelineError) as error:
        imported(folder, tmp_path / "made")
    assert error.value.code == "bad-values" and "columns 5" in error.value.found
