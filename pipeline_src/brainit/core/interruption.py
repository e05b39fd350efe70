"""Handle the signals by which a cluster ends a job: SIGTERM and SIGUSR1.

SIGTERM comes with a cancellation, a preemption or the time limit, SIGUSR1 with `sbatch --signal`.
Outside a training loop they end the step at once and run every clean-up. Inside one they are only
recorded: the loop finishes its optimizer step, writes a checkpoint and ends.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

EXIT_INTERRUPTED = 75
"""Exit status of an interrupted step: a temporary failure, try again (EX_TEMPFAIL, sysexits.h)."""


class Interrupted(BaseException):
    """A signal or time limit stopped the step.

    Like `KeyboardInterrupt` it is no `Exception`, so `except Exception` does not catch it.
    """

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
    """Record signals within the block; yield a function that returns the first one's name or None.

    Outside the main thread, where Python delivers no signals, handlers stay as they are.
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
