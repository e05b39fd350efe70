"""Claims on made-up scores: the published order holds, another does not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.evaluation.made_up_runs import MadeUp, Scores, as_published

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.evaluation.checks.claims import check_claims, check_orderings, check_shuffled
from brainit.evaluation.checks.verdict import CHECK_COLUMNS, FAILS, HOLDS, UNDECIDED, Check
from brainit.evaluation.tables.run_scores import Summaries

REAL = parse_sections({"evaluation": {"n_bootstrap": 300}})
SIMULATED = parse_sections({"run": {"simulation": True}, "evaluation": {"n_bootstrap": 300}})


def orderings(
    folder: Path, scores: Scores, settings: Settings, noise: float = 0.0
) -> dict[str, Check]:
    """Return the claims by name; without noise every difference is certain."""
    found = check_orderings(MadeUp(folder, scores, noise).comparisons(settings))
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


@pytest.mark.parametrize("name", ["table1", "t1", "t2", "t3", "t4", "t5", "t7"])
def test_the_papers_own_numbers_hold_and_two_swapped_rows_do_not(tmp_path: Path, name: str) -> None:
    scores = as_published(name)
    found = orderings(tmp_path, scores, REAL)
    assert len(found) == len(scores) - (3 if name == "t3" else 1)
    verdicts = {check.verdict for check in found.values()}
    assert verdicts <= {HOLDS, UNDECIDED}
    assert verdicts == {HOLDS} or name == "t3"  # 64 clusters tie on Alex(5) and SSIM
    first, last = list(scores)[0], list(scores)[-1]
    swapped = {**scores, first: scores[last], last: scores[first]}
    assert FAILS in {check.verdict for check in orderings(tmp_path, swapped, REAL).values()}


def test_exceptions_are_the_papers(tmp_path: Path) -> None:
    found = orderings(tmp_path, as_published("t2"), REAL)
    check = found["t2_40h_above_40h_schaefer1000"]
    assert check.verdict == HOLDS
    assert "above 0 on 6 of 6 metrics" in check.explanation
    assert "not on Alex(2), Incep:" in check.explanation
    assert "not on SSIM:" in found["t2_40h_above_40h_coordinates"].explanation
    assert "not on" not in found["t2_40h_above_40h_schaefer400"].explanation


def test_other_metrics_do_not_stand_in_for_those_of_the_paper(tmp_path: Path) -> None:
    """Ahead of Schaefer-1000 on as many metrics as in the paper, but not on the same ones."""
    scores = as_published("t2")
    atlas, own = scores["subj01/40h_schaefer1000/fused"], scores["subj01/40h/fused"]
    changed = {"Alex(2)": 0.0, "Incep": 0.0, "Eff": own["Eff"] - 0.1, "SwAV": own["SwAV"] - 0.1}
    scores["subj01/40h_schaefer1000/fused"] = {**atlas, **changed}
    check = orderings(tmp_path, scores, REAL)["t2_40h_above_40h_schaefer1000"]
    assert check.verdict == FAILS and check.value == pytest.approx(-0.1)
    assert "above 0 on 4 of 6 metrics" in check.explanation


def test_rows_of_one_run_are_named_by_their_kind(tmp_path: Path) -> None:
    found = orderings(tmp_path, as_published("t4"), REAL)
    assert list(found) == ["t4_fused_above_lowlevel", "t4_fused_above_semantic"]


def test_a_simulation_is_held_on_what_stands_for_the_paper_s_metrics(tmp_path: Path) -> None:
    """The paper is not ahead on SSIM without external images; both distances stand for Eff."""
    good = {
        "PixCorr": 0.5,
        "SSIM": 0.3,
        "net.a.two_way": 90.0,
        "net.a.distance": 0.9,
        "net.b.two_way": 95.0,
        "net.b.distance": 0.2,
    }
    bad = {**good, "PixCorr": 0.4, "net.a.two_way": 80.0, "net.b.two_way": 85.0, "SSIM": 0.4}
    scores = {"subj01/40h/fused": good, "subj01/40h_no_external/fused": bad}
    (check,) = orderings(tmp_path, scores, SIMULATED).values()
    assert check.verdict == UNDECIDED and "Deciding: net.b.distance" in check.explanation
    assert "SSIM" not in check.explanation.partition("stated:")[2]
    worse = {**bad, "net.b.distance": 0.3, "net.a.distance": 0.0}
    (check,) = orderings(
        tmp_path, {**scores, "subj01/40h_no_external/fused": worse}, SIMULATED
    ).values()
    assert check.verdict == HOLDS


def test_noise_leaves_an_ordering_undecided(tmp_path: Path) -> None:
    found = orderings(tmp_path, as_published("t1"), REAL, noise=2.0)
    assert {check.verdict for check in found.values()} == {UNDECIDED}


def test_only_subjects_that_both_runs_have_are_compared(tmp_path: Path) -> None:
    good, bad = {"PixCorr": 0.5}, {"PixCorr": 0.4}
    scores = {
        "subj01/40h/fused": good,
        "subj02/40h/fused": {"PixCorr": -0.9},
        "subj01/40h_no_external/fused": bad,
    }
    (check,) = orderings(tmp_path, scores, SIMULATED).values()
    assert check.verdict == HOLDS
    assert orderings(tmp_path, {"subj01/40h/fused": good}, SIMULATED) == {}


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(50.0, HOLDS), (55.1, HOLDS), (55.2, FAILS), (44.9, HOLDS), (44.8, FAILS)],
)
def test_shuffled_trials_stay_within_the_null(tmp_path: Path, score: float, verdict: str) -> None:
    """Two sides of 0.5 % each: 2.5758 deviations of 2 percent."""
    scores = {"subj01/40h_shuffled_trials/fused": {"net.a.two_way": score}}
    (check,) = check_shuffled(Summaries(MadeUp(tmp_path, scores).summaries), 1000)
    assert check.name == "shuffled_trials_subj01_net.a.two_way"
    assert (check.null, check.verdict) == (50.0, verdict)
    assert check.threshold == pytest.approx(2 * 2.575829)
    assert "1000 permutations" in check.explanation


def test_all_scores_of_the_control_are_in_range_at_once(tmp_path: Path) -> None:
    """Drawn from the null itself, twelve scores leave their ranges once in a hundred controls."""
    metrics = ("net.a.two_way", "net.b.two_way", "net.c.two_way")
    runs = [f"subj0{n}/40h_shuffled_trials/fused" for n in range(1, 5)]
    made_up = MadeUp(tmp_path, {run: dict.fromkeys(metrics, 50.0) for run in runs})
    checks = check_shuffled(Summaries(made_up.summaries), 1000)
    assert len({check.name for check in checks}) == 12
    reach = checks[0].threshold / 2.0
    draws = np.abs(np.random.default_rng(0).normal(size=(20_000, 12))).max(axis=1)
    assert np.mean(draws > reach) == pytest.approx(0.01, abs=0.003)
    assert np.mean(draws > 2.576) > 0.1, "each at 99 % would fail a clean control in one of ten"


def test_claims_follow_the_earlier_checks(tmp_path: Path) -> None:
    made_up = MadeUp(tmp_path, {"subj01/40h_shuffled_trials/fused": {"net.a.two_way": 50.0}})
    files, earlier = (made_up.metrics, made_up.summaries), tmp_path / "checks.csv"
    row = ("first", 1.0, 0.9, 1.1, np.nan, 0.5, HOLDS, "why")
    pd.DataFrame([row], columns=list(CHECK_COLUMNS)).to_csv(earlier, index=False)
    found = check_claims(*files, earlier, SIMULATED)
    assert found["check"].tolist() == ["first", "shuffled_trials_subj01_net.a.two_way"]
    assert len(check_claims(*files, None, SIMULATED)) == 1
    earlier.write_text("a,b\n")
    with pytest.raises(PipelineError) as error:
        check_claims(*files, earlier, SIMULATED)
    assert error.value.where == str(earlier) and "check_results" in error.value.fix


@pytest.mark.parametrize("first", ["table1_40h_above_1h", "transfer_beats_scratch"])
def test_a_claim_that_is_an_earlier_check_stands_once(tmp_path: Path, first: str) -> None:
    made_up = MadeUp(tmp_path, as_published("table1"), noise=0.0)
    earlier = tmp_path / "checks.csv"
    row = (first, 100.0, 50.0, 100.0, np.nan, 0.0, HOLDS, "why")
    pd.DataFrame([row], columns=list(CHECK_COLUMNS)).to_csv(earlier, index=False)
    found = check_claims(made_up.metrics, made_up.summaries, earlier, SIMULATED)
    assert found["check"].tolist() == list(dict.fromkeys([first, "table1_40h_above_1h"]))
