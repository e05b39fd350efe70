"""Jobs interrupted by a cluster, each case through a real SLURM: the run ends with right bytes."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.result_digests import digest

from .runs import (
    BIT,
    IMAGES,
    finish,
    forget,
    jobs_since,
    scontrol,
    slurm_jobs,
    step_process,
    submit,
    wait_for,
)

pytestmark = [pytest.mark.slurm, pytest.mark.slurm_slow]

Stored = tuple[Path, dict[str, str]]


def states(before: set[str]) -> list[str]:
    return [job["JobState"] for job in jobs_since(before)]


def test_cancelled_job_is_tried_again(stored: Stored) -> None:
    root, expected = stored
    before = forget(root)
    process = submit(root, BIT)
    step_process(root, "train_bit")
    subprocess.run(["scancel", jobs_since(before)[0]["JobId"]], check=True, timeout=20)
    finish(process, root)
    assert digest(root / BIT) == expected[BIT]
    assert states(before) == ["CANCELLED", "COMPLETED"]


@pytest.mark.parametrize(
    ("step", "target", "minutes"),
    [("train_bit", BIT, ["1", "1"]), ("reconstruct_lowlevel", IMAGES, ["1", "2"])],
)
def test_job_over_its_time_limit_is_tried_again(
    stored: Stored, step: str, target: str, minutes: list[str]
) -> None:
    """A step that hangs. A training's retry keeps its limit, another's has more."""
    root, expected = stored
    before = forget(root, target)
    limit = "1" if minutes == ["1", "1"] else "attempt"
    words = ("--set-resources", f"{step}:runtime={limit}", f"{step}:slurm_extra=''")
    process = submit(root, target, *words)
    step_process(root, step).suspend()
    text = finish(process, root)
    assert digest(root / target) == expected[target]
    assert states(before) == ["TIMEOUT", "COMPLETED"], text[-3000:]
    assert [job["TimeLimit"] for job in jobs_since(before)] == [f"00:0{n}:00" for n in minutes]


def test_preempted_training_waits_for_its_requeue(stored: Stored) -> None:
    root, expected = stored
    before = forget(root)
    process = submit(root, BIT)
    step_process(root, "train_bit")
    number = jobs_since(before)[0]["JobId"]
    urgent = ["sbatch", "-p", "high", "--gpus=2", "-o", "/dev/null", "--wrap", "sleep 3"]
    subprocess.run(urgent, check=True, timeout=20, capture_output=True)
    wait_for(lambda: slurm_jobs()[number]["JobState"] == "PENDING", "the preempted job")
    scontrol("update", f"JobId={number}", "StartTime=now")
    finish(process, root)
    assert digest(root / BIT) == expected[BIT]
    job = slurm_jobs()[number]
    assert job["JobState"] == "COMPLETED" and job["Restarts"] == "1"


def test_drained_node_ends_its_job_and_takes_no_other(stored: Stored) -> None:
    root, expected = stored
    before = forget(root)
    process = submit(root, IMAGES)
    step_process(root, "train_bit")
    scontrol("update", "NodeName=lab", "State=DRAIN", "Reason=test")
    try:
        wait_for(lambda: len(jobs_since(before)) == 2, "the second job")
        assert states(before) == ["COMPLETED", "PENDING"]
    finally:
        scontrol("update", "NodeName=lab", "State=RESUME")
    finish(process, root)
    assert all(digest(root / name) == expected[name] for name in (BIT, IMAGES))
    assert states(before) == ["COMPLETED", "COMPLETED"]


def test_killed_snakemake_goes_on_with_the_same_command(stored: Stored) -> None:
    """Its job lives on and holds the output: no second one writes it."""
    root, expected = stored
    before = forget(root)
    process = submit(root, BIT)
    step = step_process(root, "train_bit")
    lock = wait_for(lambda: next((root / BIT).parent.glob(".*.lock"), None), "the lock")
    step.suspend()

    def second_writer_ended() -> bool:
        os.utime(lock)  # As the halted step would.
        return "FAILED" in states(before)

    try:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process = submit(root, BIT)
        wait_for(second_writer_ended, "the end of the second writer")
    finally:
        step.resume()
    text = finish(process, root)
    first = jobs_since(before)[0]
    assert f"SLURM job {first['JobId']} on" in text, text[-3000:]
    assert first["JobState"] == "COMPLETED"
    assert digest(root / BIT) == expected[BIT]
