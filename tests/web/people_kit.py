"""People at the two doors of a page: the owner here, guests by their links here or from elsewhere."""

import secrets
from typing import Any

from starlette.testclient import TestClient
from study_kit import ORIGIN, PORT, TOKEN

from palate.store import Invitation, Store
from palate.web._app import Apps, create_apps

PUBLIC = "https://rate.example.org"
MONITOR = "monitor-token-of-the-tests-0123456789"


class People:
    """A page with everybody who may come."""

    def __init__(self, store: Store, *, proxied: bool = False, **options: Any) -> None:
        self.store = store
        self.apps: Apps = create_apps(
            store,
            launch_token=TOKEN,
            port=PORT,
            origin=PUBLIC,
            proxied=proxied,
            metrics_token=MONITOR,
            **options,
        )

    def at(self, origin: str) -> TestClient:
        """A browser that was not let in; it names its origin when it posts, as browsers do."""
        app = self.apps.own if origin == ORIGIN else self.apps.public
        assert app is not None
        client = TestClient(app, base_url=origin, follow_redirects=False)
        client.headers["origin"] = origin
        return client

    def owner(self) -> TestClient:
        client = self.at(ORIGIN)
        assert client.get(f"/start/{TOKEN}").status_code == 303
        return client

    def monitor(self, origin: str = ORIGIN) -> TestClient:
        client = self.at(origin)
        client.headers["authorization"] = f"Bearer {MONITOR}"
        return client

    def invited(self, name: str = "Anna", **options: Any) -> tuple[Invitation, str]:
        """An invitation, and the secret of its link."""
        secret = secrets.token_urlsafe(32)
        return self.store.invite(name, secret, **options), secret

    def guest(self, origin: str = ORIGIN, **options: Any) -> tuple[TestClient, Invitation]:
        """A browser that came in by an invitation of its own."""
        invitation, secret = self.invited(**options)
        client = self.at(origin)
        reply = client.post(f"/join/{secret}")
        assert reply.status_code == 303, reply.text
        return client, invitation
