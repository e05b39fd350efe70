"""Fetching from a folder and from a web server on this machine; NSD's terms."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.core.settings import NsdSettings
from brainit.data import sources
from brainit.data.betas import prepare_betas
from brainit.data.download import download, metadata_keys
from brainit.data.images import ImageStore
from brainit.data.sources import download_file, fetch, opened
from brainit.steps import download as download_step
from brainit.steps import prepare_images

SUBJECTS = {name: ("subj01", "subj02") for name in ("subjects", "evaluated", "transfer")}


class Handler(SimpleHTTPRequestHandler):
    """Serve a folder with Range, deny `denied`, and cut `cut` after half its bytes."""

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.name == "denied":
            return self.send_error(403)
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:].rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = len(content) // 2 if path.name == "cut" and not start else len(content)
        self.wfile.write(content[start:stop])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", folder
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.mark.parametrize("form", ["path", "file"])
def test_download_from_a_folder(tiny_nsd: Any, tmp_path: Path, form: str) -> None:
    root = tiny_nsd.root if form == "path" else tiny_nsd.root.as_uri()
    nsd = NsdSettings(**SUBJECTS)
    out = tmp_path / "nsd"
    download(str(root), f"{root}/coco", nsd, out, tmp_path / "c.zip", tmp_path / "m.json")
    entries = json.loads((tmp_path / "m.json").read_text())["files"]
    assert [e["file"] for e in entries] == [*metadata_keys(nsd), "unlabeled2017.zip"]
    for entry in entries[:-1]:
        path = out / entry["file"]
        assert path.read_bytes() == (tiny_nsd.root / entry["file"]).read_bytes()
        assert entry["sha256"] == sha256_of(path) and entry["bytes"] == path.stat().st_size
    assert not list(out.rglob("*.betas_session*"))
    # The workflow compares the time stamps of both archives: they must not be one file.
    assert not (tmp_path / "c.zip").samefile(tiny_nsd.zip_path)


def test_steps_from_download_to_images(tiny_nsd: Any, tmp_path: Path) -> None:
    settings = json.dumps({"nsd": SUBJECTS, "images": {"stored_size": 8}})
    nsd, coco = tmp_path / "nsd", tmp_path / "unlabeled2017.zip"
    sources_of = ["--source", str(tiny_nsd.root), "--coco-source", str(tiny_nsd.root / "coco")]
    outputs = ["--out", str(nsd), "--coco-out", str(coco), "--manifest", str(tmp_path / "m.json")]
    download_step.main([*sources_of, *outputs, "--settings", settings])
    stimuli, external = tmp_path / "stimuli", tmp_path / "external"
    inputs = ["--nsd", str(nsd), "--coco", str(coco), "--settings", settings]
    prepare_images.main([*inputs, "--stimuli", str(stimuli), "--external", str(external)])
    assert (len(ImageStore(stimuli)), len(ImageStore(external))) == (tiny_nsd.n_images, 4)


@pytest.mark.parametrize("source", ["https://nsd.example", "s3://nsd", "http://nsd.example"])
def test_nothing_is_requested_before_the_terms_are_accepted(
    tiny_nsd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    nsd = NsdSettings()
    with pytest.raises(PipelineError) as caught:
        download(source, "https://coco.example", nsd, tmp_path, tmp_path / "c", tmp_path / "m")
    for text in ("forms.gle/xue2bCdM9LaFNMeb7", "Terms-and-Conditions", "Allen et al. 2022"):
        assert text in str(caught.value)
    with pytest.raises(PipelineError, match="nsd.accept_terms"):
        prepare_betas("subj01", tmp_path, source, tmp_path / "t", tmp_path, nsd)
    assert not list(tmp_path.iterdir())


def test_web_server(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "a").mkdir()
    (folder / "a" / "file").write_bytes(bytes(range(256)) * 40)
    fetch(f"{url}/", "a/file", tmp_path / "out" / "file")
    assert (tmp_path / "out" / "file").read_bytes() == bytes(range(256)) * 40
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["file"]
    with opened(url, "a/file", tmp_path / "work") as path:
        assert path.read_bytes() == bytes(range(256)) * 40
    assert not path.exists()


def test_cut_transfer_continues(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    content = bytes(range(250)) * 400
    (folder / "cut").write_bytes(content)
    with pytest.raises(PipelineError, match="run the same command again"):
        download_file(f"{url}/cut", tmp_path / "cut")
    assert not (tmp_path / "cut").exists()
    download_file(f"{url}/cut", tmp_path / "cut")
    assert (tmp_path / "cut").read_bytes() == content


@pytest.mark.parametrize(
    ("name", "meaning"), [("denied", "HTTP 403.*denies"), ("absent", "HTTP 404.*no such file")]
)
def test_refusals(server: tuple[str, Path], tmp_path: Path, name: str, meaning: str) -> None:
    (server[1] / "denied").write_bytes(b"x")
    with pytest.raises(PipelineError, match=meaning):
        download_file(f"{server[0]}/{name}", tmp_path / name)


def test_other_schemes_and_dead_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError, match="http:// or https://"):
        download_file("s3://bucket/key", tmp_path / "a")
    monkeypatch.setattr(sources, "_TIMEOUT_S", 2.0)
    with pytest.raises(PipelineError, match="a whole transfer"):
        download_file("http://127.0.0.1:9/a", tmp_path / "a")


def test_missing_local_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="check paths.source"):
        fetch(str(tmp_path), "absent", tmp_path / "out")
