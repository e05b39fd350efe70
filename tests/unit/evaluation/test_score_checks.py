"""Checks on made-up scores of every image: each verdict of each check, baselines among them."""

from pathlib import Path

import pytest
from tests.unit.evaluation.made_up_runs import MadeUp, Scores

from brainit.core.settings import parse_sections
from brainit.evaluation.checks.scores import check_scores
from brainit.evaluation.checks.verdict import COMPARISON, FAILS, HOLDS, UNDECIDED, Check

SIMULATED = parse_sections({"run": {"simulation": True}, "evaluation": {"n_bootstrap": 300}})
REAL = parse_sections({"evaluation": {"n_bootstrap": 300}})
MID, FINAL, DISTANCE = "net.mid.two_way", "net.final.two_way", "net.final.distance"
RETRIEVAL, SIMILAR = "net.final.brain_retrieval_100way", "similar_final"


def row(
    pixcorr: float, mid: float, final: float, distance: float, auc: float = 0.9
) -> dict[str, float]:
    return {
        "PixCorr": pixcorr,
        MID: mid,
        FINAL: final,
        DISTANCE: distance,
        RETRIEVAL: final - 30,
        SIMILAR: final - 8,
        "same_place": final - 5,
        "object_auc": auc,
    }


GOOD = {
    "40h/lowlevel": row(0.80, 93.0, 85.0, 0.5, 0.7),
    "40h/semantic": row(0.50, 91.0, 94.0, 0.4),
    "40h/fused": row(0.70, 95.0, 96.0, 0.3),
    "1h/fused": row(0.60, 92.0, 93.0, 0.4, 0.8),
    "1h_scratch/fused": row(0.30, 70.0, 75.0, 0.8, 0.6),
    "1h_ridge/fused": row(0.40, 80.0, 80.0, 0.7, 0.6),
    "1h_knn/fused": row(0.40, 80.0, 80.0, 0.7, 0.6),
    "40h_ridge/fused": row(0.65, 94.0, 90.0, 0.35, 0.7),
    "40h_ridge/lowlevel": row(0.70, 94.0, 84.0, 0.45, 0.6),
    "40h_knn/fused": row(0.40, 90.0, 90.0, 0.35, 0.7),
    "40h_place_only/fused": row(0.30, 60.0, 70.0, 0.6, 0.5),
}
JOINT = {
    "1h_beats_1h_ridge",
    "1h_beats_1h_knn",
    "40h_beats_40h_ridge",
    "40h_beats_40h_knn",
    "40h_beats_40h_place_only",
}


def checks_of(
    folder: Path, scores: Scores, simulated: bool = True, noise: float = 0.2
) -> dict[str, Check]:
    made_up = MadeUp(folder, {f"subj01/{name}": row for name, row in scores.items()}, noise)
    settings = SIMULATED if simulated else REAL
    return {check.name: check for check in check_scores(made_up.comparisons(settings))}


def changed(name: str, **values: float) -> dict[str, dict[str, float]]:
    named = {"final": FINAL, "mid": MID, "distance": DISTANCE, "retrieval": RETRIEVAL}
    new = {named.get(key, key): value for key, value in values.items()}
    return {key: {**row, **new} if key == name else row for key, row in GOOD.items()}


def test_all_hold_on_good_scores(tmp_path: Path) -> None:
    found = checks_of(tmp_path, GOOD)
    differences = {name: c for name, c in found.items() if c.verdict == COMPARISON}
    assert {name: str(c.low) for name, c in differences.items() if not c.low > 0} == {}
    assert {name: c.verdict for name, c in found.items() if c.verdict != HOLDS} == {
        name: COMPARISON for name in differences
    }
    assert set(found) >= JOINT | {
        f"fused_{MID}",
        f"fused_{FINAL}",
        "fused_similar_final",
        "fused_object_auc",
        "lowlevel_object_auc",
        "fused_same_place",
        "PixCorr_lowlevel_above_fused",
        "PixCorr_fused_above_semantic",
        f"{FINAL}_fused_above_lowlevel",
        f"{FINAL}_semantic_above_lowlevel",
        "transfer_beats_scratch",
        "PixCorr_40h_above_40h_ridge",
        "PixCorr_40h_above_40h_ridge_lowlevel",
    }
    assert found["PixCorr_lowlevel_above_fused"].value == pytest.approx(0.1)
    assert found[f"fused_{MID}"].threshold == found[f"fused_{MID}"].null == 59.0
    one = found[f"{FINAL}_40h_above_40h_ridge"]
    assert one.low < one.value < one.high and one.value == pytest.approx(6.0)
    assert not any(name.endswith("null_mean") or name == "n_test_images" for name in found)


@pytest.mark.parametrize(
    ("run", "values", "check", "verdict"),
    [
        ("40h/fused", {"final": 50.0}, f"fused_{FINAL}", FAILS),
        ("40h/fused", {"final": 59.5}, f"fused_{FINAL}", UNDECIDED),
        ("40h/fused", {"object_auc": 0.6}, "fused_object_auc", FAILS),
        ("40h/fused", {"object_auc": 0.805}, "fused_object_auc", UNDECIDED),
        ("40h/lowlevel", {"object_auc": 0.6}, "lowlevel_object_auc", FAILS),
        ("40h/fused", {"same_place": 80.0}, "fused_same_place", FAILS),
        ("40h/lowlevel", {"PixCorr": 0.60}, "PixCorr_lowlevel_above_fused", FAILS),
        ("40h/lowlevel", {"PixCorr": 0.70}, "PixCorr_lowlevel_above_fused", UNDECIDED),
        ("40h/semantic", {"PixCorr": 0.75}, "PixCorr_fused_above_semantic", FAILS),
        ("40h/lowlevel", {"final": 97.0}, f"{FINAL}_fused_above_lowlevel", FAILS),
        ("40h/semantic", {"final": 80.0}, f"{FINAL}_semantic_above_lowlevel", FAILS),
        ("1h_scratch/fused", {"distance": 0.3}, "transfer_beats_scratch", FAILS),
        ("1h_scratch/fused", {"distance": 0.4}, "transfer_beats_scratch", UNDECIDED),
        ("1h_ridge/fused", {"mid": 94.0}, "1h_beats_1h_ridge", FAILS),
        ("1h_ridge/fused", {"mid": 92.0}, "1h_beats_1h_ridge", UNDECIDED),
        ("40h_ridge/fused", {"mid": 99.0}, "40h_beats_40h_ridge", FAILS),
        ("40h_ridge/fused", {"mid": 95.0}, "40h_beats_40h_ridge", HOLDS),  # not below is enough
        ("40h_ridge/fused", {"retrieval": 66.0}, "40h_beats_40h_ridge", UNDECIDED),
        ("40h_knn/fused", {"final": 99.0}, "40h_beats_40h_knn", FAILS),
        ("40h_place_only/fused", {"same_place": 95.0}, "40h_beats_40h_place_only", FAILS),
    ],
)
def test_each_check_can_fail(
    tmp_path: Path, run: str, values: dict[str, float], check: str, verdict: str
) -> None:
    found = checks_of(tmp_path, changed(run, **values))[check]
    assert found.verdict == verdict
    if verdict == UNDECIDED:
        assert found.low <= found.threshold <= found.high


def test_noise_makes_a_claim_undecided_and_never_false(tmp_path: Path) -> None:
    found = checks_of(tmp_path, changed("1h_ridge/fused", mid=91.5), noise=3.0)
    assert found["1h_beats_1h_ridge"].verdict == UNDECIDED
    single = found[f"{MID}_1h_above_1h_ridge"]
    assert single.low < 0 < single.high and single.verdict == COMPARISON


def test_a_baseline_that_was_not_run_leaves_its_claim_undecided(tmp_path: Path) -> None:
    ours = {"40h/fused": GOOD["40h/fused"], "1h/fused": GOOD["1h/fused"]}
    found = checks_of(tmp_path, ours)
    for name in JOINT:
        assert found[name].verdict == UNDECIDED
        assert name.partition("_beats_")[2] in found[name].explanation
    recorded = checks_of(tmp_path, ours, simulated=False)
    assert set(JOINT) - set(recorded) == {"40h_beats_40h_place_only"}
    assert not JOINT & set(checks_of(tmp_path, {"2h/fused": GOOD["1h/fused"]}))


def test_a_metric_that_one_run_lacks_passes_no_claim(tmp_path: Path) -> None:
    lacking = {key: dict(row) for key, row in GOOD.items()}
    del lacking["40h_ridge/fused"]["object_auc"]
    found = checks_of(tmp_path, lacking)["40h_beats_40h_ridge"]
    assert found.verdict == UNDECIDED and "Deciding: object_auc" in found.explanation


def test_a_check_whose_runs_are_absent_is_left_out(tmp_path: Path) -> None:
    found = checks_of(tmp_path, {"40h/lowlevel": GOOD["40h/lowlevel"]})
    assert "lowlevel_object_auc" in found and "fused_object_auc" not in found
    assert not any("above" in name or "beats" in name for name in found)
