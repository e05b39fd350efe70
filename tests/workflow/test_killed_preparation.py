"""The preparation, killed whole at random moments and run again, ends with the same bytes.

`BRAINIT_KILLS=20` kills it as often as that; three times otherwise, as Snakemake takes seconds to
start.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from shutil import rmtree

from tests.unit.data.fault_server import Faults, serving
from tests.unit.data.tiny_nsd import write_tiny_nsd
from tests.workflow.source_runs import SourceRun

N_KILLS = int(os.environ.get("BRAINIT_KILLS", "3"))
SUBJECTS = ("subj01",)
FIRST_JOB = "Select jobs to execute"


def begun(run: SourceRun) -> subprocess.Popen[bytes]:
    """Start the run, without a killed one's locks, and return once its first job may begin."""
    rmtree(run.root / ".snakemake" / "locks", ignore_errors=True)
    process, said = run.start("--rerun-incomplete"), run.root / "said.txt"
    while process.poll() is None and FIRST_JOB not in said.read_text():
        time.sleep(0.02)
    return process


def is_killed(run: SourceRun, seconds: float) -> bool:
    """Kill all of the run `seconds` after its first job; False where it ended before."""
    process = begun(run)
    try:
        assert process.wait(seconds) == 0, (run.root / "said.txt").read_text()
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def test_a_killed_preparation_ends_with_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    tree = write_tiny_nsd(tmp_path / "bucket")
    n_killed, n_runs = 0, 0
    with serving(tree.root, Faults()) as source:
        undisturbed = SourceRun(repository, tmp_path / "undisturbed", source, SUBJECTS)
        undisturbed.lay_out()
        process, started = begun(undisturbed), time.monotonic()
        assert process.wait() == 0
        all_jobs_s = time.monotonic() - started
        while n_killed < N_KILLS:
            run = SourceRun(repository, tmp_path / f"killed{n_runs}", source, SUBJECTS)
            run.lay_out()
            while n_killed < N_KILLS and is_killed(run, draw.uniform(0, all_jobs_s / 3)):
                n_killed += 1
            run.finish("--unlock")
            run.finish("--rerun-incomplete")
            assert run.digests() == undisturbed.digests()
            n_runs += 1
