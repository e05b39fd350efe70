"""Anonymous reading from an S3 server on this machine that speaks Amazon's protocol.

Its faults come from a plain web server that answers in its place.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from tests.unit.data.fault_server import Faults, serving

from brainit.core.errors import PipelineError
from brainit.data.fetch import part_files, remote, transfers
from brainit.data.fetch.transfers import download_file

# boto3 leaves the sockets of its pool to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CONTENT = np.random.default_rng(1).bytes(50_000)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setattr(transfers, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 10_000)
    remote._s3_client.cache_clear()
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    resource = boto3.resource("s3", endpoint_url=endpoint, **keys)
    bucket = resource.create_bucket(Bucket="nsd-miniature", ACL="public-read")
    bucket.put_object(Key="folder/file", Body=CONTENT, ACL="public-read")
    yield bucket
    remote._s3_client.cache_clear()


def test_an_object_comes_whole(bucket: Any, tmp_path: Path) -> None:
    fetched = download_file("s3://nsd-miniature/folder/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert fetched.etag == bucket.Object("folder/file").e_tag


def _interrupted(url: str, target: Path) -> None:
    received: list[int] = []

    def interrupt(n_bytes: int) -> None:
        received.append(n_bytes)
        if sum(received) > 15_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_file(url, target, on_bytes=interrupt)
    assert target.with_name(f".{target.name}.part").stat().st_size == 20_000


def test_a_part_is_continued(bucket: Any, tmp_path: Path) -> None:
    _interrupted("s3://nsd-miniature/folder/file", tmp_path / "file")
    received: list[int] = []
    download_file("s3://nsd-miniature/folder/file", tmp_path / "file", on_bytes=received.append)
    assert received == [20_000, 10_000, 10_000, 10_000]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_an_object_that_changed_is_fetched_anew(bucket: Any, tmp_path: Path) -> None:
    _interrupted("s3://nsd-miniature/folder/file", tmp_path / "file")
    bucket.put_object(Key="folder/file", Body=CONTENT[::-1], ACL="public-read")
    download_file("s3://nsd-miniature/folder/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


def test_pieces_over_several_connections(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_files, "PIECE_BYTES", 12_000)
    received: list[int] = []
    url = "s3://nsd-miniature/folder/file"
    download_file(url, tmp_path / "file", on_bytes=received.append, connections=3)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert max(received) <= 10_000 and sum(received) == len(CONTENT)

    def interrupt(n_bytes: int) -> None:
        if n_bytes == 2_000:  # the rest of a whole piece
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_file(url, tmp_path / "other", on_bytes=interrupt, connections=3)
    bucket.put_object(Key="folder/file", Body=CONTENT[::-1], ACL="public-read")
    download_file(url, tmp_path / "other", connections=3)
    assert (tmp_path / "other").read_bytes() == CONTENT[::-1]


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setattr(transfers, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 10_000)
    (tmp_path / "served/bucket").mkdir(parents=True)
    (tmp_path / "served/bucket/file").write_bytes(CONTENT)
    faults = Faults()
    with serving(tmp_path / "served", faults) as root:
        monkeypatch.setenv("AWS_ENDPOINT_URL", root)
        remote._s3_client.cache_clear()
        yield faults
    remote._s3_client.cache_clear()


def test_a_denied_object_is_a_refusal(faulty: Faults, tmp_path: Path) -> None:
    faulty.status["file"] = 403
    with pytest.raises(PipelineError) as error:
        download_file("s3://bucket/file", tmp_path / "file")
    assert error.value.code == "network" and "HTTP 403" in error.value.found
    assert len(faulty.asked) == 1


@pytest.mark.parametrize("connections", [1, 3])
def test_503_and_cuts_are_mended(
    faulty: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    monkeypatch.setattr(part_files, "PIECE_BYTES", 12_000)
    faulty.unavailable = Counter(file=2)
    faulty.cut_after["file"], faulty.cuts = 9_000, Counter(file=3)
    download_file("s3://bucket/file", tmp_path / "file", connections=connections)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert not +faulty.cuts and not +faulty.unavailable


def test_a_missing_object_and_bucket_are_refusals(bucket: Any, tmp_path: Path) -> None:
    for url in ("s3://nsd-miniature/absent", "s3://no-such-bucket/file"):
        with pytest.raises(PipelineError) as error:
            download_file(url, tmp_path / "file")
        assert (error.value.code, error.value.where) == ("network", url)
        assert "HTTP 404" in error.value.found


def test_no_server_is_said(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    remote._s3_client.cache_clear()
    with pytest.raises(PipelineError) as error:
        download_file("s3://nsd-miniature/folder/file", tmp_path / "file")
    assert error.value.code == "network" and f"{transfers._ATTEMPTS} times" in error.value.found
