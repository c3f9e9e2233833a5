"""A real browser without a window, Debian's Chromium, with a profile of its own and no way to other machines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

SECONDS = 300
"""How long anything may take before a test calls it hanging: a busy machine takes a minute for a run."""

WIDTH, HEIGHT = 1280, 800
_FRAME = 143
"""Pixels of the window that are not the page's."""

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    f"--window-size={WIDTH},{HEIGHT + _FRAME}",
)


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser with one page."""

    driver: Chrome

    def open(self, url: str) -> None:
        self.driver.get(url)

    def press(self, button: str) -> None:
        """Click the button with this text, as soon as the page lets it be clicked."""
        locator = (By.XPATH, f"//button[normalize-space()='{button}']")

        def click(driver: Chrome) -> bool:
            driver.find_element(*locator).click()
            return True

        ignored = (NoSuchElementException, ElementClickInterceptedException, StaleElementReferenceException)
        wait = WebDriverWait(self.driver, SECONDS, ignored_exceptions=ignored)
        wait.until(element_to_be_clickable(locator))
        wait.until(click)

    def wait(self, what: str, shows: Callable[[str], bool]) -> None:
        """Wait until the text of the page is so; fails with the text if it does not become so."""
        try:
            WebDriverWait(self.driver, SECONDS).until(lambda _: shows(self.text))
        except TimeoutException:
            message = f"the page does not show {what}, but:\n{self.text}"
            raise AssertionError(message) from None

    @property
    def text(self) -> str:
        """All that the page shows."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def picture(self, path: Path) -> None:
        """Write a picture of the page, PNG."""
        assert self.driver.save_screenshot(path)


@contextmanager
def browser() -> Iterator[Browser]:
    """Have a browser; fails if there is none on this machine."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    assert all(programs), "chromium or chromedriver is missing: run scripts/ci-tools.sh"
    # Not below pytest's: Chromium has a socket in it, whose path must be short.
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as directory:
        options = ChromeOptions()
        options.binary_location = str(programs[0])
        for flag in (*_FLAGS, f"--user-data-dir={directory}/profile"):
            options.add_argument(flag)
        # A path of the driver's own: selenium must not look for one to download.
        environment = {"PATH": "/usr/bin:/bin", "HOME": directory, "TMPDIR": directory}
        driver = Chrome(options, ChromeService(str(programs[1]), env=environment))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
