"""The tiny run, disturbed: killed whole, or out of disk, and started again by the same command."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from tests.e2e.tiny_run import prepare
from tests.result_digests import digests

FIRST_JOB = "Select jobs to execute"
MINUTES_BETWEEN_CHECKPOINTS = 1
"""The fewest; trainings of less start again."""
DISK_BYTES = 300 << 20
_STEP = "brainit.steps."
OF_THE_RUN = {"report.html", "settings.json"}
"""They state how long jobs took, and how often trainings write checkpoints."""


@dataclass
class Disturbance:
    """What hit a run: its kind and moment, the steps at work, and how the run ended."""

    kind: str
    seconds: float
    steps: list[str]
    status: int | None
    said: str


@dataclass
class DisturbedRun:
    """The tiny run in `root`, whose working directory and results are small disks of their own."""

    repository: Path
    root: Path
    draw: random.Random
    mean_s: float
    """seconds between the first job of a run and its end, on average"""
    seen: list[Disturbance] = field(default_factory=list)

    @contextmanager
    def disks(self) -> Iterator[None]:
        """Mount both disks within the block; needs root."""
        with ExitStack() as stack:
            for folder in (self.root, self.root / "results"):
                folder.mkdir()
                mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
                subprocess.run(mount, check=True)
                stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
            yield

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the one command in a process group of its own; `said.txt` gets its output."""
        files, environment = prepare(self.repository, self.root)
        often = self.root.parent / f"{self.root.name}_often.yaml"
        run = {"checkpoint_minutes": MINUTES_BETWEEN_CHECKPOINTS}
        often.write_text(yaml.safe_dump({"run": run}))
        command = [sys.executable, "-m", "snakemake", "all", "--cores", "2", "--nocolor"]
        with self.said.open("wb") as said:
            return subprocess.Popen(
                [*command, *words, "--configfile", *files, str(often)],
                cwd=self.root,
                env=environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @property
    def said(self) -> Path:
        return self.root.parent / f"{self.root.name}_said.txt"

    def kill(self) -> bool:
        """Kill Snakemake and all its jobs at a random moment; False where they ended before."""
        return self._disturb("kill", _kill)

    def fill(self, place: Path) -> bool:
        """Fill a disk at a random moment, but for some bytes, until the run has ended.

        Returns False where it ended before.
        """
        filler = place / "filler"

        def fill(process: subprocess.Popen[bytes]) -> None:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as handle:
                while True:
                    handle.write(bytes(1 << 16))
            os.truncate(filler, filler.stat().st_size - self.draw.choice([0, 1 << 13, 1 << 17]))
            process.wait()

        try:
            return self._disturb(f"full disk of {place.relative_to(self.root.parent)}", fill)
        finally:
            filler.unlink(missing_ok=True)

    def finish(self) -> None:
        """Run the one command to its end, which must be a good one."""
        status = self.start().wait()
        assert status == 0, self.said.read_text()[-6000:]

    def _disturb(self, kind: str, strike: Callable[[subprocess.Popen[bytes]], None]) -> bool:
        process = self.start()
        if self.draw.random() < 0.8:  # the others are struck while Snakemake starts
            while process.poll() is None and FIRST_JOB not in self.said.read_text():
                time.sleep(0.05)
            wait_s = self.draw.uniform(0, 2 * self.mean_s)
        else:
            wait_s = self.draw.uniform(0, self.mean_s / 4)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
            assert process.returncode == 0, self.said.read_text()[-6000:]
            return False
        steps = steps_of(process)
        strike(process)
        text = self.said.read_text(errors="replace")[-3000:]
        self.seen.append(Disturbance(kind, wait_s, steps, process.returncode, text))
        return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group, and jobs that have one of their own."""
    jobs = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for job in jobs:
        with contextlib.suppress(psutil.NoSuchProcess):
            job.kill()
    process.wait()
    psutil.wait_procs(jobs, timeout=10)


def steps_of(process: subprocess.Popen[bytes]) -> list[str]:
    """Return the steps that a Snakemake is running."""
    found = set()
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = [word for word in child.cmdline() if word.startswith(_STEP)]
            found |= {word.removeprefix(_STEP) for word in words}
    return sorted(found)


def differences(expected: Path, found: Path) -> list[str]:
    """Return the files that differ in bytes, miss, or remain, outside the store's work files.

    Neither may a lock of Snakemake remain.
    """
    one, two = digests(expected), digests(found)
    wrong = [
        f"differs: {name}" for name in one if name not in OF_THE_RUN and two.get(name) != one[name]
    ]
    wrong += [
        f"remains: {name}" for name in sorted(_outside_store(found) - _outside_store(expected))
    ]
    kept = found / ".snakemake"
    locks = [*kept.glob("locks/*"), *kept.glob("brainit_runs/*"), *kept.glob("incomplete/*")]
    return wrong + [f"remains: {path}" for path in locks]


def _outside_store(root: Path) -> set[str]:
    below = {path.relative_to(root) for path in (root / "results").rglob("*")}
    return {str(name) for name in below if ".store" not in name.parts}
