"""Claims on made-up scores: the published order holds, another does not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.evaluation.checks.claims import check_claims, check_orderings, check_shuffled
from brainit.evaluation.checks.scores import check_scores
from brainit.evaluation.checks.verdict import CHECK_COLUMNS, FAILS, HOLDS, Check
from brainit.evaluation.metrics.names import SUMMARY_COLUMNS, direction_of
from brainit.evaluation.tables.rows import TABLES, paper_table
from brainit.evaluation.tables.run_scores import Summaries

REAL, SIMULATED = parse_sections({}), parse_sections({"run": {"simulation": True}})


def written(folder: Path, scores: dict[str, dict[str, float]]) -> dict[str, Path]:
    paths = {}
    for name, metrics in scores.items():
        rows = [(m, v, v, v, 100, direction_of(m), 50.0, 59.0, 2.0) for m, v in metrics.items()]
        paths[name] = folder / f"{name.replace('/', '_')}.csv"
        pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).to_csv(paths[name], index=False)
    return paths


def as_published(name: str) -> dict[str, dict[str, float]]:
    """Return the scores of a table's runs, for its first subject, as the paper has them."""
    published = paper_table(name)
    return {
        f"{published.subjects[0]}/{c.run}/{c.kind}": dict(published.row(*c.paper_row).values)
        for c in TABLES[name].conditions
        if c.paper_row
    }


def orderings(folder: Path, scores: dict[str, dict[str, float]], settings: Settings) -> list[Check]:
    return check_orderings(Summaries(written(folder, scores)), settings)


@pytest.mark.parametrize("name", ["table1", "t1", "t2", "t3", "t4", "t5", "t7"])
def test_the_papers_own_numbers_hold_and_two_swapped_rows_do_not(tmp_path: Path, name: str) -> None:
    scores = as_published(name)
    found = orderings(tmp_path, scores, REAL)
    assert len(found) == len(scores) - (3 if name == "t3" else 1)
    assert {check.verdict for check in found} == {HOLDS}
    assert len({check.name for check in found}) == len(found)
    assert all(check.value == check.threshold for check in found)
    first, last = list(scores)[0], list(scores)[-1]
    swapped = {**scores, first: scores[last], last: scores[first]}
    verdicts = [check.verdict for check in orderings(tmp_path, swapped, REAL)]
    assert FAILS in verdicts


def test_exceptions_are_the_papers(tmp_path: Path) -> None:
    found = {c.name: c for c in orderings(tmp_path, as_published("t2"), REAL)}
    check = found["t2_40h_above_40h_schaefer1000"]
    assert check.value == check.threshold == 100.0
    assert check.explanation.startswith("percent of 6 metrics")
    assert "not on Alex(2), Incep;" in check.explanation
    assert "not on SSIM;" in found["t2_40h_above_40h_coordinates"].explanation
    assert found["t2_40h_above_40h_schaefer400"].threshold == 100.0


def test_other_metrics_do_not_stand_in_for_those_of_the_paper(tmp_path: Path) -> None:
    """Ahead of Schaefer-1000 on as many metrics as in the paper, but not on the same ones."""
    scores = as_published("t2")
    atlas, own = scores["subj01/40h_schaefer1000/fused"], scores["subj01/40h/fused"]
    changed = {"Alex(2)": 0.0, "Incep": 0.0, "Eff": own["Eff"] - 0.1, "SwAV": own["SwAV"] - 0.1}
    scores["subj01/40h_schaefer1000/fused"] = {**atlas, **changed}
    found = {c.name: c for c in orderings(tmp_path, scores, REAL)}
    check = found["t2_40h_above_40h_schaefer1000"]
    assert (check.value, check.verdict) == (pytest.approx(100 * 4 / 6), FAILS)
    assert check.explanation.endswith("Not on: Eff, SwAV")


def test_rows_of_one_run_are_named_by_their_kind(tmp_path: Path) -> None:
    found = [check.name for check in orderings(tmp_path, as_published("t4"), REAL)]
    assert found == ["t4_fused_above_lowlevel", "t4_fused_above_semantic"]


def test_a_simulation_is_held_on_its_own_metrics(tmp_path: Path) -> None:
    good = {"PixCorr": 0.5, "SSIM": 0.3, "net.a.two_way": 90.0, "net.a.distance": 0.2}
    bad = {"PixCorr": 0.4, "SSIM": 0.3, "net.a.two_way": 80.0, "net.a.distance": 0.1}
    scores = {"subj01/40h/fused": good, "subj01/40h_no_external/fused": bad}
    (check,) = orderings(tmp_path, scores, SIMULATED)
    assert (check.value, check.threshold, check.verdict) == (50.0, 87.5, FAILS)
    assert check.explanation.endswith("Not on: SSIM, net.a.distance")
    better = {**good, "net.a.distance": 0.05, "SSIM": 0.4}
    (check,) = orderings(tmp_path, {**scores, "subj01/40h/fused": better}, SIMULATED)
    assert (check.value, check.verdict) == (100.0, HOLDS)


def test_only_subjects_that_both_runs_have_are_compared(tmp_path: Path) -> None:
    good, bad = {"PixCorr": 0.5}, {"PixCorr": 0.4}
    scores = {
        "subj01/40h/fused": good,
        "subj02/40h/fused": {"PixCorr": -9.0},
        "subj01/40h_no_external/fused": bad,
    }
    assert orderings(tmp_path, scores, SIMULATED)[0].verdict == HOLDS
    assert orderings(tmp_path, {"subj01/40h/fused": good}, SIMULATED) == []


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(50.0, HOLDS), (55.1, HOLDS), (55.2, FAILS), (44.9, HOLDS), (44.8, FAILS)],
)
def test_shuffled_trials_stay_within_the_null(tmp_path: Path, score: float, verdict: str) -> None:
    """Two sides of 0.5 % each: 2.5758 deviations of 2 percent."""
    paths = written(tmp_path, {"subj01/40h_shuffled_trials/fused": {"net.a.two_way": score}})
    (check,) = check_shuffled(Summaries(paths), 1000)
    assert check.name == "shuffled_trials_subj01_net.a.two_way"
    assert (check.null, check.verdict) == (50.0, verdict)
    assert check.threshold == pytest.approx(2 * 2.575829)
    assert "1000 permutations" in check.explanation


def test_all_scores_of_the_control_are_in_range_at_once(tmp_path: Path) -> None:
    """Drawn from the null itself, twelve scores leave their ranges once in a hundred controls."""
    metrics = ("net.a.two_way", "net.b.two_way", "net.c.two_way")
    runs = [f"subj0{n}/40h_shuffled_trials/fused" for n in range(1, 5)]
    paths = written(tmp_path, {run: dict.fromkeys(metrics, 50.0) for run in runs})
    checks = check_shuffled(Summaries(paths), 1000)
    assert len({check.name for check in checks}) == 12
    reach = checks[0].threshold / 2.0
    draws = np.abs(np.random.default_rng(0).normal(size=(20_000, 12))).max(axis=1)
    assert np.mean(draws > reach) == pytest.approx(0.01, abs=0.003)
    assert np.mean(draws > 2.576) > 0.1, "each at 99 % would fail a clean control in one of ten"


def test_claims_follow_the_earlier_checks(tmp_path: Path) -> None:
    paths = written(tmp_path, {"subj01/40h_shuffled_trials/fused": {"net.a.two_way": 50.0}})
    earlier = tmp_path / "checks.csv"
    row = ("first", 1.0, np.nan, 0.5, HOLDS, "why")
    pd.DataFrame([row], columns=list(CHECK_COLUMNS)).to_csv(earlier, index=False)
    found = check_claims(paths, earlier, SIMULATED)
    assert found["check"].tolist() == ["first", "shuffled_trials_subj01_net.a.two_way"]
    assert len(check_claims(paths, None, SIMULATED)) == 1
    earlier.write_text("a,b\n")
    with pytest.raises(PipelineError) as error:
        check_claims(paths, earlier, SIMULATED)
    assert error.value.where == str(earlier) and "check_results" in error.value.fix


@pytest.mark.parametrize(
    ("first", "claimed"),
    [
        ("40h_beats_1h", []),
        ("table1_40h_above_1h", []),
        ("transfer_beats_scratch", ["table1_40h_above_1h"]),
    ],
)
def test_a_claim_that_is_an_earlier_check_stands_once(
    tmp_path: Path, first: str, claimed: list[str]
) -> None:
    paths = written(tmp_path, as_published("table1"))
    earlier = tmp_path / "checks.csv"
    row = (first, 100.0, 50.0, 100.0, HOLDS, "why")
    pd.DataFrame([row], columns=list(CHECK_COLUMNS)).to_csv(earlier, index=False)
    found = check_claims(paths, earlier, SIMULATED)
    assert found["check"].tolist() == [first, *claimed]


def test_full_beats_hour_is_the_simulation_s_claim_of_table_1(tmp_path: Path) -> None:
    """Under both names the same value, null and threshold, whatever the scores."""
    scores = as_published("table1")
    scores["subj01/1h/fused"] = {**scores["subj01/1h/fused"], "PixCorr": 0.9, "Eff": 0.1}
    summaries = Summaries(written(tmp_path, scores))
    (claim,) = check_orderings(summaries, SIMULATED)
    checks = {check.name: check for check in check_scores(summaries)}
    same = checks["40h_beats_1h"]
    assert (claim.value, claim.null, claim.threshold) == (same.value, same.null, same.threshold)
    assert claim.value == 75.0
