"""Locks: one writer at a time, named in the error; stale locks are taken over."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from brainit.core import locks
from brainit.core.cli import exclusive, guarded
from brainit.core.errors import PipelineError
from brainit.core.locks import locked

BEAT_S = 0.05


def lock_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.lock")


def leave_lock(output: Path, age_s: float, **holder: object) -> None:
    """Write a lock as a holder left it `age_s` seconds ago."""
    lock = lock_of(output)
    content = {"host": "node7", "machine": "node7/1", "pid": 5, "job": None, "token": "theirs"}
    lock.write_text(json.dumps({**content, **holder}))
    then = time.time() - age_s
    os.utime(lock, (then, then))


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_lock_is_beside_the_output_while_it_is_written(tmp_path: Path) -> None:
    output = tmp_path / "new" / "bit.safetensors"
    with locked(output):
        holder = json.loads(lock_of(output).read_text())
        assert holder["pid"] == os.getpid() and holder["host"]
    assert list(output.parent.iterdir()) == []


def test_lock_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_second_writer_stops_and_names_the_job(tmp_path: Path) -> None:
    leave_lock(tmp_path / "a", 10.0, job="4711")
    with pytest.raises(PipelineError) as error, locked(tmp_path / "a"):
        pytest.fail("two writers")
    assert error.value.code == "locked" and error.value.where == str(tmp_path / "a")
    text = str(error.value)
    for part in ("SLURM job 4711 on node7", "scancel 4711", "3 minutes"):
        assert part in text
    assert json.loads(lock_of(tmp_path / "a").read_text())["token"] == "theirs"


def test_second_writer_in_another_process_stops(tmp_path: Path) -> None:
    code = "import pathlib, sys; from brainit.core.locks import locked\n"
    code += "with locked(pathlib.Path(sys.argv[1])): pass"
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    with locked(tmp_path / "a"):
        result = subprocess.run(command, capture_output=True, text=True)
    assert f"process {os.getpid()} on" in result.stderr and result.returncode != 0


def test_stale_lock_is_taken_over(tmp_path: Path) -> None:
    leave_lock(tmp_path / "a", 200.0)
    with locked(tmp_path / "a", settle_s=0.0):
        assert json.loads(lock_of(tmp_path / "a").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_unreadable_lock_is_respected_until_it_is_stale(tmp_path: Path) -> None:
    lock_of(tmp_path / "a").write_text("")
    with pytest.raises(PipelineError) as error, locked(tmp_path / "a"):
        pytest.fail("two writers")
    assert error.value.code == "locked" and str(lock_of(tmp_path / "a")) in error.value.found
    os.utime(lock_of(tmp_path / "a"), (1, 1))
    with locked(tmp_path / "a", settle_s=0.0):
        pass


def test_lock_of_an_ended_process_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    machine = locks._owner()["machine"]
    leave_lock(tmp_path / "a", 1.0, machine=machine, pid=ended_process())
    with locked(tmp_path / "a", settle_s=0.0):
        pass
    leave_lock(tmp_path / "a", 1.0, machine=machine, pid=os.getppid())
    with pytest.raises(PipelineError), locked(tmp_path / "a"):
        pytest.fail("two writers")


def test_heartbeat_keeps_a_lock_alive(tmp_path: Path) -> None:
    with locked(tmp_path / "a", heartbeat_s=BEAT_S):
        os.utime(lock_of(tmp_path / "a"), (1, 1))
        time.sleep(10 * BEAT_S)
        with pytest.raises(PipelineError), locked(tmp_path / "a", stale_after_s=60.0):
            pytest.fail("two writers")


def test_requeued_job_waits_for_its_predecessor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    leave_lock(tmp_path / "a", 0.0, job="12")
    started = time.monotonic()
    with locked(tmp_path / "a", heartbeat_s=BEAT_S, stale_after_s=0.5, settle_s=0.0):
        assert time.monotonic() - started > 0.4


def test_one_of_many_takes_a_stale_lock_over(tmp_path: Path) -> None:
    leave_lock(tmp_path / "a", 1000.0)
    barrier, held, refused = threading.Barrier(8), [], []

    def contend() -> None:
        barrier.wait()
        try:
            with locked(tmp_path / "a", settle_s=0.3):
                held.append(1)
                time.sleep(0.6)
        except PipelineError:
            refused.append(1)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 7)


def test_a_lock_that_was_taken_over_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(tmp_path / "a", heartbeat_s=BEAT_S):
        leave_lock(tmp_path / "a", 0.0)
        time.sleep(4 * BEAT_S)
    assert lock_of(tmp_path / "a").exists()
    assert any(
        record.levelname == "ERROR" and str(lock_of(tmp_path / "a")) in record.message
        for record in caplog.records
    )


def test_step_holds_the_lock_of_its_output_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[bool] = []
    step = exclusive(lambda argv: seen.append(lock_of(tmp_path / "a").exists()), "--out")
    words = ["--in", "x", "--out", str(tmp_path / "a")]
    assert guarded(step, words) == 0
    assert seen == [True] and not lock_of(tmp_path / "a").exists()
    leave_lock(tmp_path / "a", 0.0)
    assert guarded(step, words) == 2
    assert len(seen) == 1 and "process 5 on node7" in capsys.readouterr().err
