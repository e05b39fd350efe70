"""Several seeds joined: means, two-level intervals, verdicts, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.evaluation.made_up_runs import MadeUp
from tests.unit.evaluation.test_score_checks import FINAL, GOOD, MID

from brainit.commands.program import run as brainit
from brainit.core.errors import PipelineError
from brainit.evaluation.across_seeds import as_markdown, join_seeds
from brainit.evaluation.checks.verdict import COMPARISON, HOLDS, UNDECIDED
from brainit.evaluation.metrics.statistics import resampled_means_of_groups


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
    claims = checks.set_index("check")["verdict"]
    assert claims[f"{FINAL}_40h_above_40h_ridge"] == UNDECIDED
    assert claims[f"{MID}_1h_above_1h_ridge"] == HOLDS
    assert claims["1h_beats_1h_ridge"] == UNDECIDED


def test_fewer_than_three_brains_decide_nothing(tmp_path: Path) -> None:
    roots = [results(tmp_path, seed) for seed in (101, 102)]
    scores, checks = join_seeds(roots)
    assert set(checks["verdict"]) - {COMPARISON} == {UNDECIDED}
    assert checks["explanation"].str.startswith("fewer than three brains").all()
    assert "undecided: fewer than three brains" in as_markdown(scores, checks, [101, 102])


def test_the_two_level_bootstrap_by_loops() -> None:
    groups = [np.arange(4.0), np.array([5.0, np.nan, 9.0]), np.array([1.0])]
    found = resampled_means_of_groups(groups, 20, np.random.default_rng(0))
    rng, known, expected = np.random.default_rng(0), [[0, 1, 2, 3], [5, 9], [1]], []
    for _ in range(20):
        means = []
        for g in rng.integers(3, size=3):
            drawn = rng.integers(len(known[g]), size=len(known[g]))
            means.append(np.mean([known[g][k] for k in drawn]))
        expected.append(np.mean(means))
    np.testing.assert_allclose(found, expected)
    assert len(resampled_means_of_groups([np.array([np.nan])], 5, rng)) == 0


def test_its_interval_holds_brains_and_images() -> None:
    """For many brains its variance is that of their means, images in them counted once more."""
    rng = np.random.default_rng(1)
    centres = rng.normal(scale=2.0, size=200)
    groups = [centre + rng.normal(size=50) for centre in centres]
    found = resampled_means_of_groups(groups, 2000, rng)
    between = np.var([group.mean() for group in groups]) / 200
    within = np.mean([group.var() for group in groups]) / 50 / 200
    assert found.std() == pytest.approx(np.sqrt(between + within), rel=0.06)


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
