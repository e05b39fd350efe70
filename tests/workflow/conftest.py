"""Dry runs of the workflow, as a user would call it, in a folder of the tests' own."""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from .dry_runs import DRY, call_snakemake, make_run_folder

Run = Callable[..., subprocess.CompletedProcess[str]]
DryRun = Callable[..., str]


@pytest.fixture(scope="session")
def run_folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder to run the repository's workflow in, without results of any earlier run."""
    return make_run_folder(repository, tmp_path_factory.mktemp("workflow") / "run")


@pytest.fixture(scope="session")
def snakemake(run_folder: Path) -> Run:
    """Call snakemake in the run folder, or in another; returns the finished process."""

    def call(*words: str, cwd: Path = run_folder) -> subprocess.CompletedProcess[str]:
        return call_snakemake(cwd, *words)

    return call


@pytest.fixture(scope="session")
def dry_run(snakemake: Run, tmp_path_factory: pytest.TempPathFactory) -> DryRun:
    """Return the output of a dry run of all jobs; equal commands run once for all tests.

    So they are by several test processes: what was said is in a file, behind a lock. No word may
    name a folder of one test, nor a file that a test writes.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "dry_runs"
    folder.mkdir(exist_ok=True)

    def call(*words: str) -> str:
        said = folder / hashlib.sha256("\0".join(words).encode()).hexdigest()
        with said.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not said.exists():
                result = snakemake(*words, *DRY)
                assert result.returncode == 0, result.stdout + result.stderr
                said.write_text(result.stdout + result.stderr)
        return said.read_text()

    return call


def refusal(snakemake: Run, folder: Path, overlay: dict[str, object], target: str = "all") -> str:
    """Return, in one line, the error of a dry run of the demo with the settings `overlay`."""
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(overlay))
    words = ["--dry-run", "--cores", "1", "--configfile", "config/demo.yaml", str(path)]
    result = snakemake(*words, "--", target)
    text = " ".join((result.stdout + result.stderr).split())
    assert result.returncode != 0 and "Job stats" not in text and "Traceback" not in text
    return text
