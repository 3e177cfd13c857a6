"""A PostgreSQL server for the tests that need one; one for all of them."""

from collections.abc import Iterator

import pytest

from palate.testing import PostgresServer, find_postgres, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of this run alone. In CI its absence is an error, see ``tests/conftest.py``."""
    if find_postgres() is None:
        pytest.skip("no PostgreSQL on this machine; install it, as with: apt-get install postgresql")
    with postgres_server() as server:
        yield server


@pytest.fixture
def study(request: pytest.FixtureRequest, postgres: PostgresServer) -> str:
    """The address of a study that no other test uses."""
    number = request.session.stash.setdefault(_NUMBER, 0) + 1
    request.session.stash[_NUMBER] = number
    return postgres.url(f"test-{number}")


_NUMBER: pytest.StashKey[int] = pytest.StashKey()
