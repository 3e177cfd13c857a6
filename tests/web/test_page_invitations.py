"""Coming in by an invitation: once for each browser, across restarts and processes, and out at once."""

import re
from pathlib import Path

import pytest
from people_kit import PUBLIC, People
from study_kit import ORIGIN, TOKEN, StudyKit

from palate.store import EventKind, Store, open_store
from palate.web._limits import LIMITS, Limits
from palate.web._throttle import Throttle, address_of

DUELS = "/api/duels"


@pytest.fixture
def people(store: Store, kit: StudyKit) -> People:
    kit.pair(6)
    return People(store)


def test_looking_at_a_link_uses_nothing_up_and_pressing_the_button_does(people: People) -> None:
    invitation, secret = people.invited("<b>Anna</b>")
    scanner, anna, other = (people.at(PUBLIC) for _ in range(3))
    for client in (scanner, scanner, anna):
        page = client.get(f"/join/{secret}")
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
        assert "&lt;b&gt;Anna&lt;/b&gt;" in page.text
        assert '<form method="post"><button>' in page.text
        assert page.headers["referrer-policy"] == "same-origin"
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert "script-src 'self'" in page.headers["content-security-policy"]
    let_in = anna.post(f"/join/{secret}")
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
    flags = r"__Host-palate=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Secure"
    assert re.fullmatch(flags, let_in.headers["set-cookie"])
    assert anna.get(DUELS).status_code == 200
    again = anna.get(f"/join/{secret}")
    assert (again.status_code, "set-cookie" in again.headers) == (200, False)
    assert 'url=/"' in again.text
    late = other.post(f"/join/{secret}")
    assert late.status_code == 403
    assert "used before" in late.text
    assert invitation.id not in late.text


def test_a_link_lets_in_as_many_browsers_as_it_says(people: People) -> None:
    _, secret = people.invited(uses=2)
    statuses = [people.at(ORIGIN).post(f"/join/{secret}").status_code for _ in range(4)]
    assert statuses == [303, 303, 403, 403]


def test_a_browser_that_is_in_is_out_at_once_whoever_revokes(
    people: People, store: Store, tmp_path: Path
) -> None:
    owner = people.owner()
    clients = [people.guest(origin) for origin in (ORIGIN, PUBLIC, PUBLIC, PUBLIC)]
    assert {client.get(DUELS).status_code for client, _ in clients} == {200}
    (one, by_page), (two, by_store), (three, removed), (four, _) = clients
    assert owner.post("/api/revoke", json={"id": by_page.id}).json() == {"revoked": by_page.id}
    assert one.get(DUELS).status_code == 403
    store.append(EventKind.INVITATION_REVOKED, {"id": by_store.id})
    assert two.get(DUELS).status_code == 403
    store.remove_rater(removed.rater)
    assert three.get(DUELS).status_code == 403
    assert four.get(DUELS).status_code == 200


def test_what_another_process_revokes_and_invites_holds_here(
    people: People, store: Store, tmp_path: Path
) -> None:
    client, invitation = people.guest()
    assert client.get(DUELS).status_code == 200
    with open_store(store.path, create=False) as other:
        other.append(EventKind.INVITATION_REVOKED, {"id": invitation.id})
        made = other.invite("Ben", "b" * 43)
    statuses = set()
    while (status := client.get(DUELS).status_code) != 403:  # within FRESH seconds
        statuses.add(status)
    assert statuses <= {200}
    assert client.get(f"/join/{'b' * 43}").status_code == 200
    assert made.rater != invitation.rater


def test_a_session_outlasts_a_restart_and_no_secret_is_in_the_file(people: People, store: Store) -> None:
    client, _ = people.guest(PUBLIC)
    cookie = dict(client.cookies)
    restarted = People(store).at(PUBLIC)
    restarted.cookies.update(cookie)
    assert restarted.get(DUELS).status_code == 200
    store.close()
    kept = b"".join(file.read_bytes() for file in store.path.parent.iterdir() if file.is_file())
    (secret,) = cookie.values()
    assert secret.encode() not in kept
    assert TOKEN.encode() not in kept


def test_expiry_ends_link_and_browser(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation, secret = people.invited(expires="2100-01-01T00:00:00+00:00", uses=2)
    client = people.at(ORIGIN)
    assert client.post(f"/join/{secret}").status_code == 303
    assert client.get(DUELS).status_code == 200
    late = type(invitation).is_open
    monkeypatch.setattr(
        type(invitation), "is_open", lambda self, now: late(self, "2100-01-01T00:00:00+00:00")
    )
    assert client.get(DUELS).status_code == 403
    gone = people.at(ORIGIN).get(f"/join/{secret}", headers={"accept": "text/html"})
    assert gone.status_code == 403
    assert "has expired" in gone.text


def test_an_invitation_is_for_its_study_alone(people: People, tmp_path: Path) -> None:
    client, _ = people.guest()
    with open_store(tmp_path / "other.db") as store:
        StudyKit(store)
        other = People(store).at(ORIGIN)
        other.cookies.update(dict(client.cookies))
        assert other.get(DUELS).status_code == 403


def test_the_owner_does_not_become_a_guest_by_a_link(people: People) -> None:
    owner = people.owner()
    _, secret = people.invited()
    for reply in (owner.get(f"/join/{secret}"), owner.post(f"/join/{secret}")):
        assert reply.status_code == 403
        assert "private window" in reply.text
    assert owner.get("/owner").status_code == 200


def test_a_form_of_another_page_lets_nobody_in(people: People) -> None:
    _, secret = people.invited()
    client = people.at(PUBLIC)
    for origin in ("https://evil.example", "null", ORIGIN, "http://rate.example.org"):
        assert client.post(f"/join/{secret}", headers={"origin": origin}).status_code == 403
    del client.headers["origin"]
    assert client.post(f"/join/{secret}").status_code == 403
    assert client.post(f"/join/{secret}", headers={"sec-fetch-site": "same-origin"}).status_code == 303


def test_the_launch_link_and_the_owners_cookie_work_on_this_computer_alone(people: People) -> None:
    owner = people.owner()
    (value,) = owner.cookies.values()
    outside = people.at(PUBLIC)
    assert outside.get(f"/start/{TOKEN}").status_code == 404
    for name in ("__Host-palate", "palate-8765"):
        outside.cookies.clear()
        outside.headers["cookie"] = f"{name}={value}"
        assert outside.get("/owner").status_code == 403


def test_wrong_secrets_are_slowed_then_refused_and_a_right_one_too(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("palate.web._entry.sleep", sleep)
    _, secret = people.invited()
    client = people.at(PUBLIC)
    tries = [client.get(f"/join/{n:043d}") for n in range(LIMITS.wrong_secrets)]
    assert {reply.status_code for reply in tries} == {403}
    assert slept[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(slept) <= 4.0
    full = client.get(f"/join/{'y' * 43}")
    assert (full.status_code, full.headers["retry-after"]) == (429, "60")
    assert client.post(f"/join/{secret}").status_code == 429
    assert people.at(ORIGIN).get(f"/start/{TOKEN}").status_code == 429  # one address, one account
    assert len(slept) == LIMITS.wrong_secrets


def test_the_throttle_forgets_and_is_bounded() -> None:
    now = [0.0]
    throttle = Throttle(Limits(wrong_secrets=2, wrong_seconds=10.0, addresses=3), lambda: now[0])
    assert [throttle.wrong("a"), throttle.wait("a"), throttle.wrong("a")] == [0.25, 0.0, 0.5]
    assert throttle.wait("a") == 10.0
    now[0] = 4.0
    assert throttle.wait("a") == 6.0
    assert throttle.wait("b") == 0.0
    now[0] = 10.0
    assert throttle.wait("a") == 0.0
    for name in "abcdef":
        throttle.wrong(name)
    assert len(throttle._tries) == 3


@pytest.mark.parametrize(
    ("client", "forwarded", "proxied", "expected"),
    [
        ("10.0.0.1", b"", False, "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4", False, "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4", True, "1.2.3.4"),
        ("10.0.0.1", b"9.9.9.9, 1.2.3.4", True, "1.2.3.4"),
        ("10.0.0.1", b"1.2.3.4, unknown", True, "10.0.0.1"),
        ("2001:db8::1", b"", False, "2001:db8::/64"),
        ("2001:db8::ffff:1", b"", False, "2001:db8::/64"),
        ("::ffff:10.0.0.1", b"", False, "10.0.0.1"),
        ("testclient", b"", False, "testclient"),
    ],
)
def test_tries_are_counted_by_address(client: str, forwarded: bytes, proxied: bool, expected: str) -> None:
    assert address_of(client, forwarded, proxied=proxied) == expected


def test_forwarding_headers_are_believed_only_of_a_stated_proxy(store: Store, kit: StudyKit) -> None:
    for proxied, expected in ((False, 200), (True, 403)):
        client, _ = People(store, proxied=proxied).guest(PUBLIC)
        assert client.get(DUELS, headers={"x-forwarded-proto": "http"}).status_code == expected
        assert client.get(DUELS, headers={"x-forwarded-proto": "https"}).status_code == 200
        assert client.get(DUELS, headers={"x-forwarded-host": "evil.example"}).status_code == 200
        forwarded = {"x-forwarded-host": "rate.example.org", "host": "evil.example"}
        assert client.get(DUELS, headers=forwarded).status_code == 403


def test_the_public_door_answers_to_one_origin(people: People) -> None:
    client, _ = people.guest(PUBLIC)
    for host in (
        "rate.example.org:443",
        "rate.example.org:80",
        "127.0.0.1:8765",
        "localhost",
        "RATE.example",
    ):
        assert client.get(DUELS, headers={"host": host}).status_code == 403, host
    for origin in ("http://rate.example.org", f"{PUBLIC}:443", "null", f"{PUBLIC}.evil.example", ORIGIN):
        assert client.get(DUELS, headers={"origin": origin}).status_code == 403, origin
    assert client.get(DUELS).status_code == 200
