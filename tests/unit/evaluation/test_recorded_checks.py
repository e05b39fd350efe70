"""Checks on recorded brains, whose truth nobody knows, on small files of two subjects."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.small_models import small_bit
from tests.unit.evaluation.made_up_runs import MadeUp, as_published

from brainit.core.artifacts import write_artifact
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init
from brainit.core.settings import BitSettings, parse_sections
from brainit.core.streams import numpy_generator
from brainit.data.fmri import load_subject_fmri
from brainit.data.trials import TRIAL_COLUMNS
from brainit.evaluation.checks.cluster_attention import check_contralateral, cluster_attention
from brainit.evaluation.checks.results import CheckInputs, check_results
from brainit.evaluation.checks.verdict import FAILS, HOLDS, UNDECIDED
from brainit.evaluation.metrics.names import direction_of
from brainit.models.brain_transformer import load_bit, save_bit

SUBJECTS, N_VOXELS, N_TRIALS = ("subj02", "subj01"), {"subj02": 12, "subj01": 18}, 6
NSD = {"subjects": list(SUBJECTS), "evaluated": list(SUBJECTS), "transfer": []}
REAL = parse_sections({"nsd": NSD, "evaluation": {"n_permutations": 30, "n_bootstrap": 40}})


@pytest.fixture
def inputs(tmp_path: Path) -> CheckInputs:
    """Write voxels, betas, trials, clusters, a BIT, and summaries of the paper's order of rows."""
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 5, size=30)
    cluster[:5] = cluster[12:17] = np.arange(5)
    for subject, n_voxels in N_VOXELS.items():
        tensors = {
            "vertex": np.arange(n_voxels),
            "hemisphere": np.arange(n_voxels) % 2,
            "position_mm": np.zeros((n_voxels, 3), dtype=np.float32),
            "noise_ceiling": np.full(n_voxels, 30.0, dtype=np.float32),
        }
        about = {"subject": subject, "space": "s", "mask": "m", "n_dropped_nan": 0}
        write_artifact(tmp_path / f"{subject}_voxels", "voxels", tensors, about)
        betas = rng.normal(size=(N_TRIALS, n_voxels)).astype(np.float16)
        np.save(tmp_path / f"{subject}_betas.npy", betas)
        rows = [(trial, 1, 1, trial, trial, 0, True, "test") for trial in range(N_TRIALS)]
        trials = pd.DataFrame(rows, columns=list(TRIAL_COLUMNS))
        trials.to_csv(tmp_path / f"{subject}_trials.csv", index=False)
    header = {"subjects": list(SUBJECTS), "n_voxels": N_VOXELS, "n_clusters": 5, "method": "gmm"}
    tensor = {"voxel_cluster": cluster.astype(np.int64)}
    write_artifact(tmp_path / "clusters", "clusters", tensor, {**header, "seed": 0})
    sizes = BitSettings(width=8, n_heads=2, n_blocks=1)
    with seeded_init(0, "bit"):
        model = small_bit(torch.from_numpy(cluster), 5, n_queries=16, out_width=8, width=8)
        torch.nn.init.normal_(model.voxel_embedding)
        torch.nn.init.normal_(model.query_tokens)
    save_bit(tmp_path / "bit", model, subjects=N_VOXELS, kind="semantic", settings=sizes, seed=0)
    scores = {**as_published("table1"), **as_published("t4"), **as_published("t7")}
    scores["subj01/40h/fused"] = {
        metric: value * (0.7 if direction_of(metric) == "lower" else 1.2)
        for metric, value in scores["subj01/40h/fused"].items()
    }
    scores["subj01/1h_scratch/fused"] = scores["subj01/15min/fused"]
    made_up = MadeUp(tmp_path, scores, noise=0.0)
    return CheckInputs(
        encoder=tmp_path / "absent",
        clusters=tmp_path / "clusters",
        bit=tmp_path / "bit",
        voxels={s: tmp_path / f"{s}_voxels" for s in SUBJECTS},
        betas={s: tmp_path / f"{s}_betas.npy" for s in SUBJECTS},
        trials={s: tmp_path / f"{s}_trials.csv" for s in SUBJECTS},
        stimuli=tmp_path / "absent",
        metrics=made_up.metrics,
        summaries=made_up.summaries,
    )


def test_recorded_brains_are_checked_without_truth(inputs: CheckInputs) -> None:
    found = check_results(inputs, REAL).set_index("check")
    assert list(found.index) == [
        "attention_contralateral",
        *(f"fused_{metric}" for metric in ("Alex(2)", "Alex(5)", "Incep", "CLIP")),
        *(f"PixCorr_{pair}" for pair in ("lowlevel_above_fused", "fused_above_semantic")),
        *(f"CLIP_{kind}_above_lowlevel" for kind in ("fused", "semantic")),
        "transfer_beats_scratch",
        *(f"1h_beats_1h_{name}" for name in ("ridge", "knn")),
        *(f"40h_beats_40h_{name}" for name in ("ridge", "knn")),
        "table1_40h_above_1h",
        "t4_fused_above_lowlevel",
        "t4_fused_above_semantic",
        "t7_1h_above_15min",
        "t7_1h_above_30min",
    ]
    assert (found.loc["table1_40h_above_1h":, "verdict"] == HOLDS).all()  # type: ignore[misc]
    not_run = [name for name in found.index if "_beats_" in name and "scratch" not in name]
    assert (found.loc[not_run, "verdict"] == UNDECIDED).all()
    attention = []
    for subject in SUBJECTS:
        files = inputs.betas[subject], inputs.trials[subject]
        fmri = load_subject_fmri(subject, *files, ("test",), "40h", True)
        hemisphere = np.arange(N_VOXELS[subject]) % 2
        attention.append(cluster_attention(load_bit(inputs.bit), fmri, hemisphere))
    generator = numpy_generator(REAL.run.seed, "resampled_attention")
    expected = check_contralateral(attention, 40, generator)
    assert found.loc["attention_contralateral", "value"] == pytest.approx(expected.value)
    assert found.loc["attention_contralateral", "verdict"] == expected.verdict


def test_transfer_is_claimed_on_the_paper_s_metrics_and_worse_on_none(
    inputs: CheckInputs,
) -> None:
    for metric, verdict in (("other.a.distance", FAILS), ("other.a.unit_distance", HOLDS)):
        for run, value in (("1h", 0.5), ("1h_scratch", 0.4 if verdict == FAILS else 0.5)):
            path = inputs.metrics[f"subj01/{run}/fused"]
            pd.read_csv(path).assign(**{metric: value}).to_csv(path, index=False)
        found = check_results(inputs, REAL).set_index("check")
        check = found.loc["transfer_beats_scratch"]
        assert check["verdict"] == verdict, metric
        for run in ("1h", "1h_scratch"):
            path = inputs.metrics[f"subj01/{run}/fused"]
            pd.read_csv(path).drop(columns=metric).to_csv(path, index=False)


def test_a_simulation_is_not_checked_without_its_truth(inputs: CheckInputs) -> None:
    simulated = parse_sections({"nsd": NSD, "run": {"simulation": True}})
    for card, absent in ((None, ("--truth", "--card")), (inputs.bit, ("--truth",))):
        with pytest.raises(PipelineError) as error:
            check_results(replace(inputs, card=card), simulated)
        assert error.value.code == "invalid-argument"
        assert all(flag in error.value.found for flag in absent)
        assert ("--card" in error.value.found) == (card is None)
