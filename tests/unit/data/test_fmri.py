"""Examples of a subject against plain loops over the trial table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.data import fmri
from brainit.data.fmri import load_pool, load_subject_fmri
from brainit.data.trials import write_trials

N_VOXELS = 5


def write_subject(folder: Path, seed: int, n_voxels: int = N_VOXELS) -> tuple[Path, Path]:
    rng = np.random.default_rng(seed)
    nsd_id = rng.permutation(np.repeat(np.arange(20), 3))
    trials = pd.DataFrame({"trial": np.arange(60), "session": np.repeat([1, 2], 30)})
    trials["run"] = np.tile(np.arange(30) * 12 // 30 + 1, 2)
    trials["trial_in_session"] = np.tile(np.arange(30), 2)
    trials["nsd_id"] = nsd_id
    trials["repeat"] = trials.groupby("nsd_id").cumcount()
    trials["is_shared"] = nsd_id < 4
    split = np.where(nsd_id < 4, "test", np.where(nsd_id < 7, "val", "train"))
    trials["split"] = split
    folder.mkdir(parents=True, exist_ok=True)
    write_trials(folder / "trials.csv", trials)
    np.save(folder / "betas.npy", rng.normal(size=(60, n_voxels)).astype(np.float16))
    return folder / "betas.npy", folder / "trials.csv"


@pytest.mark.parametrize("block", [1, 3, 512])
@pytest.mark.parametrize("duration", ["40h", "1h", "30min"])
def test_average_equals_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, duration: str
) -> None:
    monkeypatch.setattr(fmri, "_IMAGES_PER_BLOCK", block)
    betas_path, trials_path = write_subject(tmp_path, 0)
    betas, trials = np.load(betas_path), pd.read_csv(trials_path)
    loaded = load_subject_fmri("subj01", betas_path, trials_path, ("train", "val"), duration, True)
    groups: dict[int, list[np.ndarray]] = {}
    for _, row in trials.iterrows():
        inside = duration == "40h" or (
            row["session"] == 1 and (duration == "1h" or row["run"] <= 6)
        )
        if row["split"] in ("train", "val") and inside:
            groups.setdefault(row["nsd_id"], []).append(betas[row["trial"]].astype(np.float32))
    assert loaded.nsd_id.tolist() == sorted(groups)
    assert loaded.n_repeats.tolist() == [len(groups[i]) for i in sorted(groups)]
    expected = np.stack([np.mean(groups[i], axis=0) for i in sorted(groups)])
    np.testing.assert_allclose(loaded.betas, expected, rtol=2e-3, atol=1e-3)
    assert loaded.betas.dtype == np.float16


def test_single_trials_in_time_order(tmp_path: Path) -> None:
    betas_path, trials_path = write_subject(tmp_path, 1)
    loaded = load_subject_fmri("subj01", betas_path, trials_path, ("train",), "1h", False)
    trials = pd.read_csv(trials_path)
    rows = [
        t
        for t, s, p in zip(trials["trial"], trials["session"], trials["split"], strict=True)
        if s == 1 and p == "train"
    ]
    assert np.array_equal(loaded.betas, np.load(betas_path)[rows])
    assert loaded.nsd_id.tolist() == trials["nsd_id"][rows].tolist()
    assert set(loaded.n_repeats.tolist()) == {1}


def test_average_of_identical_repeats_is_the_repeat(tmp_path: Path) -> None:
    betas_path, trials_path = write_subject(tmp_path, 2)
    by_image = np.random.default_rng(3).normal(size=(20, N_VOXELS)).astype(np.float16)
    np.save(betas_path, by_image[pd.read_csv(trials_path)["nsd_id"]])
    loaded = load_subject_fmri("subj01", betas_path, trials_path, ("test",), "40h", True)
    assert np.array_equal(loaded.betas, by_image[:4])


def test_pool(tmp_path: Path) -> None:
    files = {
        name: write_subject(tmp_path / name, seed, 5 + seed)
        for seed, name in enumerate(("subj02", "subj01"))
    }
    betas = {name: pair[0] for name, pair in files.items()}
    trials = {name: pair[1] for name, pair in files.items()}
    pool = load_pool(betas, trials, NsdSettings())
    assert pool.subjects == ("subj02", "subj01")
    assert pool.n_voxels == {"subj02": 5, "subj01": 6}
    assert pool.voxel_slices == {"subj02": slice(0, 5), "subj01": slice(5, 11)}
    for subject in pool.subjects:
        train, val = set(pool.train[subject].nsd_id), set(pool.val[subject].nsd_id)
        assert train == set(range(7, 20)) and val == {4, 5, 6}
    assert set(pool.train["subj01"].n_repeats) == {3}
    hour = load_pool(betas, trials, NsdSettings(), "1h")
    assert set(hour.train["subj01"].n_repeats) == {1}
    single = load_pool(betas, trials, NsdSettings(average_training_repeats=False))
    assert len(single.train["subj01"].nsd_id) == 39
    shuffled = load_pool(betas, trials, NsdSettings(pairing="shuffled"), "40h", 3)
    for split in ("train", "val"):
        plain, mixed = getattr(pool, split)["subj01"], getattr(shuffled, split)["subj01"]
        assert np.array_equal(plain.betas, mixed.betas)
        assert sorted(mixed.nsd_id) == sorted(plain.nsd_id)
        assert not (mixed.nsd_id == plain.nsd_id).any()
    other = load_pool(betas, trials, NsdSettings(pairing="shuffled"), "40h", 4)
    assert not np.array_equal(other.train["subj01"].nsd_id, shuffled.train["subj01"].nsd_id)
    with pytest.raises(PipelineError) as error:
        load_pool(betas, {"subj01": trials["subj01"]}, NsdSettings())
    assert error.value.code == "inconsistent-inputs"
    assert error.value.found == "['subj01', 'subj02'] and ['subj01']"
