"""What a run refuses before its first job: NSD without its terms, SLURM without sbatch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.run_folder import link_repository

from .dry_runs import DEMO, call_snakemake

FEW = {"nsd": {"subjects": ["subj01"], "evaluated": ["subj01"], "transfer": []}}
DESIGN = "results/subj01/design/trials.csv"
SLURM = ("--profile", "slurm")


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """Return a folder to run in, with settings of one subject."""
    link_repository(repository, tmp_path / "run")
    (tmp_path / "run/own.yaml").write_text(yaml.safe_dump(FEW))
    return tmp_path / "run"


def said(result: "subprocess.CompletedProcess[str]") -> str:
    return result.stdout + result.stderr


@pytest.mark.parametrize("target", ["all", DESIGN, "results/group/images/stimuli"])
def test_no_job_starts_before_the_terms_of_nsd_are_accepted(folder: Path, target: str) -> None:
    """Not even those of the weights, which are fetched from elsewhere."""
    words = (target, "--cores", "2", "--configfile", "own.yaml")
    text = said(refused := call_snakemake(folder, *words))
    assert refused.returncode != 0
    for fact in ("accept_terms: true", "forms.gle", "Terms-and-Conditions"):
        assert fact in text
    assert "Job stats" not in text and not (folder / "results").exists()
    assert call_snakemake(folder, *words, "--dry-run").returncode == 0


def test_what_needs_nothing_of_nsd_needs_no_terms(folder: Path) -> None:
    config = yaml.safe_dump({**FEW, "paths": {"source": str(folder / "nsd")}})
    (folder / "own.yaml").write_text(config)
    words = (DESIGN, "--cores", "1", "--configfile", "own.yaml")
    local = said(call_snakemake(folder, *words))
    assert "accept_terms: true" not in local and "nsd_expdesign.mat" in local, "a folder, but empty"


@pytest.fixture
def without_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a PATH with a shell and what Snakemake calls at its start."""
    (tmp_path / "bin").mkdir()
    for name in ("bash", "sh", "which"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert Path(sys.executable).parent.joinpath("sbatch").exists() is False
    assert "SNAKEMAKE_PROFILE" not in os.environ


@pytest.mark.usefixtures("without_sbatch")
def test_the_slurm_profile_needs_sbatch_but_its_dry_run_does_not(folder: Path) -> None:
    words = (*SLURM, *DEMO, "--", "results/demo/.store/simulated/card.json")
    text = said(refused := call_snakemake(folder, *words))
    assert refused.returncode != 0 and "expected the command sbatch" in text
    assert "Error in rule" not in text and "retr" not in text
    dry = call_snakemake(folder, "--dry-run", *words)
    assert dry.returncode == 0 and "simulate_nsd" in dry.stdout


def test_paths_of_the_configuration_are_expanded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    paths = {"store": "$MY_SCRATCH/store", "results": "~/results"}
    (folder / "own.yaml").write_text(yaml.safe_dump({**FEW, "paths": paths}))
    target = str(tmp_path / "home/results/subj01/design/trials.csv")
    words = ("--dry-run", "--cores", "1", "--configfile", "own.yaml", "--", target)
    text = said(dry := call_snakemake(folder, *words))
    assert dry.returncode == 0, text
    assert f"{tmp_path}/scratch/store/nsd" in text and "$MY_SCRATCH" not in text
    monkeypatch.delenv("MY_SCRATCH")
    refused = call_snakemake(folder, *words)
    assert refused.returncode != 0 and "paths.store" in said(refused)
    assert "Traceback" not in said(refused)
