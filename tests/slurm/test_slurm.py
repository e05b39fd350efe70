"""The workflow's jobs through a real SLURM, with the profile that users have.

What comes before the slice is made without SLURM, and so are the bytes that it must repeat.
"""

from pathlib import Path

import pytest

from .runs import (
    BIT,
    IMAGES,
    digest,
    finish,
    forget,
    jobs_since,
    scontrol,
    slurm_jobs,
    step_process,
    submit,
    wait_for,
)

pytestmark = pytest.mark.slurm

Stored = tuple[Path, dict[str, str]]


def test_slice_gives_the_same_bytes_as_a_local_run(stored: Stored) -> None:
    root, expected = stored
    before = forget(root)
    text = finish(submit(root, IMAGES), root)
    assert {name: digest(root / name) for name in expected} == expected
    jobs = jobs_since(before)
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 2, text[-3000:]
    for job in jobs:
        assert job["TresPerJob"] == "gres:gpu:1", job
        assert job["Requeue"] == "1"


def test_requeued_training_ends_with_the_same_bytes(stored: Stored) -> None:
    """SLURM puts the job back into the queue while it runs, as it does after preemption."""
    root, expected = stored
    before = forget(root)
    process = submit(root, BIT)
    step_process(root, "train_bit_lowlevel")
    (number,) = set(slurm_jobs()) - before
    scontrol("requeue", number)
    wait_for(lambda: slurm_jobs()[number]["JobState"] == "PENDING", "the requeued job")
    # SLURM holds a requeued job for two minutes; it need not, here.
    scontrol("update", f"JobId={number}", "StartTime=now")
    finish(process, root)
    assert digest(root / BIT) == expected[BIT]
    job = slurm_jobs()[number]
    assert job["JobState"] == "COMPLETED" and job["Restarts"] == "1"


def test_job_over_its_memory_is_tried_again_with_more(stored: Stored) -> None:
    root, expected = stored
    before = forget(root)
    memory = "train_bit_lowlevel:mem_mb=250 * attempt**4"
    text = finish(submit(root, BIT, "--set-resources", memory), root)
    assert digest(root / BIT) == expected[BIT]
    jobs = jobs_since(before)
    assert [job["MinMemoryNode"] for job in jobs] == ["250M", "4000M"], text[-3000:]
    assert jobs[0]["JobState"] != "COMPLETED" and jobs[1]["JobState"] == "COMPLETED"
