"""What holds for every test: CI may not pass for want of a browser or a database server."""

import os
import shutil

import pytest
from hypothesis import settings

# People look for new examples on every run; a gate must give the same answer for the same code.
settings.register_profile("gate", derandomize=True)
if os.environ.get("CI") == "true":
    settings.load_profile("gate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Elsewhere the browser tests skip without a browser; in CI that would hide them."""
    wanted = any(item.get_closest_marker("browser") for item in items)
    found = shutil.which("chromium") and shutil.which("chromedriver")
    if wanted and not found and os.environ.get("CI") == "true":
        raise pytest.UsageError("CI needs chromium and chromium-driver; .ci/run installs them")
    if os.environ.get("CI") == "true" and any(item.get_closest_marker("postgres") for item in items):
        from palate.testing import find_postgres

        if find_postgres() is None:
            raise pytest.UsageError("CI needs a PostgreSQL server; .ci/run installs it")
