"""The state of a run, from the text of dry runs, logs, locks and benchmark files."""

import os
import time
from pathlib import Path

import pytest

from brainit.commands.status import Job, as_lines, measure, parse, state

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
    return Job(rule, str(log), str(root / f"{name}.tsv"), (str(out),), 1000.0, 10.0)


def write(path: str, text: str, age_s: float = 0.0) -> None:
    Path(path).write_text(text)
    os.utime(path, (time.time() - age_s,) * 2)


def test_jobs_are_read_with_their_files_and_requests() -> None:
    assert parse(DRY_RUN) == [
        Job(
            "train_encoder",
            "logs/train_encoder/all.log",
            "bench/train_encoder/all.tsv",
            ("out/encoder.safetensors", "out/history.csv"),
            32000.0,
            1440.0,
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
        "ERROR: betas.npy: expected 5, found 4. Fix: rerun",
        "epoch 7",
    ]
    assert [entry["says"] for entry in found["running"]] == ["epoch 3 of 9", "epoch 2"]
    lines = as_lines("all", found)
    assert lines[0] == "all: 1 of 6 jobs done, 2 running, 2 failed"
    assert sum(line.startswith("FAILED evaluate") for line in lines) == 2


def test_a_fresh_traceback_is_a_failure(tmp_path: Path) -> None:
    broken = job(tmp_path, "broken")
    write(broken.log, "Traceback (most recent call last):\nKeyError: 'subj01'\n")
    found = state([broken], [broken], time.time())
    assert [entry["error"] for entry in found["failed"]] == ["KeyError: 'subj01'"]


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
