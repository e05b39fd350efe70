"""Run the probe of a step in its own process, and end it where memory fills or time is up.

The process is killed before the machine's memory is full, so that nothing else on it suffers.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brainit.commands.doctor_machine import total_memory

_PERIOD_S = 0.1
_RESERVE_SHARE, _RESERVE_BYTES = 0.05, 1e9
_PATIENCE_S = 60.0
"""Seconds that a step has to end after the limit of time, before it is killed."""


def available_memory() -> float:
    """Return the bytes that the machine could still give, those of its page cache included."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return 1024.0 * kib


def peak_of(pid: int) -> float:
    """Return the most memory in bytes that a process has had resident; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0.0)


def run_probe(
    step: str,
    arguments: Sequence[str],
    folder: Path,
    depth: int | None,
    minutes: float,
    available: Callable[[], float] = available_memory,
) -> dict[str, Any]:
    """Measure a step as `probe.measure` does, in another process; its log is in `folder`.

    `wall_s` of the answer are the seconds of the whole process. Where the process writes no answer,
    the fault is `host-memory` after it was killed for memory, `time` after the limit, else `failed`
    with the last line of its log.
    """
    report, log = folder / "report.json", folder / "step.log"
    words = [sys.executable, "-m", "brainit.commands.rehearse.probe", "--report", str(report)]
    words += [*(["--depth", str(depth)] if depth is not None else []), step, *arguments]
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as handle:
        process = subprocess.Popen(
            words, stdout=handle, stderr=handle, env=_environment(), start_new_session=True
        )
        try:
            kind, peak = _watch(process, 60 * minutes, available)
        finally:
            process.kill()  # where the rehearsal itself is interrupted
            process.wait()
    if report.is_file():
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return {**found, "wall_s": time.monotonic() - started}
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    texts = {
        "host-memory": f"killed at {peak / 1e9:.1f} GB, when the machine had no more memory",
        "time": f"not at its first measure after {minutes:g} minutes",
    }
    text = texts.get(kind, lines[-1] if lines else f"exit status {process.returncode}")
    fault = {"kind": kind, "text": text}
    times = {"wall_s": time.monotonic() - started, "seconds": {}, "cpu_seconds": {}, "cpu_s": 0.0}
    device = {"device": "", "device_bytes": 0, "device_total_bytes": 0, "busy": None}
    return {"step": step, **times, **device, "host_bytes": peak, "fault": fault}


def _environment() -> Mapping[str, str]:
    """Return the environment without what would make a step one of several processes."""
    return {name: v for name, v in os.environ.items() if not name.startswith("TORCHELASTIC")}


def _watch(
    process: "subprocess.Popen[bytes]", limit_s: float, available: Callable[[], float]
) -> tuple[str, float]:
    """Wait for a process, and end it where memory or time run out; return why, and its peak."""
    reserve = max(_RESERVE_BYTES, _RESERVE_SHARE * total_memory())
    end, peak, kind = time.monotonic() + limit_s, 0.0, "failed"
    while process.poll() is None:
        peak = max(peak, peak_of(process.pid))
        if available() < reserve:
            kind = "host-memory"
            process.kill()
            break
        if time.monotonic() > end + _PATIENCE_S:
            process.kill()
            break
        if time.monotonic() > end and kind != "time":
            kind = "time"
            process.send_signal(signal.SIGINT)  # the probe writes what it has measured so far
        time.sleep(_PERIOD_S)
    process.wait()
    # The kernel, or a cluster's limit, kills a process of too much memory in the same way.
    is_killed = process.returncode == -signal.SIGKILL and kind == "failed"
    return ("host-memory" if is_killed else kind), peak
