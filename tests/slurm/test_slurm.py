"""A slice of the workflow, low-level BIT to tables, through a real SLURM with the users' profile.

One run shows what a cluster does to jobs on the way: the BIT's first job gets too little memory and
is tried again; the second is put back into the queue. What comes before the slice is made without
SLURM, and so are the bytes that it must repeat.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.result_digests import digests

from .runs import (
    BIT,
    FUSED,
    IMAGES,
    METRICS,
    RECON,
    TABLES,
    accounted,
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


@pytest.fixture(scope="module")
def jobs(stored: Stored) -> list[dict[str, str]]:
    """Return the jobs of the slice as SLURM knows them, once all have ended."""
    root, _ = stored
    before = forget(root, BIT, IMAGES, FUSED, RECON, *METRICS, TABLES)
    memory = ("--set-resources", "train_bit:mem_mb=250 * attempt**4")
    process = submit(root, "tables", *memory)
    wait_for(lambda: len(jobs_since(before)) == 2, "the second attempt")
    number = jobs_since(before)[1]["JobId"]
    step_process(root, "train_bit")
    scontrol("requeue", number)
    wait_for(lambda: slurm_jobs()[number]["JobState"] == "PENDING", "the requeued job")
    # SLURM holds a requeued job for two minutes; it need not, here.
    scontrol("update", f"JobId={number}", "StartTime=now")
    finish(process, root)
    return jobs_since(before)


def test_slice_gives_the_same_bytes_as_a_local_run(
    stored: Stored, jobs: list[dict[str, str]]
) -> None:
    root, expected = stored
    assert {f"results/{name}": found for name, found in digests(root).items()} == expected
    rules = Counter(job["Comment"].split("_wildcards_")[0] for job in jobs)
    assert rules == {
        "rule_train_bit": 2,
        "rule_reconstruct_lowlevel": 1,
        "rule_reconstruct_fused": 1,
        "rule_gather_reconstructions": 1,
        "rule_evaluate": 3,
        "rule_make_table": 4,
    }


def uses_gpu(job: dict[str, str]) -> bool:
    return not job["Comment"].startswith(("rule_gather", "rule_make"))


def test_gpu_jobs_ask_for_a_gpu_and_all_may_be_requeued(jobs: list[dict[str, str]]) -> None:
    for job in jobs:
        assert job["Requeue"] == "1"
        assert ("gres:gpu:1" in job.get("TresPerJob", "")) == uses_gpu(job), job["Comment"]


def test_gpus_are_seen_in_the_accounting(accounting: None, jobs: list[dict[str, str]]) -> None:
    on_gpu = [job["JobId"] for job in jobs if uses_gpu(job)]
    rows = accounted(on_gpu)
    assert len(rows) == len(on_gpu) + 1, "a requeued job has two rows"
    for row in rows:
        assert "gres/gpu=1" in row["ReqTRES"].split(","), row
        assert "gres/gpu=1" in row["AllocTRES"].split(","), row


def test_job_over_its_memory_is_tried_again_with_more(jobs: list[dict[str, str]]) -> None:
    assert [job["MinMemoryNode"] for job in jobs[:2]] == ["250M", "4000M"]
    states = [job["JobState"] for job in jobs]
    assert states[0] != "COMPLETED" and set(states[1:]) == {"COMPLETED"}


def test_requeued_training_runs_under_its_old_id(jobs: list[dict[str, str]]) -> None:
    assert [job["Restarts"] for job in jobs[:3]] == ["0", "1", "0"]
