"""Brain-IT (Beliy, Zalcher et al., ICLR 2026, arXiv 2510.25976), from NSD's files to tables.

`brainit.load`, `brainit.load_models` and `brainit.metrics` are those of `brainit.api`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = ("load", "load_models", "metrics")


def __getattr__(name: str) -> Any:
    """Import the Python interface at its first use, so that steps start without torch."""
    if name in _LAZY:
        return getattr(importlib.import_module("brainit.api"), name)
    raise AttributeError(f"module 'brainit' has no attribute {name!r}")
