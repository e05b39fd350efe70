"""One run of Snakemake at a time writes a results folder; a killed one needs no repair by hand.

Snakemake locks the files of its run by lists in `.snakemake/locks`, which do not name a process:
after a kill or a power loss it refuses every run until `--unlock`. So each run also leaves a lock
with a heartbeat (`core.locks`): beside those lists before Snakemake writes its own, and in the
results folder, which runs of other working directories may share.
"""

import atexit
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.locks import holder_of, is_gone, locked

_RUNS = "brainit_runs"
_LOCKS = "locks"
_OWN = ".run.lock"
"""The lock of a results folder."""
_PARTIAL = re.compile(r"\..+\.(\d+)\.part(\.\w+)?")
"""A file or folder that `core.files.atomic_path` has not renamed yet, by its writer's number."""

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_HELD = ExitStack()
"""The locks of this process; they end with it."""
atexit.register(_HELD.close)


def join_runs(snakemake: Path = Path(".snakemake")) -> list[str]:
    """Note this process among the runs of a working directory; return the names of the others.

    Where there are none but killed ones, their locks are removed. Call it before Snakemake writes
    its own. Does nothing in a folder that cannot be written to, where Snakemake runs no job either.
    """
    runs = snakemake / _RUNS
    others = list(runs.glob(".*.lock"))
    try:
        _HELD.enter_context(locked(runs / uuid.uuid4().hex))
    except OSError as error:
        if error.errno in _DENIED:
            return []
        raise _machine_error(runs, error) from error
    names = [holder_of(lock) for lock in others]
    if others and not any(names):
        shutil.rmtree(snakemake / _LOCKS, ignore_errors=True)
        for lock in others:
            lock.unlink(missing_ok=True)
    return [name for name in names if name]


def hold_results(results: Path) -> None:
    """Lock a results folder until this process ends.

    Raises `PipelineError` that names the run that has locked it.
    """
    try:
        _HELD.enter_context(locked(results / "run"))
    except OSError as error:
        raise _machine_error(results, error) from error


def clear_killed(results: Path, store: Path) -> None:
    """Remove what a killed run left in a results folder, its lock too.

    Where all is made, the next run has no job, so that it neither holds the folder nor sweeps it.
    Does nothing where no run was killed, and in a folder that cannot be written to.
    """
    lock = results / _OWN
    with suppress(OSError, PipelineError):
        if lock.exists() and holder_of(lock) is None:
            with locked(results / "run"):
                sweep(results, store)


def sweep(results: Path, store: Path) -> None:
    """Remove what killed jobs left in a results folder that this process holds, after its last job.

    These are partial files and folders, and locks. Those of a job that may still run, and the
    store, where the next job goes on with them, stay.
    """
    for folder, names in _hidden(results, store):
        locks = [folder / name for name in names if name.endswith(".lock")]
        held = [lock for lock in locks if holder_of(lock)]
        for lock in set(locks) - set(held):
            lock.unlink(missing_ok=True)
        for name in [] if held else names:
            found = _PARTIAL.fullmatch(name)
            if found and is_gone(int(found[1])):
                _remove(folder / name)


def _hidden(results: Path, store: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder of the results with the hidden names in it.

    The store is left out, as are results of other runs within these, and all hidden folders.
    """
    for folder, folders, files in os.walk(results):
        names = {name for name in (*folders, *files) if name.startswith(".")}
        if Path(folder) == results:
            names.discard(_OWN)
        if _OWN in names:
            folders.clear()
            continue
        if names:
            yield Path(folder), sorted(names)
        inner = [name for name in folders if name not in names]
        folders[:] = [name for name in inner if Path(folder, name).resolve() != store.resolve()]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _machine_error(path: Path, error: OSError) -> PipelineError:
    fix = "free space on its disk, or make it writable, and run the same command again"
    return PipelineError(path, "a folder that can be written", str(error), fix, code="machine")
