"""Runs of the smallest configuration on the test cluster, and SLURM's records of their jobs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml

from tests.run_folder import link_repository

BIT = "results/group/all/main/bit_lowlevel/bit.safetensors"
IMAGES = "results/subj01/recon_40h_parts/lowlevel/shard_0.safetensors"
FUSED = "results/subj01/recon_40h_parts/fused/shard_0.safetensors"
RECON, TABLES = "results/subj01/recon_40h", "results/tables"
METRICS = tuple(
    f"results/subj01/metrics/40h_{kind}{part}.csv"
    for kind in ("lowlevel", "semantic", "fused")
    for part in ("", "_summary")
)
"""Scores of Brain-IT's own images; those of the baselines stay."""
PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
LATENCY = ("--latency-wait", "5")

Found = TypeVar("Found")

started: list[subprocess.Popen[str]] = []
"""Every Snakemake of the test at hand."""


def make_root(root: Path, repository: Path, **settings: Any) -> None:
    """Make `root` a place to run in, with settings above those of the smallest run."""
    link_repository(repository, root)
    settings["paths"] = {"results": "results", "store": "results/.store"}
    (root / "here.yaml").write_text(yaml.safe_dump(settings))


def snakemake(root: Path, *words: str) -> subprocess.Popen[str]:
    """Start Snakemake in `root` with the smallest configuration; a file gets its output."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(root / "pipeline_src")
    files = ["config/demo.yaml", "tests/e2e/tiny.yaml", "here.yaml"]
    command = [sys.executable, "-m", "snakemake", "--nocolor", "--configfile", *files]
    with (root / "snakemake.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *words], cwd=root, env=environment, stdout=log, stderr=log, text=True
        )
    started.append(process)
    return process


def end(process: subprocess.Popen[str]) -> None:
    """End Snakemake by SIGINT, at which it cancels its jobs; at SIGTERM it waits for them."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def end_all() -> None:
    """End the processes that a failed test left."""
    while started:
        end(started.pop())


def submit(root: Path, target: str, *words: str) -> subprocess.Popen[str]:
    """Start Snakemake on the test cluster, by the profile that users have."""
    return snakemake(root, *PROFILE, *LATENCY, *words, "--", target)


def ended(process: subprocess.Popen[str], root: Path, timeout_s: float = 1200.0) -> str:
    """Wait until Snakemake ends; return its output."""
    try:
        process.wait(timeout_s)
    finally:
        end(process)
    return (root / "snakemake.log").read_text()


def finish(process: subprocess.Popen[str], root: Path, timeout_s: float = 1200.0) -> str:
    """Wait until Snakemake ends well; return its output."""
    text = ended(process, root, timeout_s)
    assert process.returncode == 0, text[-6000:]
    return text


def scontrol(*words: str) -> str:
    command = ["scontrol", *words]
    return subprocess.run(command, check=True, timeout=20, capture_output=True, text=True).stdout


def slurm_jobs() -> dict[str, dict[str, str]]:
    """Return SLURM's record of each job, key -> value, by job id."""
    lines = [line for line in scontrol("show", "job", "-o").splitlines() if "JobId=" in line]
    jobs = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]
    return {job["JobId"]: job for job in jobs}


def jobs_since(before: set[str]) -> list[dict[str, str]]:
    """Return the jobs submitted since, in their order."""
    jobs = slurm_jobs()
    return [jobs[number] for number in sorted(set(jobs) - before, key=int)]


def wait_for(look: Callable[[], Found | None], what: str, timeout_s: float = 300.0) -> Found:
    """Return the first result of `look` that is not empty."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.2)
    return found


def step_process(root: Path, step: str) -> psutil.Process:
    """Wait for the process of a step that runs in `root`; return it."""

    def look() -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words, folder = process.info["cmdline"] or [], process.info["cwd"]
            if folder == str(root) and f"brainit.steps.{step}" in words:
                return process
        return None

    return wait_for(look, f"the process of {step}")


def forget(root: Path, *names: str) -> set[str]:
    """Remove files and folders of the slice; return the ids of the jobs that SLURM knows by now."""
    for path in (root / name for name in names or (BIT, IMAGES)):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    return set(slurm_jobs())


def accounted(jobs: list[str]) -> list[dict[str, str]]:
    """Return the accounting's records of these jobs (ids), in their order."""
    columns = "JobID,State,ReqTRES,AllocTRES"
    command = ["sacct", "-n", "-P", "-X", "-D", "-o", columns, "-j", ",".join(jobs)]
    done = subprocess.run(command, check=True, timeout=20, capture_output=True, text=True)
    names = columns.split(",")
    return [dict(zip(names, line.split("|"), strict=True)) for line in done.stdout.splitlines()]
