"""Fetch files by key from a source: a folder (path or file://), a web server or an S3 bucket.

A local file is read in place, linked or copied. A remote file is downloaded
(`data.fetch.transfers`); a rerun continues it.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from urllib.parse import unquote, urlsplit

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.reading import most_like
from brainit.data.fetch.part_files import ProgressCallback
from brainit.data.fetch.threads import Stopped, run_all
from brainit.data.fetch.transfers import Fetched, download_file
from brainit.workflow.sources import is_remote

_COPY_BYTES = 16 << 20

__all__ = [
    "SourceFile",
    "connections_per_file",
    "download_file",
    "fetch",
    "local_file",
    "source_files",
]


def local_file(source: str, key: str) -> Path:
    """Return the path of `key` below a local `source`.

    Raises `PipelineError` for a missing or unreadable file.
    """
    parts = urlsplit(source)
    root = Path(unquote(parts.path)) if parts.scheme == "file" else Path(source)
    path = root / key
    if not path.is_file():
        raise PipelineError(
            path,
            "a file",
            f"none{most_like(path)}",
            "correct paths.source, or set run.simulation: true",
            code="missing-file",
        )
    if not os.access(path, os.R_OK):
        raise PipelineError(
            path,
            "a file that you may read",
            "no read permission",
            "ask its owner for access",
            code="machine",
        )
    return path


def fetch(
    source: str,
    key: str,
    target: Path,
    on_bytes: ProgressCallback | None = None,
    stop: Event | None = None,
    link: bool = True,
    connections: int = 1,
) -> Fetched | None:
    """Link or copy `key` from a local `source` to `target`, or download it from a remote one.

    Returns the record of a download, None for a local file. Up to `connections` share a large file.

    With `link=False` a local file is always copied: a link shares the time stamp of its source,
    which is wrong for targets whose time stamp the workflow compares with the source's.

    Raises `PipelineError` for a missing or denied file and a failed transfer, and `Stopped` once
    `stop` is set.
    """
    if is_remote(source):
        url = f"{source.rstrip('/')}/{key}"
        return download_file(url, target, on_bytes=on_bytes, connections=connections, stop=stop)
    path = local_file(source, key)
    with atomic_path(target) as copy:
        if not link or not _try_link(path, copy):
            _copy(path, copy, stop or Event())
    if on_bytes is not None:
        on_bytes(path.stat().st_size)
    return None


def _try_link(path: Path, target: Path) -> bool:
    """Hard-link `target` to `path`; return False where file system or permissions forbid it."""
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        return False
    return True


def _copy(path: Path, target: Path, stop: Event) -> None:
    with path.open("rb") as source, target.open("wb") as copy:
        while block := source.read(_COPY_BYTES):
            if stop.is_set():
                raise Stopped(path)
            copy.write(block)


def connections_per_file(n_files: int, connections: int) -> int:
    """Return the connections for each of `n_files` concurrent downloads, at least 1."""
    return max(1, connections // max(1, n_files))


@dataclass(frozen=True)
class SourceFile:
    """Local path of a file, and the record of its download (None for a local source)."""

    path: Path
    fetched: Fetched | None


@contextmanager
def source_files(
    source: str, keys: Sequence[str], work: Path, connections: int = 1
) -> Iterator[list[SourceFile]]:
    """Yield a readable local file for each of `keys`.

    Remote files are downloaded to `work`, all at once, share the `connections`, and are deleted
    afterwards. Raises as `fetch`.
    """
    if not is_remote(source):
        yield [SourceFile(local_file(source, key), None) for key in keys]
        return
    targets = [work / key.replace("/", "__") for key in keys]
    stop = Event()
    n_each = connections_per_file(len(keys), connections)
    fetch_key = partial(fetch, source, stop=stop, connections=n_each)
    calls = [partial(fetch_key, key, target) for key, target in zip(keys, targets, strict=True)]
    fetched = run_all(calls, len(calls), stop)
    try:
        yield [SourceFile(path, record) for path, record in zip(targets, fetched, strict=True)]
    finally:
        for target in targets:
            target.unlink(missing_ok=True)
