"""NSD-Imagery's files, written by nibabel, h5py and pandas alone, against plain arrays."""

import json
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.refusals import refused
from tests.unit.data.tiny_nsd import write_mgh

from brainit.core.artifacts import Artifact
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.data.fmri import load_subject_fmri
from brainit.data.images import ImageStore
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.nsdimagery import RUNS, first_beta, prepare_nsdimagery, repeat_correlation
from brainit.data.trials import read_trials

SIDE, N_VERTICES = 8, 30
LETTERS = {"A": "HRVLPE", "B": "WKBCDT", "C": "SZMYNF"}
BLOCKS = [0, 48, 144, 192, 240, 336, 384, 432, 528, 576, 624, 672, 720]
NSD = NsdSettings(subjects=("subj01",), evaluated=("subj01",), transfer=("subj01",))
VOXELS = Artifact(
    {"vertex": np.array([2, 7, 29, 0, 11]), "hemisphere": np.array([0, 0, 0, 1, 1])},
    {"space": f"surface of {N_VERTICES} vertices"},
)
IMAGES = ImageSettings(stored_size=SIDE)


def place(root: Path, key: str) -> Path:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def written(root: Path, is_grouped: bool = False) -> np.ndarray:
    """Write tables, frames and betas of both spaces; return the betas (720, 2 sides, vertices)."""
    rng = np.random.default_rng(0)
    betas = rng.normal(0, 1, (720, 2, N_VERTICES))
    signal = {(s, c): rng.normal(0, 2, (2, N_VERTICES)) for s in "ABC" for c in LETTERS[s]}
    for run in RUNS:
        task, name = run[:3], run[3]
        if task == "att":
            continue
        conditions = rng.permutation(list(LETTERS[name]) * 8)
        cues = np.where(np.arange(48) % 2, conditions, rng.permutation(conditions))
        frames = [f"{name}_{c}_{q}.png" for c, q in zip(conditions, cues, strict=True)]
        table = pd.DataFrame({"SUBJECT": 1, "TRIAL": range(1, 49), "CONDITION": conditions})
        table["CUE"], table["FRAMEFILE"] = cues, frames
        if task == "img":
            table["FRAMEFILE"] = "cue_only.png"
        shuffled = table.sample(frac=1, random_state=1)
        path = place(root, nsd_paths.imagery_events("subj01", run))
        shuffled.to_csv(path, sep="\t", index=False)
        order = sorted(conditions) if is_grouped else conditions
        for row, condition in enumerate(order):
            betas[first_beta(run) + row] += signal[name, condition]
    for number, (name, c) in enumerate(signal):
        for q in LETTERS[name]:
            pixels = np.full((10, 10, 3), 10 * number + (c != q), np.uint8)
            path = place(root, f"{nsd_paths.IMAGERY_FRAMES}/{name}_{c}_{q}.png")
            Image.fromarray(pixels).save(path)
    for side, key in enumerate(nsd_paths.imagery_betas("subj01", NSD)):
        write_mgh(place(root, key), betas[:, side].astype(np.float32))
    return betas.astype(np.float32)


def prepare(root: Path, out: Path, nsd: NsdSettings = NSD, voxels: Artifact = VOXELS) -> None:
    folders = {task: out / "made" / task for task in ("vision", "imagery")}
    prepare_nsdimagery("subj01", str(root), voxels, out / "work", nsd, IMAGES, folders)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    root = tmp_path_factory.mktemp("imagery")
    return root, written(root)


def test_blocks_of_the_runs() -> None:
    assert [first_beta(run) for run in RUNS] == BLOCKS[:-1]


def test_session_becomes_trials_betas_and_images(
    session: tuple[Path, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, betas = session
    prepare(root, tmp_path)
    chosen = np.concatenate([betas[:, 0, [2, 7, 29]], betas[:, 1, [0, 11]]], axis=1)
    numbers = {(s, c): n for n, (s, c) in enumerate((s, c) for s in "ABC" for c in LETTERS[s])}
    rows = {"vision": 0, "imagery": 0}
    for number, run in enumerate(RUNS):
        if run.startswith("att"):
            continue
        task = {"vis": "vision", "img": "imagery"}[run[:3]]
        made = tmp_path / "made" / task
        first = rows[task]
        rows[task] += 48
        block = chosen[BLOCKS[number] : BLOCKS[number] + 48].astype(float)
        expected = (block - block.mean(axis=0)) / block.std(axis=0)
        found = np.load(made / "betas.npy")[first : first + 48]
        np.testing.assert_allclose(found, expected, atol=3e-3)
        path = root / nsd_paths.imagery_events("subj01", run)
        conditions = pd.read_csv(path, sep="\t").sort_values("TRIAL")["CONDITION"]
        trials = read_trials(made / "trials.csv")[first : first + 48]
        classes = pd.read_csv(made / "classes.csv").set_index("row")
        store = ImageStore(made / "images")
        assert set(trials["run"]) == {number + 1} and len(classes) == 18
        assert set(trials["split"]) == {"unused" if run[3] == "C" else "test"}
        for nsd_id, condition in zip(trials["nsd_id"], conditions, strict=True):
            label = classes.loc[nsd_id]
            assert (label["set"], label["condition"]) == (run[3], condition)
            assert label["class"] == {"A": "simple", "B": "complex", "C": "words"}[run[3]]
            pixel = store.pixels(np.array([nsd_id]))[0, 0, 0, 0]
            assert pixel == 10 * numbers[run[3], condition]  # whose cue is the picture's
    assert rows == {"vision": 144, "imagery": 288}
    for task, repeats in (("vision", 8), ("imagery", 16)):
        trials = read_trials(tmp_path / "made" / task / "trials.csv")
        assert set(trials["nsd_id"].value_counts()) == {repeats}
        assert trials["repeat"].max() == repeats - 1
        made = tmp_path / "made" / task
        files = made / "betas.npy", made / "trials.csv"
        fmri = load_subject_fmri("subj01", *files, ("test",), "40h", True)
        assert fmri.nsd_id.tolist() == list(range(12))  # words are not tested
    order = json.loads((tmp_path / "made/vision/order.json").read_text())
    assert order["repeats"] > order["others"] + 0.3
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_the_same_from_volumes(session: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    root = tmp_path / "nsd"
    written(root)
    shape, vertex = (4, 3, 5), np.array([1, 7, 8, 59])
    stored = rng.integers(-900, 900, (720, *shape[::-1]), dtype=np.int16)
    roi = place(root, nsd_paths.volume_roi("subj01", "nsdgeneral"))
    nib.save(nib.Nifti1Image(np.ones(shape, np.uint8), np.eye(4)), roi)
    nsd = replace_space(NSD)
    (key,) = nsd_paths.imagery_betas("subj01", nsd)
    with h5py.File(place(root, key), "w") as handle:
        handle["betas"] = stored
    voxels = Artifact({"vertex": vertex, "hemisphere": np.zeros(4, int)}, {"space": "func1pt8mm"})
    prepare(root, tmp_path, nsd, voxels)
    block = stored.reshape(720, -1)[:48, vertex] / 300.0
    expected = (block - block.mean(axis=0)) / block.std(axis=0)
    np.testing.assert_allclose(
        np.load(tmp_path / "made/vision/betas.npy")[:48], expected, atol=3e-3
    )


def replace_space(nsd: NsdSettings) -> NsdSettings:
    return nsd.model_copy(update={"space": "func1pt8mm", "mask": "nsdgeneral"})


def test_an_order_that_the_betas_contradict_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path / "nsd", is_grouped=True)
    prepare(tmp_path / "nsd", tmp_path)
    assert any("another order" in record.message for record in caplog.records)


def test_correlation_of_repeats_in_loops() -> None:
    scores = np.random.default_rng(1).normal(size=(6, 9))
    label = np.array(list("abcabc"), dtype=object)
    same, other = [], []
    for i in range(6):
        for j in range(6):
            if i != j:
                r = np.corrcoef(scores[i], scores[j])[0, 1]
                (same if label[i] == label[j] else other).append(r)
    found = repeat_correlation(scores, label)
    np.testing.assert_allclose(found, (np.mean(same), np.mean(other)), rtol=1e-10)


def test_terms_come_before_any_request(tmp_path: Path) -> None:
    with refused("terms", "nsd.accept_terms"):
        source = "s3://natural-scenes-dataset"
        prepare_nsdimagery("subj01", source, VOXELS, tmp_path, NSD, IMAGES, {})


def test_tables_and_betas_that_disagree(tmp_path: Path) -> None:
    root = tmp_path / "nsd"
    written(root)
    path = root / nsd_paths.imagery_events("subj01", "imgB_2")
    original = path.read_text()
    table = pd.read_csv(path, sep="\t")
    other = table["CONDITION"].replace("W", "Q")
    for change, fact in (
        (table.iloc[:-1], "47 trials"),
        (table.assign(CONDITION="W"), "'W': 48"),
        (table.assign(CONDITION=other), "Q"),
    ):
        change.to_csv(path, sep="\t", index=False)
        with refused("inconsistent-inputs", fact):
            prepare(root, tmp_path)
    path.write_text(original)
    key = nsd_paths.imagery_betas("subj01", NSD)[1]
    write_mgh(root / key, np.zeros((719, N_VERTICES), np.float32))
    with refused("inconsistent-inputs", "720 frames"):
        prepare(root, tmp_path)
    assert not (tmp_path / "made").exists()
