"""Runs of Snakemake side by side, and what a killed one leaves."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from brainit.core import locks
from brainit.core.errors import PipelineError
from brainit.workflow import one_run
from brainit.workflow.one_run import clear_killed, hold_results, join_runs, sweep


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        monkeypatch.setattr(one_run, "_HELD", stack)
        yield stack


@pytest.fixture
def ended() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave(lock: Path, pid: int, age_s: float = 0.0, **holder: object) -> Path:
    """Write a lock as a process left it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    content = {**locks._owner(), "birth": locks._birth(pid), "pid": pid, "token": "x", **holder}
    lock.write_text(json.dumps(content))
    then = time.time() - age_s
    os.utime(lock, (then, then))
    return lock


def snakemake_lock(snakemake: Path) -> Path:
    lock = snakemake / "locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/a\n")
    return lock


def test_the_locks_of_killed_runs_are_removed(tmp_path: Path, ended: int, held: ExitStack) -> None:
    lock = snakemake_lock(tmp_path)
    killed = [leave(tmp_path / f"brainit_runs/.{k}.lock", ended) for k in "ab"]
    assert join_runs(tmp_path) == []
    assert not lock.exists() and not any(path.exists() for path in killed)
    held.close()
    assert list((tmp_path / "brainit_runs").iterdir()) == []


def test_the_lock_stays_while_any_run_lives(tmp_path: Path, ended: int) -> None:
    lock = snakemake_lock(tmp_path)
    leave(tmp_path / "brainit_runs/.a.lock", ended)
    leave(tmp_path / "brainit_runs/.b.lock", os.getpid(), age_s=1000.0)
    (name,) = join_runs(tmp_path)
    assert str(os.getpid()) in name and lock.exists(), "halted, but alive"


@pytest.mark.parametrize(("age_s", "is_alive"), [(10.0, True), (1000.0, False)])
def test_a_run_on_another_machine_is_told_by_its_heartbeat(
    tmp_path: Path, age_s: float, is_alive: bool
) -> None:
    lock = snakemake_lock(tmp_path)
    leave(tmp_path / "brainit_runs/.a.lock", 5, age_s, machine="node7/1", host="node7")
    assert ["node7" in name for name in join_runs(tmp_path)] == [True] * is_alive
    assert lock.exists() == is_alive


def test_a_number_that_was_given_out_again_is_another_process(tmp_path: Path) -> None:
    lock = snakemake_lock(tmp_path)
    leave(tmp_path / "brainit_runs/.a.lock", os.getpid(), birth="an earlier boot/1")
    assert join_runs(tmp_path) == [] and not lock.exists()


def test_without_a_killed_run_the_lock_is_someone_else_s(tmp_path: Path) -> None:
    lock = snakemake_lock(tmp_path)
    assert join_runs(tmp_path) == [] and lock.exists()


def test_results_have_one_writer(tmp_path: Path) -> None:
    hold_results(tmp_path)
    with pytest.raises(PipelineError) as error:
        hold_results(tmp_path)
    assert error.value.code == "locked" and str(os.getpid()) in error.value.found


def test_the_sweep_removes_what_killed_jobs_left(tmp_path: Path, ended: int) -> None:
    results, store = tmp_path / "results", tmp_path / "results/.store"
    gone = [f"recon/.images.{ended}.part", f".report.html.{ended}.part.html"]
    gone += [f"a/.b.csv.{ended}.part.csv"]
    kept = [f"a/.b.csv.{os.getpid()}.part.csv", f".store/.x.{ended}.part", "a/.hidden"]
    for name in (*gone, *kept):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).touch()
    (results / gone[0]).unlink()
    (results / gone[0] / "0.png").mkdir(parents=True)
    gone.append("a/.b.csv.lock")
    leave(results / gone[-1], ended)
    hold_results(results)
    sweep(results, store)
    assert not any((results / name).exists() for name in gone)
    assert all((results / name).exists() for name in (*kept, ".run.lock"))


@pytest.mark.parametrize("is_alive", [False, True])
def test_a_run_without_jobs_clears_what_a_killed_one_left(
    tmp_path: Path, ended: int, is_alive: bool
) -> None:
    results = tmp_path / "results"
    clear_killed(results, results / ".store")  # nothing is there yet
    partial = results / f"tables/.t1.csv.{ended}.part.csv"
    partial.parent.mkdir(parents=True)
    partial.touch()
    clear_killed(results, results / ".store")  # no run was killed
    assert partial.exists()
    leave(results / ".run.lock", os.getpid() if is_alive else ended)
    clear_killed(results, results / ".store")
    assert partial.exists() == (results / ".run.lock").exists() == is_alive


def test_the_sweep_leaves_other_writers_alone(tmp_path: Path, ended: int) -> None:
    leave(tmp_path / "joint/.bit.lock", 5, machine="node7/1")
    leave(tmp_path / "demo/.run.lock", os.getpid())
    kept = [tmp_path / f"{name}.{ended}.part" for name in ("joint/.bit", "demo/tables/.t")]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    sweep(tmp_path, tmp_path / "store")
    assert all(path.exists() for path in kept)


def test_a_full_disk_leaves_no_empty_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.json, "dumps", refuse)
    with pytest.raises(PipelineError) as error:
        hold_results(tmp_path)
    assert error.value.code == "machine" and list(tmp_path.iterdir()) == []
