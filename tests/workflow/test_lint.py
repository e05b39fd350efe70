"""Snakemake's own linter and formatter, and the import layers."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.parametrize("words", [(), ("--configfile", "config/demo.yaml")], ids=["paper", "demo"])
def test_snakemake_lint(snakemake: Run, words: tuple[str, ...]) -> None:
    result = snakemake("--lint", *words)
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakefmt(repository: Path) -> None:
    command = [sys.executable, "-m", "snakefmt", "--check", "workflow"]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
