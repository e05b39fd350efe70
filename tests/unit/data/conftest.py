"""The tiny NSD of the data tests; `make_nsd(folder)` writes another one to break."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.data import tiny_nsd as tiny_nsd_files
from tests.unit.data.fault_server import Faults


@pytest.fixture(scope="session")
def make_nsd() -> Callable[..., Any]:
    return tiny_nsd_files.write_tiny_nsd


@pytest.fixture(scope="session")
def write_mgh() -> Callable[..., Any]:
    return tiny_nsd_files.write_mgh


@pytest.fixture(scope="session")
def tiny_nsd(make_nsd: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Write a whole tree that tests only read."""
    return make_nsd(tmp_path_factory.mktemp("nsd"))


@pytest.fixture
def faults() -> Faults:
    return Faults()
