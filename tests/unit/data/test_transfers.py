"""Downloads under the faults of real servers: mended by themselves, or ended in one clear line."""

import errno
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.data.fault_server import Faults, hurry, serving_file

from brainit.core.errors import PipelineError
from brainit.data.fetch import transfers
from brainit.data.fetch.transfers import download_file

CONTENT = np.random.default_rng(0).bytes(100_000)


@pytest.fixture
def url(tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    hurry(monkeypatch, block_bytes=10_000)
    with serving_file(tmp_path, CONTENT, faults) as address:
        yield address


def test_a_file_comes_whole_and_is_described(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[int] = []
    with caplog.at_level("WARNING"):
        fetched = download_file(url, tmp_path / "out/file", on_bytes=received.append)
    assert f"{url}: fetched without encryption" in caplog.text
    assert (tmp_path / "out/file").read_bytes() == CONTENT
    assert (fetched.url, fetched.n_bytes) == (url, len(CONTENT))
    assert fetched.etag is not None and fetched.fetched_at.endswith("+00:00")
    assert sum(received) == len(CONTENT)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["file"]


def test_a_broken_connection_is_continued_at_its_byte(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    faults.cut_after["file"], faults.cuts = 30_000, Counter(file=3)
    received: list[int] = []
    download_file(url, tmp_path / "file", on_bytes=received.append)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [wish for _, wish in faults.asked] == [
        "",
        "bytes=30000-",
        "bytes=60000-",
        "bytes=90000-",
    ]
    assert sum(received) == len(CONTENT)


def test_503_is_tried_again_and_a_server_that_stays_down_is_said(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    faults.unavailable = Counter(file=transfers._ATTEMPTS - 1)
    download_file(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    faults.unavailable = Counter(file=100)
    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "other")
    assert error.value.code == "network"
    assert "HTTP 503" in error.value.found and "6 times" in error.value.found
    assert faults.unavailable["file"] == 100 - transfers._ATTEMPTS
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_are_not_tried_again(
    url: str, faults: Faults, tmp_path: Path, status: int
) -> None:
    faults.status["file"] = status
    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "file")
    assert (error.value.code, error.value.where) == ("network", url)
    assert f"HTTP {status}" in error.value.found and "paths.source" in error.value.fix
    assert len(faults.asked) == 1


def test_a_server_that_ignores_ranges_starts_anew(url: str, faults: Faults, tmp_path: Path) -> None:
    faults.cut_after["file"], faults.cuts = 30_000, Counter(file=1)
    faults.ignores_ranges.add("file")
    received: list[int] = []
    download_file(url, tmp_path / "file", on_bytes=received.append)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert sum(received) == len(CONTENT)


def test_a_file_that_changed_between_parts_is_not_patched_together(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    other = CONTENT[::-1]
    faults.cut_after["file"], faults.cuts = 30_000, Counter(file=1)
    faults.changes_after_first["file"] = other
    download_file(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == other


def test_a_part_longer_than_the_file_is_given_up(url: str, faults: Faults, tmp_path: Path) -> None:
    faults.cut_after["file"], faults.cuts = 30_000, Counter(file=1)
    faults.changes_after_first["file"] = b"short now"
    download_file(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"short now"


def test_a_part_of_another_address_is_not_continued(url: str, tmp_path: Path) -> None:
    (tmp_path / ".file.part").write_bytes(b"x" * 50)
    (tmp_path / ".file.part.json").write_text(json.dumps({"url": "http://else", "etag": '"a"'}))
    download_file(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_size_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "file", n_bytes=5)
    assert error.value.code == "checksum"
    assert "5 bytes" in error.value.expected and "100000" in error.value.found
    assert not list(tmp_path.glob("*file*"))


def test_a_web_page_under_the_name_of_data_is_refused(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    for name in ("lh.betas_session01.mgh", "a.hdf5", "b.tsv", "c.zip"):
        (tmp_path / "served" / name).write_bytes(b"<!DOCTYPE html><p>sign in")
        with pytest.raises(PipelineError) as error:
            download_file(url.replace("file", name), tmp_path / name)
        assert error.value.code == "wrong-kind" and "<!DOCTYPE" in error.value.found
        assert not (tmp_path / name).exists()


def test_a_disk_without_room_is_said_before_the_first_byte(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = transfers.shutil._ntuple_diskusage(10, 9, 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(transfers.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "file")
    assert error.value.code == "machine" and "paths.store" in error.value.fix
    assert "100000 bytes" in error.value.found and "1 free" in error.value.found


def test_a_disk_that_fills_up_keeps_the_part(url: str, tmp_path: Path) -> None:
    received: list[int] = []

    def fill_up(n_bytes: int) -> None:
        received.append(n_bytes)
        if sum(received) > 25_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "file", on_bytes=fill_up)
    assert error.value.code == "machine" and os.strerror(errno.ENOSPC) in error.value.found
    assert (tmp_path / ".file.part").read_bytes() == CONTENT[:30_000]
    download_file(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_said(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "new/file")
    assert error.value.code == "machine" and os.strerror(errno.EACCES) in error.value.found


def test_other_schemes_and_dead_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "_FIRST_WAIT_S", 0.001)
    with pytest.raises(PipelineError) as error:
        download_file("ftp://bucket/key", tmp_path / "a")
    assert error.value.code == "invalid-setting"
    assert all(scheme in error.value.fix for scheme in ("https://", "http://", "s3://"))
    with pytest.raises(PipelineError) as error:
        download_file("http://127.0.0.1:9/a", tmp_path / "a")
    assert (error.value.code, error.value.where) == ("network", "http://127.0.0.1:9/a")


def test_without_a_network_a_download_ends_at_once_with_the_host_and_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def unknown(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(transfers, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PipelineError) as error:
        download_file("https://nsd.example/a", tmp_path / "a")
    assert len(asked) == transfers._ATTEMPTS_TO_RESOLVE < transfers._ATTEMPTS
    assert error.value.code == "network" and "nsd.example" in error.value.found
    assert "Temporary failure in name resolution" in error.value.found
    assert "BRAINIT_WEIGHTS" in error.value.fix and "paths.source" in error.value.fix
    assert not any(word in str(error.value) for word in ("\n", "object at", "Max retries", "Errno"))


def test_a_name_that_is_lost_in_the_middle_is_asked_for_again(
    url: str, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.cut_after["file"], faults.cuts = 30_000, Counter(file=1)
    asked: list[int] = []
    resolve = socket.getaddrinfo

    def flaky(*words: Any, **named: Any) -> Any:
        asked.append(1)
        if 1 < len(asked) < transfers._ATTEMPTS:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(*words, **named)

    monkeypatch.setattr(socket, "getaddrinfo", flaky)
    download_file(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT and len(asked) == transfers._ATTEMPTS
