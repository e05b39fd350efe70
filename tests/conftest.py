"""What all tests share: one torch thread, folders of golden values and of small real data."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    import torch

    torch.set_num_threads(1)


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
