"""Training that survives interruptions: when a checkpoint is written, and what makes it valid."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brainit.core.checkpoints import Checkpoint, CheckpointFolder
from brainit.core.device import run_device
from brainit.core.interruption import SIGNALS, Interrupted, deferred_signals
from brainit.core.settings import Settings
from brainit.training.parallel import heard_by_any, is_first, require_same, wait_for_all

logger = logging.getLogger(__name__)

_MAX_HOURS = "run.max_hours"
_CAUSES = (*(number.name for number in SIGNALS), _MAX_HOURS)

_LARGEST_SHARE = 0.05
"""Largest share of the time that checkpoints at intervals may take."""


@dataclass(frozen=True)
class Work:
    """Work folder of a training step, the digest of its code, and how often it is written to.

    A job ends after `max_hours`, 0 for no bound.
    """

    folder: Path
    code: str
    minutes: float = 10.0
    max_hours: float = 0.0


class Checkpointer:
    """Writes checkpoints of one training; without a folder it does nothing.

    `minutes` pass between two, more where writing one takes long; `steps` writes after that many
    optimizer steps too. `max_hours` after it was made it writes one and ends the job; 0: never. Of
    several processes the first writes, and what stops one stops all.
    """

    def __init__(
        self,
        folder: CheckpointFolder | None = None,
        minutes: float = 10.0,
        steps: int | None = None,
        max_hours: float = 0.0,
    ) -> None:
        self._folder, self._steps = folder, steps
        self._interval_s = self._wait_s = 60 * minutes
        self._last, self._n_steps = time.monotonic(), 0
        self._end = self._last + 3600 * max_hours if max_hours else float("inf")
        self._signal: Callable[[], str | None] = lambda: None

    @contextmanager
    def watching(self) -> Iterator[Checkpoint | None]:
        """Defer signals within the block; yield the checkpoint to continue from, or None."""
        if self._folder is None:
            yield None
            return
        with deferred_signals() as self._signal:
            found = self._folder.newest()
            require_same(self._folder.folder, json.dumps(found.values if found else None))
            self._last = time.monotonic()
            yield found

    def after_step(self, content: Callable[[], Checkpoint]) -> None:
        """Write `content()` where it is time; raises `Interrupted` when told to stop."""
        self._n_steps += 1
        is_due = self._steps is not None and self._n_steps % self._steps == 0
        self._write_if_due(content, is_due)

    def after_epoch(self, content: Callable[[], Checkpoint]) -> None:
        """Write `content()` where it is time, as after a step: validation may have been long."""
        self._write_if_due(content, False)

    def _write_if_due(self, content: Callable[[], Checkpoint], is_due: bool) -> None:
        if self._folder is None:
            return
        name = self._signal() or (_MAX_HOURS if time.monotonic() >= self._end else None)
        name = heard_by_any(name, _CAUSES)
        is_due = is_due or time.monotonic() - self._last >= self._wait_s
        if is_first() and (name or is_due):
            started = time.monotonic()
            self._folder.write(content())
            self._last = time.monotonic()
            elapsed_s = self._last - started
            self._wait_s = max(self._interval_s, elapsed_s / _LARGEST_SHARE)
            logger.info("checkpoint in %s, %.1f s", self._folder.folder, elapsed_s)
        if name:
            wait_for_all()
            raise Interrupted(name, "after a whole optimizer step, its checkpoint is written")


@contextmanager
def resumable(
    work: Work | None, settings: Settings, inputs: Mapping[str, Any]
) -> Iterator[Checkpointer]:
    """Yield the checkpointer of a step; its checkpoints are removed when the block ends well.

    `inputs` names all else that determines the result: files, folders and words. The block trains
    and writes the outputs. Without `work` nothing is kept.
    """
    if work is None:
        yield Checkpointer()
        return
    folder = CheckpointFolder(work.folder, digest_of(settings, work.code, inputs))
    yield Checkpointer(folder, work.minutes, max_hours=work.max_hours)
    if is_first():
        folder.remove()


def digest_of(settings: Settings, code: str, inputs: Mapping[str, Any]) -> str:
    """Digest all that determines a training; how it is cut into jobs does not."""
    sections = settings.model_dump(mode="json")
    for key in ("checkpoint_minutes", "max_hours"):
        sections["run"].pop(key, None)
    content = {
        "settings": sections,
        "device": run_device(settings).type,
        "torch": torch.__version__,
        "code": code,
        "inputs": identity(inputs),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def identity(value: Any) -> Any:
    """Return what tells one version of an input from another, for JSON.

    Files: size and time of change; folders: those of each file in them, hidden ones excepted;
    mappings: of each entry; words and numbers: themselves.
    """
    if isinstance(value, Mapping):
        return {name: identity(entry) for name, entry in value.items()}
    if not isinstance(value, Path):
        return value
    if value.is_dir():
        inside = sorted(path for path in value.rglob("[!.]*") if path.is_file())
        return {path.relative_to(value).as_posix(): identity(path) for path in inside}
    if not value.exists():
        return "no file"
    status = value.stat()
    return [status.st_size, status.st_mtime_ns]
