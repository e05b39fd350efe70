"""The wheel: what an installed package holds, used from outside the repository.

It is built with the installed setuptools and unpacked; nothing is fetched. Its dependencies are
those of the tests' own environment.
"""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

USE = """
import json, sys
import brainit
from brainit.core.settings import json_schema
from brainit.data.nsd.published import published
from brainit.evaluation.tables.rows import PAPER_FILE, TABLES
from brainit.features.registry import load_backbone
from brainit.features.registry_entries import ENTRIES
demo = [entry for entry in ENTRIES if entry.is_demo]
for entry in demo:
    load_backbone(entry.role, entry.name)
print(json.dumps({
    "where": brainit.__file__,
    "schema": json_schema(),
    "networks": len(demo),
    "numbers": PAPER_FILE.stat().st_size,
    "tables": len(TABLES),
    "subjects": len(published().subjects),
}))
"""


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy of the files that git knows."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 builds the wheel")
    copy, out = (tmp_path_factory.mktemp(name) for name in ("copy", "out"))
    names = ["pyproject.toml", "README.md", "LICENSE", "pipeline_src"]
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *names]
    files = subprocess.run(listed, cwd=repository, capture_output=True, text=True, check=True)
    for name in filter(None, files.stdout.split("\0")):
        if (repository / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((repository / name).read_bytes())
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, check=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel into a folder; return it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def used(installed: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in `folder` with the unpacked wheel before the repository's own package."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if name.startswith("brainit/")}
    package = repository / "pipeline_src"
    own = [path for path in (package / "brainit").rglob("*") if path.is_file()]
    names = {path.relative_to(package).as_posix() for path in own if path.suffix != ".pyc"}
    assert names - there == set() and there - names == set()


def test_networks_schema_and_published_numbers_work_from_the_wheel(
    installed: Path, repository: Path, tmp_path: Path
) -> None:
    result = used(installed, tmp_path, "-c", USE)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert Path(found["where"]).is_relative_to(installed)
    schema = json.loads((repository / "workflow/schemas/config.schema.json").read_text())
    assert found["schema"] == schema
    assert found["networks"] >= 5 and found["subjects"] == 8
    assert found["numbers"] > 1000 and found["tables"] >= 8


@pytest.mark.parametrize(("words", "said"), [(["--help"], "doctor"), (["doctor"], "For the demo")])
def test_the_program_runs_outside_the_repository(
    installed: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    text = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    entries = ConfigParser()
    entries.read_string(text)
    module, _, function = entries["console_scripts"]["brainit"].partition(":")
    call = f"import sys; from {module} import {function}; sys.exit({function}())"
    result = used(installed, tmp_path, "-c", call, *words)
    assert result.returncode == 0, result.stderr
    assert said in result.stdout + result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_lock_has_one_version_of_each_requirement_within_its_range(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lines = (repository / "envs/constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines]
    lock = {name.lower().replace("_", "-"): version for name, version in pairs}
    assert len(lock) == len(lines)
    extras = project["optional-dependencies"].values()
    required = [Requirement(text) for part in (project["dependencies"], *extras) for text in part]
    assert len(required) > 40
    for requirement in required:
        version = lock[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(version), f"{requirement}: {version} in the lock"


def test_only_the_lock_is_installed(repository: Path) -> None:
    """Each `pip install` of the Makefile and of envs/ names the lock."""
    files = [repository / "Makefile", *(repository / "envs").glob("*.*")]
    lines = [line for path in files for line in path.read_text().splitlines()]
    installs = [
        line for line in lines if "pip install" in line and not line.lstrip().startswith("#")
    ]
    assert len(installs) >= 4 and all("constraints.txt" in line for line in installs)
