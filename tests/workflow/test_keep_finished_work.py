"""The one command of the README that keeps finished work after a harmless change of the code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SNAKEFILE = """
rule all:
    input: "summary.txt"

rule fetch:
    output: temp("fetched.txt")
    params: code=config["code"]
    shell: "echo fetch >> ran.txt; echo 1 > {output}"

rule prepare:
    input: "fetched.txt"
    output: directory("prepared")
    params: code=config["code"], settings='{"seed": 42}'
    shell: "echo prepare >> ran.txt; mkdir {output}; cp {input} {output}/a.txt"

rule train:
    input: "prepared"
    output: "model.txt"
    params: code=config["code"]
    shell: "echo train >> ran.txt; cat {input}/a.txt > {output}"

rule summarise:
    input: "model.txt"
    output: "summary.txt"
    params: code="as before"
    shell: "echo summarise >> ran.txt; cat {input} > {output}"
"""


@pytest.fixture
def toy(tmp_path: Path, repository: Path) -> Path:
    """Return a folder with a small workflow of a temporary file, a folder and two files."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    triggers = yaml.safe_load((repository / "profiles/default/config.yaml").read_text())
    profile = tmp_path / "profiles/default/config.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text(yaml.safe_dump({"rerun-triggers": triggers["rerun-triggers"]}))
    return tmp_path


def snakemake(toy: Path, code: str, *words: str) -> str:
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", *words, "--cores", "1", "--nocolor"]
    command += ["--config", f"code={code}"]
    result = subprocess.run(command, cwd=toy, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def planned(toy: Path, code: str) -> set[str]:
    text = snakemake(toy, code, "all", "--dry-run")
    return set(re.findall(r"^(?:local)?rule (\w+):", text, re.M)) - {"all"}


def readme_command(repository: Path) -> list[str]:
    """Return the words of the README's command after `snakemake`, the same wherever it is named."""
    text = (repository / "workflow/README.md").read_text()
    (found,) = set(re.findall(r"`snakemake (all --touch[^`]*)`", text))
    return found.split()


def test_finished_work_is_kept(toy: Path, repository: Path) -> None:
    snakemake(toy, "old", "all")
    content = {path: path.read_bytes() for path in toy.rglob("*.txt")}
    assert planned(toy, "old") == set()
    assert planned(toy, "new") >= {"prepare", "train"}, "another digest reruns them"
    snakemake(toy, "new", *readme_command(repository))
    assert planned(toy, "new") == set()
    assert {path: path.read_bytes() for path in toy.rglob("*.txt")} == content, "nothing ran"
    assert "train" in planned(toy, "newer"), "a later change counts again"


def test_what_is_not_finished_is_still_made(toy: Path, repository: Path) -> None:
    snakemake(toy, "old", "prepared")
    snakemake(toy, "new", *readme_command(repository))
    assert planned(toy, "new") == {"train", "summarise"}
    snakemake(toy, "new", "all")
    ran = (toy / "ran.txt").read_text().split()
    assert ran == ["fetch", "prepare", "train", "summarise"]
