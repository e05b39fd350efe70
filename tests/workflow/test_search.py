"""Brain-consistent search: its jobs, what they read, and that no default target asks for them."""

from pathlib import Path

import pytest
import yaml

from .conftest import DryRun, Run
from .dry_runs import DEMO, DRY, LAB, Job, parse_jobs

OWN_RULES = {"weigh_voxels", "reconstruct_searched"}
HALF_RULES = {"halve_trials", "train_encoder_half", "adapt_encoder_half"}


def by_rule(text: str) -> dict[str, list[Job]]:
    jobs: dict[str, list[Job]] = {}
    for job in parse_jobs(text):
        jobs.setdefault(str(job["rule"]), []).append(job)
    return jobs


def searching(snakemake: Run, folder: Path, target: str, **values: object) -> dict[str, list[Job]]:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"brain_search": values}))
    files = ("--configfile", "config/demo.yaml", str(path))
    result = snakemake(target, *DRY, *files)
    assert result.returncode == 0, result.stdout + result.stderr
    return by_rule(result.stdout + result.stderr)


@pytest.mark.parametrize(
    ("run", "start", "encoder"),
    [
        ("40h", "recon_40h_parts/lowlevel", "group/all/main"),
        ("1h", "recon_1h_parts/lowlevel", "subj01/transfer_1h"),
        ("1h_ridge", "recon_1h_ridge_parts/lowlevel", "subj01/transfer_1h"),
        ("40h_mindeye2", None, "group/all/main"),
    ],
)
def test_a_search_reads_responses_and_an_encoder_but_no_seen_image(
    dry_run: DryRun, run: str, start: str | None, encoder: str
) -> None:
    """The truth of test images is neither among its inputs nor in its command."""
    results = "results/demo"
    jobs = by_rule(dry_run(f"{results}/subj01/recon_{run}_search", *DEMO))
    (job,) = jobs["reconstruct_searched"]
    parts = f"{results}/subj01/recon_{run}_search_parts"
    assert job["output"] == [f"{parts}/fused/shard_0.safetensors", f"{parts}/fits/shard_0.csv"]
    told = [*job["input"], str(job["command"])]
    assert not any(word in text for text in told for word in ("/images/", "stimuli", "truth"))
    assert not any("features" in Path(path).name for path in job["input"])
    assert f"{results}/{encoder}/encoder/encoder.safetensors" in job["input"]
    assert f"{results}/subj01/betas/betas.npy" in job["input"]
    starts = [path for path in job["input"] if "/lowlevel/" in path]
    assert starts == ([f"{results}/subj01/{start}/shard_0.safetensors"] if start else [])
    assert not HALF_RULES & jobs.keys() and "reconstruct_fused" not in jobs
    (weights,) = jobs["weigh_voxels"]
    assert f" --duration {run.partition('_')[0]} " in str(weights["command"])
    assert not any("truth" in path for path in weights["input"])
    (gathered,) = jobs["gather_reconstructions"]
    assert f" --run {run}_search " in str(gathered["command"])


def test_a_lab_subject_is_searched_by_its_own_encoder(dry_run: DryRun) -> None:
    jobs = by_rule(dry_run("results/demo/labsub/recon_1h_search", *DEMO, *LAB))
    (job,) = jobs["reconstruct_searched"]
    encoder = "results/demo/labsub/transfer_1h/encoder/encoder.safetensors"
    assert encoder in job["input"] and encoder in jobs["weigh_voxels"][0]["input"]


def test_another_half_of_the_trials_trains_the_choosing_encoder(
    snakemake: Run, tmp_path: Path
) -> None:
    target = "results/demo/subj01/recon_1h_search"
    jobs = searching(snakemake, tmp_path, target, encoder="half_b")
    assert len(jobs["halve_trials"]) == 4 and jobs.keys() >= HALF_RULES | OWN_RULES
    folder = "results/demo/subj01/transfer_1h"
    (job,) = jobs["reconstruct_searched"]
    assert f"{folder}/encoder_half_b/encoder.safetensors" in job["input"]
    assert f"{folder}/encoder/encoder.safetensors" not in job["input"]
    (adapted,) = jobs["adapt_encoder_half"]
    base = "results/demo/group/without_subj01/main/encoder_half_b/encoder.safetensors"
    assert base in adapted["input"]
    (plain,), (halved,) = jobs["train_encoder"], jobs["train_encoder_half"]
    assert not any("halves" in path for path in plain["input"])
    trials = [path for path in halved["input"] if path.endswith(".csv")]
    assert trials == [f"results/demo/subj0{n}/halves/trials_half_b.csv" for n in (2, 3, 4)]


def test_no_default_target_searches(dry_run: DryRun) -> None:
    for target, files in (("all", DEMO), ("everything", ())):
        assert not (OWN_RULES | HALF_RULES) & by_rule(dry_run(target, *files)).keys(), target


def test_the_switch_adds_a_search_of_each_row_to_the_table_of_peers(
    snakemake: Run, tmp_path: Path
) -> None:
    jobs = searching(snakemake, tmp_path, "peers", enabled=True)
    found = {
        path.split("/")[3].removesuffix("_search_parts")
        for job in jobs["reconstruct_searched"]
        for path in job["output"]
    }
    own = {"recon_40h", "recon_1h", "recon_40h_ridge", "recon_1h_ridge"}
    methods = ("stage1", "mindeye2", "lora_skip", "mindbridge")
    assert found == own | {f"recon_{d}_{m}" for d in ("40h", "1h") for m in methods}
    (table,) = jobs["make_table"]
    assert any(path.endswith("/40h_mindeye2_search_fused.csv") for path in table["input"])
