"""Dry runs of the workflow, as a user would call it."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

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


def job_counts(output: str) -> Counter[str]:
    """Return rule -> number of jobs from the table of a dry run."""
    table = output.split("Job stats:")[1].split("\n\n")[0]
    rows = re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)
    return Counter({rule: int(count) for rule, count in rows})
