"""Run several transfers at once; the first failure or an interruption ends all."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")

PATIENCE_S = 1.0
"""Wait for the other calls after a failure: a silent server must not delay the error."""


class Stopped(Exception):
    """A transfer ended because its `stop` event was set. Received bytes stay."""


def run_all(
    calls: Sequence[Callable[[], Item]],
    n_threads: int,
    stop: Event,
    patience_s: float | None = PATIENCE_S,
) -> list[Item]:
    """Return the results of the calls, in their order; `n_threads` run at a time.

    The first exception of a call, or one in the caller's thread, sets `stop`; the calls must watch
    it. The exception is raised once all calls have ended, or after `patience_s` (None: no limit).
    Calls that are still running then end with the program at the latest.
    """
    futures: list[Future[Item]] = [Future() for _ in calls]
    waiting = deque(zip(calls, futures, strict=True))
    errors: list[BaseException] = []
    threads = [
        Thread(target=_work, args=(waiting, stop, errors), daemon=True)
        for _ in range(min(n_threads, len(calls)))
    ]
    try:
        for thread in threads:
            thread.start()
        for future in as_completed(futures):
            if future.exception():
                raise errors[0]
    finally:
        stop.set()
        end_s = None if patience_s is None else time.monotonic() + patience_s
        for thread in threads:
            if thread.is_alive():
                thread.join(None if end_s is None else max(0.0, end_s - time.monotonic()))
    return [future.result() for future in futures]


def _work(
    waiting: deque[tuple[Callable[[], Item], Future[Item]]],
    stop: Event,
    errors: list[BaseException],
) -> None:
    """Run waiting calls until none is left or `stop` is set."""
    while waiting and not stop.is_set():
        try:
            call, future = waiting.popleft()
        except IndexError:
            return
        try:
            future.set_result(call())
        except BaseException as error:
            errors.append(error)
            stop.set()
            future.set_exception(error)
