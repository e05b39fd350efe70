"""Objects of a web server (http, https) or an S3 bucket (s3), any range of bytes, anonymously.

Both kinds are answered in one form, `RemoteStream`, and refuse in one form: `PipelineError` where
asking again is of no use (403, 404), `TransientError` where it may be (5xx, broken connections).
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import requests

from brainit.core.errors import PipelineError

BLOCK_BYTES = 1 << 16
"""Bytes read at a time: a slow transfer that is told to end looks up after so many."""
_TIMEOUT_S = (10.0, 60.0)
_FINAL: dict[int, tuple[str, str]] = {
    HTTPStatus.UNAUTHORIZED: ("an open file", "use a source that needs no account"),
    HTTPStatus.FORBIDDEN: (
        "a file that is open to you",
        "the server denies it: the file is not public, or not to you; check paths.source",
    ),
    HTTPStatus.NOT_FOUND: (
        "a file",
        "there is no such file at this source; check paths.source and nsd.betas_version",
    ),
    HTTPStatus.GONE: ("a file", "it was removed from this source; check paths.source"),
}


class TransientError(Exception):
    """A transfer failed in a way that may pass: the caller tries again."""


@dataclass(frozen=True)
class RemoteStream:
    """An answer: which bytes follow and of which version of the file.

    `offset` is the first byte that follows, 0 where the server ignored the wish or the file is
    another one by now. `n_bytes` is the whole file's size, None where the server does not say.
    """

    offset: int
    n_bytes: int | None
    etag: str | None
    blocks: Iterator[bytes]


@contextmanager
def open_remote(
    url: str, offset: int = 0, etag: str | None = None, last: int | None = None
) -> Iterator[RemoteStream]:
    """Open `url` from byte `offset` on if it is still of version `etag`, else from 0 on.

    `last` is the last byte wanted, None for all; a server that ignores ranges sends more. Raises
    `PipelineError` for another scheme and for refusals, `RangeError` where the version or the range
    is not to be had, `TransientError` for the rest.
    """
    span = None if not offset and last is None else f"bytes={offset}-{'' if last is None else last}"
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https"):
        with _open_http(url, span, etag) as stream:
            yield stream
    elif scheme == "s3":
        with _open_s3(url, span, etag) as stream:
            yield stream
    else:
        raise PipelineError(
            url,
            "an https://, http:// or s3:// address",
            f"{scheme}://",
            "use one",
            code="invalid-setting",
        )


def _refusal(url: str, status: int, reason: str) -> Exception:
    if status not in _FINAL:
        return TransientError(f"HTTP {status} {reason}")
    expected, fix = _FINAL[status]
    return PipelineError(url, expected, f"HTTP {status} {reason}", fix, code="network")


@contextmanager
def _open_http(url: str, span: str | None, etag: str | None) -> Iterator[RemoteStream]:
    headers = {"Accept-Encoding": "identity"}
    if span is not None:
        headers["Range"] = span
        if is_strong(etag):
            headers["If-Range"] = etag
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise RangeError(url)
                raise _refusal(url, response.status_code, response.reason)
            yield _http_stream(response)
    except requests.RequestException as error:
        raise TransientError(str(error)) from error


class RangeError(TransientError):
    """What the server has does not fit the part at hand: another version, or no such range."""


def is_strong(etag: str | None) -> TypeGuard[str]:
    """Return whether equal tags mean equal bytes (RFC 9110, 8.8.1)."""
    return etag is not None and not etag.startswith("W/")


def _http_stream(response: requests.Response) -> RemoteStream:
    length = response.headers.get("Content-Length")
    offset, n_bytes = 0, int(length) if length is not None else None
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        offset, n_bytes = _part_of(response.headers.get("Content-Range", ""))
    blocks = response.iter_content(BLOCK_BYTES)
    return RemoteStream(offset, n_bytes, response.headers.get("ETag"), blocks)


def _part_of(content_range: str) -> tuple[int, int | None]:
    """Return first byte and whole size that a header like `bytes 100-199/200` states."""
    span, _, total = content_range.rpartition("/")
    first = span.removeprefix("bytes ").partition("-")[0]
    if not first.isdigit():
        raise TransientError(f"a part whose Content-Range is {content_range!r}")
    return int(first), int(total) if total.isdigit() else None


@lru_cache(maxsize=1)
def _s3_client() -> Any:
    """Return an anonymous client; AWS_ENDPOINT_URL names another server than Amazon's."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        signature_version=UNSIGNED,
        retries={"max_attempts": 1},
        connect_timeout=_TIMEOUT_S[0],
        read_timeout=_TIMEOUT_S[1],
        max_pool_connections=32,
    )
    return boto3.client("s3", region_name="us-east-2", config=config)


@contextmanager
def _open_s3(url: str, span: str | None, etag: str | None) -> Iterator[RemoteStream]:
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(url)
    wish: dict[str, str] = {} if span is None else {"Range": span}
    if span is not None and etag is not None:
        wish["IfMatch"] = etag
    try:
        answer = _s3_client().get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"), **wish)
        is_part = "ContentRange" in answer
        offset, n_bytes = (
            _part_of(answer["ContentRange"]) if is_part else (0, answer["ContentLength"])
        )
        with closing(answer["Body"]) as body:
            blocks = body.iter_chunks(BLOCK_BYTES)
            yield RemoteStream(offset, n_bytes, answer["ETag"], blocks)
    except ClientError as error:
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        if status in (
            HTTPStatus.PRECONDITION_FAILED,
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        ):
            raise RangeError(url) from error
        raise _refusal(url, status, str(error)) from error
    except BotoCoreError as error:
        raise TransientError(str(error)) from error
