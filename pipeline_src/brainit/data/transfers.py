"""One remote file to one place on disk: resumed, retried, checked, never half there."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from brainit.core.errors import PipelineError
from brainit.core.files import write_text
from brainit.data.headers import check_header
from brainit.data.remote import RangeError, RemoteStream, TransientError, open_remote

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0

Tell = Callable[[int], None]
"""Is told how many bytes have come since it was last called; negative where they were given up."""


@dataclass(frozen=True)
class Fetched:
    """What came: from where, how many bytes, which version, when (UTC, ISO 8601)."""

    url: str
    n_bytes: int
    etag: str | None
    fetched_at: str


def download_file(
    url: str, target: Path, n_bytes: int | None = None, tell: Tell | None = None
) -> Fetched:
    """Stream `url` (https, http, s3) to `target`, continuing the part that an earlier run left.

    A part is continued only if the server still has the version that it is of. Refusals end at
    once; broken connections and 5xx are tried again, up to `_ATTEMPTS` times without progress. The
    size must be what the server states and, where given, `n_bytes`; the header must be of the kind
    that the name says.

    Raises `PipelineError` for refusals, transfers that keep failing, a wrong size or header, a full
    disk and a folder that cannot be written. The part stays where the next run can continue it.
    """
    transfer = _Transfer(url, target, n_bytes, tell or (lambda _: None))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        etag = transfer.run()
        transfer.check()
        os.replace(transfer.part, target)
        transfer.note.unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(target, error) from error
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Fetched(url, target.stat().st_size, etag, now)


def _disk_error(target: Path, error: OSError) -> PipelineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free some space, or move paths.store, and run the same command again: it continues"
        return PipelineError(target, "room on the disk", str(error), fix)
    fix = "make the folder writable for you, or move paths.store"
    return PipelineError(target, "a file that can be written", str(error), fix)


class _Transfer:
    """A part file, and beside it a note of the version that it is of."""

    def __init__(self, url: str, target: Path, n_expected: int | None, tell: Tell) -> None:
        self.url, self.target, self.n_expected, self.tell = url, target, n_expected, tell
        self.part = target.with_name(f".{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self.n_idle = 0
        """Attempts in a row that brought nothing."""

    def run(self) -> str | None:
        """Fill the part file; return the version of what is in it."""
        logger.info("fetching %s", self.url)
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda _: self.n_idle >= _ATTEMPTS,
            wait=lambda _: min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**self.n_idle),
            before_sleep=self._say,
            reraise=True,
        )
        self.tell(self._n_there())
        try:
            return retrying(self._attempt)
        except TransientError as error:
            raise PipelineError(
                self.url,
                "a whole transfer",
                f"{error}, {self.n_idle} times without progress",
                "run the same command again later: it continues",
            ) from error

    def check(self) -> None:
        """Check size and header of the whole part; a wrong one is of no use and is deleted."""
        n_there = self._n_there()
        try:
            if self.n_expected is not None and n_there != self.n_expected:
                raise PipelineError(
                    self.url,
                    f"{self.n_expected} bytes",
                    f"{n_there}",
                    "the source holds another file of this name; check paths.source",
                )
            check_header(self.part, self.target.name, self.url)
        except PipelineError:
            self._give_up_part()
            raise

    def _attempt(self) -> str | None:
        etag = self._noted_version() if self._n_there() else None
        n_before = self._n_there()
        try:
            with open_remote(self.url, n_before, etag) as stream:
                self._take(stream, n_before, etag)
                return stream.etag
        except RangeError:
            self._give_up_part()
            self.n_idle += 1
            raise
        except TransientError:
            self.n_idle = 0 if self._n_there() > n_before else self.n_idle + 1
            raise

    def _take(self, stream: RemoteStream, n_before: int, etag: str | None) -> None:
        is_same = stream.offset == n_before and (etag is None or stream.etag == etag)
        if stream.offset and not is_same:
            self._give_up_part()
            raise TransientError(f"the file changed between two parts (ETag {stream.etag})")
        if not stream.offset and n_before:
            logger.info("%s: the server starts anew", self.url)
            self._give_up_part()
        self._require_room(stream)
        write_text(self.note, json.dumps({"url": self.url, "etag": stream.etag}))
        with self.part.open("ab") as handle:
            self._write_blocks(stream, handle)
        n_there = self._n_there()
        if stream.n_bytes is not None and n_there != stream.n_bytes:
            raise TransientError(f"the connection broke after {n_there} of {stream.n_bytes} bytes")

    def _write_blocks(self, stream: RemoteStream, handle: BinaryIO) -> None:
        for block in stream.blocks:
            handle.write(block)
            self.tell(len(block))
        handle.flush()
        os.fsync(handle.fileno())

    def _require_room(self, stream: RemoteStream) -> None:
        """Stop before the first byte where the rest cannot fit on the disk."""
        if stream.n_bytes is None:
            return
        n_needed = stream.n_bytes - stream.offset
        n_free = shutil.disk_usage(self.part.parent).free
        if n_needed > n_free:
            raise OSError(errno.ENOSPC, f"{n_needed} bytes needed, {n_free} free")

    def _n_there(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _noted_version(self) -> str | None:
        """Return the version that the part is of; a part of unknown origin is given up."""
        try:
            noted = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            noted = {}
        if noted.get("url") != self.url:
            self._give_up_part()
            return None
        return noted["etag"]

    def _give_up_part(self) -> None:
        self.tell(-self._n_there())
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _say(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        logger.info("%s: %s; trying again in %.0f s", self.url, error, wait_s)
