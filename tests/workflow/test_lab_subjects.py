"""A subject of the lab's own: the literal command shows the whole way, and only that way."""

from pathlib import Path

import pytest
import yaml

from .conftest import DryRun, Run
from .dry_runs import DEMO, DRY, LAB, job_counts, parse_jobs


def test_literal_command_decodes_a_lab_subject_by_transfer(dry_run: DryRun) -> None:
    text = dry_run("results/demo/labsub/recon_1h", *DEMO, *LAB)
    counts = job_counts(text)
    expected = {
        "prepare_lab_subject": 1,
        "prepare_betas": 4,
        "train_encoder": 1,
        "train_joint": 1,
        "adapt_encoder": 1,
        "assign_voxels": 1,
        "synthesize_fmri_transfer": 1,
        "extract_features_lab": 1,
        "adapt_bit": 2,
        "adapt_joint": 1,
        "reconstruct_lowlevel": 1,
        "reconstruct_semantic": 1,
        "reconstruct_fused": 1,
        "gather_reconstructions": 1,
    }
    assert {name: counts[name] for name in expected} == expected
    inputs: dict[str, set[str]] = {}
    for job in parse_jobs(text):
        inputs.setdefault(job["rule"], set()).update(job["input"])
    store = "results/demo/labsub/images/stimuli"
    assert store in inputs["adapt_encoder"] & inputs["adapt_bit"] & inputs["adapt_joint"]
    assert store in inputs["gather_reconstructions"]
    assert "results/demo/labsub/tokens/stimuli" in inputs["adapt_bit"]
    assert "results/demo/group/all/main/encoder/encoder.safetensors" in inputs["adapt_encoder"]
    assert "results/demo/group/images/stimuli" in inputs["train_encoder"]
    assert not any("without_" in path for paths in inputs.values() for path in paths)
    assert "lab/voxels.csv" in inputs["prepare_lab_subject"]


@pytest.mark.parametrize("run", ["1h_ridge", "40h_ridge", "1h_knn"])
def test_baselines_of_a_lab_subject_need_nobody_elses_data_and_no_training(
    dry_run: DryRun, run: str
) -> None:
    text = dry_run(f"results/demo/labsub/recon_{run}", *DEMO, *LAB)
    counts = job_counts(text)
    ridge = {"predict_ridge": 2, "extract_features_lab": 1, "gather_reconstructions": 1}
    ridge |= {"reconstruct_lowlevel": 1, "reconstruct_fused": 1}
    expected = {"pick_nearest": 1} if run == "1h_knn" else ridge
    expected |= {"reconstruct_semantic": 1} if run == "40h_ridge" else {}
    del counts["total"]
    assert counts == {"prepare_lab_subject": 1, **expected}
    assert ("--new-subject" in text) and "--generator" not in text and "--bit" not in text


@pytest.mark.parametrize("run", ["40h", "1h_scratch"])
def test_other_runs_of_a_lab_subject(dry_run: DryRun, run: str) -> None:
    counts = job_counts(dry_run(f"results/demo/labsub/recon_{run}", *DEMO, *LAB))
    is_scratch = run == "1h_scratch"
    assert counts["prepare_betas"] == (0 if is_scratch else 4)
    assert counts["adapt_joint"] == (0 if is_scratch else 1)
    assert counts["gather_reconstructions"] == 1


def test_a_lab_subject_changes_nothing_for_nsd(dry_run: DryRun) -> None:
    with_lab = dry_run("all", *DEMO, *LAB)
    without = dry_run("all", *DEMO)
    assert job_counts(with_lab) == job_counts(without)


def test_missing_folder_is_named(snakemake: Run, tmp_path: Path) -> None:
    named = ("--config", f'lab={{"labsub":"{tmp_path}/none"}}')
    result = snakemake("results/demo/labsub/design/trials.csv", *DEMO, *named, *DRY)
    assert result.returncode != 0
    assert f"{tmp_path}/none" in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["subj01", "my_sub", "group", "1st"])
def test_names_that_would_be_mistaken_are_refused(
    snakemake: Run, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({"lab": {name: "folder"}}))
    result = snakemake(*DRY, "--configfile", "config/demo.yaml", str(path), "--", "all")
    assert result.returncode != 0
    assert name in result.stdout + result.stderr
    assert "Job stats" not in result.stdout + result.stderr
