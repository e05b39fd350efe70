"""The configurations that the repository ships, as Snakemake merges them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainit.workflow.study import Study
from brainit.workflow.variants import merged

MakeStudy = Callable[..., Study]


@pytest.fixture(scope="session")
def paper(repository: Path) -> dict[str, Any]:
    """Return the paper's configuration."""
    return yaml.safe_load((repository / "config/config.yaml").read_text())


@pytest.fixture
def study(paper: dict[str, Any]) -> MakeStudy:
    """Return the study of the paper's configuration with other values of some sections."""

    def make(**overlay: Any) -> Study:
        return Study.of(merged(paper, overlay))

    return make
