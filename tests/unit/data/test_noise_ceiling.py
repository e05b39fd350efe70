"""The noise ceiling against the definition in loops, and against a known truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainit.core.artifacts import read_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.data import noise_ceiling
from brainit.data.noise_ceiling import ceiling_percent, ncsnr_from_trials, session_noise
from brainit.data.voxels import read_voxels


@pytest.mark.parametrize("block", [1, 2, 256])
def test_ncsnr_equals_loops(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(noise_ceiling, "_IMAGES_PER_BLOCK", block)
    rng = np.random.default_rng(0)
    nsd_id = rng.permutation([4, 4, 4, 7, 7, 7, 9, 9, 2, 5, 5, 5])
    betas = (rng.normal(size=(12, 6)) * 0.6).astype(np.float16)
    found = ncsnr_from_trials(betas, nsd_id)
    for voxel in range(6):
        variances = []
        for image in (4, 5, 7):  # 9 has two trials, 2 has one
            x = [float(b[voxel]) for b, i in zip(betas, nsd_id, strict=True) if i == image]
            mean = sum(x) / 3
            variances.append(sum((value - mean) ** 2 for value in x) / 2)
        noise = sum(variances) / 3
        expected = (max(0.0, 1 - noise) / noise) ** 0.5
        np.testing.assert_allclose(found[voxel], expected, rtol=1e-5)


def test_voxel_without_variance_has_no_ceiling() -> None:
    betas = np.zeros((6, 2), dtype=np.float16)
    ncsnr = ncsnr_from_trials(betas, np.array([0, 0, 0, 1, 1, 1]))
    assert ceiling_percent(ncsnr, {3: 1}).tolist() == [0, 0]


def test_mixed_repetitions() -> None:
    ncsnr = np.array([0.0, 0.5, 2.0])
    three, two, one = 614, 213, 103
    noise = (three / 3 + two / 2 + one / 1) / (three + two + one)
    expected = [100 * s * s / (s * s + noise) for s in ncsnr]
    found = ceiling_percent(ncsnr, {3: three, 2: two, 1: one})
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(ceiling_percent(np.array([0.490]), {3: 1}), 41.9, atol=0.05)


def test_recovers_a_known_ceiling() -> None:
    rng = np.random.default_rng(5)
    signal_share = np.linspace(0.1, 0.9, 30)
    signal = rng.normal(size=(3000, 30)) * np.sqrt(signal_share)
    trials = np.repeat(signal, 3, axis=0) + rng.normal(size=(9000, 30)) * np.sqrt(1 - signal_share)
    betas = ((trials - trials.mean(0)) / trials.std(0)).astype(np.float16)
    found = ceiling_percent(ncsnr_from_trials(betas, np.repeat(np.arange(3000), 3)), {3: 1})
    expected = 100 * signal_share / (signal_share + (1 - signal_share) / 3)
    assert np.abs(found - expected).max() < 4


def test_no_image_with_three_repeats() -> None:
    with pytest.raises(PipelineError) as error:
        ncsnr_from_trials(np.zeros((4, 2), dtype=np.float16), np.array([0, 0, 1, 1]))
    assert error.value.code == "missing-data" and "3 trials" in error.value.expected


def test_noise_of_sessions_equals_loops() -> None:
    rng = np.random.default_rng(3)
    nsd_id = np.array([4, 7, 9, 5, 4, 4, 7, 2, 5, 5, 7, 9])
    session = np.array([1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 9])  # the last holds no image of three
    betas = rng.normal(size=(12, 3)).astype(np.float16)
    n_trials, noise = session_noise(betas, nsd_id, session)
    assert n_trials.tolist() == [3, 3, 3, 0]
    for row, number in enumerate((1, 2, 4)):
        for voxel in range(3):
            squares = []
            for trial in np.flatnonzero(session == number):
                same = [float(betas[t, voxel]) for t in range(12) if nsd_id[t] == nsd_id[trial]]
                if len(same) == 3:
                    squares.append((float(betas[trial, voxel]) - sum(same) / 3) ** 2)
            expected = 1.5 * sum(squares) / len(squares)
            np.testing.assert_allclose(noise[row, voxel], expected, rtol=1e-5)
    assert np.isnan(noise[3]).all()
    weighted = (noise[:3] * n_trials[:3, None]).sum(axis=0) / 9
    expected_ncsnr = np.sqrt(np.maximum(0, 1 - weighted) / weighted)
    np.testing.assert_allclose(ncsnr_from_trials(betas, nsd_id), expected_ncsnr, rtol=1e-5)


# --- the step ----------------------------------------------------------------------------------


@pytest.fixture
def prepared(tiny_nsd: Any, tmp_path: Path) -> Path:
    from brainit.steps import prepare_betas, prepare_design

    settings = Settings().model_dump_json()
    common = ["--subject", "subj02", "--nsd", str(tiny_nsd.root), "--settings", settings]
    trials = ["--trials", str(tmp_path / "trials.csv")]
    prepare_design.main([*common, *trials])
    places = ["--source", str(tiny_nsd.root), "--work", str(tmp_path / "work")]
    outputs = ["--betas", str(tmp_path / "b.npy"), "--voxels", str(tmp_path / "v.safetensors")]
    prepare_betas.main([*common, *trials, *places, *outputs, "--summary", str(tmp_path / "b.json")])
    return tmp_path


def estimate(folder: Path, *more: str, **nsd: Any) -> None:
    from brainit.steps import estimate_noise_ceiling

    names = {
        "--betas": "b.npy",
        "--voxels": "v.safetensors",
        "--betas-summary": "b.json",
        "--trials": "trials.csv",
        "--out": "n.safetensors",
        "--summary": "n.csv",
        "--sessions": "s.csv",
        "--figure": "n.png",
    }
    words = [word for flag, name in names.items() for word in (flag, str(folder / name))]
    settings = parse_sections({"nsd": nsd, "run": {"simulation": True}}).model_dump_json()
    estimate_noise_ceiling.main([*words, "--subject", "subj02", "--settings", settings, *more])


def test_step_compares_with_the_published(tiny_nsd: Any, prepared: Path) -> None:
    estimate(prepared, "--nsd", str(tiny_nsd.root), "--source", str(tiny_nsd.root))
    written = read_artifact(prepared / "n.safetensors", "noise_ceiling")
    # Signal variance 4, noise variance 1: NC = 100 * 4 / (4 + 1/3).
    varies = written["recomputed"] > 0
    assert abs(np.median(written["recomputed"][varies]) - 92.3) < 4
    assert (~varies).sum() == 2
    row = pd.read_csv(prepared / "n.csv").iloc[0]
    voxels = read_voxels(prepared / "v.safetensors")
    is_general = [5 <= vertex < 20 for vertex in voxels["vertex"]]  # RSC: 30 to 32
    for name, tensor in (("published", "published"), ("recomputed", "recomputed")):
        values = written[tensor].tolist()
        inside = sorted(v for v, chosen in zip(values, is_general, strict=True) if chosen)
        assert row[f"median_{name}_pct"] == pytest.approx(np.median(values))
        assert row[f"nsdgeneral_{name}_pct"] == pytest.approx(np.median(inside))
    assert np.isnan(row["nsdgeneral_paper_pct"])
    difference = abs(row["median_recomputed_pct"] - row["median_published_pct"])
    assert row["largest_difference_pct"] == pytest.approx(difference) and difference > 2
    assert not row["within_tolerance"]
    sessions = pd.read_csv(prepared / "s.csv")
    assert sessions["session"].tolist() == [1, 2, 3, 4, 5]
    assert sessions["n_nan_voxels"].tolist() == [0, 2, 0, 0, 0]
    assert sessions["n_trials_of_3"].sum() == 60
    assert (prepared / "n.png").read_bytes()[:4] == b"\x89PNG"


def test_warnings_beyond_the_tolerances(
    tiny_nsd: Any, prepared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    estimate(prepared, "--nsd", str(tiny_nsd.root))
    assert "nsd.ceiling_tolerance_pct (2.0)" in caplog.text
    caplog.clear()
    estimate(prepared, ceiling_tolerance_pct=100.0, session_tolerance_pct=100.0)
    assert not caplog.records
    assert pd.read_csv(prepared / "n.csv")["within_tolerance"].all()
    betas = np.load(prepared / "b.npy")
    betas[12:24] = np.random.default_rng(0).normal(size=(12, betas.shape[1]))  # session 2 is noise
    np.save(prepared / "b.npy", betas)
    estimate(prepared, ceiling_tolerance_pct=100.0)
    assert pd.read_csv(prepared / "s.csv")["within_tolerance"].tolist()[1] is False
    assert "subj02 session 2" in caplog.text


def test_nsd_itself_is_held_against_the_paper(
    tiny_nsd: Any, prepared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    estimate(prepared, "--nsd", str(tiny_nsd.root), published_checks="always")
    row = pd.read_csv(prepared / "n.csv").iloc[0]
    assert row["nsdgeneral_paper_pct"] == pytest.approx(43.8, abs=0.05)  # subject 2
    differences = [
        abs(row["median_recomputed_pct"] - row["median_published_pct"]),
        abs(row["nsdgeneral_recomputed_pct"] - row["nsdgeneral_paper_pct"]),
        abs(row["nsdgeneral_published_pct"] - row["nsdgeneral_paper_pct"]),
    ]
    assert row["largest_difference_pct"] == pytest.approx(max(differences))
    assert "nsdgeneral_recomputed_pct" in caplog.text


@pytest.mark.parametrize(
    ("content", "code", "fact"),
    [
        ("{", "damaged-file", "n_nan_voxels"),
        ("{}", "damaged-file", "KeyError('sessions')"),
        ('{"sessions": [{"session": 1}]}', "damaged-file", "KeyError('n_nan_voxels')"),
        (
            '{"sessions": [{"session": 3, "n_nan_voxels": 0, "n_zero_variance": 0,'
            ' "max_abs_mean": 0.0}]}',
            "inconsistent-inputs",
            "found [3]",
        ),
    ],
)
def test_bad_summary_of_the_betas(prepared: Path, content: str, code: str, fact: str) -> None:
    (prepared / "b.json").write_text(content)
    with pytest.raises(PipelineError) as error:
        estimate(prepared)
    assert (error.value.code, error.value.where) == (code, str(prepared / "b.json"))
    assert fact in str(error.value)


def test_voxels_of_other_betas(prepared: Path) -> None:
    np.save(prepared / "b.npy", np.load(prepared / "b.npy")[:, 1:])
    with pytest.raises(PipelineError) as error:
        estimate(prepared)
    assert error.value.code == "inconsistent-inputs" and "prepare_betas" in error.value.fix
    assert "b.npy" in error.value.expected and "v.safetensors" in error.value.where
