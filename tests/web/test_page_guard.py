"""Only exact cells of methods × hosts × origins × tokens pass; everything else is denied."""

import itertools
import re

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from study_kit import ORIGIN, PORT, TOKEN, StudyKit

from palate.errors import ConfigError
from palate.store import Store
from palate.web import create_app

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]
HOSTS = {
    f"127.0.0.1:{PORT}": "http://127.0.0.1:8765",
    f"localhost:{PORT}": "http://localhost:8765",
    "127.0.0.1": None,
    "localhost": None,
    f"evil.example:{PORT}": None,
    f"127.0.0.1.evil.example:{PORT}": None,
    "127.0.0.1:8766": None,
    f"0.0.0.0:{PORT}": None,
    f"[::1]:{PORT}": None,
    f"127.0.0.1:{PORT}@evil.example": None,
    "": None,
}
ORIGINS = [
    None,
    "http://127.0.0.1:8765",
    "http://localhost:8765",
    "null",
    "",
    "http://evil.example",
    "https://127.0.0.1:8765",
    "http://127.0.0.1",
    "http://127.0.0.1:8766",
    "http://127.0.0.1:8765.evil.example",
    "http://127.0.0.1:8765/",
]
ROUTES = {
    "/": "GET",
    "/results": "GET",
    "/results/best.txt": "GET",
    "/static/palate.css": "GET",
    "/api/duels": "GET",
    "/api/votes": "POST",
    "/api/undo": "POST",
    "/api/close": "POST",
    "/api/reopen": "POST",
    "/api/nothing": None,
    "/openapi.json": None,
    "/static": None,
    "/static/": None,
    "/static/../words.json": None,
}
BODIES = {"/api/undo": {"duel_id": "no-such-duel"}, "/api/votes": {}}


def cookie_of(client: TestClient) -> str:
    return f"palate-{PORT}={client.cookies[f'palate-{PORT}']}"


def send(client: TestClient, method: str, path: str, **headers: str | None) -> int:
    client.headers.pop("origin", None)
    client.cookies.clear()
    named = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    body = BODIES.get(path, {}) if method == "POST" else None
    return client.request(method, path, headers=named, json=body).status_code


@pytest.mark.parametrize("path", ROUTES)
def test_only_exact_cells_pass(kit: StudyKit, page: TestClient, path: str) -> None:
    kit.pair()
    right = cookie_of(page)
    cookies = [right, None, right[:-1], right + "x", right.replace("8765", "8766"), f"palate-{PORT}=", "x=y"]
    passed = 0
    for method, (host, own), origin, cookie in itertools.product(METHODS, HOSTS.items(), ORIGINS, cookies):
        # Far from the right cell, one wrong thing at a time is enough to ask about.
        if sum((own is None, origin not in (None, own), cookie != right, method != ROUTES[path])) > 1:
            continue
        status = send(page, method, path, host=host, origin=origin, cookie=cookie)
        origin_ok = origin == own or (origin is None and method in ("GET", "HEAD"))
        if own is None or not origin_ok or cookie != right:
            assert status == 403, (method, host, origin, cookie)
        elif ROUTES[path] is None:
            assert status == 404, (method, host, origin)
        elif method != ROUTES[path]:
            assert status == 405, (method, host, origin)
        else:
            assert status not in (403, 405), (method, host, origin)
            passed += 1
    assert passed == (0 if ROUTES[path] is None else 2 if ROUTES[path] == "POST" else 4)


def test_a_post_without_an_origin_needs_a_browser_that_says_same_origin(
    kit: StudyKit, page: TestClient
) -> None:
    cookie = cookie_of(page)
    for site, expected in [("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403)]:
        assert send(page, "POST", "/api/close", cookie=cookie, sec_fetch_site=site) == expected
    # The Origin decides, whatever else is claimed.
    evil = send(page, "POST", "/api/close", cookie=cookie, origin="null", sec_fetch_site="same-origin")
    assert evil == 403


@pytest.mark.parametrize("name", ["host", "origin", "cookie"])
def test_a_deciding_header_given_twice_is_refused(page: TestClient, name: str) -> None:
    values = {"host": f"127.0.0.1:{PORT}", "origin": ORIGIN, "cookie": cookie_of(page)}
    page.cookies.clear()
    headers = [(key, value) for key, value in values.items() if key != name]
    assert page.get("/", headers=[*headers, (name, values[name])]).status_code == 200
    assert page.get("/", headers=[*headers, (name, values[name]), (name, values[name])]).status_code == 403


def test_the_launch_link_works_once(kit: StudyKit, outsider: TestClient) -> None:
    assert outsider.get("/start/" + "x" * len(TOKEN)).status_code == 403
    assert outsider.head(f"/start/{TOKEN}").status_code == 405
    first = outsider.get(f"/start/{TOKEN}")
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert re.fullmatch(
        r"palate-8765=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", first.headers["set-cookie"]
    )
    again = outsider.get(f"/start/{TOKEN}")
    assert again.status_code == 303
    assert "set-cookie" not in again.headers
    outsider.cookies.clear()
    other = outsider.get(f"/start/{TOKEN}")
    assert other.status_code == 403
    assert "works once" in other.json()["error"]
    assert "set-cookie" not in other.headers


def test_a_link_followed_from_another_site_leads_on_by_a_page(kit: StudyKit, outsider: TestClient) -> None:
    reply = outsider.get(f"/start/{TOKEN}", headers={"sec-fetch-site": "cross-site"})
    assert reply.status_code == 200
    assert 'url=/"' in reply.text
    assert outsider.get("/").status_code == 200


def test_the_cookie_is_not_the_link_and_differs_between_starts(store: Store, kit: StudyKit) -> None:
    seen = set()
    for _ in range(2):
        app = create_app(store, launch_token=TOKEN, port=PORT)
        client = TestClient(app, base_url=ORIGIN, follow_redirects=False)
        client.get(f"/start/{TOKEN}")
        seen.add(client.cookies[f"palate-{PORT}"])
    assert len(seen) == 2
    assert TOKEN not in seen


def test_a_short_launch_token_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="at least 22"):
        create_app(store, launch_token="short", port=PORT)


@pytest.mark.parametrize("path", ["/", "/api/duels", "/static/vote.js", "/api/votes", "/nowhere"])
@pytest.mark.parametrize("inside", [True, False])
def test_every_reply_is_protected(kit: StudyKit, page: TestClient, path: str, inside: bool) -> None:
    if not inside:
        page.cookies.clear()
    reply = page.get(path, headers={"accept": "text/html"})
    policy = reply.headers["content-security-policy"]
    assert policy.startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
        if reply.is_success
        else "default-src 'none'; script-src 'self'; style-src 'sha256-"
    )
    for part in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "connect-src 'self'"):
        assert part in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["x-dns-prefetch-control"] == "off"
    assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_refusals_are_one_line_of_json_or_a_page_for_people(page: TestClient) -> None:
    page.cookies.clear()
    plain = page.get("/api/duels")
    assert plain.status_code == 403
    assert set(plain.json()) == {"error"}
    assert "\n" not in plain.json()["error"]
    person = page.get("/", headers={"accept": "text/html,*/*"})
    assert person.status_code == 403
    assert "Open the newest link" in person.text


def test_sockets_are_denied(page: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), page.websocket_connect("/api/duels"):
        raise AssertionError("a socket was opened")


def test_static_serves_its_table_and_nothing_else(kit: StudyKit, page: TestClient) -> None:
    for name in ("%2e%2e%2fwords.json", "..%2f_app.py", "words.json", "palate.css%00", "PALATE.CSS"):
        assert page.get(f"/static/{name}").status_code == 404
    packed = page.get("/static/palate.css")
    assert packed.headers["content-encoding"] == "gzip"
    plain = page.get("/static/palate.css", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == packed.text


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"content-type": "text/plain"}, b"{}", 415),
        ({"content-type": "application/x-www-form-urlencoded"}, b"{}", 415),
        ({"content-type": "application/json"}, b"x" * 20_000, 413),
        ({"content-type": "application/json", "content-length": "20000"}, b"{}", 413),
        ({"content-type": "application/json", "content-length": "-1"}, b"{}", 413),
        ({"content-type": "application/json"}, b"{", 400),
        ({"content-type": "application/json"}, b"[" * 10_000, 400),
        ({"content-type": "application/json"}, b"\xff\xfe", 400),
        ({"content-type": "application/json"}, b"[]", 400),
    ],
)
@pytest.mark.parametrize("path", ["/api/votes", "/api/undo", "/api/close", "/api/reopen"])
def test_bodies_are_small_json_objects(
    kit: StudyKit, page: TestClient, path: str, headers: dict[str, str], body: bytes, expected: int
) -> None:
    reply = page.post(path, content=body, headers=headers)
    assert reply.status_code == expected
    assert set(reply.json()) == {"error"}


def test_a_body_that_arrives_in_pieces_is_cut_off(kit: StudyKit, page: TestClient) -> None:
    def endless():
        for _ in range(100):
            yield b" " * 1000

    reply = page.post("/api/votes", content=endless(), headers={"content-type": "application/json"})
    assert reply.status_code == 413
