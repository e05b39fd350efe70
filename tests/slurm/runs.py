"""Runs of the smallest configuration on the test cluster; what SLURM knows of their jobs."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

BIT = "results/group/scratch_subj01_1h/main/bit_lowlevel/bit.safetensors"
IMAGES = "results/subj01/recon_1h_scratch_parts/lowlevel/shard_0.safetensors"
PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
LATENCY = ("--latency-wait", "5")

Found = TypeVar("Found")

started: list[subprocess.Popen[str]] = []
"""Every Snakemake of the test at hand."""


def snakemake(root: Path, *words: str) -> subprocess.Popen[str]:
    """Start Snakemake in `root` with the smallest configuration; what it says is in a file."""
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
    """End what a failed test left."""
    while started:
        end(started.pop())


def submit(root: Path, target: str, *words: str) -> subprocess.Popen[str]:
    """Start Snakemake on the test cluster, by the profile that users have."""
    return snakemake(root, *PROFILE, *LATENCY, *words, "--", target)


def ended(process: subprocess.Popen[str], root: Path, timeout_s: float = 400.0) -> str:
    """Wait until Snakemake ends; return what it said."""
    try:
        process.wait(timeout_s)
    finally:
        end(process)
    return (root / "snakemake.log").read_text()


def finish(process: subprocess.Popen[str], root: Path, timeout_s: float = 400.0) -> str:
    """Wait until Snakemake ends well; return what it said."""
    text = ended(process, root, timeout_s)
    assert process.returncode == 0, text[-6000:]
    return text


def scontrol(*words: str) -> str:
    command = ["scontrol", *words]
    return subprocess.run(command, check=True, timeout=20, capture_output=True, text=True).stdout


def slurm_jobs() -> dict[str, dict[str, str]]:
    """Return what SLURM knows of each job, key -> value, by job id."""
    lines = [line for line in scontrol("show", "job", "-o").splitlines() if "JobId=" in line]
    jobs = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]
    return {job["JobId"]: job for job in jobs}


def jobs_since(before: set[str]) -> list[dict[str, str]]:
    """Return the jobs submitted since, in their order."""
    jobs = slurm_jobs()
    return [jobs[number] for number in sorted(set(jobs) - before, key=int)]


def wait_for(look: Callable[[], Found | None], what: str, timeout_s: float = 150.0) -> Found:
    """Return what `look` finds as soon as it finds something."""
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


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forget(root: Path, *names: str) -> set[str]:
    """Remove what the slice makes; return the ids of the jobs that SLURM knows by now."""
    for name in names or (BIT, IMAGES):
        (root / name).unlink(missing_ok=True)
    return set(slurm_jobs())
