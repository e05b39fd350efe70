"""The tiny configuration, run whole in a separate folder.

The run's results folder is moved by configuration, so the repository's own results stay untouched.
"""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.run_folder import link_repository


def prepare(repository: Path, root: Path) -> tuple[list[str], dict[str, str]]:
    """Make `root` a place to run in; return the configuration's files and the environment."""
    config = root.parent / f"{root.name}.yaml"
    config.write_text(yaml.safe_dump({"paths": {"results": "results", "store": "results/.store"}}))
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(repository / "pipeline_src")
    link_repository(repository, root)
    return configs(repository, root), environment


def run(repository: Path, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the tiny configuration with its results in `root`."""
    files, environment = prepare(repository, root)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", *files]
    return subprocess.run(
        [*command, "--nocolor", *words], cwd=root, env=environment, capture_output=True, text=True
    )


def configs(repository: Path, root: Path) -> list[str]:
    tiny = str(repository / "tests/e2e/tiny.yaml")
    return ["config/demo.yaml", tiny, str(root.parent / f"{root.name}.yaml")]
