"""Files appear whole or not at all, and mapped ones leave memory when told."""

import errno
import hashlib
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError

_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed onto it when the block ends well.

    The temporary file or folder is removed if the block fails. A full disk raises `PipelineError`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        _flush(partial)
        if partial.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(partial, path)
    except OSError as error:
        _remove(partial)
        if error.errno == errno.ENOSPC:
            raise PipelineError(
                path,
                "room on the disk",
                "a full disk",
                "free some space and run the same command again",
            ) from error
        raise
    except BaseException:
        _remove(partial)
        raise


def _flush(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sha256_of(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(_CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def release_pages(array: NDArray[Any]) -> None:
    """Take what was read of a memory-mapped file out of this process's memory; it stays readable.

    Pages that were read count as resident until the system wants them back: a file of betas read
    once would count whole. An array that maps no file is left alone.
    """
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)
