"""Lock files: one writer per output, named in a file beside the output.

The writer touches its lock every half minute. Another job takes over a lock that was not touched
for three minutes, or at once if its process ran on this machine and has ended. Ages are measured by
the clock of the lock's file system, so the clocks of machines need not agree.
"""

import json
import logging
import os
import platform
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError

logger = logging.getLogger(__name__)

HEARTBEAT_S = 30.0
STALE_AFTER_S = 180.0

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SETTLE_S = 1.0
"""Wait after a takeover: by then every rival that saw the stale lock has written its claim."""


@contextmanager
def locked(
    path: Path,
    heartbeat_s: float = HEARTBEAT_S,
    stale_after_s: float = STALE_AFTER_S,
    settle_s: float = _SETTLE_S,
) -> Iterator[None]:
    """Hold the lock of the output `path` within the block.

    Raises `PipelineError` that names the job if another one holds the lock. A job that SLURM
    requeued under its old id waits instead until the lock of its earlier run is stale.
    """
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    owner = _owner()
    while not _claim(lock, owner, stale_after_s, settle_s):
        holder = _read(lock)
        if not holder or holder.get("job") is None or holder["job"] != owner["job"]:
            raise _lock_error(path, lock, holder, stale_after_s)
        logger.info("%s: waiting for the earlier run of job %s to end", path, owner["job"])
        time.sleep(heartbeat_s)
    stop = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(lock, owner["token"], stop, heartbeat_s), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with suppress(OSError):
            if _read(lock).get("token") == owner["token"]:
                lock.unlink(missing_ok=True)


def holder_of(lock: Path, stale_after_s: float = STALE_AFTER_S) -> str | None:
    """Return the name of the job that holds a lock file; None if it has ended.

    A process of this machine holds it as long as it runs, even halted; another machine's as long as
    it gives signs of life.
    """
    holder, owner, age_s = _read(lock), _owner(), _age_s(lock)
    if age_s is None or _is_gone(holder, owner):
        return None
    is_here = holder.get("machine") is not None and holder["machine"] == owner["machine"]
    return _name(holder) if is_here or age_s <= stale_after_s else None


def _owner() -> dict[str, Any]:
    """Return this process as the holder of a lock; `machine` is None without a pid namespace."""
    namespace = Path("/proc/self/ns/pid")
    machine = f"{platform.node()}/{namespace.readlink()}" if namespace.exists() else None
    return {
        "host": platform.node(),
        "machine": machine,
        "pid": os.getpid(),
        "birth": _birth(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "token": uuid.uuid4().hex,
    }


def _claim(lock: Path, owner: dict[str, Any], stale_after_s: float, settle_s: float) -> bool:
    """Take the lock if it is free or stale; return False if another holds it."""
    try:
        _write(lock, owner)
        return True
    except FileExistsError:
        holder = _read(lock)
    age_s = _age_s(lock)
    if age_s is None or not (age_s > stale_after_s or _is_gone(holder, owner)):
        return age_s is None and _claim(lock, owner, stale_after_s, settle_s)
    logger.warning("%s: taken over from %s, %.0f s old", lock, _name(holder), age_s)
    replacement = lock.with_name(f"{lock.name}.{owner['token']}")
    _write(replacement, owner)
    os.replace(replacement, lock)
    time.sleep(settle_s)
    return _read(lock).get("token") == owner["token"]


def _write(lock: Path, owner: dict[str, Any]) -> None:
    """Write a new file whole or not at all: an empty one, of a full disk, would stop others."""
    with lock.open("x", encoding="utf-8") as handle:
        try:
            handle.write(json.dumps(owner))
            handle.flush()
        except OSError:
            lock.unlink(missing_ok=True)
            raise


def _read(lock: Path) -> dict[str, Any]:
    """Return the holder of the lock; empty if the file is gone or not yet written."""
    try:
        holder = json.loads(lock.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _age_s(lock: Path) -> float | None:
    """Return the seconds since the last touch by the file system's clock; None if it is gone."""
    with tempfile.TemporaryFile(dir=lock.parent) as now:
        now_s = os.fstat(now.fileno()).st_mtime
    try:
        return now_s - lock.stat().st_mtime
    except FileNotFoundError:
        return None


def _is_gone(holder: dict[str, Any], owner: dict[str, Any]) -> bool:
    """Return True if the holder was a process on this machine that has ended."""
    if holder.get("machine") is None or holder["machine"] != owner["machine"]:
        return False
    pid = int(holder["pid"])
    if is_gone(pid):
        return True
    born, seen = holder.get("birth"), _birth(pid)
    return None not in (born, seen) and born != seen


def is_gone(pid: int) -> bool:
    """Return True if no process of this machine has the number `pid`, or an ended one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    status = _status(pid)
    return status is not None and status[0] in "ZX"


def _birth(pid: int) -> str | None:
    """Return boot and moment of a process's start, so that numbers may be given out again.

    None where the system does not tell.
    """
    status = _status(pid)
    if status is None or not _BOOT.exists():
        return None
    return f"{_BOOT.read_text().strip()}/{status[19]}"


def _status(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third on; None where it cannot be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _beat(lock: Path, token: str, stop: threading.Event, heartbeat_s: float) -> None:
    """Touch the lock until `stop` is set; log an error and end if another job took it over."""
    while not stop.wait(heartbeat_s):
        # A file system that fails for a moment does not end the beat: the lock would expire.
        with suppress(OSError):
            if _read(lock).get("token") != token:
                logger.error("%s: another job took over this lock", lock)
                return
            os.utime(lock)


def _name(holder: dict[str, Any]) -> str:
    if not holder:
        return "an unknown job"
    job = f"SLURM job {holder['job']}" if holder.get("job") else f"process {holder.get('pid')}"
    return f"{job} on {holder.get('host')}"


def _lock_error(
    path: Path, lock: Path, holder: dict[str, Any], stale_after_s: float
) -> PipelineError:
    stop = f"scancel {holder['job']}" if holder.get("job") else f"kill {holder.get('pid', 'PID')}"
    minutes = f"{stale_after_s / 60:g} minutes"
    return PipelineError(
        path,
        "no other job that writes it",
        f"{_name(holder)}, alive in the last {minutes} ({lock})",
        f"wait for that job or stop it (`{stop}`), then run the same command; the lock of a dead"
        f" job expires after {minutes}",
        code="locked",
    )
