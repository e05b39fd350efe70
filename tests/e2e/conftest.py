"""One tiny run, which all end-to-end tests of a session share."""

from pathlib import Path

import pytest

from tests.e2e.tiny_run import run


@pytest.fixture(scope="session")
def first(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("e2e") / "first"
    result = run(repository, root, "all")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return root
