"""Batches prepared ahead of a training by background threads.

The batches of an epoch are drawn one after the other, so any number of threads draws the same ones;
what is drawn (images, tokens, responses) is then read by several threads at once, into buffers that
are used again. NumPy and torch release Python's lock while they copy.

Torch's `DataLoader` does not serve: its processes copy a batch through shared memory into new
memory (175 ms of a CPU for 109 MB of tokens, against 11 ms here, where page faults are paid once),
and a signal to the whole job, as SLURM sends it, ends them before the training has written its
checkpoint.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition
from typing import Generic, TypeVar

import torch
from torch import Tensor

from brainit.training.resume import EpochPosition, Work

Drawn = TypeVar("Drawn")
Batch = TypeVar("Batch")

_CPU = torch.device("cpu")
_THREADS_OF_A_GPU = 4


class Slot:
    """Buffers of one batch, used again for a later one; pinned where a GPU reads them.

    A batch is valid until the next one is taken, as its buffers are then free. Without a slot that
    `load` keeps, make a new one: nothing else then writes to its buffers.
    """

    def __init__(self, device: torch.device = _CPU) -> None:
        self._is_pinned = device.type == "cuda"
        self._buffers: dict[str, Tensor] = {}
        self._copied: torch.cuda.Event | None = None

    def empty(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return the buffer `name` of this shape, with any content."""
        buffer = self._buffers.get(name)
        has_room = (
            buffer is not None
            and len(buffer) >= shape[0]
            and buffer.shape[1:] == shape[1:]
            and buffer.dtype == dtype
        )
        if buffer is None or not has_room:
            buffer = torch.empty(shape, dtype=dtype, pin_memory=self._is_pinned)
            self._buffers[name] = buffer
        return buffer[: shape[0]]

    def hold(self, name: str, values: Tensor) -> Tensor:
        """Return these values where a GPU can read them while the training goes on."""
        if not self._is_pinned:
            return values
        return self.empty(name, tuple(values.shape), values.dtype).copy_(values)

    def release(self) -> None:
        """Declare the batch as used: all its copies to the GPU have been asked for."""
        if self._is_pinned:
            self._copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._copied.record()

    def wait(self) -> "Slot":
        """Return once the GPU has read the buffers."""
        if self._copied is not None:
            self._copied.synchronize()
        return self


@dataclass(frozen=True)
class Loading:
    """How many threads prepare batches for a device; 0: the training itself, between its steps."""

    n_threads: int = 0
    device: torch.device = _CPU


UNTHREADED = Loading()


def loading_of(work: Work | None, device: torch.device) -> Loading:
    """Return the loading that a job's `work` asks for, by default some threads for a GPU alone.

    On a CPU the training has nothing to wait for: threads would take its time.
    """
    n_threads = -1 if work is None else work.loader_threads
    if n_threads < 0:
        n_threads = _THREADS_OF_A_GPU if device.type == "cuda" else 0
    return Loading(n_threads, device)


def load(
    draws: Iterator[Drawn],
    read: Callable[[Drawn, Slot], Batch],
    loading: Loading,
    position: EpochPosition | None = None,
) -> Iterator[Batch]:
    """Yield what `read` makes of each of `draws`, in order; each is valid until the next.

    `draws` draws random numbers and nothing else; `read` draws none. `position` is told the state
    of its generator as it was after each batch's draws, when the batch is yielded.
    """
    if loading.n_threads == 0:
        slot = Slot(loading.device)
        for drawn in draws:
            if position is not None:
                position.reached = position.generator.get_state()
            yield read(drawn, slot.wait())
            slot.release()
        return
    ahead = _Ahead(draws, read, loading, position)
    try:
        yield from ahead.batches()
    finally:
        ahead.close()


@dataclass(frozen=True)
class _Prepared(Generic[Batch]):
    batch: Batch
    slot: Slot
    state: Tensor | None


class _Ahead(Generic[Drawn, Batch]):
    """The threads of `load`; as many batches as threads are prepared while one is used."""

    def __init__(
        self,
        draws: Iterator[Drawn],
        read: Callable[[Drawn, Slot], Batch],
        loading: Loading,
        position: EpochPosition | None,
    ) -> None:
        self._draws, self._read, self._position = draws, read, position
        self._turn, self._n_drawn, self._n_asked = Condition(), 0, 0
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._n_slots = loading.n_threads + 1
        for _ in range(self._n_slots):
            self._free.put(Slot(loading.device))
        self._pool = ThreadPoolExecutor(
            loading.n_threads, "loader", initializer=_use_device, initargs=(_current(loading),)
        )

    def batches(self) -> Iterator[Batch]:
        """Yield the batches in order."""
        asked: deque[Future[_Prepared[Batch] | None]] = deque()
        asked.extend(self._ask() for _ in range(self._n_slots))
        while (prepared := asked.popleft().result()) is not None:
            if self._position is not None:
                assert prepared.state is not None
                self._position.reached = prepared.state
            yield prepared.batch
            prepared.slot.release()
            self._free.put(prepared.slot)
            asked.append(self._ask())

    def close(self) -> None:
        """End the threads; what they have under way is waited for."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self) -> "Future[_Prepared[Batch] | None]":
        self._n_asked += 1
        return self._pool.submit(self._prepare, self._n_asked - 1)

    def _prepare(self, number: int) -> _Prepared[Batch] | None:
        """Return a batch, or None after the last one.

        The pool starts its tasks in order, so each waits only for one that has started.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._n_drawn == number)
            try:
                drawn = next(self._draws)
                state = self._position.generator.get_state() if self._position else None
            except StopIteration:
                return None
            finally:
                self._n_drawn += 1
                self._turn.notify_all()
        slot = self._free.get().wait()
        return _Prepared(self._read(drawn, slot), slot, state)


def _current(loading: Loading) -> int | None:
    """Return the number of the GPU that this process uses, for its threads."""
    return torch.cuda.current_device() if loading.device.type == "cuda" else None


def _use_device(number: int | None) -> None:
    if number is not None:
        torch.cuda.set_device(number)
