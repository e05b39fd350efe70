"""The report in a real headless Chromium: both widths, by mouse and by keyboard, and on paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait
from tests.headless import (
    SIZES,
    check_report,
    chromium,
    console_errors,
    open_report,
    require_chromium,
)
from tests.report_files import DISTANCE, NSD_ID, PIX_CORR, write_run

from brainit.core.settings import parse_sections
from brainit.report.html import make_report

pytestmark = pytest.mark.xdist_group("report_in_browser")  # its fixtures are made once


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    require_chromium()
    with chromium() as found:
        yield found
        assert console_errors(found) == []


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    text = make_report(write_run(folder), parse_sections({"run": {"simulation": True}}))
    path.write_text(text, encoding="utf-8")
    return path


def shown(driver: webdriver.Chrome) -> list[int]:
    """Return the NSD ids of the cards on view, in order."""
    cards = driver.find_elements(By.CSS_SELECTOR, "#cards > .card")
    return [int(card.get_attribute("data-id") or -1) for card in cards if card.is_displayed()]


def choose(driver: webdriver.Chrome, name: str, value: str) -> None:
    Select(driver.find_element(By.ID, name)).select_by_value(value)


def fill(driver: webdriver.Chrome, name: str, text: str) -> None:
    field = driver.find_element(By.ID, name)
    field.clear()
    field.send_keys(text)


def ids_by(values: list[float], worst: bool = False) -> list[int]:
    """Return the NSD ids sorted by `values`, by plain Python."""
    return [int(nsd_id) for _, nsd_id in sorted(zip(values, NSD_ID, strict=True), reverse=worst)]


@pytest.mark.parametrize("size", list(SIZES))
def test_no_fault_at_either_width(
    driver: webdriver.Chrome, report: Path, size: str, tmp_path: Path
) -> None:
    check_report(driver, report, size, tmp_path / f"{size}.png")
    assert (tmp_path / f"{size}.png").stat().st_size > 10_000


@pytest.mark.parametrize("size", list(SIZES))
def test_sort_by_each_metric(driver: webdriver.Chrome, report: Path, size: str) -> None:
    open_report(driver, report, size)
    assert shown(driver) == ids_by(DISTANCE["fused"])
    choose(driver, "order", "worst")
    assert shown(driver) == ids_by(DISTANCE["fused"], worst=True)
    choose(driver, "metric", "PixCorr")
    assert shown(driver) == ids_by(PIX_CORR["fused"])
    choose(driver, "order", "id")
    assert shown(driver) == NSD_ID.tolist()
    choose(driver, "order", "best")
    choose(driver, "scored", "subj01/40h/lowlevel")
    assert shown(driver) == [3, 12345, 5, 8]  # 8 has no score and comes last
    scored = driver.find_elements(By.CSS_SELECTOR, "#cards .shot.scored")
    assert {shot.get_attribute("data-key") for shot in scored} == {"subj01/40h/lowlevel"}


def test_filter_by_metric_and_id(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report, "desktop")
    fill(driver, "least", "0.2")
    assert shown(driver) == [12345, 8, 3]
    fill(driver, "most", "0.3")
    assert shown(driver) == [12345, 8]
    assert driver.find_element(By.ID, "count").text == "2 of 4 images"
    choose(driver, "scored", "subj01/40h/lowlevel")
    choose(driver, "metric", "PixCorr")
    assert shown(driver) == [12345]
    driver.find_element(By.ID, "clear").click()
    assert shown(driver) == ids_by(DISTANCE["fused"])
    fill(driver, "id", "8")
    assert shown(driver) == [8]


def test_keyboard_alone_enlarges_and_turns_pages(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report, "desktop")
    first, second, *_, last = ids_by(DISTANCE["fused"])
    keys = webdriver.ActionChains(driver)
    driver.find_element(By.ID, "clear").send_keys(Keys.TAB)
    assert focused(driver).tag_name == "button"
    keys.send_keys(Keys.ENTER).perform()
    title = driver.find_element(By.ID, "large-title")
    assert title.text == f"Image {first}, subj01 (1 of 4)"
    keys.send_keys(Keys.ARROW_LEFT).perform()
    assert title.text.startswith(f"Image {last},")
    keys.send_keys(Keys.ARROW_RIGHT).send_keys(Keys.ARROW_RIGHT).perform()
    assert title.text.startswith(f"Image {second},")
    assert "net.final.distance ↓" in driver.find_element(By.ID, "large").text
    keys.send_keys(Keys.ESCAPE).perform()
    assert not driver.find_element(By.ID, "large").is_displayed()
    # The browser tells of the closing a moment after it.
    WebDriverWait(driver, 10).until(lambda _: focused_card(driver) == str(second))


def focused(driver: webdriver.Chrome) -> Any:
    return driver.switch_to.active_element


def focused_card(driver: webdriver.Chrome) -> Any:
    return focused(driver).find_element(By.XPATH, "..").get_attribute("data-id")


def test_wide_tables_and_figures_scroll_by_keyboard(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report, "phone")
    table = driver.find_element(By.CSS_SELECTOR, "#tables table")
    assert table.get_attribute("tabindex") == "0"
    assert driver.find_element(By.CSS_SELECTOR, ".wide").get_attribute("tabindex") == "0"


def test_print_leaves_out_the_controls(driver: webdriver.Chrome, report: Path) -> None:
    open_report(driver, report, "desktop")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not driver.find_element(By.ID, "controls").is_displayed()
        assert not driver.find_element(By.TAG_NAME, "nav").is_displayed()
        assert driver.find_element(By.CSS_SELECTOR, ".on-paper").is_displayed()
        assert len(shown(driver)) == 4
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_scripts_everything_is_there(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert (
        text.count('<li class="card"') == 4
        and '<form id="controls" class="controls" hidden' in text
    )
