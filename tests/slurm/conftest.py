"""A real SLURM of one machine: the one that is running, or one started for this session."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .runs import BIT, IMAGES, digest, end_all, finish, snakemake

HERE = Path(__file__).parent
ANOTHER_SLURM = 3
"""Exit status of start.sh where /etc/slurm has the configuration of another SLURM."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of the test cluster; skips with the reason where none can be started."""
    if shutil.which("slurmctld") is None:
        pytest.skip("SLURM's daemons are not installed (.ci/run installs them)")
    running = Path(os.environ.get("SLURM_CONF", "none"))
    if running.is_file() and "ClusterName=lab" in running.read_text():
        yield running.parent
        return
    if os.geteuid() != 0:
        pytest.skip("a SLURM of one's own is started by root alone")
    folder = tmp_path_factory.mktemp("slurm")
    result = subprocess.run(
        ["bash", HERE / "start.sh", folder], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    if result.returncode == ANOTHER_SLURM:
        pytest.skip("this machine has a SLURM of its own")
    try:
        assert result.returncode == 0, result.stderr.decode()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder
    finally:
        subprocess.run(["bash", HERE / "stop.sh", folder], check=False)


@pytest.fixture(scope="session")
def stored(
    cluster: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """Make the slice's inputs; give their folder and the bytes that a run without SLURM makes."""
    root = tmp_path_factory.mktemp("run")
    (root / "here.yaml").write_text(
        yaml.safe_dump({"paths": {"results": "results", "store": "results/.store"}})
    )
    for name in ("config", "workflow", "pipeline_src", "profiles", "slurm", "envs", "tests"):
        (root / name).symlink_to(repository / name)
    finish(snakemake(root, "--cores", "2", "--", IMAGES), root, 400.0)
    return root, {name: digest(root / name) for name in (BIT, IMAGES)}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    end_all()
