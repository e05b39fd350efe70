"""Download one file: resumed, retried and checked; the target appears whole or not at all."""

import errno
import logging
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import BinaryIO
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep_using_event

from brainit.core.errors import PipelineError
from brainit.core.files import DENIED
from brainit.core.reading import machine_error, system_number
from brainit.data.fetch.part_files import (
    PartFile,
    ProgressCallback,
    fetch_pieces,
    is_worth_splitting,
)
from brainit.data.fetch.remote import (
    RangeError,
    RemoteStream,
    TransientError,
    UnknownHostError,
    open_remote,
    unsigned,
)

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_ATTEMPTS_TO_RESOLVE = 2
"""Of a host that never answered in this transfer: without a network, waiting does not help."""
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0

_MGH_VERSION_1 = b"\x00\x00\x00\x01"
_HEADERS: dict[str, tuple[tuple[bytes, ...], str]] = {
    ".mgh": ((_MGH_VERSION_1,), "an MGH file of version 1"),
    ".mgz": ((b"\x1f\x8b",), "a gzip-compressed MGH file"),
    ".gz": ((b"\x1f\x8b",), "a gzip-compressed file"),
    ".hdf5": ((b"\x89HDF\r\n\x1a\n",), "an HDF5 file"),
    ".h5": ((b"\x89HDF\r\n\x1a\n",), "an HDF5 file"),
    ".zip": ((b"PK\x03\x04", b"PK\x05\x06"), "a zip archive"),
    ".mat": ((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"), "a MATLAB file"),
    ".pial": ((b"\xff\xff\xfe",), "a FreeSurfer surface"),
}
"""First bytes and kind of a file, by suffix."""
_N_HEADER_BYTES = 32


@dataclass(frozen=True)
class Fetched:
    """Record of a download: address, bytes, version (ETag) and time (UTC, ISO 8601)."""

    url: str
    n_bytes: int
    etag: str | None
    fetched_at: str


def download_file(
    url: str,
    target: Path,
    n_bytes: int | None = None,
    on_bytes: ProgressCallback | None = None,
    connections: int = 1,
    stop: Event | None = None,
) -> Fetched:
    """Stream `url` (https, http, s3) to `target`, continuing the part of an earlier run.

    A part is continued only if the server still has its version. Up to `connections` share a large
    file, where the server supports versions and ranges. Refusals end at once; broken connections
    and 5xx are retried up to `_ATTEMPTS` times without progress, an unknown host once. The size
    must equal the server's and `n_bytes`, if given; the first bytes must fit the name's suffix.

    Raises `PipelineError` for refusals, repeated failures, a wrong size or kind, a full disk and an
    unwritable folder, and `Stopped` once `stop` is set. The next run continues the part.
    """
    if urlsplit(url).scheme == "http":
        logger.warning(
            "%s: fetched without encryption; only its size and kind, and a published checksum where"
            " there is one, tell whether it was changed on the way",
            unsigned(url),
        )
    part = PartFile(url, target, on_bytes or (lambda _: None), stop or Event())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        etag = _Transfer(part, connections).run()
        _check(part, target, n_bytes)
        os.replace(part.path, target)
        part.note.unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(target, error) from error
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Fetched(unsigned(url), target.stat().st_size, etag, now)


def check_header(path: Path, name: str, where: str) -> None:
    """Check that the first bytes of `path` fit the suffix of `name` and are not a web page.

    A sign-in page saved as a data file is caught here. Raises `PipelineError` that names `where`.
    """
    with path.open("rb") as handle:
        first = handle.read(_N_HEADER_BYTES)
    beginnings, kind = _HEADERS.get(Path(name).suffix, ((), "data"))
    is_page = first.lstrip().lower().startswith((b"<!doctype", b"<html"))
    if is_page or not first.startswith(beginnings or (b"",)):
        raise PipelineError(
            where,
            kind,
            f"a file that begins with {first[:12]!r}",
            "check paths.source, and that no proxy or sign-in page answers for the server",
            code="wrong-kind",
        )


def _disk_error(target: Path, error: OSError) -> PipelineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "free space or change paths.store, then run the same command again: it continues"
        return PipelineError(target, "free space on the disk", str(error), fix, code="machine")
    if (number := system_number(error)) not in DENIED:
        return machine_error(target, "a file that can be written", number or errno.EIO)
    fix = "make the folder writable for you, or change paths.store"
    return PipelineError(target, "a file that can be written", str(error), fix, code="machine")


def _check(part: PartFile, target: Path, n_expected: int | None) -> None:
    """Check size and first bytes of the complete part; discard a wrong one."""
    try:
        if n_expected is not None and part.n_received != n_expected:
            raise PipelineError(
                part.address,
                f"{n_expected} bytes",
                f"{part.n_received}",
                "check paths.source: it has another file of this name",
                code="checksum",
            )
        check_header(part.path, target.name, part.address)
    except PipelineError:
        part.discard()
        raise


class _Transfer:
    """The attempts to fill a part file."""

    def __init__(self, part: PartFile, n_connections: int) -> None:
        self.part, self.n_connections = part, n_connections
        self.n_idle = 0
        """Consecutive attempts without progress."""
        self.has_answered = False
        """True once the server has answered."""

    def run(self) -> str | None:
        """Fill the part file; return the ETag of its version."""
        logger.info("downloading %s", self.part.address)
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=self._is_hopeless,
            wait=lambda _: min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**self.n_idle),
            before_sleep=self._log_retry,
            sleep=sleep_using_event(self.part.stop),
            reraise=True,
        )
        self.part.load()
        try:
            return retrying(self._attempt)
        except UnknownHostError as error:
            raise PipelineError(
                self.part.address,
                "a server that can be reached",
                str(error),
                "connect this machine to the network and run the same command again, or fetch the"
                " file elsewhere and name its folder: paths.source for NSD, paths.coco_source for"
                " COCO, the environment variable BRAINIT_WEIGHTS for weights",
                code="network",
            ) from error
        except TransientError as error:
            raise PipelineError(
                self.part.address,
                "a complete transfer",
                f"{error}, {self.n_idle} times without progress",
                "run the same command again later: it continues",
                code="network",
            ) from error

    def _is_hopeless(self, state: RetryCallState) -> bool:
        """Return True if another attempt is of no use, by the error of the last one."""
        error = state.outcome.exception() if state.outcome else None
        is_unknown = isinstance(error, UnknownHostError) and not self.has_answered
        return self.n_idle >= (_ATTEMPTS_TO_RESOLVE if is_unknown else _ATTEMPTS)

    def _attempt(self) -> str | None:
        self.part.raise_if_stopped()
        n_before = self.part.n_received
        try:
            if not self.part.pieces:
                self._stream(n_before)
            if self.part.pieces:
                self._require_space()
                fetch_pieces(self.part, self.n_connections)
            return self.part.etag
        except RangeError:
            self.part.discard()
            # Start over with one connection, which needs no range.
            self.n_connections, self.n_idle = 1, self.n_idle + 1
            raise
        except TransientError:
            self.n_idle = 0 if self.part.n_received > n_before else self.n_idle + 1
            raise

    def _stream(self, n_before: int) -> None:
        """Append the missing bytes, or split a large new file into pieces."""
        part = self.part
        with open_remote(part.url, n_before, part.etag if n_before else None) as stream:
            self.has_answered = True
            if not n_before and self.n_connections > 1 and is_worth_splitting(stream):
                part.begin(stream.etag, stream.n_bytes, is_split=True)
            else:
                self._append(stream, n_before)

    def _append(self, stream: RemoteStream, n_before: int) -> None:
        part = self.part
        is_same = stream.offset == n_before and (part.etag is None or stream.etag == part.etag)
        if stream.offset and not is_same:
            part.discard()
            raise TransientError(f"the file changed between two requests (ETag {stream.etag})")
        if not stream.offset and n_before:
            logger.info("%s: the server restarts the file", part.address)
            part.discard()
        part.begin(stream.etag, stream.n_bytes, is_split=False)
        self._require_space()
        with part.path.open("ab") as handle:
            self._write_blocks(stream, handle)
        if stream.n_bytes is not None and part.n_received != stream.n_bytes:
            raise TransientError(
                f"the connection broke after {part.n_received} of {stream.n_bytes} bytes"
            )

    def _write_blocks(self, stream: RemoteStream, handle: BinaryIO) -> None:
        for block in stream.blocks:
            handle.write(block)
            self.part.on_bytes(len(block))
            self.part.raise_if_stopped()
        handle.flush()
        os.fsync(handle.fileno())

    def _require_space(self) -> None:
        """Raise before the first byte where the disk cannot hold the rest."""
        if self.part.n_bytes is None:
            return
        n_needed = self.part.n_bytes - self.part.n_received
        n_free = shutil.disk_usage(self.part.path.parent).free
        if n_needed > n_free:
            raise OSError(errno.ENOSPC, f"{n_needed} bytes needed, {n_free} free")

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        logger.info("%s: %s; retry in %.0f s", self.part.address, error, wait_s)
