"""Betas from MGH files to .npy against scipy, and a run that was cut off."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import stats
from tests.unit.data.tiny_nsd import write_mgh

from brainit.core.settings import NsdSettings
from brainit.data.nsd import mgh, sessions
from brainit.data.nsd.beta_source import BetaSource
from brainit.data.nsd.betas import prepare_betas
from brainit.data.nsd.design import prepare_design
from brainit.data.nsd.masks import read_label, read_mask
from brainit.data.trials import read_trials, write_trials
from brainit.data.voxels import read_voxels
from brainit.data.zscore import zscore_session


def settings(**changes: Any) -> NsdSettings:
    return NsdSettings(validation_share=0.25, **changes)


def by_nibabel(path: Path) -> np.ndarray:
    return nib.MGHImage.from_bytes(path.read_bytes()).get_fdata()


def run(tree: Any, out: Path, subject: str = "subj01", **changes: Any) -> Path:
    nsd = settings(**changes)
    write_trials(out / "trials.csv", prepare_design(tree.root, subject, nsd, 42))
    source = tree.root.as_uri()
    prepared = prepare_betas(subject, tree.root, source, out / "trials.csv", out / "work", nsd)
    prepared.write(out / "betas.npy", out / "voxels.safetensors", out / "betas.json")
    return out / "betas.npy"


def oracle(tree: Any, subject: str, reference: list[np.ndarray] | None = None) -> np.ndarray:
    """Z-score by scipy the whole of each file, mask afterwards."""
    rows = []
    for session in range(1, tree.n_sessions + 1):
        values = np.concatenate(
            [tree.betas[subject, side, session][:, tree.in_mask[side]] for side in ("lh", "rh")], 1
        ).astype(np.float64)
        chosen = values if reference is None else values[reference[session - 1]]
        rows.append(stats.zmap(values, chosen))
    return np.concatenate(rows)


@pytest.fixture
def quiet_scipy() -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        yield


@pytest.mark.usefixtures("quiet_scipy")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_betas_equal_scipy(tiny_nsd: Any, tmp_path: Path) -> None:
    betas = np.load(run(tiny_nsd, tmp_path))
    expected = oracle(tiny_nsd, "subj01")
    is_flat = ~np.isfinite(expected).all(axis=0) | (np.abs(expected).max(axis=0) > 1e3)
    assert is_flat.sum() == 2  # vertex 7 of each hemisphere has no variance
    assert np.all(betas[:, is_flat] == 0)
    np.testing.assert_allclose(betas[:, ~is_flat], expected[:, ~is_flat], atol=2e-3)


@pytest.mark.usefixtures("quiet_scipy")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_statistics_of_training_trials(tiny_nsd: Any, tmp_path: Path) -> None:
    betas = np.load(run(tiny_nsd, tmp_path, zscore="training_trials"))
    trials = read_trials(tmp_path / "trials.csv")
    reference = [(rows["split"] == "train").to_numpy() for _, rows in trials.groupby("session")]
    expected = oracle(tiny_nsd, "subj01", reference)
    varies = betas.std(axis=0, dtype=np.float32) > 0
    np.testing.assert_allclose(betas[:, varies], expected[:, varies], atol=4e-3)


def test_voxels_with_a_nan_are_dropped_everywhere(tiny_nsd: Any, tmp_path: Path) -> None:
    betas = np.load(run(tiny_nsd, tmp_path, "subj02"))
    n_masked = sum(int(mask.sum()) for mask in tiny_nsd.in_mask.values())
    voxels = read_voxels(tmp_path / "voxels.safetensors")
    assert betas.shape[1] == n_masked - 2 == len(voxels["vertex"])
    assert 9 not in voxels["vertex"]
    summary = json.loads((tmp_path / "betas.json").read_text())
    assert summary["n_dropped_nan"] == 2 == voxels.attributes["n_dropped_nan"]
    assert [s["n_nan_voxels"] for s in summary["sessions"]] == [0, 2, 0, 0, 0]


def test_voxel_table(tiny_nsd: Any, tmp_path: Path) -> None:
    run(tiny_nsd, tmp_path)
    voxels = read_voxels(tmp_path / "voxels.safetensors")
    row = 0
    for number, side in enumerate(("lh", "rh")):
        pial = tiny_nsd.root / f"nsddata/freesurfer/fsaverage/surf/{side}.pial"
        places = nib.freesurfer.read_geometry(pial)[0]
        ncsnr = by_nibabel(tiny_nsd.ncsnr_path("subj01", side)).ravel()
        for vertex in np.flatnonzero(tiny_nsd.in_mask[side]):
            assert (voxels["vertex"][row], voxels["hemisphere"][row]) == (vertex, number)
            np.testing.assert_allclose(voxels["position_mm"][row], places[vertex], rtol=1e-6)
            ratio = ncsnr[vertex] ** 2
            ceiling = 100 * ratio / (ratio + 1 / 3)
            np.testing.assert_allclose(voxels["noise_ceiling"][row], ceiling, rtol=1e-5)
            row += 1
    assert row == len(voxels["vertex"])


def test_nsdgeneral_leaves_rsc_out(tiny_nsd: Any) -> None:
    mask = read_mask(tiny_nsd.root, "nsdgeneral")
    assert mask.vertices_of(0).tolist() == list(range(5, 20))
    algonauts = read_mask(tiny_nsd.root, "algonauts")
    assert algonauts.vertices_of(1).tolist() == [*range(5, 20), 30, 31, 32]


def test_interrupted_run_continues_to_the_same_bytes(
    tiny_nsd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tiny_nsd, tmp_path / "whole").read_bytes()
    read: list[str] = []
    original = mgh.read_mgh_vertices

    def counted(path: Path, vertices: Any) -> Any:
        read.append(path.name)
        if path.name == "rh.betas_session03.mgh" and read.count(path.name) == 1:
            raise KeyboardInterrupt
        return original(path, vertices)

    monkeypatch.setattr(mgh, "read_mgh_vertices", counted)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_nsd, tmp_path / "cut")
    assert not (tmp_path / "cut" / "betas.npy").exists()
    assert run(tiny_nsd, tmp_path / "cut").read_bytes() == whole
    for name in ("voxels.safetensors", "betas.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert read.count("lh.betas_session01.mgh") == 1
    assert read.count("lh.betas_session03.mgh") == 2
    assert not list((tmp_path / "cut" / "work" / "subj01").iterdir())


def test_work_of_other_settings_is_not_taken_over(tiny_nsd: Any, tmp_path: Path) -> None:
    mask = read_mask(tiny_nsd.root, "algonauts")
    source = BetaSource("subj01", str(tiny_nsd.root), mask, settings(), tmp_path)
    everything = np.ones(tiny_nsd.trials_per_session, dtype=bool)
    first = sessions.prepare_session(source, 1, everything).path.read_bytes()
    half = everything.copy()
    half[6:] = False
    assert sessions.prepare_session(source, 1, half).path.read_bytes() != first
    damaged = tmp_path / "session_01.npy"
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"xx")
    assert sessions.prepare_session(source, 1, everything).path.read_bytes() == first


def test_mgh_span_read_equals_nibabel(tiny_nsd: Any) -> None:
    path = tiny_nsd.betas_path("subj02", "lh", 2)
    vertices = np.array([0, 3, 9, 39])
    expected = by_nibabel(path)[vertices, 0, 0, :].T
    found = mgh.read_mgh_vertices(path, vertices)
    assert found.dtype == np.float32 and found.dtype.isnative
    np.testing.assert_array_equal(found, expected)
    assert mgh.read_mgh_vertices(path, vertices[:0]).shape == (12, 0)


@pytest.mark.real
def test_real_rsc_labels(shared_dir: Path) -> None:
    for side, expected in (("lh", 543), ("rh", 1021)):
        label = read_label(shared_dir / "data" / "fsaverage_labels" / f"{side}.nsdgeneralRSC.mgz")
        assert (len(label), int((label > 0).sum())) == (163842, expected)


@pytest.mark.parametrize("n_voxels", [1, 4096, 4099])
def test_zscore_in_blocks(n_voxels: int) -> None:
    values = np.random.default_rng(1).normal(3, 2, (7, n_voxels)).astype(np.float32)
    scores, is_invalid = zscore_session(values, np.ones(7, dtype=bool))
    assert not is_invalid.any()
    np.testing.assert_allclose(scores, stats.zscore(values.astype(np.float64)), atol=2e-3)


def test_zscore_of_large_constant_is_zero() -> None:
    values = np.full((750, 3), 1234.567, dtype=np.float32)
    values[:, 1] = np.inf
    scores, is_invalid = zscore_session(values, np.ones(750, dtype=bool))
    assert not scores.any()
    assert is_invalid.tolist() == [False, True, False]


def test_zscores_beyond_float16_mark_their_voxel() -> None:
    values = np.random.default_rng(2).normal(size=(8, 4)).astype(np.float32)
    is_reference = np.arange(8) < 4
    values[:4, 2] = [0, 1e-6, 0, 1e-6]  # a deviation of 5e-7, and ordinary other trials
    values[:4, 3] = [0, 1e-4, 0, 1e-4]  # large z-scores that float16 can hold
    values[4:, 3] = [1, -1, 2, 0]
    scores, is_invalid = zscore_session(values, is_reference)
    assert is_invalid.tolist() == [False, False, True, False]
    assert np.isfinite(scores).all() and not scores[:, 2].any()
    np.testing.assert_allclose(scores[6, 3], (2 - 5e-5) / 5e-5, rtol=1e-3)


def test_voxels_beyond_float16_are_dropped_counted_and_told(
    tiny_nsd: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nsd = settings(zscore="training_trials")
    trials = prepare_design(tiny_nsd.root, "subj01", nsd, 42)
    write_trials(tmp_path / "trials.csv", trials)
    is_train = (trials["split"] == "train").to_numpy()[trials["session"] == 2]
    values = tiny_nsd.betas["subj01", "rh", 2].copy()
    vertex = int(np.flatnonzero(tiny_nsd.in_mask["rh"])[0])
    values[is_train, vertex] = np.arange(is_train.sum()) % 2 * 1e-6
    values[~is_train, vertex] = 3.0
    write_mgh(tiny_nsd.betas_path("subj01", "rh", 2), values)

    def prepared() -> Any:
        source = str(tiny_nsd.root)
        return prepare_betas(
            "subj01", tiny_nsd.root, source, tmp_path / "trials.csv", tmp_path / "work", nsd
        )

    with caplog.at_level("WARNING"):
        made = prepared()
    assert "1 voxels have z-scores beyond float16" in caplog.text
    made.write(tmp_path / "b.npy", tmp_path / "v.safetensors", tmp_path / "s.json")
    assert np.isfinite(np.load(tmp_path / "b.npy")).all()
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["sessions"][1]["n_beyond_float16"] == 1
    n_nan = summary["sessions"][1]["n_nan_voxels"]
    assert (
        summary["n_dropped_nan"] == n_nan + 1 and "n_beyond_float16" not in summary["sessions"][0]
    )
