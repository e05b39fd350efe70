"""Checks on made-up scores: both verdicts of each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainit.evaluation.checks.scores import check_scores
from brainit.evaluation.checks.verdict import FAILS, HOLDS, Check, as_table, at_least, within
from brainit.evaluation.metrics.names import SUMMARY_COLUMNS
from brainit.evaluation.tables.run_scores import Summaries

MID, FINAL, DISTANCE = "net.mid.two_way", "net.final.two_way", "net.final.distance"
GOOD = {
    "40h/lowlevel": {"PixCorr": 0.80, MID: 93.0, FINAL: 85.0, DISTANCE: 0.5},
    "40h/semantic": {"PixCorr": 0.50, MID: 91.0, FINAL: 94.0, DISTANCE: 0.4},
    "40h/fused": {"PixCorr": 0.70, MID: 95.0, FINAL: 96.0, DISTANCE: 0.3},
    "1h/fused": {"PixCorr": 0.60, MID: 92.0, FINAL: 93.0, DISTANCE: 0.4},
    "1h_scratch/fused": {"PixCorr": 0.30, MID: 70.0, FINAL: 75.0, DISTANCE: 0.8},
}
NULL = {"PixCorr": 0.1, MID: 50.1, FINAL: 49.9, DISTANCE: 1.0}
NULL_MEANS = {f"fused_{MID}_null_mean", f"fused_{FINAL}_null_mean"}
OF_ONE_RUN = {f"fused_{MID}", f"fused_{FINAL}", *NULL_MEANS, "n_test_images"}


def checks_of(
    folder: Path, scores: dict[str, dict[str, float]], n_images: int = 100, null_shift: float = 0.0
) -> dict[str, Check]:
    paths = {}
    for name, metrics in scores.items():
        path = folder / f"{name.replace('/', '_')}.csv"
        rows = [
            (
                m,
                v,
                v,
                v,
                n_images,
                "higher",
                NULL[m] + null_shift,
                60.0 if "two" in m else np.nan,
                3.0,
            )
            for m, v in metrics.items()
        ]
        pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).to_csv(path, index=False)
        paths[f"subj01/{name}"] = path
    return {check.name: check for check in check_scores(Summaries(paths))}


def changed(name: str, metric: str, value: float) -> dict[str, dict[str, float]]:
    return {key: {**row, metric: value} if key == name else row for key, row in GOOD.items()}


def test_all_hold_on_good_scores(tmp_path: Path) -> None:
    found = checks_of(tmp_path, GOOD)
    assert {check.verdict for check in found.values()} == {HOLDS}
    assert set(found) == OF_ONE_RUN | {
        "PixCorr_lowlevel_above_fused",
        "PixCorr_fused_above_semantic",
        f"{FINAL}_fused_above_lowlevel",
        f"{FINAL}_semantic_above_lowlevel",
        "transfer_beats_scratch",
        "40h_beats_1h",
    }
    assert found["PixCorr_lowlevel_above_fused"].value == pytest.approx(0.1)
    assert found["PixCorr_lowlevel_above_fused"].null == pytest.approx(0.0)
    assert found[f"fused_{MID}"].null == 60.0
    assert (found["transfer_beats_scratch"].value, found["40h_beats_1h"].null) == (100.0, 50.0)


@pytest.mark.parametrize(
    ("name", "metric", "value", "fails"),
    [
        ("40h/fused", MID, 89.9, f"fused_{MID}"),
        ("40h/fused", FINAL, 59.0, f"fused_{FINAL}"),
        ("40h/lowlevel", "PixCorr", 0.70, "PixCorr_lowlevel_above_fused"),
        ("40h/semantic", "PixCorr", 0.71, "PixCorr_fused_above_semantic"),
        ("40h/lowlevel", FINAL, 96.5, f"{FINAL}_fused_above_lowlevel"),
        ("40h/semantic", FINAL, 85.0, f"{FINAL}_semantic_above_lowlevel"),
        ("1h_scratch/fused", DISTANCE, 0.39, "transfer_beats_scratch"),
        ("1h/fused", "PixCorr", 0.70, "40h_beats_1h"),
    ],
)
def test_each_check_can_fail(
    tmp_path: Path, name: str, metric: str, value: float, fails: str
) -> None:
    found = checks_of(tmp_path, changed(name, metric, value))
    assert found[fails].verdict == FAILS
    if fails in ("transfer_beats_scratch", "40h_beats_1h"):
        assert found[fails].value == 75.0
        assert f"Not better: {metric}" in found[fails].explanation


def test_few_images_and_a_bent_null_fail(tmp_path: Path) -> None:
    found = checks_of(tmp_path, GOOD, n_images=99)
    assert found["n_test_images"].verdict == FAILS
    found = checks_of(tmp_path, GOOD, null_shift=0.6)
    assert found[f"fused_{MID}_null_mean"].verdict == FAILS
    assert found[f"fused_{FINAL}_null_mean"].verdict == HOLDS  # 50.5


def test_a_check_whose_runs_are_absent_is_left_out(tmp_path: Path) -> None:
    found = checks_of(tmp_path, {"40h/fused": GOOD["40h/fused"]})
    assert set(found) == OF_ONE_RUN


def test_verdicts() -> None:
    nan = float("nan")
    assert at_least("a", 0.4, 0.1, 0.4, "").verdict == HOLDS
    assert at_least("a", 0.4, 0.1, 0.4, "", strict=True).verdict == FAILS
    assert at_least("a", 0.5, 0.5, 0.4, "").verdict == FAILS  # no better than chance
    assert at_least("a", nan, 0.1, 0.4, "").verdict == FAILS
    assert at_least("a", 0.5, nan, 0.4, "").verdict == HOLDS
    assert within("a", 50.5, 50.0, 0.5, "").verdict == HOLDS
    assert within("a", 50.6, 50.0, 0.5, "").verdict == FAILS
    assert within("a", nan, 50.0, 0.5, "").verdict == FAILS
    table = as_table([at_least("a", 1.0, 0.0, 0.5, "why")])
    assert list(table) == ["check", "value", "null", "threshold", "verdict", "explanation"]
