"""The one boundary where files are read: errors of the machine apart from damaged content.

A damaged file is to be fetched or made again. A file that the machine cannot read at the moment (no
locks, no permission, a lost mount) may be intact: no message may advise to delete it.
"""

import difflib
import errno
import json
import os
import re
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from brainit.core.errors import PipelineError

_MISSING = {errno.ENOENT, errno.ENOTDIR}
_NUMBER_OF_KIND = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
}
"""Numbers of exceptions that libraries raise without one."""
_OF_CONTENT = {0, errno.EINVAL, errno.EOVERFLOW, errno.EFBIG}
"""What the system answers to an offset or a length that a damaged file states."""
_DENIED = "let this user read it"
_REMOTE = "check the mount of its file system, then run the same command again"
_LOCKS = "its file system grants no locks: mount it with locks, or copy the file elsewhere"
_BUSY = (
    "wait until no other process holds its lock, or raise the limit of processes (`ulimit -u`),"
    " then run the same command again"
)
_OPEN_FILES = "raise the limit of open files (`ulimit -n`)"
_MACHINE_FIX = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOLCK: _LOCKS,
    errno.EAGAIN: _BUSY,
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
    errno.ESTALE: _REMOTE,
    errno.ENOTCONN: _REMOTE,
    errno.ETIMEDOUT: _REMOTE,
    errno.EHOSTDOWN: _REMOTE,
    errno.EREMOTEIO: _REMOTE,
    errno.ENAMETOOLONG: "shorten its path: a name is longer than the file system allows",
    errno.ELOOP: "its symbolic links form a loop: remove one",
    errno.ENOSPC: "free space on its disk and run the same command again",
    errno.EDQUOT: "free space within your quota and run the same command again",
    errno.EROFS: "the disk is read-only: write to another folder",
    errno.ENOMEM: "free memory, or run on a machine with more",
}
_OF_DISK = {*_MACHINE_FIX, errno.EIO, errno.ENODEV, errno.ENXIO} - {errno.ETIMEDOUT}
"""Numbers of files alone; a lost connection to a server also times out."""
_OTHER_FIX = "check the disk (`dmesg`) and run the same command again; the file may be intact"
_STATED = re.compile(r"(?:errno = |\[Errno |os error )(\d+)")
"""The system's number in the text of an error of HDF5 or of a library in Rust."""
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""How NumPy tells a full disk, which it does not ask the system about."""
_TOLD_BY_TEXT = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
_NPY_ERRORS = (
    ValueError,
    EOFError,
    TypeError,
    OverflowError,
    LookupError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
)
"""Exceptions of NumPy for headers of `.npy` that are no headers."""

_NPY_MAGIC = b"\x93NUMPY"
LFS_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype html", b"<html")
_N_HEAD_BYTES = 512
_MOST_VALUES = 100_000


@contextmanager
def reading(
    path: Path | str,
    expected: str,
    fix: str,
    *damage: type[Exception],
    missing: str | None = None,
) -> Iterator[None]:
    """Turn what reading `path` raises into one `PipelineError`.

    `damage` are the exceptions, besides OSError, by which the reader tells damaged content; `fix`
    mends that, `missing` an absent file (None: `fix`). An error of the machine has code machine and
    a fix of its own. A web page or a pointer of Git LFS is named as such.
    """
    caught: tuple[type[Exception], ...] = (OSError, MemoryError, *damage)
    try:
        yield
    except PipelineError:
        raise
    except caught as error:
        raise read_error(path, expected, error, fix, missing) from error


def read_error(
    path: Path | str, expected: str, error: Exception, fix: str, missing: str | None = None
) -> PipelineError:
    """Return the error to raise for an exception that reading `path` raised; see `reading`."""
    number = system_number(error)
    if number in _MISSING:
        found = f"no file{most_like(Path(path))}"
        return PipelineError(path, expected, found, missing or fix, code="missing-file")
    # a folder opens, and then has no values to map; isdir, unlike Path.is_dir, never raises
    if number == errno.EISDIR or (number in (None, errno.ENODEV) and os.path.isdir(path)):
        return PipelineError(path, expected, "a folder", fix, code="wrong-kind")
    if number is not None:
        return machine_error(path, expected, number)
    if isinstance(error, MemoryError):
        return machine_error(path, expected, errno.ENOMEM)
    foreign = foreign_error(path, expected)
    if foreign is not None:
        return foreign
    if isinstance(error, UnicodeDecodeError):
        found = f"byte {error.object[error.start]:#x} at {error.start}, which is not UTF-8"
        fix = f"save it as UTF-8 if it is text, or: {fix}"
        return PipelineError(path, expected, found, fix, code="damaged-file")
    return PipelineError(path, expected, _told(error), fix, code="damaged-file")


def system_number(error: BaseException) -> int | None:
    """Return the system's number of an error of the machine or of an absent file, else None.

    None for damaged content, which libraries also tell by an OSError, but without a number.
    """
    if isinstance(error, (ValueError, LookupError, TypeError)):
        return None  # its text may quote the content of the file
    stated = _STATED.search(str(error))
    number = getattr(error, "errno", None) or (int(stated[1]) if stated else 0)
    if not number:
        number = next((n for kind, n in _NUMBER_OF_KIND.items() if isinstance(error, kind)), 0)
    return None if number in _OF_CONTENT else number


def machine_error(path: Path | str, expected: str, number: int) -> PipelineError:
    """Return the error for a file that the machine cannot read or write; `number` is its errno."""
    found = f"{os.strerror(number)} (errno {number})"
    fix = _MACHINE_FIX.get(number, _OTHER_FIX)
    return PipelineError(path, expected, found, fix, code="machine")


def refuse_machine_error(where: Path | str, expected: str, error: BaseException) -> None:
    """Raise `PipelineError` for an error of disk, rights or memory; pass any other by.

    For calls that fail for many reasons, such as a client of a server or a whole step.
    """
    if isinstance(error, MemoryError):
        raise machine_error(where, "enough memory", errno.ENOMEM) from error
    number = name = None
    if isinstance(error, OSError):
        number, name = error.errno, error.filename
    if number is None:
        told = errno.ENOSPC if _SHORT_WRITE.fullmatch(str(error)) else system_number(error)
        number = told if told in _TOLD_BY_TEXT else None
    is_of_disk = number in _OF_DISK or (number == errno.ETIMEDOUT and name is not None)
    if is_of_disk and number is not None:
        raise machine_error(name or where, expected, number) from error


def most_like(path: Path) -> str:
    """Return which file of its folder has the name most like an absent one, for a message."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, 1)
    return f" (most like it: {ascii(near[0])[1:-1]})" if near else ""


def foreign_error(path: Path | str, expected: str) -> PipelineError | None:
    """Return the error for a web page or a pointer of Git LFS; None for any other file."""
    foreign = foreign_content(path)
    if foreign is None:
        return None
    found, fix = foreign
    return PipelineError(path, expected, found, fix, code="wrong-kind")


def foreign_content(path: Path | str) -> tuple[str, str] | None:
    """Return what a file is that is no data at all, and the fix; None for any other file."""
    try:
        with Path(path).open("rb") as handle:
            head = handle.read(_N_HEAD_BYTES)
    except OSError:
        return None
    if head.startswith(LFS_POINTER):
        fix = "run `git lfs pull` in the repository that it comes from, or download the file itself"
        return "a Git LFS pointer, not the file it points to", fix
    if head.lstrip().lower().startswith(_PAGES):
        fix = "download it again without a proxy or sign-in page that answers for the server"
        return f"a web page that begins {head.strip()[:40]!r}", fix
    return None


def _told(error: Exception) -> str:
    """Return the words of an exception, on one line, and its kind where they are one word."""
    words = " ".join(str(error).split())
    return words if " " in words else repr(error)


def open_npy(path: Path, expected: str, fix: str, missing: str | None = None) -> NDArray[Any]:
    """Memory-map the array of a `.npy` file; nothing is unpickled.

    Raises `PipelineError` for a missing or truncated file, one that holds more than its header
    states, an archive of arrays (`.npz`), and pickled objects.
    """
    with reading(path, expected, fix, *_NPY_ERRORS, missing=missing):
        if _has_objects(path):
            numbers_fix = "save numbers, without dtype=object"
            raise PipelineError(path, expected, "pickled objects", numbers_fix, code="unsafe-file")
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)  # checks the stated size
        if isinstance(array, np.memmap):
            stated, found_bytes = array.offset + array.nbytes, path.stat().st_size
            if stated != found_bytes:  # a damaged length of the header would shift all values
                raise ValueError(f"{found_bytes} bytes, where the header states {stated}")
            return array
        array.close()
    archive_fix = "save a single array with np.save"
    raise PipelineError(path, expected, "an archive of arrays", archive_fix, code="wrong-kind")


def _has_objects(path: Path) -> bool:
    """Return True if the header of a `.npy` file says that its values are pickled."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with path.open("rb") as handle:
        if handle.read(len(_NPY_MAGIC)) != _NPY_MAGIC:
            return False
        handle.seek(0)
        reader = readers.get(np.lib.format.read_magic(handle))
        return reader is not None and bool(reader(handle)[2].hasobject)


class _BoundedLoader(yaml.SafeLoader):
    """YAML's safe loader; raises ValueError where merge keys multiply a small file."""

    n_merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Copy what the mapping merges into it, once its keys and values are counted."""
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                continue
            for part in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                if isinstance(part, yaml.MappingNode):
                    self.flatten_mapping(part)
                    self.n_merged += len(part.value)
                if self.n_merged > _MOST_VALUES:
                    raise ValueError(f"more than {_MOST_VALUES} values, by merges of merges")
        super().flatten_mapping(node)


def read_yaml(path: Path, expected: str, fix: str, missing: str | None = None) -> dict[Any, Any]:
    """Return the keys and values of a YAML file; raises `PipelineError` where there are none."""
    damage = (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError)
    with reading(path, expected, fix, *damage, missing=missing):
        content = _BoundedLoader(path.read_text(encoding="utf-8")).get_single_data()
        _require_few_values([content], [_MOST_VALUES])
    if not isinstance(content, dict | None):
        found = f"{type(content).__name__} {str(content)[:40]!r}"
        raise PipelineError(path, f"{expected}, of keys and values", found, fix, code="wrong-kind")
    return content or {}


def _require_few_values(value: Any, left: list[int]) -> None:
    """Raise ValueError where aliases multiply a small YAML file to millions of values."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {_MOST_VALUES} values, by aliases of aliases")
    for part in (*value, *value.values()) if isinstance(value, dict) else value:
        if isinstance(part, (dict, list, tuple, set)):
            _require_few_values(part, left)
        else:
            left[0] -= 1


def read_json(path: Path, expected: str, fix: str, missing: str | None = None) -> Any:
    """Return the content of a JSON file; raises `PipelineError` where there is none."""
    with reading(path, expected, fix, ValueError, RecursionError, missing=missing):
        return json.loads(path.read_text(encoding="utf-8"))
