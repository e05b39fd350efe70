"""A remote file that is not whole yet, and beside it a note of the version that it is of."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

from brainit.core.files import write_text
from brainit.data.fetch.threads import Stopped

PIECE_BYTES = 32 << 20
"""Bytes that one connection asks for at a time where several share a file."""

Tell = Callable[[int], None]
"""Is told how many bytes have come since it was last called; negative where they were given up."""


class PartFile:
    """The bytes that are there of one version of a file.

    They are its first ones, or so many of each piece where `pieces` has entries. Its transfer ends
    when `stop` is set.
    """

    def __init__(self, url: str, target: Path, tell: Tell, stop: threading.Event) -> None:
        self.url, self.tell, self.stop = url, tell, stop
        self.path = target.with_name(f".{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self.etag: str | None = None
        self.n_bytes: int | None = None
        self.pieces: list[int] = []
        """Bytes that are there of each piece."""
        self._lock = threading.Lock()

    @property
    def n_there(self) -> int:
        """Bytes that are there."""
        if self.pieces:
            return sum(self.pieces)
        return self.path.stat().st_size if self.path.is_file() else 0

    def go_on(self) -> None:
        """Raise `Stopped` where the transfer is to end."""
        if self.stop.is_set():
            raise Stopped(self.url)

    def length(self, number: int) -> int:
        """Return the bytes of a whole piece."""
        assert self.n_bytes is not None
        return min(PIECE_BYTES, self.n_bytes - number * PIECE_BYTES)

    def find(self) -> None:
        """Take over what an earlier run left; a part of unknown origin is given up."""
        try:
            noted = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            noted = {}
        is_known = noted.get("url") == self.url and self.path.is_file()
        if not is_known or noted.get("piece_bytes", PIECE_BYTES) != PIECE_BYTES:
            self._remove()
            return
        self.etag, self.n_bytes = noted["etag"], noted.get("n_bytes")
        self.pieces = noted.get("pieces", [])
        self.tell(self.n_there)

    def begin(self, etag: str | None, n_bytes: int | None, is_split: bool) -> None:
        """Note the version that is fetched; where it `is_split`, no byte of it is there yet."""
        self.etag, self.n_bytes = etag, n_bytes
        if is_split and n_bytes is not None:
            self.pieces = [0] * -(-n_bytes // PIECE_BYTES)
        self.path.touch()
        self.save()

    def save(self) -> None:
        """Note what is there, once it is on the disk."""
        with self._lock:
            noted = {
                "url": self.url,
                "etag": self.etag,
                "n_bytes": self.n_bytes,
                "piece_bytes": PIECE_BYTES,
                "pieces": list(self.pieces),
            }
            with self.path.open("rb") as handle:
                os.fsync(handle.fileno())
            write_text(self.note, json.dumps(noted))

    def give_up(self) -> None:
        """Delete what is there."""
        self.tell(-self.n_there)
        self._remove()

    def _remove(self) -> None:
        self.etag, self.n_bytes, self.pieces = None, None, []
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
