"""MATLAB files (version 5): read whole, every fault that a damaged one gives told alike."""

import zlib
from pathlib import Path
from typing import Any

from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from brainit.core.errors import PipelineError

_FAULTS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
    MatReadError,
    zlib.error,
)
"""What SciPy raises for truncated, foreign, damaged and version 7.3 files."""


def read_mat(path: Path, fix: str, expected: str = "a readable MATLAB file") -> dict[str, Any]:
    """Return the arrays of a file by name; raises `PipelineError` where it cannot be read."""
    try:
        content: dict[str, Any] = loadmat(path)
    except _FAULTS as error:
        raise PipelineError(path, expected, str(error), fix, code="damaged-file") from error
    return content
