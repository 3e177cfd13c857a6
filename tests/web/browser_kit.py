"""Somebody at the page, in a real browser."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from palate.store import Store, StudyState

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and its driver"),
]
PATIENCE = 20  # seconds


def open_chromium(profile: Path) -> webdriver.Chrome:
    """Chromium without a window, which looks nothing up by itself.

    Args:
        profile: An empty folder for its profile.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1280,800",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))


class Reader:
    """Somebody at the page."""

    def __init__(self, driver: webdriver.Chrome, link: str, store: Store) -> None:
        self.driver, self.link, self.store = driver, link, store
        driver.get(link)
        self.until(lambda: self.shown() or self.open_dialog())
        if self.open_dialog():
            self.press(Keys.ESCAPE)
            self.until(lambda: not self.open_dialog())

    def until(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, PATIENCE, 0.01).until(lambda _: condition())

    def js(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def open_dialog(self) -> str:
        return self.js("return document.querySelector('dialog[open]')?.id || ''")

    def shown(self) -> tuple[str, str] | None:
        """Both answers, once a duel is on the screen."""
        pair = self.js(
            "return document.getElementById('duel').hidden ? null :"
            "['left', 'right'].map((side) => document.getElementById(side).textContent.trim())"
        )
        return tuple(pair) if pair else None

    def press(self, key: str) -> None:
        webdriver.ActionChains(self.driver, duration=0).send_keys(key).perform()

    def click(self, action: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, f"[data-do={action}]").click()

    def touch(self, action: str) -> None:
        button = self.driver.find_element(By.CSS_SELECTOR, f"[data-do={action}]").rect
        point = {"x": button["x"] + button["width"] / 2, "y": button["y"] + button["height"] / 2}
        point["y"] -= self.js("return scrollY")
        self.driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]}
        )
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def text(self, identifier: str) -> str:
        return self.js("return document.getElementById(arguments[0]).textContent", identifier)

    def votes(self) -> list[Any]:
        return StudyState.replay(self.store.events()).votes

    def stored(self, count: int) -> list[Any]:
        self.until(lambda: len(self.votes()) >= count)
        votes = self.votes()
        assert len(votes) == count
        return votes


def requested(driver: webdriver.Chrome) -> list[str]:
    """Every address that the browser asked for since the last time, less the icons of its own controls."""
    urls = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
    return [url for url in urls if not url.startswith("chrome://resources/images/")]
