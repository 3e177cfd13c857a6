"""A study to vote on, and a browser's view of the app without a network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser_kit import open_chromium
from selenium import webdriver
from starlette.testclient import TestClient
from study_kit import ORIGIN, PORT, TOKEN, StudyKit

from palate.store import Store, open_store
from palate.web import create_app


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "parcels.db") as opened:
        yield opened


@pytest.fixture
def kit(store: Store) -> StudyKit:
    return StudyKit(store)


@pytest.fixture
def make_kit(store: Store) -> Callable[..., StudyKit]:
    return lambda **options: StudyKit(store, **options)


@pytest.fixture
def outsider(store: Store) -> TestClient:
    """A client that was not let in."""
    app = create_app(store, launch_token=TOKEN, port=PORT)
    return TestClient(app, base_url=ORIGIN, follow_redirects=False)


@pytest.fixture
def page(outsider: TestClient) -> TestClient:
    """A client that was let in and, like a browser, names its origin when it posts."""
    assert outsider.get(f"/start/{TOKEN}").status_code == 303
    outsider.headers["origin"] = ORIGIN
    return outsider


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = open_chromium(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


@pytest.fixture
def phone(driver: webdriver.Chrome) -> Iterator[None]:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5})
    yield
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
