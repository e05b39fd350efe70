"""The workflow's jobs through a real SLURM, with the profile that users have.

What comes before the slice is made without SLURM, and so are the bytes that it must repeat.
"""

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slurm

BIT = "results/group/scratch_subj01_1h/main/bit_lowlevel/bit.safetensors"
IMAGES = "results/subj01/recon_1h_scratch_parts/lowlevel/shard_0.safetensors"
FAST = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5")


def snakemake(root: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(root / "pipeline_src")
    files = ["config/demo.yaml", "tests/e2e/tiny.yaml", "here.yaml"]
    command = [sys.executable, "-m", "snakemake", "--nocolor", "--configfile", *files]
    with (root / "snakemake.log").open("w") as log:
        return subprocess.Popen(
            [*command, *words], cwd=root, env=environment, stdout=log, stderr=log, text=True
        )


def finish(process: subprocess.Popen[str], root: Path, timeout_s: float = 170.0) -> str:
    """Wait for Snakemake; return what it said."""
    try:
        process.wait(timeout_s)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
    text = (root / "snakemake.log").read_text()
    assert process.returncode == 0, text[-6000:]
    return text


def slurm_jobs() -> dict[str, dict[str, str]]:
    """Return what SLURM knows of each job, key -> value, by job id."""
    text = subprocess.run(
        ["scontrol", "show", "job", "-o"], capture_output=True, text=True, timeout=20
    ).stdout
    jobs = [
        dict(re.findall(r"(\w+)=(\S*)", line)) for line in text.splitlines() if "JobId=" in line
    ]
    return {job["JobId"]: job for job in jobs}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def stored(
    cluster: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """Make the slice's inputs; give their folder and the bytes that a run without SLURM makes."""
    root = tmp_path_factory.mktemp("run")
    (root / "here.yaml").write_text(
        yaml.safe_dump({"paths": {"results": "results", "store": "results/.store"}})
    )
    for name in ("config", "workflow", "pipeline_src", "profiles", "slurm", "envs", "tests"):
        (root / name).symlink_to(repository / name)
    finish(snakemake(root, "--cores", "2", "--", IMAGES), root, 300.0)
    made = {name: digest(root / name) for name in (BIT, IMAGES)}
    return root, made


def forget(root: Path) -> None:
    """Remove what the slice makes."""
    for name in (BIT, IMAGES):
        (root / name).unlink(missing_ok=True)


def test_slice_gives_the_same_bytes_as_a_local_run(stored: tuple[Path, dict[str, str]]) -> None:
    root, expected = stored
    forget(root)
    before = set(slurm_jobs())
    text = finish(snakemake(root, "--profile", "slurm", *FAST, "--", IMAGES), root)
    assert {name: digest(root / name) for name in expected} == expected
    jobs = [job for number, job in slurm_jobs().items() if number not in before]
    assert [job["JobState"] for job in jobs] == ["COMPLETED"] * 2, text[-3000:]
    for job in jobs:
        assert "gres/gpu=1" in job["TRES"], job
        assert job["Requeue"] == "1"


def test_requeued_training_ends_with_the_same_bytes(stored: tuple[Path, dict[str, str]]) -> None:
    """SLURM puts the job back into the queue while it runs, as it does after preemption."""
    root, expected = stored
    forget(root)
    before = set(slurm_jobs())
    process = snakemake(root, "--profile", "slurm", *FAST, "--", BIT)
    log = root / "results/logs/train_bit_lowlevel/scratch_subj01_1h.log"
    log.unlink(missing_ok=True)
    deadline = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.2)
    (number,) = set(slurm_jobs()) - before
    subprocess.run(["scontrol", "requeue", number], check=True, timeout=20)
    # SLURM holds a requeued job for two minutes; it need not, here.
    while slurm_jobs()[number]["JobState"] != "PENDING" and time.monotonic() < deadline + 30:
        time.sleep(0.5)
    subprocess.run(
        ["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True, timeout=20
    )
    finish(process, root)
    assert digest(root / BIT) == expected[BIT]
    job = slurm_jobs()[number]
    assert job["JobState"] == "COMPLETED" and job["Restarts"] == "1"


def test_job_over_its_memory_is_tried_again_with_more(
    stored: tuple[Path, dict[str, str]],
) -> None:
    root, expected = stored
    forget(root)
    before = set(slurm_jobs())
    memory = "train_bit_lowlevel:mem_mb=250 * attempt**4"
    words = ("--profile", "slurm", *FAST, "--set-resources", memory, "--", BIT)
    text = finish(snakemake(root, *words), root)
    assert digest(root / BIT) == expected[BIT]
    jobs = [job for number, job in slurm_jobs().items() if number not in before]
    asked = sorted((int(job["JobId"]), job["MinMemoryNode"], job["JobState"]) for job in jobs)
    assert [memory for _, memory, _ in asked] == ["250M", "4000M"], text[-3000:]
    assert asked[0][2] != "COMPLETED" and asked[1][2] == "COMPLETED"
