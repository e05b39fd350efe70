"""Ridge on a subject's files: plain fits with scikit-learn, targets of all kinds, the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge as PlainRidge
from tests.baseline_subject import N_IMAGES, SETTINGS, TEST, TRAIN, VAL, write_subject
from tests.refusals import refused

from brainit.core.settings import BaselineSettings, NsdSettings, Settings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.images import ImageStore, resize_images
from brainit.features.registry import load_backbone
from brainit.models.baselines import predict
from brainit.models.baselines.predict import RidgeJob, predict_by_ridge
from brainit.models.baselines.predictions import (
    Predictions,
    StoredPredictions,
    write_predictions,
)
from brainit.models.baselines.targets import maps_of, open_targets

Array = NDArray[Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_subject(tmp_path)
    return tmp_path


def job(folder: Path, kind: str = "semantic", duration: str = "40h", **more: Any) -> RidgeJob:
    files = {name: folder / name for name in ("stimuli", "tokens")}
    betas, trials = folder / "betas.npy", folder / "trials.csv"
    return RidgeJob("subj02", kind, duration, betas, trials, **files, **more)  # type: ignore[arg-type]


def baselines(**changed: Any) -> Settings:
    values = SETTINGS.baselines.model_copy(update=changed)
    return SETTINGS.model_copy(update={"baselines": values})


def read(folder: Path) -> tuple[Array, pd.DataFrame, Array]:
    tokens = ShardedArray(folder / "tokens").rows(np.arange(N_IMAGES)).astype(float)
    betas = np.load(folder / "betas.npy").astype(float)
    return betas, pd.read_csv(folder / "trials.csv"), tokens.reshape(N_IMAGES, -1)


def averaged(betas: Array, trials: pd.DataFrame, images: Any) -> Array:
    """Average the trials of each image, rounded as the loader does."""
    means = [betas[(trials["nsd_id"] == image).to_numpy()].mean(0) for image in images]
    return np.stack(means).astype(np.float16).astype(float)


def plain(known: Array, targets: Array, new: Array, multiple: float, sd: Array) -> Array:
    """Fit scikit-learn's ridge with a penalty relative to the mean eigenvalue of all `sd`."""
    keep = sd > 0
    z, z_new = ((b[:, keep] - known[:, keep].mean(0)) / sd[keep] for b in (known, new))
    predicted: Array = PlainRidge(alpha=multiple).fit(z, targets).predict(z_new)
    return predicted


def scale(known: Array) -> tuple[Array, float]:
    """Return the deviations of the voxels and the mean eigenvalue of their z-scores."""
    sd = known.std(0, ddof=1)
    return sd, (sd > 0).sum() * (len(known) - 1) / len(known)


@pytest.mark.parametrize("rescale", ["none", "validation"])
def test_predictions_of_a_pool_are_plain_ones(folder: Path, rescale: str) -> None:
    betas, trials, tokens = read(folder)
    train, val, test = (averaged(betas, trials, part) for part in (TRAIN, VAL, TEST))
    sd, eigenvalue = scale(train)
    errors, found = [], []
    for multiple in SETTINGS.baselines.alphas:
        args = (train, tokens[TRAIN], multiple * eigenvalue, sd)
        of_val, of_test = (plain(*args[:2], new, *args[2:]) for new in (val, test))
        errors.append(((of_val - tokens[VAL]) ** 2).mean())
        if rescale == "validation":
            of_test = (of_test - of_val.mean(0)) / of_val.std(0) * tokens[TRAIN].std(0)
            of_test += tokens[TRAIN].mean(0)
        found.append(of_test)
    out = predict_by_ridge(job(folder), baselines(rescale=rescale))
    assert out.nsd_id.tolist() == list(TEST)
    expected = found[int(np.argmin(errors))]
    np.testing.assert_allclose(out.values.reshape(len(TEST), -1), expected, rtol=1e-4, atol=1e-4)
    assert out.values.shape[1:] == (3, 4)
    assert out.attributes["rescaled"] == (rescale == "validation")


def test_a_new_subject_leaves_out_each_image_with_its_repeats(folder: Path) -> None:
    betas, trials, tokens = read(folder)
    used = trials[trials["split"].isin(("train", "val")) & (trials["session"] == 1)]
    known, images = betas[used["trial"]], used["nsd_id"].to_numpy()
    sd, eigenvalue = scale(known)
    test = averaged(betas, trials, TEST)
    errors, found = [], []
    for multiple in SETTINGS.baselines.alphas:
        left_out = []
        for image in np.unique(images):
            rest = images != image
            args = tokens[images[rest]], known[~rest], multiple * eigenvalue, sd
            left_out.append(plain(known[rest], *args).mean(0))
        of_left_out, true = np.stack(left_out), tokens[np.unique(images)]
        errors.append(((of_left_out - true) ** 2).mean())
        of_test = plain(known, tokens[images], test, multiple * eigenvalue, sd)
        of_test = (of_test - of_left_out.mean(0)) / of_left_out.std(0)
        found.append(of_test * tokens[images].std(0) + tokens[images].mean(0))
    out = predict_by_ridge(job(folder, duration="1h", is_new=True), SETTINGS)
    expected = found[int(np.argmin(errors))]
    np.testing.assert_allclose(out.values.reshape(len(TEST), -1), expected, rtol=1e-4, atol=1e-4)


def test_blocks_of_images_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = predict_by_ridge(job(folder), SETTINGS)
    monkeypatch.setattr(predict, "_IMAGES_PER_BLOCK", 3)
    np.testing.assert_allclose(
        predict_by_ridge(job(folder), SETTINGS).values, whole.values, rtol=1e-5, atol=1e-5
    )


def test_single_trials_and_wrong_images_follow_the_settings(folder: Path) -> None:
    whole = predict_by_ridge(job(folder), SETTINGS)
    for nsd in (NsdSettings(average_training_repeats=False), NsdSettings(pairing="shuffled")):
        other = predict_by_ridge(job(folder), SETTINGS.model_copy(update={"nsd": nsd}))
        assert np.abs(other.values - whole.values).max() > 0.05


def test_images_left_out_are_drawn_where_there_are_many(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = job(folder, duration="1h", is_new=True)
    whole = predict_by_ridge(new, baselines(alphas=(1.0,), rescale="none"))
    monkeypatch.setattr(predict, "MOST_LEFT_OUT", 4)
    few = predict_by_ridge(new, baselines(alphas=(1.0,), rescale="none"))
    np.testing.assert_array_equal(few.values, whole.values)
    assert predict_by_ridge(new, SETTINGS).values.shape == whole.values.shape


def test_a_penalty_at_the_end_of_the_grid_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    predict_by_ridge(job(folder), baselines(alphas=(1e-6, 1e-5)))
    assert "baselines.alphas" in caplog.text


def test_targets_are_the_networks_features(folder: Path) -> None:
    images, store = np.array([4, 1]), ImageStore(folder / "stimuli")
    pixels = open_targets("lowlevel", folder / "stimuli", None, None, SETTINGS)
    expected = resize_images(store.images(images), 16)
    assert np.array_equal(pixels.of(images), expected.flatten(1).numpy())
    vgg: Any = load_backbone("vgg", "demo_vgg_bn")
    maps = open_targets("lowlevel", folder / "stimuli", None, None, baselines(lowlevel="vgg"))
    with torch.no_grad():
        wanted = vgg(store.images(images))
    found = maps_of(torch.from_numpy(maps.of(images)), vgg)
    assert all(torch.equal(one, two) for one, two in zip(found, wanted, strict=True))
    assert [part.stop - part.start for part in maps.slices] == [m[0].numel() for m in wanted]
    tower: Any = load_backbone("semantic_tokens", "demo_openclip")
    tokens = open_targets("semantic", folder / "stimuli", None, None, SETTINGS)
    with torch.no_grad():
        assert np.array_equal(tokens.of(images), tower(store.images(images)).flatten(1).numpy())
    assert tokens.shape == (64, 96) and tokens.network == "demo_openclip"


def test_predictions_survive_the_file_and_foreign_ones_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
    about = {"subject": "subj02", "kind": "semantic", "network": "n"}
    write_predictions(tmp_path / "p", Predictions(np.array([4, 9, 30]), values, about))
    stored = StoredPredictions(tmp_path / "p", "subj02", "semantic")
    assert np.array_equal(stored.of(np.array([30, 4])), values[[2, 0]].astype(np.float16))
    assert stored.nsd_id.tolist() == [4, 9, 30] and stored.network == "n"
    write_predictions(tmp_path / "q", Predictions(np.array([4, 9, 30]), values + 1, about))
    other = StoredPredictions(tmp_path / "q", "subj02", "semantic")
    assert other.model["sha256"] != stored.model["sha256"]
    with refused("wrong-kind", "semantic features of subj01", "subj02"):
        StoredPredictions(tmp_path / "p", "subj01", "semantic")
    with refused("wrong-kind", "lowlevel"):
        StoredPredictions(tmp_path / "p", "subj02", "lowlevel")
    with refused("missing-file"):
        StoredPredictions(tmp_path / "none", "subj02", "lowlevel")
    write_shards(tmp_path / "other", iter([values]))
    with refused("wrong-kind", "nsd_id"):
        StoredPredictions(tmp_path / "other", "subj02", "lowlevel")
    assert BaselineSettings().alphas[0] == 2.0**-6 and BaselineSettings().alphas[-1] == 256.0
