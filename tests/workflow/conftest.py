"""Dry runs of the workflow, as a user would call it."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def snakemake(repository: Path) -> Run:
    """Call snakemake at the repository's root; returns the finished process."""

    def call(*words: str, cwd: Path = repository) -> subprocess.CompletedProcess[str]:
        binaries = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
        environment["PYTHONPATH"] = str(repository / "pipeline_src")
        command = [sys.executable, "-m", "snakemake", *words]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    return call


def refusal(snakemake: Run, folder: Path, overlay: dict[str, object], target: str = "all") -> str:
    """Return, in one line, what a dry run of the demo says to refuse the settings `overlay`."""
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(overlay))
    words = ["--dry-run", "--cores", "1", "--configfile", "config/demo.yaml", str(path)]
    result = snakemake(*words, "--", target)
    text = " ".join((result.stdout + result.stderr).split())
    assert result.returncode != 0 and "Job stats" not in text and "Traceback" not in text
    return text


def job_counts(output: str) -> Counter[str]:
    """Return rule -> number of jobs from the table of a dry run."""
    table = output.split("Job stats:")[1].split("\n\n")[0]
    rows = re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)
    return Counter({rule: int(count) for rule, count in rows})
