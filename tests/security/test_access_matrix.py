"""Every route × method × Host × Origin × Sec-Fetch-Site × person, against an oracle that is written apart.

The routes come from the app's own table, so a new one is asked about without anybody thinking of it. Who
may use which is written down here a second time, in words, and a route that is missing here fails the test.
"""

import asyncio
import itertools
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from study_kit import PORT, TOKEN, StudyKit

from palate.store import EventKind, Store, invitation_payload, open_store, secret_hash
from palate.web._app import Apps, create_apps
from palate.web._roles import ROUTES, Role

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND")
PUBLIC = "https://rate.example.org"
OWN = f"127.0.0.1:{PORT}"
MONITOR = "monitor-token-of-the-tests-0123456789"
HOSTS = {
    "own": (OWN, f"localhost:{PORT}"),
    "public": ("rate.example.org",),
}
WRONG_HOSTS = (
    "",
    "127.0.0.1",
    "localhost",
    f"evil.example:{PORT}",
    f"{OWN}.evil.example",
    f"{OWN}@evil.example",
    f"evil.example@{OWN}",
    f"0.0.0.0:{PORT}",
    f"[::1]:{PORT}",
    f"127.1:{PORT}",
    f"2130706433:{PORT}",
    f"LOCALHOST:{PORT}",
    f"localhost.:{PORT}",
    f"127.0.0.1:{PORT + 1}",
    f" {OWN}",
    f"{OWN},{OWN}",
    "rate.example.org:443",
    "Rate.Example.Org",
    "rate.example.org.",
    "a.rate.example.org",
)
ORIGINS = (
    None,
    f"http://{OWN}",
    f"http://localhost:{PORT}",
    PUBLIC,
    "null",
    "",
    "http://evil.example",
    f"https://{OWN}",
    f"http://{OWN}/",
    f"http://{OWN}.evil.example",
    f"http://127.0.0.1:{PORT + 1}",
    "http://rate.example.org",
    "https://rate.example.org:443",
    "https://a.rate.example.org",
    "https://rate.example.org.evil.example",
    "file://",
    "chrome-extension://abcdefghijklmnop",
)
SITES = (None, "same-origin", "same-site", "cross-site", "none")
# Who may do what, as a person would say it. "anybody" is also somebody who was not let in.
MAY = {
    ("GET", "/start/{token}"): "anybody",
    ("GET", "/join/{secret}"): "anybody",
    ("POST", "/join/{secret}"): "anybody",
    ("GET", "/health"): "owner rater viewer monitor local",
    ("GET", "/metrics"): "owner monitor",
    ("GET", "/static/{name}"): "owner rater viewer",
    ("GET", "/pictures/{name}"): "owner rater viewer",
    ("GET", "/"): "owner rater",
    ("GET", "/api/duels"): "owner rater",
    ("POST", "/api/votes"): "owner rater",
    ("POST", "/api/undo"): "owner rater",
    ("POST", "/api/close"): "owner",
    ("POST", "/api/reopen"): "owner",
    ("GET", "/results"): "owner viewer",
    ("GET", "/results/best.txt"): "owner viewer",
    ("GET", "/statistics"): "owner viewer",
    ("GET", "/owner"): "owner",
    ("POST", "/api/revoke"): "owner",
}
NOWHERE = (
    "/nowhere",
    "/api",
    "/api/",
    "/api/votes/",
    "/API/votes",
    "//api/votes",
    "/static",
    "/static/",
    "/static/a/b",
    "/static/../api/votes",
    "/start",
    "/start/",
    "/join/",
    "/openapi.json",
    "/docs",
    "/.git/config",
    "/results/",
    "/owner/",
    "/metrics/x",
    "/%2e%2e/",
)


class World(NamedTuple):
    """The app at both doors, the people, and what a request to each path needs."""

    apps: Apps
    cookies: Mapping[str, str]


def invited(store: Store, role: str) -> str:
    """Invite somebody who has used the link already; returns the secret of the cookie."""
    made = invitation_payload(secrets.token_urlsafe(32), role=role)
    session = secrets.token_urlsafe(32)
    store.append(EventKind.INVITED, made)
    store.append(EventKind.INVITATION_USED, {"id": made["id"], "session": secret_hash(session)})
    return session


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    with open_store(folder / "study.db") as store:
        StudyKit(store).pair(2)
        apps = create_apps(
            store, launch_token=TOKEN, port=PORT, origin=PUBLIC, proxied=True, metrics_token=MONITOR
        )
        status, headers, _ = asyncio.run(ask(apps.own, "GET", f"/start/{TOKEN}", {"host": OWN}))
        assert status == 303
        owner = headers["set-cookie"].partition(";")[0].partition("=")[2]
        people = {"owner": owner, "rater": invited(store, "rater"), "viewer": invited(store, "viewer")}
        revoked = invited(store, "rater")
        (last,) = [e for e in store.events() if e.kind is EventKind.INVITED][-1:]
        store.append(EventKind.INVITATION_REVOKED, {"id": last.payload["id"]})
        yield World(apps, {**people, "revoked": revoked})


async def ask(
    app: Any, method: str, path: str, headers: Mapping[str, str | None], body: bytes = b"{}"
) -> tuple[int, dict[str, str], bytes]:
    """One request straight into the app; what it says when it was answered."""
    given = {**headers, **({"content-type": "application/json"} if method == "POST" else {})}
    listed = [(k.encode(), v.encode("latin-1")) for k, v in given.items() if v is not None]
    return await exchange(app, method, path, listed, body)


async def exchange(
    app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", PORT),
    }
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    start = said[0]
    found = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return start["status"], found, b"".join(m.get("body", b"") for m in said[1:])


def person_headers(world: World, door: str, person: str) -> dict[str, str | None]:
    """What a browser or a program of that person sends."""
    if person == "monitor":
        return {"authorization": f"Bearer {MONITOR}"}
    if person in ("stranger", "forged", "empty", "none of ours"):
        value = {"forged": "x" * 43, "empty": "", "none of ours": None, "stranger": None}[person]
    else:
        value = world.cookies[person]
    name = f"palate-{PORT}" if door == "own" else "__Host-palate"
    if person == "none of ours":
        return {"cookie": "session=abcdef"}
    return {} if value is None else {"cookie": f"{name}={value}"}


def oracle(
    door: str, method: str, route: str, host: str, origin: str | None, site: str | None, person: str
) -> int | str:
    """What must come of a request: a status, or "in" when the route itself answers. Slow and in words."""
    if host not in HOSTS[door]:
        return 403
    expected = f"http://{host}" if door == "own" else PUBLIC
    if origin is not None:
        if origin != expected:
            return 403
    elif method not in ("GET", "HEAD") and site != "same-origin":
        return 403
    kind = person
    if person in ("stranger", "forged", "empty", "none of ours", "revoked"):
        kind = "local" if door == "own" else "guest"
    if person == "owner" and door == "public":
        kind = "guest"  # the owner's cookie is for this computer
    methods = {m: who for (m, path), who in MAY.items() if path == route}
    if kind in ("local", "guest") and not any(kind in w.split() or w == "anybody" for w in methods.values()):
        return 403
    if not methods:
        return 404
    if method not in methods:
        return 405
    who = methods[method]
    return "in" if who == "anybody" or kind in who.split() else 403


PEOPLE = ("owner", "rater", "viewer", "monitor", "stranger", "forged", "empty", "none of ours", "revoked")
FILLED = {
    "/start/{token}": "/start/" + "w" * 43,
    "/join/{secret}": "/join/" + "w" * 43,
    "/static/{name}": "/static/palate.css",
    "/pictures/{name}": "/pictures/" + "0" * 64,
}
LINKS = ("/start/{token}", "/join/{secret}")
OWNERS = {path for (_, path), who in MAY.items() if who in ("owner",)}
# What an answered request may say of itself: a guard's refusal is none of it.
ANSWERED = {200, 303, 400, 404, 409, 422, 429}


def test_the_words_here_cover_every_route_of_the_app() -> None:
    assert {(route.method, route.path) for route in ROUTES} == set(MAY)
    for route in ROUTES:
        who = MAY[route.method, route.path]
        everybody = set(Role)
        assert route.roles == (everybody if who == "anybody" else {Role(word) for word in who.split()})


def cells_of(door: str, method: str, route: str) -> Iterator[tuple[str, str | None, str | None, str]]:
    """Host, Origin, Sec-Fetch-Site and person of the requests that are worth making."""
    right = HOSTS[door][0]
    origin = f"http://{right}" if door == "own" else PUBLIC
    for host in (*HOSTS[door], *WRONG_HOSTS):
        yield host, origin, None, "owner"
        yield host, None, "same-origin", "rater"
    for person in PEOPLE:
        for given, site in ((None, None), (origin, None), (None, "same-origin"), ("null", "same-origin")):
            yield right, given, site, person
    if route in NOWHERE or method not in ("GET", "POST", "HEAD", "DELETE"):
        return
    for host, given, site in itertools.product(HOSTS[door], ORIGINS, SITES):
        yield host, given, site, "rater"
        if site is None:
            yield host, given, site, "stranger"


@pytest.mark.parametrize("door", ["own", "public"])
async def test_only_the_exact_cells_pass(world: World, door: str) -> None:
    app = world.apps.own if door == "own" else world.apps.public
    asked, passed = 0, Counter[str]()
    for route, method in itertools.product((*sorted({path for _, path in MAY}), *NOWHERE), METHODS):
        for host, origin, site, person in cells_of(door, method, route):
            expected = oracle(door, method, route, host, origin, site, person)
            slow = route in LINKS and expected == "in"
            if slow and passed[route] >= 3:
                continue  # guesses of links are answered slowly, and then not at all for a while
            headers = {"host": host, "origin": origin, "sec-fetch-site": site}
            headers |= person_headers(world, door, person)
            status, found, body = await ask(app, method, FILLED.get(route, route), headers)
            cell = (door, method, route, host, origin, site, person, status, body[:100])
            asked += 1
            assert not [name for name in found if name.startswith("access-control-")], cell
            if expected == "in":
                passed[route] += 1
                # A link that nobody was given is refused by its own view, in words of its own.
                assert status in ((403, 404, 429) if route in LINKS else ANSWERED), cell
                assert status != 404 or route in (*LINKS, "/pictures/{name}", "/results/best.txt"), cell
            else:
                assert status == expected, cell
                assert json.loads(body).keys() == {"error"}, cell
                assert "frame-ancestors 'none'" in found["content-security-policy"], cell
                assert found["x-frame-options"] == "DENY", cell
                assert "set-cookie" not in found, cell
    assert asked > 10_000
    assert set(passed) == {path for _, path in MAY if not (door == "public" and path in OWNERS)}


@pytest.mark.parametrize("path", ["/", "/api/votes", "/api/duels", "/owner", "/nowhere"])
@pytest.mark.parametrize("door", ["own", "public"])
async def test_no_socket_is_ever_opened(world: World, door: str, path: str) -> None:
    app = world.apps.own if door == "own" else world.apps.public
    for person, host in itertools.product(PEOPLE, (*HOSTS[door], *WRONG_HOSTS)):
        headers = {"host": host, **person_headers(world, door, person)}
        listed = [(k.encode(), v.encode()) for k, v in headers.items() if v is not None]
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any, said: list[Any] = said) -> None:
            said.append(message)

        await app({"type": "websocket", "path": path, "headers": listed}, receive, send)
        assert [message["type"] for message in said] == ["websocket.close"]


@pytest.mark.parametrize("name", ["host", "origin", "cookie", "sec-fetch-site", "authorization"])
@pytest.mark.parametrize("second", ["the same", "another", "empty"])
async def test_a_deciding_header_given_twice_is_refused(world: World, name: str, second: str) -> None:
    right = {
        "host": OWN,
        "origin": f"http://{OWN}",
        "sec-fetch-site": "same-origin",
        "authorization": f"Bearer {MONITOR}",
        **person_headers(world, "own", "owner"),
    }
    listed = [(k.encode(), str(v).encode()) for k, v in right.items()]
    assert (await exchange(world.apps.own, "GET", "/metrics", listed, b""))[0] == 200
    twin = {"the same": str(right[name]), "another": "x", "empty": ""}[second].encode()
    for place in (0, len(listed)):
        doubled = [*listed[:place], (name.encode(), twin), *listed[place:]]
        assert (await exchange(world.apps.own, "GET", "/metrics", doubled, b""))[0] == 403


@pytest.mark.parametrize("person", ["owner", "rater", "viewer", "monitor", "stranger"])
async def test_nobody_reaches_what_is_another_studys(world: World, tmp_path: Path, person: str) -> None:
    """A cookie of one study opens nothing in another one, on the same port and under the same name."""
    with open_store(tmp_path / "other.db") as store:
        StudyKit(store).pair(1)
        other = create_apps(store, launch_token=TOKEN + "2", port=PORT, origin=PUBLIC)
        for door, app in (("own", other.own), ("public", other.public)):
            host = HOSTS[door][0]
            origin = f"http://{host}" if door == "own" else PUBLIC
            for method, route in MAY:
                if route in LINKS or route == "/health":
                    continue
                headers = {"host": host, "origin": origin, **person_headers(world, door, person)}
                status, _, _ = await ask(app, method, FILLED.get(route, route), headers)
                assert status == 403, (door, method, route)
