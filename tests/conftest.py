"""Fixtures of all tests: one thread, checked shapes, folders of golden and small real data."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401 - found by its name below

REPOSITORY = Path(__file__).resolve().parents[1]

# Every shape that a signature states is checked in all tests of this process. Here and not in a
# hook: the conftest.py of a folder that is named alone imports the package before any hook runs.
# Compiled files are kept, whatever the shell says: the checks are then built into the package
# once, and the hundreds of short processes of the tests start without compiling it.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("OMP_NUM_THREADS", "1")
install_import_hook("brainit", "tests.typecheck.checked")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests of one process on one core."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # this process only hands out tests to others
    if find_spec("torch"):  # the tests of `.ci/other_pythons` need none
        import torch

        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _threads_of_the_test_before() -> Iterator[None]:
    """Give back the threads that a step takes in this process: they decide the last bits."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    return REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Small real data (not part of the repository); skips with the reason where they are absent."""
    folder = Path(os.environ.get("BRAINIT_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the small real data sets are not at {folder} (set BRAINIT_SHARED)")
    return folder
