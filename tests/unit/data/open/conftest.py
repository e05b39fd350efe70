"""Miniatures of open data sets, and an S3 server that lists and serves them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.unit.data.open import laion_miniature

from brainit.data.fetch import listing, remote, transfers
from brainit.data.open import laion_images
from brainit.workflow.terms import LAION_REQUEST_ID


@pytest.fixture(scope="session")
def laion(tmp_path_factory: pytest.TempPathFactory) -> laion_miniature.Miniature:
    """Write a miniature that tests only read."""
    return laion_miniature.write_miniature(tmp_path_factory.mktemp("laion"))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a millisecond before another attempt, not a second."""
    for module in (transfers, listing, laion_images):
        monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.001)
    monkeypatch.delenv(LAION_REQUEST_ID, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def in_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Put a folder into a bucket of that name; return the bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    remote._s3_client.cache_clear()
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    resource = boto3.resource("s3", endpoint_url=endpoint, **keys)

    def put(name: str, folder: Path) -> Any:
        bucket = resource.create_bucket(Bucket=name, ACL="public-read")
        for path in folder.rglob("*"):
            if path.is_file():
                key = str(path.relative_to(folder))
                bucket.put_object(Key=key, Body=path.read_bytes(), ACL="public-read")
        return bucket

    yield put
    remote._s3_client.cache_clear()
