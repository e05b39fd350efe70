"""A web server of a folder, with HTTP ranges and ETags, that fails on demand."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from brainit.data.fetch import remote, transfers


@dataclass
class Faults:
    """Faults by file name; a counted fault ends when its count is used up."""

    status: dict[str, int] = field(default_factory=dict)
    """Status of every response."""
    unavailable: Counter[str] = field(default_factory=Counter)
    """Number of responses with status 503."""
    cut_after: dict[str, int] = field(default_factory=dict)
    """Bytes after which the connection breaks, in each of the next `cuts` responses."""
    cuts: Counter[str] = field(default_factory=Counter)
    ignores_ranges: set[str] = field(default_factory=set)
    changes_after_first: dict[str, bytes] = field(default_factory=dict)
    """Content of the file from the second request on."""
    block_wait_s: float = 0.0
    """Delay after each 4 KiB."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """File name and Range of each request, in order."""
    n_sent: int = 0
    """Bytes of content sent in total."""
    open_now: Counter[str] = field(default_factory=Counter)
    """Current concurrent responses, by file name."""
    most_open: Counter[str] = field(default_factory=Counter)
    """Highest number of concurrent responses, by file name."""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, faults: Faults, *args: Any) -> None:
        self.folder, self.faults = folder, faults
        super().__init__(*args)

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.folder / self.path.lstrip("/")
        name, faults = path.name, self.faults
        n_before = sum(asked == name for asked, _ in faults.asked)
        faults.asked.append((name, self.headers.get("Range", "")))
        if name in faults.status:
            return self.send_error(faults.status[name])
        if faults.unavailable[name]:
            faults.unavailable[name] -= 1
            return self.send_error(503)
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        if n_before and name in faults.changes_after_first:
            content = faults.changes_after_first[name]
        self._answer(name, content)

    def _answer(self, name: str, content: bytes) -> None:
        etag = f'"{crc32(content):08x}"'
        start, stop = self._span(name, etag, len(content))
        if start >= len(content) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        is_part = (start, stop) != (0, len(content))
        self.send_response(206 if is_part else 200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(stop - start))
        if is_part:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.end_headers()
        if self.faults.cuts[name]:
            self.faults.cuts[name] -= 1
            stop = min(stop, start + self.faults.cut_after[name])
        self._send(name, content[start:stop])
        self.close_connection = True

    def _send(self, name: str, content: bytes) -> None:
        faults = self.faults
        faults.open_now[name] += 1
        faults.most_open[name] = max(faults.most_open[name], faults.open_now[name])
        try:
            for first in range(0, len(content), 4096):
                block = content[first : first + 4096]
                self.wfile.write(block)
                faults.n_sent += len(block)
                time.sleep(faults.block_wait_s)
        finally:
            faults.open_now[name] -= 1

    def _span(self, name: str, etag: str, n_bytes: int) -> tuple[int, int]:
        """Return the byte range [first, end) of the response."""
        wish = self.headers.get("Range")
        if wish is None or name in self.faults.ignores_ranges:
            return 0, n_bytes
        if self.headers.get("If-Range", etag) != etag:
            return 0, n_bytes
        first, _, last = wish.removeprefix("bytes=").partition("-")
        return int(first), min(n_bytes, int(last) + 1) if last else n_bytes


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: tests interrupt their own clients."""


def hurry(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    """Let downloads wait a millisecond before they try again, and read small blocks."""
    monkeypatch.setattr(transfers, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(remote, "BLOCK_BYTES", block_bytes)


@contextmanager
def serving_file(folder: Path, content: bytes, faults: Faults) -> Iterator[str]:
    """Serve a file `file` of this content from a new folder below `folder`; yield its address."""
    (folder / "served").mkdir()
    (folder / "served/file").write_bytes(content)
    with serving(folder / "served", faults) as root:
        yield f"{root}/file"


@contextmanager
def serving(folder: Path, faults: Faults) -> Iterator[str]:
    """Serve `folder` on loopback; yield the address."""
    server = _QuietServer(("127.0.0.1", 0), partial(Handler, folder, faults))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
