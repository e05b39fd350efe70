"""Snakemake's own linter and formatter, and the import layers."""

import subprocess
import sys
from pathlib import Path

from .conftest import Run


def test_snakemake_lint(snakemake: Run) -> None:
    result = snakemake("--lint", "--configfile", "config/demo.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakefmt(repository: Path) -> None:
    command = [sys.executable, "-m", "snakefmt", "--check", "workflow"]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
