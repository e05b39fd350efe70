"""The log lines of a training; the digest of the code leaves this module out."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

logger = logging.getLogger("brainit.training.loop")

_SECONDS_BETWEEN_LINES = 15.0


def logged_batches(
    batches: Iterable[Any], n_done: int, n_batches: int, label: str
) -> Iterator[Any]:
    """Yield an epoch's batches and log the progress now and then."""
    started = last = time.monotonic()
    for number, batch in enumerate(batches, start=n_done + 1):
        yield batch
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_LINES:
            last = now
            left_s = (n_batches - number) * (now - started) / (number - n_done)
            logger.info("%s: batch %d/%d, %.0f s left", label, number, n_batches, left_s)


def log_epoch(
    label: str, row: Sequence[float], score_columns: Sequence[str], elapsed_s: float
) -> None:
    """Log an epoch's row of the history; `label` names the training."""
    epoch, train_loss, *scores, rate = row
    shown = ", ".join(
        f"{name} {score:.5f}" for name, score in zip(score_columns, scores, strict=True)
    )
    logger.info(
        "%s: epoch %d, train_loss %.5f, %s, lr %.2e, %.1f s",
        label,
        epoch,
        train_loss,
        shown,
        rate,
        elapsed_s,
    )
