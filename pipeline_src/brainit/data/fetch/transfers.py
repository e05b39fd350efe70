"""One remote file to one place on disk: resumed, retried, checked, never half there."""

import errno
import logging
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import BinaryIO

from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event

from brainit.core.errors import PipelineError
from brainit.data.fetch.headers import check_header
from brainit.data.fetch.part_files import PartFile, Tell
from brainit.data.fetch.pieces import fetch_pieces, is_worth_splitting
from brainit.data.fetch.remote import RangeError, RemoteStream, TransientError, open_remote

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Fetched:
    """What came: from where, how many bytes, which version, when (UTC, ISO 8601)."""

    url: str
    n_bytes: int
    etag: str | None
    fetched_at: str


def download_file(
    url: str,
    target: Path,
    n_bytes: int | None = None,
    tell: Tell | None = None,
    connections: int = 1,
    stop: Event | None = None,
) -> Fetched:
    """Stream `url` (https, http, s3) to `target`, continuing the part that an earlier run left.

    A part is continued only if the server still has the version that it is of. A large file is
    shared by the `connections`, where the server has versions and ranges. Refusals end at once;
    broken connections and 5xx are tried again, up to `_ATTEMPTS` times without progress. The size
    must be what the server states and, where given, `n_bytes`; the header must be of the kind that
    the name says.

    Raises `PipelineError` for refusals, transfers that keep failing, a wrong size or header, a full
    disk and a folder that cannot be written, and `Stopped` once `stop` is set. The part stays where
    the next run can continue it.
    """
    part = PartFile(url, target, tell or (lambda _: None), stop or Event())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        etag = _Transfer(part, connections).run()
        _check(part, target, n_bytes)
        os.replace(part.path, target)
        part.note.unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(target, error) from error
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Fetched(url, target.stat().st_size, etag, now)


def _disk_error(target: Path, error: OSError) -> PipelineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free some space, or move paths.store, and run the same command again: it continues"
        return PipelineError(target, "room on the disk", str(error), fix, code="machine")
    fix = "make the folder writable for you, or move paths.store"
    return PipelineError(target, "a file that can be written", str(error), fix, code="machine")


def _check(part: PartFile, target: Path, n_expected: int | None) -> None:
    """Check size and header of the whole part; a wrong one is of no use and is deleted."""
    try:
        if n_expected is not None and part.n_there != n_expected:
            raise PipelineError(
                part.url,
                f"{n_expected} bytes",
                f"{part.n_there}",
                "the source holds another file of this name; check paths.source",
                code="checksum",
            )
        check_header(part.path, target.name, part.url)
    except PipelineError:
        part.give_up()
        raise


class _Transfer:
    """The attempts to fill a part file."""

    def __init__(self, part: PartFile, n_connections: int) -> None:
        self.part, self.n_connections = part, n_connections
        self.n_idle = 0
        """Attempts in a row that brought nothing."""

    def run(self) -> str | None:
        """Fill the part file; return the version of what is in it."""
        logger.info("fetching %s", self.part.url)
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda _: self.n_idle >= _ATTEMPTS,
            wait=lambda _: min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**self.n_idle),
            before_sleep=self._say,
            sleep=sleep_using_event(self.part.stop),
            reraise=True,
        )
        self.part.find()
        try:
            return retrying(self._attempt)
        except TransientError as error:
            raise PipelineError(
                self.part.url,
                "a whole transfer",
                f"{error}, {self.n_idle} times without progress",
                "run the same command again later: it continues",
                code="network",
            ) from error

    def _attempt(self) -> str | None:
        self.part.go_on()
        n_before = self.part.n_there
        try:
            if not self.part.pieces:
                self._stream(n_before)
            if self.part.pieces:
                self._require_room()
                fetch_pieces(self.part, self.n_connections)
            return self.part.etag
        except RangeError:
            self.part.give_up()
            # Anew over one connection, which needs no range.
            self.n_connections, self.n_idle = 1, self.n_idle + 1
            raise
        except TransientError:
            self.n_idle = 0 if self.part.n_there > n_before else self.n_idle + 1
            raise

    def _stream(self, n_before: int) -> None:
        """Append what is not there, or find that the file is one for several connections."""
        part = self.part
        with open_remote(part.url, n_before, part.etag if n_before else None) as stream:
            if not n_before and self.n_connections > 1 and is_worth_splitting(stream):
                part.begin(stream.etag, stream.n_bytes, is_split=True)
            else:
                self._take(stream, n_before)

    def _take(self, stream: RemoteStream, n_before: int) -> None:
        part = self.part
        is_same = stream.offset == n_before and (part.etag is None or stream.etag == part.etag)
        if stream.offset and not is_same:
            part.give_up()
            raise TransientError(f"the file changed between two parts (ETag {stream.etag})")
        if not stream.offset and n_before:
            logger.info("%s: the server starts anew", part.url)
            part.give_up()
        part.begin(stream.etag, stream.n_bytes, is_split=False)
        self._require_room()
        with part.path.open("ab") as handle:
            self._write_blocks(stream, handle)
        if stream.n_bytes is not None and part.n_there != stream.n_bytes:
            raise TransientError(
                f"the connection broke after {part.n_there} of {stream.n_bytes} bytes"
            )

    def _write_blocks(self, stream: RemoteStream, handle: BinaryIO) -> None:
        for block in stream.blocks:
            handle.write(block)
            self.part.tell(len(block))
            self.part.go_on()
        handle.flush()
        os.fsync(handle.fileno())

    def _require_room(self) -> None:
        """Stop before the first byte where the rest cannot fit on the disk."""
        if self.part.n_bytes is None:
            return
        n_needed = self.part.n_bytes - self.part.n_there
        n_free = shutil.disk_usage(self.part.path.parent).free
        if n_needed > n_free:
            raise OSError(errno.ENOSPC, f"{n_needed} bytes needed, {n_free} free")

    def _say(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        logger.info("%s: %s; trying again in %.0f s", self.part.url, error, wait_s)
