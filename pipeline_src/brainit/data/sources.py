"""Files from the root of a tree: a folder (path or file://) or a web server (http, https).

A local file is used in place or hard-linked. A remote one is streamed beside its target and
renamed when whole; a rerun continues it.
"""

import errno
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.data.terms import is_remote

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0
_MEANINGS: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "the server denies it: the data are not public, or not to you",
    HTTPStatus.NOT_FOUND: "there is no such file at this source",
}


def local_file(source: str, key: str) -> Path:
    """Return the path of `key` below a local `source`.

    Raises `PipelineError` where there is no such file.
    """
    parts = urlsplit(source)
    root = Path(unquote(parts.path)) if parts.scheme == "file" else Path(source)
    path = root / key
    if not path.is_file():
        raise PipelineError(path, "a file", "none", "check paths.source, or simulate the data")
    return path


def fetch(source: str, key: str, target: Path, link: bool = True) -> None:
    """Put `key` of `source` at `target`: linked or copied from a folder, else downloaded.

    Without `link` a local file is always copied: for targets whose time stamp is compared with the
    source's, since a link has one time stamp in both places.

    Raises `PipelineError` for a missing or denied file and for a transfer that breaks off.
    """
    if is_remote(source):
        download_file(f"{source.rstrip('/')}/{key}", target)
        return
    path = local_file(source, key)
    with atomic_path(target) as partial:
        if not link:
            shutil.copyfile(path, partial)
            return
        try:
            os.link(path, partial)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            shutil.copyfile(path, partial)


@contextmanager
def opened(source: str, key: str, work: Path) -> Iterator[Path]:
    """Yield a path at which `key` can be read; a download lies in `work` and is then deleted."""
    if not is_remote(source):
        yield local_file(source, key)
        return
    target = work / key.replace("/", "__")
    download_file(f"{source.rstrip('/')}/{key}", target)
    try:
        yield target
    finally:
        target.unlink(missing_ok=True)


def download_file(url: str, target: Path) -> None:
    """Stream `url` to `target`, continuing a part that an earlier run left.

    Raises `PipelineError` for schemes other than http and https, refusals, and broken transfers.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise PipelineError(
            url, "an http:// or https:// address", "another scheme", "use the https:// address"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    n_there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={n_there}-"} if n_there else {})
    logger.info("fetching %s", url)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            _stream(response, part, n_there)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        meaning = _MEANINGS.get(error.code, "run the command again later")
        raise PipelineError(url, "a file", f"HTTP {error.code} {error.reason}", meaning) from error
    except OSError as error:  # URLError, timeouts and broken connections are OSErrors
        raise PipelineError(
            url, "a whole transfer", str(error), "run the same command again: it continues"
        ) from error
    os.replace(part, target)


def _stream(response: Any, part: Path, n_there: int) -> None:
    resumed = response.status == HTTPStatus.PARTIAL_CONTENT
    n_expected = response.headers.get("Content-Length")
    n_bytes = 0
    with part.open("ab" if resumed else "wb") as handle:
        while block := response.read(_CHUNK_BYTES):
            handle.write(block)
            n_bytes += len(block)
    if n_expected is not None and n_bytes != int(n_expected):
        raise ConnectionError(f"{n_bytes} of {n_expected} bytes after the first {n_there}")
