"""Sources of models, and runs without a generator."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.model_files import write_models

from .conftest import DryRun, Run
from .dry_runs import DEMO, DRY, job_counts, parse_jobs

NO_TRAINING = ("train_", "adapt_", "cluster_voxels", "synthesize_fmri", "assign_voxels")


def rules(counts: Mapping[str, int]) -> set[str]:
    return {rule for rule, count in counts.items() if count and rule != "total"}


def trained(counts: Mapping[str, int]) -> set[str]:
    return {rule for rule in rules(counts) if rule.startswith(NO_TRAINING)}


def test_the_authors_models_need_one_subjects_betas_and_no_training(dry_run: DryRun) -> None:
    target = "results/subj01/recon_40h"
    counts = job_counts(dry_run(target, "--config", "models=authors"))
    assert counts["prepare_betas"] == 1 and counts["import_authors"] == 1
    assert not trained(counts)
    own = job_counts(dry_run(target))
    assert own["prepare_betas"] == 8 and own["import_authors"] == 0
    assert {"train_encoder", "cluster_voxels", "train_joint"} <= trained(own)


def test_exported_models_take_the_place_of_trained_ones(dry_run: DryRun, tmp_path: Path) -> None:
    folder = write_models(tmp_path / "models")
    words = (*DEMO, "--config", f"models={folder}/")
    counts = job_counts(dry_run("results/demo/subj01/recon_40h", *words))
    assert counts["prepare_betas"] == 1 and counts["import_authors"] == 0
    assert not trained(counts)


def test_a_missing_model_is_named(snakemake: Run, tmp_path: Path) -> None:
    folder = write_models(tmp_path / "models")
    (folder / "joint" / "bit.safetensors").unlink()
    words = (*DEMO, "--config", f"models={folder}")
    result = snakemake("results/demo/subj01/recon_40h", *words, *DRY)
    assert result.returncode != 0
    assert f"{folder}/joint/bit.safetensors" in result.stdout + result.stderr


def test_one_hour_still_trains_models_that_have_not_seen_the_subject(dry_run: DryRun) -> None:
    target = "results/subj01/recon_1h"
    counts = job_counts(dry_run(target, "--config", "models=authors"))
    assert counts["import_authors"] == 0 and counts["train_joint"] == 1


def test_everything_can_be_asked_for_with_foreign_models(dry_run: DryRun, tmp_path: Path) -> None:
    folder = write_models(tmp_path / "models")
    counts = job_counts(dry_run("all", *DEMO, "--config", f"models={folder}"))
    own = job_counts(dry_run("all", *DEMO))
    assert counts["train_joint"] == own["train_joint"] - 1
    assert counts["make_figures"] == counts["make_report"] == 1


@pytest.mark.parametrize(
    "target", ["recon_1h_lowlevel", "recon_40h_lowlevel", "metrics/1h_lowlevel_only_summary.csv"]
)
def test_lowlevel_target_has_no_generator_and_no_semantic_job(dry_run: DryRun, target: str) -> None:
    text = dry_run(f"results/subj01/{target}")
    found = rules(job_counts(text))
    assert ("evaluate_lowlevel" in found) == target.startswith("metrics")
    assert {"gather_reconstructions_lowlevel", "reconstruct_lowlevel", "train_encoder"} <= found
    generated = {"train_joint", "adapt_joint", "extract_features"}
    generated |= {"reconstruct_fused", "reconstruct_semantic", "gather_reconstructions", "evaluate"}
    assert not found & generated
    inputs = [path for job in parse_jobs(text) for path in job["input"]]
    for absent in ("unclip6", "zavychromaxl", "openclip", "semantic", "joint"):
        assert not any(absent in path for path in inputs), absent
    assert "kind=semantic" not in text
