"""The example of `module brainit`, laid out as snakedeploy does, from a hosted repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from .dry_runs import Job, parse_jobs

TARGETS = ("results/subj01/worst_40h.csv",)
WORDS = ("--dry-run", "--cores", "8", "--nolock", "--printshellcmds", "--forceall")


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def hosted(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that stands in for github.com, with this workflow as tag v0.1.0."""
    host = tmp_path_factory.mktemp("host")
    clone = host / "OWNER" / "brain-it"
    for name in ("workflow", "config", "envs"):
        shutil.copytree(repository / name, clone / name)
    git(clone, "init", "--quiet")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", "release")
    git(clone, "tag", "v0.1.0")
    return host


def call(hosted: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Call snakemake in a folder; https://github.com/ is the stand-in."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(hosted / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{hosted}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    environment.pop("GITHUB_TOKEN", None)
    command = [sys.executable, "-m", "snakemake", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def deploy(repository: Path, folder: Path) -> Path:
    """Lay out the example as `snakedeploy deploy-workflow` does: its Snakefile, and config/."""
    (folder / "workflow").mkdir(parents=True)
    example = repository / "workflow" / "examples" / "module" / "Snakefile"
    shutil.copy(example, folder / "workflow" / "Snakefile")
    shutil.copytree(repository / "config", folder / "config")
    return folder


def jobs_of(result: "subprocess.CompletedProcess[str]") -> dict[str, Job]:
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return {job["rule"]: job for job in parse_jobs(result.stdout)}


def test_snakedeploy_s_layout_with_a_rule_overridden(
    repository: Path, hosted: Path, tmp_path: Path
) -> None:
    folder = deploy(repository, tmp_path / "own")
    jobs = jobs_of(call(hosted, folder, *WORDS, *TARGETS))
    assert {"worst_images", "evaluate", "train_encoder", "train_bit", "train_joint"} <= set(jobs)
    mine, theirs = jobs["evaluate"], jobs["reconstruct_fused"]
    assert "mem_mb=8000" in mine["resources"] and "runtime=720" in mine["resources"]
    assert "gpu" not in mine["resources"] and "gpu=1" in theirs["resources"]
    assert mine["command"].startswith("python -m brainit.steps.evaluate")
    assert mine["output"][0] == "results/subj01/metrics/40h_fused.csv"


def test_the_module_s_default_target_and_another_directory(
    repository: Path, hosted: Path, tmp_path: Path
) -> None:
    folder, other = deploy(repository, tmp_path / "own"), tmp_path / "scratch"
    shutil.copytree(folder / "config", other / "config")
    snakefile = str(folder / "workflow" / "Snakefile")
    words = ("--snakefile", snakefile, "--directory", str(other), "--configfile")
    result = call(hosted, tmp_path, *words, str(folder / "config" / "demo.yaml"), *WORDS)
    jobs = jobs_of(result)
    assert jobs["make_report"]["output"][0] == "results/demo/report.html"
    assert "mem_mb=8000" in jobs["evaluate"]["resources"]


def test_a_rule_of_one_s_own_runs(repository: Path, hosted: Path, tmp_path: Path) -> None:
    """On scores that are there."""
    folder = deploy(repository, tmp_path / "own")
    scores = folder / "results" / "subj01" / "metrics" / "40h_fused.csv"
    scores.parent.mkdir(parents=True)
    table = pd.DataFrame({"nsd_id": range(30), "PixCorr": [(7 * k % 30) / 30 for k in range(30)]})
    table.to_csv(scores, index=False)
    result = call(hosted, folder, "--cores", "1", *TARGETS, "--allowed-rules", "worst_images")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    worst = pd.read_csv(folder / TARGETS[0])
    assert worst["PixCorr"].tolist() == sorted(table["PixCorr"])[:10]
