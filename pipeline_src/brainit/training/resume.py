"""Interrupted trainings: content, times and validity of checkpoints.

A training that continues from a checkpoint with as many processes ends with the bytes of one that
never stopped.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainit.core.checkpoints import Checkpoint, CheckpointFolder
from brainit.core.device import run_device
from brainit.core.interruption import SIGNALS, Interrupted, deferred_signals
from brainit.core.settings import Settings
from brainit.training.embedding_states import EmbeddingStates
from brainit.training.event_files import EventFiles
from brainit.training.optimizers import Plateau
from brainit.training.parallel import any_rank_stop_reason, is_first, require_same, wait_for_all

logger = logging.getLogger(__name__)

_MAX_HOURS = "run.max_hours"
_STOP_REASONS = (*(number.name for number in SIGNALS), _MAX_HOURS)

_OF_THE_JOB = (
    ("run", "checkpoint_minutes"),
    ("run", "max_hours"),
    ("run", "tensorboard"),
    ("run", "loader_threads"),
    ("joint", "processes"),
)
"""Settings (section, key) of how a training is cut into jobs and processes, and watched."""

_LARGEST_SHARE = 0.05
"""Largest share of the time that checkpoints at intervals may take."""


class EpochPosition:
    """The generator of an epoch's draws, and the batch at which the epoch continues.

    An epoch first draws its order from the generator, then each batch draws from it. An interrupted
    epoch draws its order again; then `enter` restores the states of all generators. Batches may be
    drawn ahead of the training: `reached` is the generator's state after the draws of the newest
    batch that the training has taken, None before the first.

    Parameters
    ----------
    generator
        Generator of the epoch, at its start.
    n_done
        Batches that an earlier job has done.
    states
        What `states` returned after them; torch's global generators (dropout) are part of it.
    """

    def __init__(
        self,
        generator: torch.Generator,
        n_done: int = 0,
        states: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.generator, self.n_done, self._left = generator, n_done, dict(states or {})
        self.reached: Tensor | None = None

    def enter(self) -> int:
        """Return the first batch to do (from 0); call it after drawing the epoch's order."""
        if "epoch" in self._left:
            self.generator.set_state(self._left["epoch"])
        if "cpu" in self._left:
            torch.set_rng_state(self._left["cpu"])
        if "cuda" in self._left:
            torch.cuda.set_rng_state(self._left["cuda"])
        return self.n_done

    def states(self) -> dict[str, Tensor]:
        """Return the states of all generators, as the batches that are done left them."""
        reached = self.generator.get_state() if self.reached is None else self.reached
        states = {"epoch": reached, "cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            states["cuda"] = torch.cuda.get_rng_state()
        return states


@dataclass
class LoopState:
    """Everything that changes while `training.loop.fit` runs.

    `epoch` counts from 0; `losses` are those of the epoch's batches so far, on the device. In a
    checkpoint tensors are named `<kind>/<name>`; numbers travel as JSON, which keeps every float.
    """

    parameters: Sequence[nn.Parameter]
    optimizer: torch.optim.Optimizer
    plateau: Plateau
    states: EmbeddingStates | None = None
    rows: list[list[float]] = field(default_factory=list)
    lowest_cost: float = float("inf")
    best_state: list[Tensor] | None = None
    step: int = 0
    epoch: int = 0
    losses: list[Tensor] = field(default_factory=list)
    is_finished: bool = False

    def settle(self) -> None:
        """Bring embeddings whose moments are on the host to the newest step."""
        if self.states is not None:
            self.states.settle()

    def checkpoint(self, position: EpochPosition | None) -> Checkpoint:
        """Return the state; `position` None is the start of the epoch."""
        self.settle()
        gradients = {k: p.grad for k, p in enumerate(self.parameters) if p.grad is not None}
        tensors = {
            **_named("model", dict(enumerate(self.parameters))),
            **_named("gradient", gradients),
            **_named("best", dict(enumerate(self.best_state or []))),
            **_named("optimizer", _optimizer_tensors(self.optimizer)),
            **_named("embedding", self.states.tensors() if self.states else {}),
            **_named("generator", position.states() if position else {}),
            **({"losses": torch.stack(self.losses)} if self.losses else {}),
        }
        values = {name: getattr(self, name) for name in _LOOP_VALUES}
        values["plateau"] = asdict(self.plateau)
        values["rates"] = [float(group["lr"]) for group in self.optimizer.param_groups]
        return Checkpoint(tensors, values)

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Take over a checkpoint; return the generators' states, none at the start of an epoch."""
        tensors, values = checkpoint.tensors, checkpoint.values
        for number, value in _of_kind("model", tensors).items():
            self.parameters[int(number)].copy_(value)
        for number, value in _of_kind("gradient", tensors).items():
            self.parameters[int(number)].grad = value.to(self.parameters[int(number)].device)
        best = _of_kind("best", tensors)
        if best:
            self.best_state = [best[str(k)] for k in range(len(self.parameters))]
        if "losses" in tensors:
            self.losses = list(tensors["losses"].to(self.parameters[0].device).unbind())
        _restore_optimizer(self.optimizer, _of_kind("optimizer", tensors), values["rates"])
        self.plateau = Plateau(**values["plateau"])
        for name in _LOOP_VALUES:
            setattr(self, name, values[name])
        if self.states is not None:
            self.states.restore(_of_kind("embedding", tensors), self.step)
        return _of_kind("generator", tensors)


_LOOP_VALUES = ("rows", "lowest_cost", "step", "epoch", "is_finished")


def _named(kind: str, tensors: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    return {f"{kind}/{name}": tensor for name, tensor in tensors.items()}


def _of_kind(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors named `kind/...`, without the prefix."""
    prefix = f"{kind}/"
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's tensors as `<parameter>/<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{k}/{name}": t for k, part in state.items() for name, t in part.items()}


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rates: Sequence[float]
) -> None:
    """Restore an optimiser's tensors and rates; its other options are fixed when it is made."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


@dataclass(frozen=True)
class Work:
    """Where and how often a step writes checkpoints, and the digest of its code."""

    folder: Path = field(metadata={"flag": "work"})
    """folder of its checkpoints"""
    code: str = ""
    """digest of the code that makes the outputs"""
    minutes: float = field(default=10.0, metadata={"flag": "checkpoint-minutes"})
    """minutes between two checkpoints"""
    max_hours: float = 0.0
    """longest job in hours; 0: no limit"""
    tensorboard: int = 0
    """1: write TensorBoard's event files beside the history"""
    loader_threads: int = -1
    """threads that prepare batches ahead; -1: 4 for a GPU, none for a CPU"""


class Checkpointer:
    """Decides when one training writes a checkpoint or stops; without a folder it does neither.

    `minutes` pass between two checkpoints, more where writing one takes long; with `steps` it also
    writes after that many optimiser steps. `max_hours` after its creation it ends the job (0:
    never). Of several processes the first writes; what stops one stops all. `events` gets each
    epoch of the history.
    """

    def __init__(
        self,
        folder: CheckpointFolder | None = None,
        minutes: float = 10.0,
        steps: int | None = None,
        max_hours: float = 0.0,
        events: EventFiles | None = None,
    ) -> None:
        self._folder, self._steps, self._events = folder, steps, events
        self._interval_s = self._wait_s = 60 * minutes
        self._last, self._n_steps = time.monotonic(), 0
        self._end = self._last + 3600 * max_hours if max_hours else float("inf")
        self._signal: Callable[[], str | None] = lambda: None
        self._stop_reason: str | None = None

    @contextmanager
    def watching(self) -> Iterator[Checkpoint | None]:
        """Defer signals within the block; yield the checkpoint to continue from, or None."""
        if self._folder is None:
            yield None
            return
        with deferred_signals() as self._signal:
            newest = self._folder.newest()
            require_same(self._folder.folder, json.dumps(newest.values if newest else None))
            self._last = time.monotonic()
            yield newest

    def record(self, columns: Sequence[str], row: Sequence[float]) -> None:
        """Record an epoch of the history for viewing; see `EventFiles.add`."""
        if self._events is not None and is_first():
            self._events.add(columns, row)

    def is_due(self, *, after_step: bool = False) -> bool:
        """Return True if to call `save` now; all processes of a training ask at the same points.

        True after a signal or `max_hours`, and on the process that writes where it is time.
        """
        if self._folder is None:
            return False
        self._n_steps += after_step
        own_reason = self._signal() or (_MAX_HOURS if time.monotonic() >= self._end else None)
        self._stop_reason = any_rank_stop_reason(own_reason, _STOP_REASONS)
        is_nth = after_step and self._steps is not None and self._n_steps % self._steps == 0
        is_late = time.monotonic() - self._last >= self._wait_s
        return self._stop_reason is not None or (is_first() and (is_nth or is_late))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint on the first process; raises `Interrupted` where the job must stop."""
        assert self._folder is not None
        if is_first():
            started = time.monotonic()
            self._folder.write(checkpoint)
            self._last = time.monotonic()
            elapsed_s = self._last - started
            self._wait_s = max(self._interval_s, elapsed_s / _LARGEST_SHARE)
            logger.info("checkpoint in %s, %.1f s", self._folder.folder, elapsed_s)
        if self._stop_reason:
            wait_for_all()
            raise Interrupted(
                self._stop_reason, "after a whole optimizer step, its checkpoint is written"
            )


@contextmanager
def resumable(
    work: Work | None, settings: Settings, inputs: Mapping[str, Any], history: Path
) -> Iterator[Checkpointer]:
    """Yield the checkpointer of a step; remove its checkpoints when the block ends without error.

    `inputs` names everything else that determines the result: files, folders and words. The block
    trains and writes the outputs. Without `work` no checkpoint is kept. Event files, where `work`
    asks for them, are beside `history`.
    """
    if work is None:
        yield Checkpointer()
        return
    folder = CheckpointFolder(work.folder, digest_of(settings, work.code, inputs))
    events = EventFiles(history.parent) if work.tensorboard else None
    try:
        yield Checkpointer(folder, work.minutes, max_hours=work.max_hours, events=events)
    finally:
        if events is not None:
            events.close()
    if is_first():
        folder.remove()


def digest_of(settings: Settings, code: str, inputs: Mapping[str, Any]) -> str:
    """Digest everything that determines a training, but not how it is cut into jobs.

    Nor by how many processes: with another number a training continues with the same draws and
    batches, and its numbers differ by the rounding of sums (`training.parallel`).
    """
    sections = settings.model_dump(mode="json")
    for section, key in _OF_THE_JOB:
        sections.get(section, {}).pop(key, None)
    content = {
        "settings": sections,
        "device": run_device(settings).type,
        "torch": torch.__version__,
        "code": code,
        "inputs": identity(inputs),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def identity(value: Any) -> Any:
    """Return the facts that distinguish two versions of an input, for JSON.

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
