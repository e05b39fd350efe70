"""A real SLURM of one machine: the one that is running, or one started for this session."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.result_digests import digests

from .runs import end_all, finish, make_root, snakemake

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
def accounting(cluster: Path) -> None:
    """Skip the test where the cluster has no accounting."""
    if "slurmdbd" not in (cluster / "slurm.conf").read_text():
        pytest.skip("slurmdbd and MariaDB are not installed (.ci/run installs them)")


@pytest.fixture(scope="session")
def stored(
    cluster: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """Make all results of one subject; give their folder and digests, made without SLURM."""
    root = tmp_path_factory.mktemp("run")
    make_root(root, repository, nsd={"subjects": ["subj01"], "transfer": []})
    finish(snakemake(root, "--cores", "2", "--", "tables"), root)
    return root, {f"results/{name}": found for name, found in digests(root).items()}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    end_all()
