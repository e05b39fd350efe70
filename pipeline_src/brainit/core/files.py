"""Atomic writing of files and folders, checksums, and release of memory-mapped pages."""

import errno
import hashlib
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError

_CHUNK_BYTES = 1 << 20
SIDE_FOLDERS = frozenset({"__MACOSX", ".AppleDouble", ".Trashes", "@eaDir", "$RECYCLE.BIN"})
"""Folders in which systems keep files of their own."""
_SIDE_FILES = {"Thumbs.db", "desktop.ini"}
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
"""Permission denied, a read-only disk, or a file where a folder should be."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    The temporary file or folder is removed if the block fails. Raises `PipelineError` for a full
    disk and for a folder that cannot be written to.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _flush(partial)
        if partial.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(partial, path)
    except OSError as error:
        _remove(partial)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = f"free space on the disk of {path.parent} and run the same command again"
            raise PipelineError(
                path, "room on the disk", "a full disk", fix, code="machine"
            ) from error
        if error.errno in DENIED and _is_about(error, partial):
            fix = f"make the folder {path.parent} writable, or write to another folder"
            raise PipelineError(
                path, "a place that can be written", str(error), fix, code="machine"
            ) from error
        raise
    except BaseException:
        _remove(partial)
        raise


def _is_about(error: OSError, path: Path) -> bool:
    """Return True if the error names `path`, a file below it or a folder above it."""
    named = Path(str(error.filename))
    return path in [named, *named.parents] or named in path.parents


def _flush(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.unlink()


def is_side_file(path: PurePath) -> bool:
    """Return True for a file that a system put beside others: hidden, Thumbs.db, in __MACOSX."""
    if path.name.startswith(".") or path.name in _SIDE_FILES:
        return True
    return bool(SIDE_FOLDERS.intersection(path.parts[:-1]))


def reserve_room(path: Path) -> None:
    """Give a file the blocks that its size states. Raises OSError on a full disk.

    A mapped write that finds no room would end the process without a message (SIGBUS).
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sha256_of(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file, which is read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(_CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def release_pages(array: NDArray[Any]) -> None:
    """Drop the pages of a memory-mapped file from this process's memory; it stays readable.

    Pages that were read count as resident until the system reclaims them: a file of betas that is
    read once would count in full. Does nothing for an array in memory.
    """
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)
