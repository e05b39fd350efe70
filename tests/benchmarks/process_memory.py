"""Peak memory of a process, and figures that a benchmark's own script prints in a new one."""

import subprocess
import sys
from pathlib import Path


def peak_mb() -> float:
    """Return this process's peak resident memory in MB (`ru_maxrss` would count its parent's)."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def printed_by(script: str, *words: str) -> list[float]:
    """Run a script in a new process; return the numbers that it prints."""
    command = [sys.executable, script, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]
