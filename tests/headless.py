"""A real headless Chromium for tests, and the requirements on every report that it opens.

Needs Debian's packages chromium and chromium-driver.
"""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
MOST_BYTES = 25_000_000


def require_chromium() -> None:
    """Skip the test, with the reason, where there is no browser."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no browser: apt-get install chromium chromium-driver")


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Run the browser without a network, its console kept."""
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def open_report(driver: webdriver.Chrome, report: Path, size: str) -> None:
    """Open the file at the width of a desktop's or a phone's screen."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(report.as_uri())


def check_report(driver: webdriver.Chrome, report: Path, size: str, screenshot: Path) -> None:
    """Open the file, check the requirements on every report, and leave a screenshot."""
    open_report(driver, report, size)
    assert report.stat().st_size < MOST_BYTES
    images = driver.find_elements(By.TAG_NAME, "img")
    described = driver.execute_script(
        "return [...document.images].filter(i => i.alt.trim() && i.naturalWidth).length"
    )
    assert images and described == len(images), "an image without alt text, or that is broken"
    inside, shown = driver.execute_script("return [document.body.scrollWidth, innerWidth]")
    assert inside <= shown, f"the page is {inside} px wide on a screen of {shown} px"
    assert console_errors(driver) == []
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    screenshot.write_bytes(base64.b64decode(taken["data"]))


def console_errors(driver: webdriver.Chrome) -> list[str]:
    """Return the page's console messages since the last call."""
    return [entry["message"] for entry in driver.get_log("browser")]
