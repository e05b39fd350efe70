"""Read MATLAB files (version 5), for NSD's designs and lab recordings."""

import zlib
from pathlib import Path
from typing import Any

from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from brainit.core.errors import PipelineError

_SCIPY_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
    MatReadError,
    zlib.error,
)
"""Exceptions that SciPy raises on corrupt files, other kinds of files and version 7.3."""


def read_mat(path: Path, fix: str, expected: str = "a readable MATLAB file") -> dict[str, Any]:
    """Return the arrays of a file by name; raises `PipelineError` for an unreadable file."""
    try:
        content: dict[str, Any] = loadmat(path)
    except _SCIPY_ERRORS as error:
        raise PipelineError(path, expected, str(error), fix, code="damaged-file") from error
    return content
