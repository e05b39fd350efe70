"""A local stand-in of the Hugging Face hub: repositories of models in memory, over HTTP."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"


@dataclass
class Hub:
    """Repository -> commit -> file -> content, and the newest commit of each repository."""

    commits: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        content = {**self.files(repository), **files}
        text = repr(sorted((name, hashlib.sha256(b).hexdigest()) for name, b in content.items()))
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits.setdefault(repository, {})[sha] = content
        self.newest[repository] = sha
        return sha

    def files(self, repository: str) -> dict[str, bytes]:
        return self.commits.get(repository, {}).get(self.newest.get(repository, ""), {})


@contextmanager
def serving_hub() -> Iterator[tuple[str, Hub]]:
    """Serve an empty hub on loopback; yield its address and itself."""
    hub = Hub()

    class Handler(_Handler):
        store = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    store: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.store.private[name] = asked.get("visibility") == "private" or bool(
                asked.get("private")
            )
            self.store.newest.setdefault(name, "")
            return self._json({"url": f"http://{self.headers['Host']}/{name}"})
        if self.path == "/api/validate-yaml":
            return self._json({"warnings": [], "errors": []})
        path = self.path.split("?")[0]
        if found := re.fullmatch(r"/api/models/(.+/.+)/preupload/main", path):
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            return self._json({"files": modes})
        if found := re.fullmatch(r"/api/models/(.+/.+)/commit/main", path):
            lines = [json.loads(line) for line in body.splitlines()]
            values = [line["value"] for line in lines if line["key"] == "file"]
            sha = self.store.commit(
                found[1], {v["path"]: base64.b64decode(v["content"]) for v in values}
            )
            url = f"http://{self.headers['Host']}/{found[1]}/commit/{sha}"
            return self._json({"commitUrl": url, "commitOid": sha})
        self._json({"error": "no such path"}, 404)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            sha = self.store.newest.get(found[1])
            if not sha or found[2] not in (None, "main", *self.store.commits[found[1]]):
                return self._missing("RepoNotFound")
            return self._json({"id": found[1], "sha": sha, "siblings": []})
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            sha = self.store.newest.get(found[1], "") if found[2] == "main" else found[2]
            content = self.store.commits.get(found[1], {}).get(sha, {}).get(found[3])
            if content is None:
                return self._missing("EntryNotFound")
            self.send_response(200)
            self.send_header("X-Repo-Commit", sha)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)
            return None
        return self._missing("EntryNotFound")

    do_HEAD = do_GET

    def _missing(self, code: str) -> None:
        self._json({"error": "not found"}, 404, {"X-Error-Code": code})

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
