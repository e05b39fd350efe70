"""Brain-IT (Beliy, Zalcher et al., ICLR 2026, arXiv 2510.25976), from NSD's files to tables.

`brainit.load` and `brainit.metrics` are those of `brainit.api`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_DOOR = ("load", "metrics")


def __getattr__(name: str) -> Any:
    """Open the Python door only when it is used: it needs torch, the steps' start should not."""
    if name in _DOOR:
        return getattr(importlib.import_module("brainit.api"), name)
    raise AttributeError(f"module 'brainit' has no attribute {name!r}")
