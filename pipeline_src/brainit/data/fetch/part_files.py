"""A partly downloaded file: its bytes, a note of the remote version, and its pieces.

Several connections share a large file: each asks for one piece by its range. A file without pieces
grows from its first byte on.
"""

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.files import write_text
from brainit.data.fetch.remote import (
    RangeError,
    RemoteStream,
    TransientError,
    is_strong,
    open_remote,
    unsigned,
)
from brainit.data.fetch.threads import Stopped, run_all

PIECE_BYTES = 32 << 20
"""Bytes of one request where several connections share a file."""

ProgressCallback = Callable[[int], None]
"""Called with the bytes received since its last call; negative where received bytes are lost."""


class PartFile:
    """The bytes of one version of a remote file that are on the disk so far.

    Without `pieces` these are its first bytes; otherwise `pieces` counts the first bytes of each
    piece. The transfer ends when `stop` is set.
    """

    def __init__(
        self, url: str, target: Path, on_bytes: ProgressCallback, stop: threading.Event
    ) -> None:
        self.url, self.on_bytes, self.stop = url, on_bytes, stop
        self.address = unsigned(url)
        """The file's lasting address, for notes and messages."""
        self.path = target.with_name(f".{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self.etag: str | None = None
        self.n_bytes: int | None = None
        self.pieces: list[int] = []
        """Received bytes of each piece."""
        self._lock = threading.Lock()

    @property
    def n_received(self) -> int:
        """Bytes on the disk."""
        if self.pieces:
            return sum(self.pieces)
        return self.path.stat().st_size if self.path.is_file() else 0

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` once `stop` is set."""
        if self.stop.is_set():
            raise Stopped(self.address)

    def piece_length(self, number: int) -> int:
        """Return the number of bytes of a complete piece."""
        assert self.n_bytes is not None
        return min(PIECE_BYTES, self.n_bytes - number * PIECE_BYTES)

    def load(self) -> None:
        """Continue the part of an earlier run; delete a part without a matching note."""
        try:
            noted = json.loads(self.note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            noted = {}  # another error, as of a lost mount, must not cost the part
        is_known = (
            isinstance(noted, dict) and noted.get("url") == self.address and self.path.is_file()
        )
        if not is_known or noted.get("piece_bytes", PIECE_BYTES) != PIECE_BYTES:
            self._remove()
            return
        self.etag, self.n_bytes = noted["etag"], noted.get("n_bytes")
        self.pieces = noted.get("pieces", [])
        self.on_bytes(self.n_received)

    def begin(self, etag: str | None, n_bytes: int | None, is_split: bool) -> None:
        """Note the remote version; with `is_split` start with empty pieces."""
        self.etag, self.n_bytes = etag, n_bytes
        if is_split and n_bytes is not None:
            self.pieces = [0] * -(-n_bytes // PIECE_BYTES)
        self.path.touch()
        self.save()

    def save(self) -> None:
        """Flush the bytes to the disk, then write the note."""
        with self._lock:
            noted = {
                "url": self.address,
                "etag": self.etag,
                "n_bytes": self.n_bytes,
                "piece_bytes": PIECE_BYTES,
                "pieces": list(self.pieces),
            }
            with self.path.open("rb") as handle:
                os.fsync(handle.fileno())
            write_text(self.note, json.dumps(noted))

    def discard(self) -> None:
        """Delete the received bytes and report them as lost."""
        self.on_bytes(-self.n_received)
        self._remove()

    def _remove(self) -> None:
        self.etag, self.n_bytes, self.pieces = None, None, []
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def is_worth_splitting(stream: RemoteStream) -> bool:
    """Return True if a file is large and has a strong ETag, which identifies its version."""
    n_bytes = stream.n_bytes or 0
    return n_bytes >= 2 * PIECE_BYTES and is_strong(stream.etag)


def fetch_pieces(part: PartFile, n_connections: int) -> None:
    """Fetch the missing bytes of all pieces over `n_connections`; the first failure ends all.

    Raises the errors of `open_remote`, `RangeError` where the server ignores ranges or the file
    changed, and `Stopped` once `part.stop` is set. Received bytes stay and are noted.
    """
    is_over = threading.Event()
    missing = [k for k, n_received in enumerate(part.pieces) if n_received < part.piece_length(k)]
    calls = [partial(_fetch_unless_over, part, number, is_over) for number in missing]
    try:
        run_all(calls, n_connections, is_over, patience_s=None)
    finally:
        # On a full disk the note cannot be written: the next run repeats the pieces in flight.
        with suppress(PipelineError, OSError):
            part.save()


def _fetch_unless_over(part: PartFile, number: int, is_over: threading.Event) -> None:
    if is_over.is_set():
        return
    try:
        _fetch_piece(part, number, is_over)
    except BaseException:
        is_over.set()
        raise


def _fetch_piece(part: PartFile, number: int, is_over: threading.Event) -> None:
    first, length = number * PIECE_BYTES, part.piece_length(number)
    start = first + part.pieces[number]
    with open_remote(part.url, start, part.etag, first + length - 1) as stream:
        if (stream.etag, stream.n_bytes) != (part.etag, part.n_bytes):
            raise RangeError(f"the file changed between two requests (ETag {stream.etag})")
        if stream.offset != start:
            raise RangeError("the server ignores ranges")
        with part.path.open("r+b") as handle:
            handle.seek(start)
            for block in stream.blocks:
                wanted = block[: length - part.pieces[number]]
                handle.write(wanted)
                handle.flush()  # another thread may write the note now: count only written bytes
                part.pieces[number] += len(wanted)
                part.on_bytes(len(wanted))
                part.raise_if_stopped()
                if is_over.is_set() or part.pieces[number] == length:
                    break
    if part.pieces[number] == length:
        part.save()
    elif not is_over.is_set():
        raise TransientError(f"the connection broke in piece {number} of {len(part.pieces)}")
