"""Progress of long work: a bar on a terminal, a line every ten seconds in a log."""

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], label: str, total: int | None = None, unit: str = "it"
) -> Iterator[Item]:
    """Yield `items` and show count, rate and time left; `total` None means `len(items)`."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total, unit=unit, leave=False)
        return
    started = last = time.monotonic()
    n_done = 0
    for item in items:
        yield item
        n_done += 1
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            logger.info(_line(label, n_done, total, unit, now - started))
    logger.info(_line(label, n_done, total, unit, time.monotonic() - started))


def _line(label: str, n_done: int, total: int | None, unit: str, elapsed_s: float) -> str:
    rate = n_done / elapsed_s if elapsed_s > 0 else 0.0
    of_total = f"/{total}" if total is not None else ""
    left = f", {(total - n_done) / rate:.0f} s left" if total and rate and n_done < total else ""
    return f"{label}: {n_done}{of_total} {unit}, {rate:.2f} {unit}/s{left}"


class ByteProgress:
    """Progress of a download by several threads: a bar on a terminal, lines in a log.

    `n_total` is the expected number of bytes, None if unknown.
    """

    def __init__(self, label: str, n_total: int | None = None) -> None:
        self.label, self.n_total, self.n_done = label, n_total, 0
        self._lock = threading.Lock()
        self._started = self._last = time.monotonic()
        is_shown = sys.stderr.isatty()
        self._bar = tqdm(desc=label, total=n_total, unit="B", unit_scale=True, disable=not is_shown)
        self._is_logged = not is_shown

    def tell(self, n_bytes: int) -> None:
        """Count `n_bytes` more; a negative number takes back bytes that were lost."""
        with self._lock:
            self.n_done += n_bytes
            self._bar.update(n_bytes)
            now = time.monotonic()
            if self._is_logged and now - self._last >= _SECONDS_BETWEEN_LINES:
                self._last = now
                self._log(now)

    def close(self) -> None:
        """Close the bar, or log the last line."""
        self._bar.close()
        if self._is_logged:
            self._log(time.monotonic())

    def _log(self, now: float) -> None:
        total = None if self.n_total is None else round(self.n_total / 1e6)
        logger.info(_line(self.label, round(self.n_done / 1e6), total, "MB", now - self._started))
