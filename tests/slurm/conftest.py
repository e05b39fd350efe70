"""A real SLURM of one machine: the one that is running, or one started for this session."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


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
    try:
        assert result.returncode == 0, result.stderr.decode()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder
    finally:
        subprocess.run(["bash", HERE / "stop.sh", folder], check=False)
