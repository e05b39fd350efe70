"""The tiny run's own report in a headless Chromium, at both widths."""

from pathlib import Path

import pytest

from tests.headless import SIZES, check_report, chromium, require_chromium

pytestmark = pytest.mark.slow


def test_report_of_a_run(first: Path, tmp_path: Path) -> None:
    require_chromium()
    with chromium() as driver:
        for size in SIZES:
            check_report(driver, first / "results/report.html", size, tmp_path / f"{size}.png")
