"""Files from the root of a tree: a folder (path or file://), a web server or an S3 bucket.

A local file is used in place or hard-linked. A remote one is streamed beside its target and
renamed when whole; a rerun continues it (`data.fetch.transfers`).
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
from brainit.data.fetch.part_files import Tell
from brainit.data.fetch.threads import Stopped, run_all
from brainit.data.fetch.transfers import Fetched, download_file
from brainit.data.nsd.terms import is_remote

_COPIED_BYTES = 16 << 20

__all__ = ["Opened", "download_file", "fetch", "local_file", "opened", "shared_by"]


def local_file(source: str, key: str) -> Path:
    """Return the path of `key` below a local `source`.

    Raises `PipelineError` where there is no such file, or none that may be read.
    """
    parts = urlsplit(source)
    root = Path(unquote(parts.path)) if parts.scheme == "file" else Path(source)
    path = root / key
    if not path.is_file():
        raise PipelineError(
            path, "a file", "none", "check paths.source, or simulate the data", code="missing-file"
        )
    if not os.access(path, os.R_OK):
        raise PipelineError(
            path, "a file that you may read", "none", "ask its owner for access", code="machine"
        )
    return path


def fetch(
    source: str,
    key: str,
    target: Path,
    tell: Tell | None = None,
    stop: Event | None = None,
    link: bool = True,
    connections: int = 1,
) -> Fetched | None:
    """Put `key` of `source` at `target`: linked or copied from a folder, else downloaded.

    Returns what was downloaded, None for a local file. `tell` is told of bytes as they come; a
    large file comes over so many `connections`.

    Without `link` a local file is always copied: for targets whose time stamp is compared with the
    source's, since a link has one time stamp in both places.

    Raises `PipelineError` for a missing or denied file and for a transfer that breaks off, and
    `Stopped` once `stop` is set.
    """
    if is_remote(source):
        url = f"{source.rstrip('/')}/{key}"
        return download_file(url, target, tell=tell, connections=connections, stop=stop)
    path = local_file(source, key)
    with atomic_path(target) as copy:
        if not link or not _linked(path, copy):
            _copy(path, copy, stop or Event())
    if tell is not None:
        tell(path.stat().st_size)
    return None


def _linked(path: Path, target: Path) -> bool:
    """Link `target` to `path`; return False where file systems or permissions do not allow it."""
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        return False
    return True


def _copy(path: Path, target: Path, stop: Event) -> None:
    with path.open("rb") as source, target.open("wb") as copy:
        while block := source.read(_COPIED_BYTES):
            if stop.is_set():
                raise Stopped(path)
            copy.write(block)


def shared_by(n_files: int, connections: int) -> int:
    """Return the connections for each of some files that come at the same time, at least 1."""
    return max(1, connections // max(1, n_files))


@dataclass(frozen=True)
class Opened:
    """Where a file can be read, and what was fetched for it (None: it is on this machine)."""

    path: Path
    fetched: Fetched | None


@contextmanager
def opened(
    source: str, keys: Sequence[str], work: Path, connections: int = 1
) -> Iterator[list[Opened]]:
    """Yield where each of `keys` can be read.

    Downloads come at the same time, share the `connections`, lie in `work` and are deleted at the
    end.
    """
    if not is_remote(source):
        yield [Opened(local_file(source, key), None) for key in keys]
        return
    targets = [work / key.replace("/", "__") for key in keys]
    stop = Event()
    each = partial(fetch, source, stop=stop, connections=shared_by(len(keys), connections))
    calls = [partial(each, key, target) for key, target in zip(keys, targets, strict=True)]
    fetched = run_all(calls, len(calls), stop)
    try:
        yield [Opened(path, what) for path, what in zip(targets, fetched, strict=True)]
    finally:
        for target in targets:
            target.unlink(missing_ok=True)
