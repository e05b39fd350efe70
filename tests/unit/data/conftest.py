"""The tiny NSD of the data tests; `make_nsd(folder)` writes another one to break."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).with_name("tiny_nsd.py")


def _module() -> Any:
    name = "brainit_tests_tiny_nsd"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _SOURCE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def make_nsd() -> Callable[..., Any]:
    return _module().write_tiny_nsd


@pytest.fixture(scope="session")
def write_mgh() -> Callable[..., Any]:
    return _module().write_mgh


@pytest.fixture(scope="session")
def tiny_nsd(make_nsd: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Write a whole tree that tests only read."""
    return make_nsd(tmp_path_factory.mktemp("nsd"))
