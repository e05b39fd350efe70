"""The state of a run, from the text of dry runs, logs, locks and benchmark files."""

import os
import time
from pathlib import Path

import pytest

from brainit.commands.dry_run import Job, parse_jobs
from brainit.commands.status import _logged, as_lines, measure, state

DRY_RUN = """
rule train_encoder:
    input: a, b
    output: out/encoder.safetensors, out/history.csv
    log: logs/train_encoder/all.log
    jobid: 3
    benchmark: bench/train_encoder/all.tsv
    wildcards: pool=all
    resources: tmpdir=<TBD>, mem_mb=32000, mem_mib=30518, runtime=1440, gpu=1
localrule all:
    input: x
    resources: tmpdir=<TBD>, mem_mb=16000
"""


def job(root: Path, name: str, rule: str = "evaluate") -> Job:
    log, out = root / f"{name}.log", root / f"{name}.csv"
    return Job(rule, (), str(log), str(root / f"{name}.tsv"), (str(out),), 1000.0, 10.0)


def write(path: str, text: str, age_s: float = 0.0) -> None:
    Path(path).write_text(text)
    os.utime(path, (time.time() - age_s,) * 2)


def test_jobs_are_read_with_their_files_and_requests() -> None:
    assert _logged(parse_jobs(DRY_RUN)) == [
        Job(
            "train_encoder",
            (("pool", "all"),),
            "logs/train_encoder/all.log",
            "bench/train_encoder/all.tsv",
            ("out/encoder.safetensors", "out/history.csv"),
            32000.0,
            1440.0,
            ("a", "b"),
            n_gpus=1,
        )
    ]


def test_failures_have_their_last_line_and_running_jobs_are_none(tmp_path: Path) -> None:
    names = ("done", "failed", "old", "running", "locked", "waiting")
    jobs = {name: job(tmp_path, name) for name in names}
    write(jobs["done"].log, "ERROR: of an earlier attempt\n")
    write(jobs["failed"].log, "epoch 1\nERROR: betas.npy: expected 5, found 4. Fix: rerun\n\n")
    write(jobs["old"].log, "epoch 7\n", age_s=4000)
    write(jobs["running"].log, "epoch 3 of 9\n")
    write(jobs["locked"].log, "epoch 2\n", age_s=4000)
    (tmp_path / ".locked.csv.lock").write_text("{}")
    found = state(list(jobs.values()), [jobs[name] for name in names[1:]], time.time())
    assert found["done"] == {"evaluate": 1} and found["all"] == {"evaluate": 6}
    assert [entry["error"] for entry in found["failed"]] == [
        "ERROR: betas.npy: expected 5, found 4. Fix: rerun"
    ]
    assert [entry["says"] for entry in found["broken_off"]] == ["epoch 7"]
    assert [entry["says"] for entry in found["running"]] == ["epoch 3 of 9", "epoch 2"]
    lines = as_lines("all", found)
    assert lines[0] == "all: 1 of 6 jobs done, 2 running, 1 failed, 1 broken off"
    assert sum(line.startswith("FAILED evaluate") for line in lines) == 1


def test_a_fresh_traceback_is_a_failure(tmp_path: Path) -> None:
    broken = job(tmp_path, "broken")
    write(broken.log, "Traceback (most recent call last):\nKeyError: 'subj01'\n")
    found = state([broken], [broken], time.time())
    assert [entry["error"] for entry in found["failed"]] == ["KeyError: 'subj01'"]


def logged(text: str) -> str:
    return f"2025-01-31 12:00:00,123 brainit.training.loop: {text}\n"


TRACEBACK = 'Traceback (most recent call last):\n  File "loop.py", line 7, in train\n'
OF_TORCHRUN = (
    "E0131 12:00:01 torch/api.py:882] failed (exitcode: 75) local_rank: 0\n"
    f"{TRACEBACK}torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n====\n"
)


@pytest.mark.parametrize(
    "ending",
    [
        "ERROR: betas.npy: expected 5, found 4. Fix: rerun\n",
        f"{TRACEBACK}brainit.core.errors.PipelineError: betas.npy: expected 5, found 4\n",
        f"{TRACEBACK}RuntimeError: sizes differ\n\tsize of weight\n",
        f"{TRACEBACK}tokenizers.Odd: 7\n",
        "train_bit: error: the following arguments are required: --bit\n",
        "/env/bin/python: No module named brainit\n",
        f"ERROR: the GPU is full\n{OF_TORCHRUN}",
        f"[rank0]: {TRACEBACK}[rank0]: KeyError: 'subj01'\n{OF_TORCHRUN}",
    ],
)
def test_a_log_that_ends_with_an_error_is_a_failure(tmp_path: Path, ending: str) -> None:
    broken = job(tmp_path, "broken")
    write(broken.log, logged("epoch 1") + ending, age_s=4000)
    found = state([broken], [broken], time.time())
    (entry,) = found["failed"]
    assert entry["error"] in ending and "====" not in entry["error"]
    assert not found["broken_off"] and not found["running"]


@pytest.mark.parametrize("age_s", [0.0, 4000.0])
def test_a_job_that_ended_well_and_is_asked_for_again_is_to_do(
    tmp_path: Path, age_s: float
) -> None:
    outdated = job(tmp_path, "outdated")
    words = "ValueError: of an image that was left out\n" + logged("epoch 60, loss 0.1")
    write(outdated.log, logged("epoch 1") + TRACEBACK + words, age_s)
    write(outdated.benchmark, "s\tmax_rss\n1.0\t10\n", age_s)
    found = state([outdated], [outdated], time.time())
    assert not found["failed"] and not found["running"] and not found["broken_off"]
    assert as_lines("all", found) == [
        "all: 0 of 1 jobs done, 0 running, 0 failed",
        "  evaluate: 0 of 1",
    ]


@pytest.mark.parametrize(
    "ending",
    [
        "INTERRUPTED: interrupted by SIGTERM after step 7, the same command continues\n",
        f"INTERRUPTED: interrupted by SIGTERM after step 7\n{OF_TORCHRUN}",
        f"{TRACEBACK}KeyboardInterrupt\n",
        logged("killed by nobody knows whom"),
    ],
)
def test_a_job_that_was_broken_off_has_not_failed(tmp_path: Path, ending: str) -> None:
    stopped = job(tmp_path, "stopped")
    write(stopped.log, logged("epoch 1") + ending, age_s=4000)
    write(stopped.benchmark, "s\tmax_rss\n1.0\t10\n", age_s=5000)
    found = state([stopped], [stopped], time.time())
    (entry,) = found["broken_off"]
    assert entry["says"] in ending and not found["failed"] and not found["running"]
    assert as_lines("all", found)[-1] == f"broken off evaluate ({stopped.log}): {entry['says']}"


@pytest.mark.parametrize(
    ("max_rss", "seconds", "advice"),
    [
        ("950", "300", "ask for more memory"),
        ("500", "595", "ask for more time"),
        ("100", "300", "less memory would do"),
        ("500", "300", ""),
    ],
)
def test_use_is_held_against_the_request(
    tmp_path: Path, max_rss: str, seconds: str, advice: str
) -> None:
    small, large = job(tmp_path, "small"), job(tmp_path, "large")
    write(small.benchmark, "s\th:m:s\tmax_rss\n1.0\t0:00:01\t10\n")
    write(large.benchmark, f"s\th:m:s\tmax_rss\n{seconds}\t0:05:00\t{max_rss}\n")
    (use,) = measure([small, large])
    assert (use.n_jobs, use.used_mb, use.asked_mb) == (2, float(max_rss), 1000.0)
    assert use.used_min == pytest.approx(float(seconds) / 60)
    assert use.advice == advice


def test_unmeasured_jobs_are_left_out(tmp_path: Path) -> None:
    short, absent = job(tmp_path, "short"), job(tmp_path, "absent")
    write(short.benchmark, "s\th:m:s\tmax_rss\n0.1\t0:00:00\t-\n")
    assert measure([short, absent]) == []
