"""The ablations' jobs: only the jobs that a variant changes; jobs that variants share run once."""

import json
import re
from pathlib import Path

import pytest
import yaml

from brainit.core.settings import Settings
from brainit.evaluation.tables.rows import EVERY_TABLE, TABLES

from .conftest import DryRun, Run, refusal
from .dry_runs import DEMO, DEMO_FULL, DRY, Job, job_counts, parse_jobs

VARIANTS = list(Settings().ablations.root)


@pytest.fixture(scope="module")
def jobs_of_ablations(dry_run: DryRun) -> list[Job]:
    return parse_jobs(dry_run("ablations"))


def outputs(jobs: list[Job]) -> list[str]:
    return [path for job in jobs for path in job["output"]]


def jobs_of(variant: str, jobs: list[Job]) -> list[str]:
    """Return the rules of the jobs that write a file of this variant alone."""
    names = (f"/{variant}/", f"recon_40h_{variant}", f"metrics/40h_{variant}_")
    return [
        str(job["rule"])
        for job in jobs
        if any(name in path for path in job["output"] for name in names)
    ]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "k128"])
def test_a_variant_is_at_most_twenty_jobs_from_the_first_changed_step(
    variant: str, jobs_of_ablations: list[Job]
) -> None:
    rules = jobs_of(variant, jobs_of_ablations)
    assert 0 < len(rules) <= 20
    models = [rule for rule in rules if rule.startswith(("train_", "cluster_"))]
    clusters = [] if variant == "no_external" else ["cluster_voxels"]
    expected = [*clusters, "train_bit", "train_bit", "train_joint"]
    if variant.startswith("mlp_"):
        expected = ["train_bit"]
        assert rules.count("reconstruct_lowlevel") == 4 and "reconstruct_fused" not in rules
    assert sorted(models) == sorted(expected)
    assert "reconstruct_semantic" not in rules


def test_what_variants_share_is_made_once(jobs_of_ablations: list[Job]) -> None:
    found = outputs(jobs_of_ablations)
    assert len(found) == len(set(found))
    rules = [job["rule"] for job in jobs_of_ablations]
    assert rules.count("train_encoder") == 1
    assert rules.count("prepare_betas") == 8
    assert rules.count("synthesize_fmri") == 1
    assert rules.count("cluster_voxels") == 1 + len(VARIANTS) - 4, (
        "k128, no_external and the MLPs have main's"
    )


def test_a_variant_equal_to_the_full_run_is_the_full_run(
    jobs_of_ablations: list[Job], dry_run: DryRun
) -> None:
    assert not jobs_of("k128", jobs_of_ablations)
    text = dry_run("ablations", *DEMO)
    jobs = parse_jobs(text)
    assert jobs_of("k128", jobs) and not jobs_of("k32", jobs)
    (command,) = re.findall("python -m brainit.steps.make_table --name t1 .*", text)
    atlases = ("40h_schaefer400", "40h_schaefer1000")
    for rows in (TABLES[name] for name in ("t1", "t2", "t3", "t5")):
        for row in rows.conditions:
            assert (f" subj01/{row.run}/{row.kind}=" in command) is (row.run not in atlases)
    assert "subj01/40h_k32/fused=results/demo/subj01/metrics/40h_fused.csv" in command


def test_without_external_images_no_predicted_fmri_is_read(
    jobs_of_ablations: list[Job],
) -> None:
    trained = [
        job["input"]
        for job in jobs_of_ablations
        if any("/no_external/" in path for path in job["output"])
    ]
    assert len(trained) == 3
    assert not any("synthetic_fmri" in path for paths in trained for path in paths)


def test_low_level_images_are_shared_by_a_variant_of_the_semantic_branch(
    snakemake: Run, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"ablations": {"short": {"joint": {"max_steps": 3}}}}))
    result = snakemake(
        "results/demo/subj01/recon_40h_short", *DRY, "--configfile", "config/demo.yaml", str(path)
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = outputs(parse_jobs(result.stdout + result.stderr))
    assert any("recon_40h_parts/lowlevel" in name for name in found)
    assert any("all/short/joint/bit" in name for name in found)
    assert not any("recon_40h_short_parts/lowlevel" in name for name in found)
    assert not any("short/bit_semantic" in name for name in found)
    assert job_counts(result.stdout + result.stderr)["train_bit"] == 2, "main's, of each kind"


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ({"clusters": {"n_cluster": 3}}, "n_cluster"),
        ({"encoder": {"epochs": 2}}, "encoder.epochs"),
        ({"nsd": {"average_test_repeats": False}}, "nsd.average_test_repeats"),
    ],
)
def test_faulty_variants_stop_before_any_job(
    snakemake: Run, tmp_path: Path, overlay: dict[str, object], told: str
) -> None:
    assert told in refusal(snakemake, tmp_path, {"ablations": {"mine": overlay}}, "ablations")


def test_settings_of_a_variant_reach_its_jobs_alone(dry_run: DryRun) -> None:
    said = dry_run("results/group/all/k8/clusters/clusters.safetensors")
    text = said.split("rule cluster_voxels:")[1]
    settings = json.loads(text.split("--settings '")[1].split("'")[0])
    assert settings["clusters"]["n_clusters"] == 8
    assert Settings().clusters.n_clusters == 128


def test_a_variant_set_to_null_is_not_run(snakemake: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"ablations": {"k8": None}}))
    result = snakemake("ablations", *DRY, "--configfile", "config/demo.yaml", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    jobs = parse_jobs(result.stdout + result.stderr)
    assert not jobs_of("k8", jobs) and jobs_of("k16", jobs)


def test_everything_holds_both_reports(dry_run: DryRun) -> None:
    jobs = parse_jobs(dry_run("everything", *DEMO_FULL))
    found = outputs(jobs)
    for name in ("report.html", "report_full.html", "tables/t3/t3.csv", "subj01/recon_15min"):
        assert f"results/demo/{name}" in found
    assert "results/demo/checks_full.csv" in found
    tables = {Path(path).stem for path in found if path.startswith("results/demo/tables/")}
    assert tables == set(EVERY_TABLE), "the report's list of what was not run is that of the rules"
    control = jobs_of("shuffled_trials", jobs)
    assert len(control) <= 20 and "train_bit" in control and "train_encoder" not in control


def test_everything_decodes_beyond_the_paper_and_all_does_not(dry_run: DryRun) -> None:
    jobs = parse_jobs(dry_run("everything", *DEMO_FULL))
    by_output = {path: job for job in jobs for path in job["output"]}
    synthetic = by_output["results/demo/subj01/recon_nsdsynthetic_parts/fused/shard_0.safetensors"]
    for name in ("subj01/nsdsynthetic/betas.npy", "subj01/nsdsynthetic/trials.csv"):
        assert f"results/demo/{name}" in synthetic["input"]
    assert "results/demo/group/all/main/joint/bit.safetensors" in synthetic["input"]
    scored = by_output["results/demo/subj01/metrics/nsdsynthetic_fused.csv"]
    assert "results/demo/subj01/nsdsynthetic/images" in scored["input"]
    table = by_output["results/demo/tables/nsdsynthetic/nsdsynthetic.csv"]
    assert "results/demo/subj01/nsdsynthetic/classes.csv" in table["input"]
    fewer = by_output["results/demo/subj01/recon_first2_parts/fused/shard_0.safetensors"]
    assert "results/demo/group/first2/main/joint/generator.safetensors" in fewer["input"]
    pool = by_output["results/demo/group/first2/main/encoder/encoder.safetensors"]
    assert "results/demo/subj02/betas/betas.npy" in pool["input"]
    assert "results/demo/subj03/betas/betas.npy" not in pool["input"]
    for name in ("metrics/2h_fused.csv", "recon_40h_seed43", "metrics/450trials_fused.csv"):
        assert f"results/demo/subj01/{name}" in by_output
    for name in ("nsdsynthetic", "sessions", "subjects", "seeds", "failures", "encoder"):
        assert f"results/demo/tables/{name}/{name}.csv" in by_output
    plain = outputs(parse_jobs(dry_run("all", *DEMO_FULL)))
    beyond = ("nsdsynthetic", "first1", "first2", "seed43", "/2h", "_2h")
    assert not [path for path in plain if any(name in path for name in beyond)]


def test_tables_are_made_of_stored_numbers_alone(dry_run: DryRun) -> None:
    jobs = parse_jobs(dry_run("everything", *DEMO_FULL))
    made = [job for job in jobs if "/tables/" in "".join(job["output"])]
    read = [path for job in made for path in job["input"]]
    assert {str(job["rule"]).split("_")[0] for job in made} == {"make"}
    assert read and not [path for path in read if not path.endswith(".csv")]
    by_output = {path: job for job in jobs for path in job["output"]}
    scores = "results/demo/subj01/metrics/encoder.csv"
    assert scores in by_output["results/demo/tables/encoder/encoder.csv"]["input"]
    assert by_output[scores]["rule"] == "evaluate_encoder"


def test_a_seed_trains_anew_from_the_bits_on(snakemake: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"seeds": {"values": [7], "rows": ["main", "k8"]}}))
    result = snakemake("ablations", *DRY, "--configfile", "config/demo.yaml", str(path))
    text = result.stdout + result.stderr
    trained = jobs_of("k8_seed7", parse_jobs(text))
    assert trained.count("train_bit") == 2 and "cluster_voxels" not in trained
    assert "train_joint" in jobs_of("seed7", parse_jobs(text))
    job = text.split("all_k8_seed7.log")[1].split("Shell command:")[1].split("&>")[0]
    settings = json.loads(job.split("--settings '")[1].split("'")[0])
    assert settings["run"]["seed"] == 7
    path.write_text(yaml.safe_dump({"seeds": {"values": [7], "rows": ["k9"]}}))
    result = snakemake("ablations", *DRY, "--configfile", "config/demo.yaml", str(path))
    assert result.returncode != 0 and "found k9" in result.stdout + result.stderr


def test_a_contrastive_head_is_trained_once_and_retrieves(snakemake: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    own = {"contrastive": {"bit_semantic": {"contrastive_weight": 0.033}}}
    path.write_text(yaml.safe_dump({"ablations": own}))
    target = "results/demo/tables/peers/peers.csv"
    result = snakemake(target, *DRY, "--configfile", "config/demo.yaml", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    jobs = parse_jobs(result.stdout + result.stderr)
    trained = [rule for rule in jobs_of("contrastive", jobs) if rule.startswith("train_")]
    assert sorted(trained) == ["train_bit", "train_joint"]
    (table,) = (job for job in jobs if target in job["output"])
    own_inputs = {name for name in table["input"] if "40h_contrastive" in name}
    assert {name.removeprefix("results/demo/subj01/") for name in own_inputs} == {
        "identification/40h_contrastive.csv",
        "metrics/40h_contrastive_fused.csv",
        "metrics/40h_contrastive_fused_summary.csv",
    }
    (predicting,) = (
        job for job in jobs if "peer_40h_contrastive/retrieval" in "".join(job["output"])
    )
    bit = "results/demo/group/all/contrastive/bit_semantic/bit.safetensors"
    assert bit in predicting["input"]


def test_an_atlas_is_read_from_its_files(snakemake: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    files = [str(tmp_path / f"{side}.schaefer.annot") for side in ("lh", "rh")]
    for name in files:
        Path(name).touch()
    clusters = {"method": "atlas", "atlas": str(tmp_path / "{hemisphere}.schaefer.annot")}
    path.write_text(yaml.safe_dump({"ablations": {"schaefer400": {"clusters": clusters}}}))
    target = "results/demo/group/all/schaefer400/clusters/clusters.safetensors"
    result = snakemake(target, *DRY, "--configfile", "config/demo.yaml", str(path))
    text = result.stdout + result.stderr
    (job,) = (job for job in parse_jobs(text) if target in job["output"])
    assert set(files) <= set(job["input"])
    assert f"--atlas {files[0]} {files[1]}" in text
