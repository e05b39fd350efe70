"""The noise ceiling against the definition in loops, and against a known truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainit.core.errors import PipelineError
from brainit.data import noise_ceiling
from brainit.data.noise_ceiling import ceiling_percent, ncsnr_from_trials


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
    with pytest.raises(PipelineError, match="images with 3 trials"):
        ncsnr_from_trials(np.zeros((4, 2), dtype=np.float16), np.array([0, 0, 1, 1]))


def test_step_compares_with_the_published(tiny_nsd: Any, tmp_path: Path) -> None:
    from brainit.core.artifacts import read_artifact
    from brainit.steps import estimate_noise_ceiling, prepare_betas, prepare_design

    def path(name: str) -> str:
        return str(tmp_path / name)

    common = ["--subject", "subj02", "--settings", "{}"]
    nsd = ["--nsd", str(tiny_nsd.root)]
    prepare_design.main([*common, *nsd, "--trials", path("trials.csv")])
    outputs = ["--betas", path("b.npy"), "--voxels", path("v.safetensors")]
    source = ["--source", str(tiny_nsd.root), "--work", path("work"), "--summary", path("b.json")]
    prepare_betas.main([*common, *nsd, *source, "--trials", path("trials.csv"), *outputs])
    estimate_noise_ceiling.main(
        [
            *common,
            *outputs,
            "--trials",
            path("trials.csv"),
            "--out",
            path("n.safetensors"),
            "--summary",
            path("n.csv"),
        ]
    )
    written = read_artifact(tmp_path / "n.safetensors", "noise_ceiling")
    # Signal variance 4, noise variance 1: NC = 100 * 4 / (4 + 1/3).
    varies = written["recomputed"] > 0
    assert abs(np.median(written["recomputed"][varies]) - 92.3) < 4
    assert (~varies).sum() == 2
    header = (tmp_path / "n.csv").read_text().splitlines()[0]
    assert header == (
        "subject,median_published_pct,median_recomputed_pct,correlation,n_voxels,n_images_3_repeats"
    )
