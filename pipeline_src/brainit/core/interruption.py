"""Signals by which a cluster ends a job: SIGTERM (cancel, preemption, time limit) and SIGUSR1.

Outside a training loop they end the step at once, through every clean-up. Inside one they are only
noted: the loop finishes its optimizer step, writes a checkpoint and ends.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

EXIT_INTERRUPTED = 75
"""Exit status of an interrupted step: a temporary failure, to be tried again (sysexits.h)."""


class Interrupted(BaseException):
    """The step was told to stop. Like `KeyboardInterrupt`, it is no error that code may catch."""

    def __init__(self, cause: str, when: str) -> None:
        super().__init__(f"interrupted by {cause} {when}, the same command continues")


def stop_on_signals() -> None:
    """Make the signals raise `Interrupted` in the main thread from now on."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name, "outside a training loop")

    for number in SIGNALS:
        signal.signal(number, stop)


@contextmanager
def deferred_signals() -> Iterator[Callable[[], str | None]]:
    """Note the signals within the block; yield a function that names the first, or returns None.

    Outside the main thread, where Python delivers no signals, nothing is changed.
    """
    seen: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(signal.Signals(number).name)

    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, note) for number in SIGNALS} if is_main else {}
    try:
        yield lambda: seen[0] if seen else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
