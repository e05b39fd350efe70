"""Cohorts beside NSD, from folders to Table 1, with NSD's subjects and without."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from brainit.core.artifacts import read_artifact
from tests.cohort_folders import run_here, write_cohort_subject, write_external
from tests.run_folder import link_repository

from .dry_runs import DRY, call_snakemake, job_counts, parse_jobs

TABLE = "results/tables/table1/table1.csv"
TINY = ("config/demo.yaml", "tests/e2e/tiny.yaml", "own.yaml")


def make_folder(repository: Path, root: Path, n_train: int = 30) -> Path:
    """Make a folder to run in, with three lab subjects and external images.

    All three test scenes 0 to 7; each trains with its own.
    """
    link_repository(repository, root)
    for place, (name, n_voxels) in enumerate({"anna": 60, "ben": 70, "cleo": 50}.items()):
        train = range(100 * place + 100, 100 * place + 100 + n_train)
        write_cohort_subject(root / "labs" / name, train, range(8), n_voxels, seed=place)
    write_external(root / "coco", 12)
    return root


def configure(root: Path, cohort: dict[str, Any], **sections: Any) -> None:
    lab = {f"lab/{name}": f"labs/{name}" for name in ("anna", "ben", "cleo")}
    paths = {"results": "results", "store": "results/.store", "coco_source": f"file://{root}/coco"}
    overlay = {"run": {"simulation": False}, "paths": paths, "cohort": cohort, "lab": lab}
    (root / "own.yaml").write_text(yaml.safe_dump({**overlay, **sections}))


def dry_jobs(root: Path, *targets: str) -> tuple[list[dict[str, Any]], str]:
    result = call_snakemake(root, *targets, *DRY, "--configfile", *TINY)
    text = result.stdout + result.stderr
    assert result.returncode == 0, text
    return parse_jobs(text), text


def test_a_lab_s_own_cohort_from_folders_to_table_1(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(repository, tmp_path / "run")
    members = ["lab/anna", "lab/ben", "lab/cleo"]
    configure(root, {"subjects": members, "evaluated": members[:2]})
    jobs, text = dry_jobs(root, TABLE)
    rules = {job["rule"] for job in jobs}
    assert not rules & {"download", "download_images", "prepare_design", "simulate_nsd"}
    assert "natural-scenes-dataset" not in text and "accept_terms" not in text
    real = call_snakemake(root, "--cores", "1", "-n", TABLE, "--configfile", *TINY)
    assert real.returncode == 0
    monkeypatch.chdir(root)
    run_here(jobs)
    clusters = read_artifact(
        root / "results/group/all/main/clusters/clusters.safetensors", "clusters"
    )
    assert clusters.attributes["subjects"] == ["anna", "ben", "cleo"]
    assert len(clusters["voxel_cluster"]) == 60 + 70 + 50
    table = pd.read_csv(root / TABLE)
    full = table[table["condition"].str.startswith("Brain-IT")]
    assert set(full["subjects"]) == {"anna ben", "anna", "ben"}, "they saw the same test pictures"
    scored = full[full["metric"].isin(("PixCorr", "SSIM"))]
    assert (scored["n_images"] == 8).all() and np.isfinite(scored["ours"]).all()
    assert table["condition"].str.contains("ridge").any()
    assert not table["simulation"].any() and table["paper"].isna().all()


def test_its_whole_report_asks_for_nothing_of_nsd(repository: Path, tmp_path: Path) -> None:
    """No terms are asked for where a run would begin, and no job or input names NSD's files."""
    root = make_folder(repository, tmp_path / "run", n_train=4)
    configure(root, {"subjects": ["lab/anna", "ben", "cleo"], "transfer": ["cleo"]})
    jobs, text = dry_jobs(root, "all", "results/ben/recon_15min_scratch")
    counts = job_counts(text)
    assert counts["prepare_lab_subject"] == 3 and counts["join_cohort"] == 1
    assert not {name for name in counts if name.startswith(("download_im", "prepare_de", "simul"))}
    files = {path for job in jobs for path in [*job["input"], *job["output"]]}
    assert not [path for path in files if "nsd" in path.replace("nsdsynthetic", "").split("/")]
    whole = "results/group/images/external"
    readers = {job["rule"] for job in jobs if whole in job["input"]}
    assert readers == {"screen_external"} and counts["screen_external"] == 1, "none trains with all"
    screened = [
        job["rule"] for job in jobs if "results/group/cohort/images/external" in job["input"]
    ]
    assert {"train_bit", "train_joint", "synthesize_fmri", "adapt_bit"} <= set(screened)
    command = next(job["command"] for job in jobs if "scratch_ben_15min" in "".join(job["output"]))
    assert "--duration 15min" in command and "cohort/trials/ben.csv" in command
    words = ("--cores", "1", "results/anna/design/trials.csv", "--configfile", *TINY)
    started = call_snakemake(root, *words)
    assert started.returncode == 0, started.stdout + started.stderr


@pytest.mark.skipif(
    "BRAINIT_COHORT" not in os.environ, reason="minutes on a CPU; set BRAINIT_COHORT=1"
)
def test_a_cohort_of_three_data_sets_from_download_to_report(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two simulated subjects of NSD, two as of another data set and a lab's, in one pool."""
    root = make_folder(repository, tmp_path / "run")
    members = ["subj01", "subj02", "laion/sub-01", "laion/sub-03", "lab/anna"]
    evaluated = ["subj01", "laion/sub-01", "lab/anna"]
    lab = {"laion/sub-01": "labs/ben", "laion/sub-03": "labs/cleo", "lab/anna": "labs/anna"}
    cohort = {"subjects": members, "evaluated": evaluated, "transfer": ["lab/anna"]}
    configure(root, cohort, run={"simulation": True}, lab=lab)
    jobs, _ = dry_jobs(root, "all")
    monkeypatch.chdir(root)
    run_here(jobs)
    pool = root / "results/group/all/main"
    clusters = read_artifact(pool / "clusters/clusters.safetensors", "clusters")
    names = clusters.attributes["subjects"]
    assert names == ["subj01", "subj02", "laion-sub-01", "laion-sub-03", "anna"]
    counts = [clusters.attributes["n_voxels"][name] for name in names]
    subject = np.repeat(np.arange(len(names)), counts)
    together = [len(set(subject[clusters["voxel_cluster"] == k])) for k in range(8)]
    assert max(together) == len(names), "some cluster holds voxels of every subject"
    for name in ("subj01", "laion-sub-01", "anna"):
        scores = pd.read_csv(root / f"results/{name}/metrics/40h_fused.csv")
        assert len(scores) == 8 and np.isfinite(scores["PixCorr"]).all()
    images = pd.read_csv(root / "results/group/cohort/images/names.csv").set_index("nsd_id")[
        "image"
    ]
    shown = pd.read_csv(root / "results/laion-sub-01/metrics/40h_fused.csv")["nsd_id"]
    assert images[shown].str.split("/").str[0].isin(("laion", "lab")).all()
    table = pd.read_csv(root / TABLE)
    assert {"subj01", "laion-sub-01", "anna"} <= set(table["subjects"])
    assert (root / "results/report.html").stat().st_size > 10_000
    assert pd.read_csv(root / "results/checks.csv")["check"].is_unique


def test_a_cohort_of_93_subjects_has_at_most_600_jobs(repository: Path, tmp_path: Path) -> None:
    """As many as MOSAIC has; a dry run takes less than 15 s of a processor."""
    link_repository(repository, root := tmp_path / "run")
    names = [f"mosaic/HAD-sub-{number:02d}" for number in range(1, 94)]
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        for file in ("betas.npy", "trials.csv", "images.npy"):
            (folder / file).touch()
    lab = {name: name for name in names}
    overlay = {"cohort": {"subjects": names, "transfer": names[:1]}, "lab": lab}
    (root / "own.yaml").write_text(yaml.safe_dump(overlay))
    before = os.times()
    words = ("all", "--cores", "8", "--dry-run", "--quiet", "rules", "--configfile", "own.yaml")
    result = call_snakemake(root, *words)
    after = os.times()
    assert result.returncode == 0, result.stdout + result.stderr
    counts = job_counts(result.stdout + result.stderr)
    assert counts["prepare_lab_subject"] == 93
    assert counts["total"] <= 600
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 15.0, "seconds of the processor"
