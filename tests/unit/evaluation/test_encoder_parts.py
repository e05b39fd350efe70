"""The encoder's accuracy by part of cortex: plain loops, intervals over images, their table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.unit.evaluation.made_up import results_of

from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd.masks import voxels_of_labels
from brainit.evaluation.encoder import (
    EncoderPredictions,
    accuracy_by_part,
    resampled_correlations,
)
from brainit.evaluation.metrics.names import ENCODER_COLUMNS
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.files import as_markdown
from brainit.simulation import nsd_files

N_IMAGES, N_RESAMPLES = 12, 40


def predictions(n_voxels: int, n_images: int = N_IMAGES, seed: int = 0) -> EncoderPredictions:
    generator = torch.Generator().manual_seed(seed)
    measured = 5 + torch.randn(n_images, n_voxels, generator=generator)
    noise = 2 * torch.randn(n_images, n_voxels, generator=generator)
    return EncoderPredictions("subj01", measured + noise, measured)


def test_resampled_correlations_by_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven voxels in blocks of three; one is constant, another varies in two images alone."""
    monkeypatch.setattr("brainit.evaluation.encoder._VOXELS_PER_BLOCK", 3)
    found = predictions(7)
    found.predicted[:, 2] = 0.3
    found.measured[2:, 5] = 1.7
    resampled = resampled_correlations(found, N_RESAMPLES, np.random.default_rng(3))
    draws, rng = [], np.random.default_rng(3)
    for _ in range(N_RESAMPLES):
        draws.append(rng.integers(N_IMAGES, size=N_IMAGES))
    expected = []
    for draw in draws:
        rows = []
        for voxel in range(7):
            x = found.predicted[draw, voxel].double().numpy()
            y = found.measured[draw, voxel].double().numpy()
            is_flat = np.ptp(x) == 0 or np.ptp(y) == 0
            rows.append(0.0 if is_flat else np.corrcoef(x, y)[0, 1])
        expected.append(rows)
    assert any(np.ptp(found.measured[draw, 5].numpy()) == 0 for draw in draws)
    np.testing.assert_allclose(resampled, expected, atol=1e-10)


def settings_of(n_bootstrap: int, simulation: bool = True):  # type: ignore[no-untyped-def]
    return parse_sections(
        {"run": {"simulation": simulation}, "evaluation": {"n_bootstrap": n_bootstrap}}
    )


def test_voxels_that_respond_alike_know_no_more_than_one() -> None:
    """A hundred copies of a voxel have its interval; resampled as voxels they would have none."""
    one = predictions(1, n_images=60)
    copies = EncoderPredictions("subj01", one.predicted.tile(1, 100), one.measured.tile(1, 100))
    rows = []
    for found in (one, copies):
        n_voxels = found.predicted.shape[1]
        parts = {"all": np.ones(n_voxels, dtype=bool)}
        table = accuracy_by_part(found, np.full(n_voxels, 40.0), parts, settings_of(300))
        rows.append(table.iloc[0])
    for name in ("mean_r", "ci_low", "ci_high", "median_r", "median_ci_low", "median_ci_high"):
        assert rows[0][name] == pytest.approx(rows[1][name], abs=1e-9)
    assert rows[1]["ci_low"] < rows[1]["mean_r"] - 0.05 < rows[1]["ci_high"] - 0.1


def test_the_interval_of_one_voxel_is_that_of_fishers_z() -> None:
    found = predictions(1, n_images=400, seed=1)
    parts = {"all": np.ones(1, dtype=bool)}
    row = accuracy_by_part(found, np.full(1, 40.0), parts, settings_of(2000)).iloc[0]
    reach = 1.96 / np.sqrt(400 - 3)
    expected = np.tanh(np.arctanh(row["mean_r"]) + np.array([-reach, reach]))
    np.testing.assert_allclose((row["ci_low"], row["ci_high"]), expected, atol=0.02)


def test_accuracy_by_part_by_loops() -> None:
    found = predictions(30)
    ceiling = np.random.default_rng(1).uniform(0, 60, size=30)
    ceiling[:10] = 5.0
    parts = {
        "first": np.arange(30) < 10,
        "rest": np.arange(30) >= 10,
        "none": np.zeros(30, dtype=bool),
    }
    table = accuracy_by_part(found, ceiling, parts, settings_of(50)).set_index("part")
    assert list(table.index) == ["first", "rest"]
    r = [np.corrcoef(found.predicted[:, v], found.measured[:, v])[0, 1] for v in range(30)]
    first, rest = table.loc["first"], table.loc["rest"]
    assert (rest["n_voxels"], rest["n_images"]) == (20, N_IMAGES)
    assert first["mean_r"] == pytest.approx(np.mean(r[:10]), abs=1e-6)
    assert first["median_r"] == pytest.approx(np.median(r[:10]), abs=1e-6)
    assert np.isnan(first["share_of_attainable"])
    pairs = zip(r[10:], ceiling[10:], strict=True)
    able = [value / np.sqrt(c / 100) for value, c in pairs if c > 10]
    assert rest["share_of_attainable"] == pytest.approx(np.median(able), abs=1e-6)
    assert rest["median_ceiling_pct"] == pytest.approx(np.median(ceiling[10:]))
    assert rest["ci_low"] < rest["mean_r"] < rest["ci_high"]
    assert rest["median_ci_low"] < rest["median_r"] < rest["median_ci_high"]
    again = accuracy_by_part(found, ceiling, parts, settings_of(50)).set_index("part")
    pd.testing.assert_frame_equal(table, again)


def test_voxels_of_the_mask_s_labels(tmp_path: Path) -> None:
    values = {
        ("lh", "nsdgeneral"): [-1, 1, 0, 2, 0],
        ("lh", "nsdgeneralRSC"): [0, 0, 1, 0, 0],
        ("rh", "nsdgeneral"): [1, 0, 0, -1, 0],
        ("rh", "nsdgeneralRSC"): [0, 0, 0, 0, 1],
    }
    for (side, name), numbers in values.items():
        path = tmp_path / nsd_paths.label(side, name)
        nsd_files.write_mgh(path, np.array([numbers], dtype=np.float32))
    vertex, hemisphere = np.array([1, 2, 3, 0, 4]), np.array([0, 0, 0, 1, 1])
    found = voxels_of_labels(tmp_path, "algonauts", vertex, hemisphere)
    assert {name: inside.tolist() for name, inside in found.items()} == {
        "nsdgeneral": [True, False, True, True, False],
        "nsdgeneralRSC": [False, True, False, False, True],
    }
    for name in ("nsdgeneral", "lh.mine.mgz rh.mine.mgz"):
        assert voxels_of_labels(tmp_path, name, vertex, hemisphere) == {}
    with pytest.raises(PipelineError) as error:
        voxels_of_labels(tmp_path / "none", "algonauts", vertex, hemisphere)
    assert str(tmp_path / "none") in error.value.where


def test_the_table_is_made_of_stored_accuracy(tmp_path: Path) -> None:
    rows = [
        ("all voxels", 39548, 1000, 36.24, 0.3456, 0.3311, 0.3599, 0.3333, 0.32, 0.34, 0.7123),
        ("ceiling 0 to 10 %", 48, 1000, 4.0, 0.0512, -0.01, 0.1, 0.04, -0.02, 0.2, np.nan),
    ]
    stored = tmp_path / "encoder.csv"
    pd.DataFrame(rows, columns=list(ENCODER_COLUMNS)).to_csv(stored, index=False)
    results = replace(results_of(tmp_path, {}, {}), encoder={"subj01": stored, "subj02": stored})
    (table,) = make_tables(["encoder"], results, settings_of(1000, simulation=False))
    assert [block.heading for block in table.blocks] == [
        "subj01, 1,000 test images",
        "subj02, 1,000 test images",
    ]
    assert table.blocks[0].rows == (
        (
            "all voxels",
            "39,548",
            "36.2",
            "0.333",
            "0.320 to 0.340",
            "0.346",
            "0.331 to 0.360",
            "0.712",
        ),
        (
            "ceiling 0 to 10 %",
            "48",
            "4.0",
            "0.040",
            "-0.020 to 0.200",
            "0.051",
            "-0.010 to 0.100",
            "–",
        ),
    )
    assert table.records["subject"].tolist() == ["subj01"] * 2 + ["subj02"] * 2
    assert not table.records["simulation"].any()
    text = as_markdown(table)
    assert "percentile bootstrap over images, 1,000 resamples" in text
    assert "not fetched" in text and "nsdgeneral" in text
    (simulated,) = make_tables(["encoder"], results, settings_of(1000))
    assert "(simulation)" in simulated.title and "not fetched" not in as_markdown(simulated)
    (empty,) = make_tables(["encoder"], results_of(tmp_path, {}, {}), settings_of(1000))
    assert empty.blocks == () and len(empty.records) == 0
    stored.write_text("part,n_voxels\n")
    with pytest.raises(PipelineError) as error:
        make_tables(["encoder"], results, settings_of(1000))
    assert error.value.where == str(stored) and "evaluate_encoder" in error.value.fix
