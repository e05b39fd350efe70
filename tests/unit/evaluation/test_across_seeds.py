"""Several seeds joined: means, intervals over brains, verdicts, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from tests.unit.evaluation.made_up_runs import MadeUp
from tests.unit.evaluation.test_score_checks import FINAL, GOOD, MID

from brainit.commands.program import run as brainit
from brainit.core.errors import PipelineError
from brainit.evaluation.across_seeds import as_markdown, join_seeds, over_brains
from brainit.evaluation.checks.verdict import COMPARISON, HOLDS, UNDECIDED


def results(folder: Path, seed: int, shift: float = 0.0, **sections: object) -> Path:
    """Write the scores of one seed; Brain-IT's final tap is better by `shift` percent."""
    root = folder / f"seed{seed}"
    (root / "made_up").mkdir(parents=True)
    rows = {name: dict(row) for name, row in GOOD.items()}
    for name in ("40h/fused", "1h/fused"):
        rows[name][FINAL] += shift
    made_up = MadeUp(root / "made_up", {f"subj01/{name}": row for name, row in rows.items()})
    metrics = root / "subj01" / "metrics"
    metrics.mkdir(parents=True)
    for name, path in made_up.metrics.items():
        _, run, kind = name.split("/")
        path.rename(metrics / f"{run}_{kind}.csv")
        made_up.summaries[name].rename(metrics / f"{run}_{kind}_summary.csv")
    (metrics / "encoder.csv").write_text("part\n")
    told = {
        "run": {"seed": seed, "simulation": True},
        "nsd": {"subjects": ["subj01"], "evaluated": ["subj01"], "transfer": ["subj01"]},
        "evaluation": {"n_bootstrap": 200},
        **sections,
    }
    (root / "settings.json").write_text(json.dumps(told))
    return root


def test_means_and_verdicts_over_brains(tmp_path: Path) -> None:
    roots = [
        results(tmp_path, seed, shift) for seed, shift in ((101, 0.0), (102, 1.0), (103, -1.0))
    ]
    scores, checks = join_seeds(roots)
    row = scores.set_index(["run", "kind", "metric"]).loc[("40h", "fused", FINAL)]
    per_seed = [
        pd.read_csv(root / "subj01" / "metrics" / "40h_fused.csv")[FINAL].mean() for root in roots
    ]
    assert row["mean"] == pytest.approx(np.mean(per_seed))
    assert (row["n_brains"], row["n_images"]) == (3, 300)
    assert row["low"] < row["mean"] < row["high"]
    assert {
        f"{run}/{kind}" for run, kind in zip(scores["run"], scores["kind"], strict=True)
    } == set(GOOD)
    claims = checks.set_index("check")
    for name in ("1h_beats_1h_ridge", "40h_beats_40h_knn", "transfer_beats_scratch"):
        assert claims.loc[name, "verdict"] == HOLDS
        assert "3 brains" in claims.loc[name, "explanation"]
    difference = claims.loc[f"{FINAL}_40h_above_40h_ridge"]
    assert difference["value"] == pytest.approx(np.mean([6.0, 7.0, 5.0]))
    again, _ = join_seeds(roots[::-1])
    pd.testing.assert_frame_equal(again, scores)


def test_brains_that_disagree_are_undecided(tmp_path: Path) -> None:
    """Each alone decides beyond doubt: its images are many, the brains are few."""
    shifts = ((101, 20.0), (102, 20.0), (103, -40.0))
    roots = [results(tmp_path, seed, shift) for seed, shift in shifts]
    _, checks = join_seeds(roots)
    rows = checks.set_index("check")
    assert rows["low"][f"{FINAL}_40h_above_40h_ridge"] < 0
    assert rows["low"][f"{MID}_1h_above_1h_ridge"] > 0
    assert rows["verdict"]["1h_beats_1h_ridge"] == UNDECIDED


def test_fewer_than_three_brains_decide_nothing(tmp_path: Path) -> None:
    roots = [results(tmp_path, seed) for seed in (101, 102)]
    scores, checks = join_seeds(roots)
    assert set(checks["verdict"]) - {COMPARISON} == {UNDECIDED}
    claims = checks[checks["verdict"] != COMPARISON]
    assert claims["explanation"].str.startswith("fewer than three brains").all()
    assert "undecided: fewer than three brains" in as_markdown(scores, checks, [101, 102])


def test_the_interval_over_brains_is_student_s() -> None:
    groups = [np.arange(4.0), np.array([5.0, np.nan, 9.0]), np.array([1.0])]
    interval, error, dof = over_brains(groups)
    means = [1.5, 7.0, 1.0]
    low, high = ttest_1samp(means, 0.0).confidence_interval(0.95)
    assert interval.ends == pytest.approx((np.mean(means), low, high))
    assert (error, dof) == (pytest.approx(np.std(means, ddof=1) / np.sqrt(3)), 2)
    assert np.isnan(over_brains(groups[:1])[0].low)


def test_its_interval_covers_the_truth_as_often_as_it_says() -> None:
    """A percentile bootstrap of three brains covers it in three of four cases alone."""
    rng, n_covered = np.random.default_rng(1), 0
    for _ in range(600):
        groups = [centre + rng.normal(size=30) for centre in rng.normal(scale=2.0, size=3)]
        interval = over_brains(groups)[0]
        n_covered += interval.low < 0 < interval.high
    assert 0.92 < n_covered / 600 < 0.98


def test_recorded_brains_and_missing_runs_are_refused(tmp_path: Path) -> None:
    roots = [results(tmp_path, seed) for seed in (101, 102, 103)]
    (roots[1] / "subj01" / "metrics" / "1h_fused.csv").unlink()
    with pytest.raises(PipelineError) as error:
        join_seeds(roots)
    assert error.value.code == "missing-data" and "subj01/1h/fused" in error.value.found
    told = json.loads((roots[0] / "settings.json").read_text())
    told["run"]["simulation"] = False
    (roots[0] / "settings.json").write_text(json.dumps(told))
    with pytest.raises(PipelineError) as error:
        join_seeds(roots)
    assert error.value.code == "wrong-settings"


def test_other_configurations_and_repeated_seeds_are_refused(tmp_path: Path) -> None:
    first = results(tmp_path, 101)
    other = results(tmp_path, 102, evaluation={"n_bootstrap": 300}, recon={"n_steps": 9})
    with pytest.raises(PipelineError) as error:
        join_seeds([first, other])
    assert error.value.code == "inconsistent-inputs"
    assert error.value.found.count("evaluation.n_bootstrap") == 1 and "recon" in error.value.found
    assert "run.seed" not in error.value.found
    with pytest.raises(PipelineError) as error:
        join_seeds([first, first])
    assert error.value.code == "duplicate-data" and "101" in error.value.found
    (other / "settings.json").unlink()
    with pytest.raises(PipelineError) as error:
        join_seeds([first, other])
    assert error.value.code == "missing-file" and error.value.where.endswith("settings.json")


def test_the_command_writes_three_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    roots = [str(results(tmp_path, seed)) for seed in (101, 102, 103)]
    with caplog.at_level("INFO"):
        brainit(["seeds", *roots, "--out", str(tmp_path / "proof")])
    assert sorted(path.name for path in (tmp_path / "proof").iterdir()) == [
        "scores.csv",
        "seeds.md",
        "verdicts.csv",
    ]
    text = (tmp_path / "proof" / "seeds.md").read_text()
    assert "101, 102, 103" in text and "1h_beats_1h_ridge" in text and "simulation" in text
    assert HOLDS in caplog.text
