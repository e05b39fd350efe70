"""Claims on peers: a paired difference on the last tap, by amount of data, beside stage 1's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.evaluation.made_up_runs import MadeUp, Scores

from brainit.core.settings import parse_sections
from brainit.evaluation.checks.claims import check_claims
from brainit.evaluation.checks.peers import check_peers
from brainit.evaluation.checks.verdict import COMPARISON, FAILS, HOLDS, UNDECIDED, Check

SETTINGS = parse_sections({"run": {"simulation": True}, "evaluation": {"n_bootstrap": 300}})
MID, FINAL = "net.mid.two_way", "net.final.two_way"
SCORES = {
    "subj01/40h/fused": {MID: 99.0, FINAL: 90.0},
    "subj01/1h/fused": {MID: 99.0, FINAL: 80.0},
    "subj01/40h_stage1/semantic": {MID: 99.0, FINAL: 84.0},
    "subj01/40h_mindeye2/semantic": {MID: 10.0, FINAL: 85.0},
    "subj01/40h_mindbridge/semantic": {MID: 10.0, FINAL: 95.0},
    "subj01/1h_mindeye2/semantic": {MID: 10.0, FINAL: 80.0},
}


def peers_of(folder: Path, scores: Scores, noise: float = 0.2) -> dict[str, Check]:
    made_up = MadeUp(folder, scores, noise)
    return {check.name: check for check in check_peers(made_up.comparisons(SETTINGS))}


def test_the_last_tap_decides_at_each_amount_of_data(tmp_path: Path) -> None:
    found = peers_of(tmp_path, SCORES)
    verdicts = {name: check.verdict for name, check in found.items()}
    assert verdicts == {
        "40h_beats_40h_mindeye2": HOLDS,
        f"{FINAL}_40h_stage1_above_40h_mindeye2_semantic": COMPARISON,
        "40h_beats_40h_mindbridge": FAILS,
        f"{FINAL}_40h_stage1_above_40h_mindbridge_semantic": COMPARISON,
        "1h_beats_1h_mindeye2": UNDECIDED,
    }
    assert found["40h_beats_40h_mindeye2"].value == pytest.approx(5.0)
    assert found[f"{FINAL}_40h_stage1_above_40h_mindeye2_semantic"].value == pytest.approx(-1.0)
    assert "generators differ" in found["40h_beats_40h_mindeye2"].explanation


def test_the_difference_is_that_of_the_same_images(tmp_path: Path) -> None:
    """In plain loops: the mean over images of ours minus theirs, by image number."""
    made_up = MadeUp(tmp_path, SCORES, noise=1.0)
    path = made_up.metrics["subj01/40h_mindeye2/semantic"]
    pd.read_csv(path).sample(frac=1.0, random_state=0).iloc[:60].to_csv(path, index=False)
    ours, theirs = (
        pd.read_csv(made_up.metrics[f"subj01/{name}"])
        for name in ("40h/fused", "40h_mindeye2/semantic")
    )
    differences = []
    for number, score in zip(theirs["nsd_id"], theirs[FINAL], strict=True):
        (own,) = [s for n, s in zip(ours["nsd_id"], ours[FINAL], strict=True) if n == number]
        differences.append(own - score)
    found = {check.name: check for check in check_peers(made_up.comparisons(SETTINGS))}
    check = found["40h_beats_40h_mindeye2"]
    assert check.value == pytest.approx(np.mean(differences))
    assert check.low < check.value < check.high and check.threshold == 0.0


def test_nothing_is_claimed_at_chance_or_without_a_peer(tmp_path: Path) -> None:
    at_chance = {**SCORES, "subj01/40h/fused": {MID: 99.0, FINAL: 55.0}}
    peer = {"subj01/40h_mindeye2/semantic": {MID: 10.0, FINAL: 40.0}}
    check = peers_of(tmp_path, {**at_chance, **peer})["40h_beats_40h_mindeye2"]
    assert check.verdict == UNDECIDED and "above chance" in check.explanation
    assert peers_of(tmp_path, {"subj01/40h/fused": SCORES["subj01/40h/fused"]}) == {}
    others = {"subj02/40h_mindeye2/semantic": {MID: 1.0, FINAL: 1.0}}
    ours = {"subj01/40h/fused": SCORES["subj01/40h/fused"]}
    assert peers_of(tmp_path, {**ours, **others}) == {}, "of another subject"


def test_they_are_among_the_claims_of_everything(tmp_path: Path) -> None:
    made_up = MadeUp(tmp_path, SCORES)
    found = check_claims(made_up.metrics, made_up.summaries, None, SETTINGS)
    assert "40h_beats_40h_mindeye2" in found["check"].tolist()
    assert found["check"].is_unique
