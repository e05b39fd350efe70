"""The preparation, killed whole at random moments, ends with the same bytes by the same command.

`BRAINIT_KILLS=20` kills it as often as that; three times otherwise, as Snakemake takes seconds to
start. Beside a run that lives, a second one stops.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.unit.data.fault_server import Faults, serving
from tests.unit.data.tiny_nsd import write_tiny_nsd
from tests.workflow.source_runs import SourceRun

N_KILLS = int(os.environ.get("BRAINIT_KILLS", "3"))
SUBJECTS = ("subj01",)
FIRST_JOB = "Select jobs to execute"


def begun(run: SourceRun) -> subprocess.Popen[bytes]:
    """Start the run, and return once its first job may begin."""
    process, said = run.start(), run.root / "said.txt"
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
            run.finish()
            assert run.digests() == undisturbed.digests()
            assert list((run.root / ".snakemake").glob("brainit_runs/*")) == []
            assert list((run.root / "results").glob("**/.*.part*")) == []
            n_runs += 1


def test_of_two_runs_one_stops_and_names_the_other(repository: Path, tmp_path: Path) -> None:
    """In the same folder, or in another one with the same results; not once the first is killed."""
    tree = write_tiny_nsd(tmp_path / "bucket")
    first = SourceRun(repository, tmp_path / "first", str(tree.root), SUBJECTS)
    other = SourceRun(repository, tmp_path / "other", str(tree.root), SUBJECTS)
    for run in (first, other):
        run.lay_out()
    (other.root / "results").symlink_to(first.root / "results")
    process = begun(first)
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        for run in (first, other):
            assert run.start().wait() != 0
            said = (run.root / "said.txt").read_text()
            assert f"process {process.pid} on" in said and "Traceback" not in said
            assert "Error in rule" not in said
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    other.finish("--until", "prepare_design")
    assert not (first.root / "results/.run.lock").exists()
