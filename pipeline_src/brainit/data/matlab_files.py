"""Read MATLAB files (version 5), for NSD's designs and lab recordings."""

import struct
import zlib
from pathlib import Path
from typing import Any

from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from brainit.core.reading import reading

_HEAD = b"MATLAB 5.0"
_SCIPY_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
    MatReadError,
    zlib.error,
    OverflowError,
    AttributeError,
    RecursionError,
    struct.error,
    MemoryError,
)
"""Exceptions that SciPy raises on corrupt files, other kinds of files and version 7.3."""


def read_mat(path: Path, fix: str, expected: str = "a readable MATLAB file") -> dict[str, Any]:
    """Return the arrays of a file by name; raises `PipelineError` for an unreadable file."""
    with reading(path, expected, fix, *_SCIPY_ERRORS), path.open("rb") as handle:
        head = handle.read(len(_HEAD))
        if head != _HEAD:  # SciPy takes any other file for version 4, and reserves what it states
            raise ValueError(f"a file that begins with {head!r}, not with {_HEAD!r}")
        handle.seek(0)
        return dict(loadmat(handle))  # type: ignore[arg-type]
