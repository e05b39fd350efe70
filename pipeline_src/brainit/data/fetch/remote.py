"""Read any byte range of a file on a web server (http, https) or in an S3 bucket, anonymously.

Both give a `RemoteStream`. Refusals (403, 404) raise `PipelineError`; failures that a retry may
mend (5xx, broken connections) raise `TransientError`.
"""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import requests

from brainit.core.errors import PipelineError
from brainit.workflow.sources import resolution_error

BLOCK_BYTES = 1 << 16
"""Bytes read at a time; a transfer checks its `stop` event after each block."""
_TIMEOUT_S = (10.0, 60.0)
_SIGNATURES = ("X-Amz-Signature=", "Signature=")
"""What marks a query that grants access for a while; it is no part of a file's address."""
_FINAL: dict[int, tuple[str, str]] = {
    HTTPStatus.UNAUTHORIZED: (
        "a public file",
        "set paths.source to a server that needs no account",
    ),
    HTTPStatus.FORBIDDEN: (
        "a file that you may read",
        "set paths.source to a server that grants you access",
    ),
    HTTPStatus.NOT_FOUND: ("a file", "correct paths.source or nsd.betas_version"),
    HTTPStatus.GONE: ("a file", "set paths.source to a server that still has the file"),
}
"""Expectation and fix of the refusals that a retry cannot mend, by status."""


class TransientError(Exception):
    """A transfer failed in a way that a retry may mend."""


class UnknownHostError(TransientError):
    """The name of the server cannot be resolved: there is no network, or no such server."""


def unsigned(url: str) -> str:
    """Return a signed link without its query, which is a secret and changes with every link."""
    address, _, query = url.partition("?")
    return address if any(mark in query for mark in _SIGNATURES) else url


@dataclass(frozen=True)
class RemoteStream:
    """A response: blocks of bytes, and the version of the file (`etag`).

    `offset` is the position of the first byte, 0 where the server ignored the range or the file
    changed. `n_bytes` is the size of the whole file, None where the server does not state it.
    """

    offset: int
    n_bytes: int | None
    etag: str | None
    blocks: Iterator[bytes]


@contextmanager
def open_remote(
    url: str, offset: int = 0, etag: str | None = None, last: int | None = None
) -> Iterator[RemoteStream]:
    """Open `url` at byte `offset` if its version is still `etag`, else at byte 0.

    `last` is the last byte to read, None for all; a server that ignores ranges sends more. Raises
    `PipelineError` for another scheme and for refusals, `RangeError` where the server lacks this
    version or range, `TransientError` for other failures.
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
            "begin paths.source with https://, http:// or s3://, or give a local folder",
            code="invalid-setting",
        )


def _refusal(url: str, status: int, reason: str) -> Exception:
    if status not in _FINAL:
        return TransientError(f"HTTP {status} {reason}")
    expected, fix = _FINAL[status]
    where = unsigned(url)
    return PipelineError(where, expected, f"HTTP {status} {reason}", fix, code="network")


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
                    raise RangeError(unsigned(url))
                raise _refusal(url, response.status_code, response.reason)
            yield _http_stream(response)
    except requests.RequestException as error:
        raise connection_failure(url, error) from error


def connection_failure(url: str, error: BaseException) -> TransientError:
    """Return the failure behind a client's nested exceptions: its kind, and its reason alone."""
    cause = innermost(error)
    reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    host = urlsplit(url).hostname
    if isinstance(cause, socket.gaierror):
        return UnknownHostError(f"cannot resolve the host {host}: {reason}")
    return TransientError(f"{host}: {reason}" if isinstance(cause, OSError) else reason)


def require_host(url: str) -> None:
    """Raise `UnknownHostError` where the server's name cannot be resolved."""
    if error := resolution_error(url):
        raise connection_failure(url, error) from error


def innermost(error: BaseException) -> BaseException:
    """Return the exception from which a chain of them began.

    Clients wrap an exception in a `reason` or in their arguments, beside Python's own causes.
    """
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        wrapped = (getattr(found, "reason", None), *found.args, found.__cause__, found.__context__)
        found = next((e for e in wrapped if isinstance(e, BaseException) and e not in seen), None)
    return seen[-1]


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, or its kind if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class RangeError(TransientError):
    """The server has another version of the file, or not this range."""


def is_strong(etag: str | None) -> TypeGuard[str]:
    """Return True if equal ETags mean equal bytes (RFC 9110, 8.8.1)."""
    return etag is not None and not etag.startswith("W/")


def _http_stream(response: requests.Response) -> RemoteStream:
    length = response.headers.get("Content-Length")
    offset, n_bytes = 0, int(length) if length is not None else None
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        offset, n_bytes = _parse_content_range(response.headers.get("Content-Range", ""))
    blocks = response.iter_content(BLOCK_BYTES)
    return RemoteStream(offset, n_bytes, response.headers.get("ETag"), blocks)


def _parse_content_range(content_range: str) -> tuple[int, int | None]:
    """Return first byte and whole size from a header such as `bytes 100-199/200`."""
    span, _, total = content_range.rpartition("/")
    first = span.removeprefix("bytes ").partition("-")[0]
    if not first.isdigit():
        raise TransientError(f"a response with Content-Range {content_range!r}")
    return int(first), int(total) if total.isdigit() else None


@lru_cache(maxsize=1)
def _s3_client() -> Any:
    """Return an anonymous client of Amazon's server or the one of AWS_ENDPOINT_URL."""
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
    request: dict[str, str] = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    if span is not None:
        request["Range"] = span
        if etag is not None:
            request["IfMatch"] = etag
    try:
        response = _s3_client().get_object(**request)
        offset, n_bytes = 0, response["ContentLength"]
        if "ContentRange" in response:
            offset, n_bytes = _parse_content_range(response["ContentRange"])
        with closing(response["Body"]) as body:
            blocks = body.iter_chunks(BLOCK_BYTES)
            yield RemoteStream(offset, n_bytes, response["ETag"], blocks)
    except ClientError as error:
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        if status in (
            HTTPStatus.PRECONDITION_FAILED,
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        ):
            raise RangeError(url) from error
        raise _refusal(url, status, str(error)) from error
    except BotoCoreError as error:
        raise connection_failure(url, error) from error


def list_s3(url: str) -> Iterator[tuple[str, int]]:
    """Yield key and bytes of each object whose key begins with the path of `url`, by key.

    Raises `PipelineError` for refusals and `TransientError` for other failures.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(url)
    pages = _s3_client().get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=parts.netloc, Prefix=parts.path.lstrip("/")):
            for found in page.get("Contents", []):
                yield found["Key"], found["Size"]
    except ClientError as error:
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        raise _refusal(url, status, str(error)) from error
    except BotoCoreError as error:
        raise connection_failure(url, error) from error
