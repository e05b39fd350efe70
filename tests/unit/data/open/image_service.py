"""A local stand-in of the service that signs links to LAION-fMRI's images, with its refusals."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REQUEST = "lfm_own"


@dataclass
class Service:
    """State of the service: its files, refusals, and how many bytes a link is good for."""

    folder: Path
    refusal: tuple[int, Any] | None = None
    bytes_per_link: int | None = None
    """The connection breaks after these, and the link is refused from then on."""
    refuse_after: int | None = None
    """Links after which the request is revoked."""
    n_links: int = 0
    spent: set[str] = field(default_factory=set)
    wrong_sha256: bool = False
    starts: list[int] = field(default_factory=list)
    """First byte of each answer."""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Service]]:
    """Serve the files of `folder` by signed links; yield address and state."""
    state = Service(folder)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if state.refusal is not None:
                return self.answer_json(state.refusal[1], state.refusal[0])
            if body["request_id"] != REQUEST:
                return self.answer_json({"detail": "request_id not found"}, 404)
            if state.n_links == state.refuse_after:
                return self.answer_json({"detail": "access revoked"}, 403)
            state.n_links += 1
            files = [self.file(path) for path in sorted(folder.iterdir())]
            self.answer_json({"expires_at": "2026-01-01T00:00:00Z", "files": files}, 200)

        def file(self, path: Path) -> dict[str, Any]:
            query = f"X-Amz-Expires=3600&X-Amz-Signature={state.n_links:064x}"
            content = path.read_bytes()
            digest = "0" * 64 if state.wrong_sha256 else hashlib.sha256(content).hexdigest()
            url = f"http://{self.headers['Host']}/{path.name}?{query}"
            return {"name": path.name, "url": url, "size": len(content), "sha256": digest}

        def answer_json(self, content: Any, status: int) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            name, _, query = self.path.lstrip("/").partition("?")
            if "X-Amz-Signature" not in query or self.path in state.spent:
                return self.send_error(403, "Request has expired")
            content = (folder / name).read_bytes()
            first = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
            state.starts.append(first)
            self.send_response(206 if first else 200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:16]}"')
            self.send_header("Content-Length", str(len(content) - first))
            if first:
                span = f"bytes {first}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            self.end_headers()
            rest = content[first:]
            if state.bytes_per_link is not None and len(rest) > state.bytes_per_link:
                rest = rest[: state.bytes_per_link]
                state.spent.add(self.path)
            self.wfile.write(rest)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
