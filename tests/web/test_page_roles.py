"""Every route × method × role × door, generated from the one table; and what belongs to whom."""

from collections.abc import Callable

import pytest
from painter import paint
from people_kit import MONITOR, PUBLIC, People
from starlette.testclient import TestClient
from study_kit import ORIGIN, PROMPTS, TOKEN, StudyKit

from palate.kinds import Picture, picture_content
from palate.store import EventKind, Store, StudyState, pairing_payload
from palate.types import Pairing, Response
from palate.web._roles import ROUTES, Role, allowed, home_of
from palate.web._throttle import Throttle

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PLACES = {
    "/start/{token}": f"/start/{'x' * len(TOKEN)}",
    "/join/{secret}": f"/join/{'x' * 43}",
    "/static/{name}": "/static/palate.css",
    "/pictures/{name}": f"/pictures/{'0' * 64}",
}
# What is written out by hand here is the promise; the table in the code has to agree with it.
PROMISED = {
    Role.OWNER: {route.path for route in ROUTES},
    Role.RATER: {
        *("/", "/api/duels", "/api/votes", "/api/undo", "/static/{name}", "/pictures/{name}"),
        *("/health", "/start/{token}", "/join/{secret}"),
    },
    Role.VIEWER: {
        *("/results", "/results/best.txt", "/statistics", "/static/{name}", "/pictures/{name}"),
        *("/health", "/start/{token}", "/join/{secret}"),
    },
    Role.MONITOR: {"/health", "/metrics", "/start/{token}", "/join/{secret}"},
    Role.LOCAL: {"/health", "/start/{token}", "/join/{secret}"},
    Role.GUEST: {"/start/{token}", "/join/{secret}"},
}
AT = {Role.OWNER: [ORIGIN], Role.LOCAL: [ORIGIN], Role.GUEST: [PUBLIC]}


@pytest.fixture
def people(store: Store, kit: StudyKit) -> People:
    kit.pair(12)
    kit.believe()
    return People(store)


def client_of(people: People, role: Role, origin: str) -> TestClient:
    if role is Role.OWNER:
        return people.owner()
    if role in (Role.LOCAL, Role.GUEST):
        return people.at(origin)
    if role is Role.MONITOR:
        return people.monitor(origin)
    return people.guest(origin, role=role.value)[0]


def test_the_table_is_what_was_promised() -> None:
    for role, paths in PROMISED.items():
        assert {route.path for route in ROUTES if role in route.roles} == paths, role
    assert len({(route.path, route.method) for route in ROUTES}) == len(ROUTES)
    assert {home_of(role) for role in (Role.OWNER, Role.RATER)} == {"/"}
    assert home_of(Role.VIEWER) == "/results"


@pytest.mark.parametrize("role", list(Role))
def test_every_route_by_every_method(people: People, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Throttle, "wrong", lambda self, address: 0.0)
    table = allowed()
    for origin in AT.get(role, [ORIGIN, PUBLIC]):
        client = client_of(people, role, origin)
        cookies = dict(client.cookies)
        for path in dict.fromkeys(route.path for route in ROUTES):
            place = PLACES.get(path, path)
            for method in METHODS:
                client.cookies.clear()
                client.cookies.update(cookies)
                body = {} if method == "POST" else None
                reply = client.request(method, place, json=body)
                said = (role, origin, method, place, reply.status_code)
                methods = table[path[: path.index("{")] + "*" if "{" in path else path]
                outside = role in (Role.LOCAL, Role.GUEST) and not any(
                    role in roles for roles in methods.values()
                )
                if outside:
                    assert reply.status_code == 403, said
                elif method not in methods:
                    assert reply.status_code == 405, said
                elif role not in methods[method]:
                    assert (reply.status_code, "not invited" in reply.text) == (403, True), said
                elif path in PLACES and path != "/static/{name}":
                    assert reply.status_code in (403, 404, 429), said  # there is no such link or picture
                else:
                    assert reply.status_code in (200, 303, 400), said


def test_what_is_not_in_the_table_exists_for_nobody(people: People) -> None:
    inside = [people.owner(), people.guest()[0], people.guest(role="viewer")[0], people.monitor()]
    for path in (
        "/api/nothing",
        "/owner/",
        "/openapi.json",
        "/results/other",
        "/join",
        "/join/",
        "/join/a/b",
    ):
        assert {client.get(path).status_code for client in inside} == {404}, path


def test_raters_see_and_vote_on_their_own_duels_only(people: People, store: Store) -> None:
    (anna, one), (ben, two) = people.guest(), people.guest()
    hers, his = anna.get("/api/duels").json()["duels"], ben.get("/api/duels").json()["duels"]
    assert len(hers) == len(his) == 3
    assert not {duel["id"] for duel in hers} & {duel["id"] for duel in his}
    body = {"duel_id": hers[0]["id"], "verdict": "left", "key": "key-0123456789abcdef"}
    unknown = ben.post("/api/votes", json={**body, "duel_id": "f" * 32})
    stolen = ben.post("/api/votes", json=body)
    assert (stolen.status_code, unknown.status_code) == (404, 404)
    assert stolen.text.replace(hers[0]["id"], "x") == unknown.text.replace("f" * 32, "x")
    assert anna.post("/api/votes", json=body).status_code == 200
    assert ben.post("/api/undo", json={"duel_id": hers[0]["id"]}).status_code == 409
    (vote,) = StudyState.replay(store.events()).votes
    assert vote.judge == one.rater != two.rater
    assert anna.post("/api/undo", json={"duel_id": hers[0]["id"]}).status_code == 200
    assert StudyState.replay(store.events()).votes == []


def test_raters_learn_nothing_of_others(people: People, store: Store, kit: StudyKit) -> None:
    (anna, _), (ben, other) = people.guest(name="Anna"), people.guest(name="Ben the second")
    owner = people.owner()
    for client, verdict in ((ben, "left"), (owner, "right")):
        duel = client.get("/api/duels").json()["duels"][0]
        key = f"key-0123456789-{verdict}"
        sent = client.post("/api/votes", json={"duel_id": duel["id"], "verdict": verdict, "key": key})
        assert sent.status_code == 200
    shown = anna.get("/api/duels")
    assert shown.json()["progress"] == {"mine": 0, "taught": 0, "limit": None}
    assert shown.json()["advice"] is None
    assert owner.get("/api/duels").json()["progress"]["taught"] == 2
    assert owner.get("/api/duels").json()["advice"]
    page = anna.get("/")
    for text in (shown.text, page.text):
        for secret in (*PROMPTS, other.rater, "Ben the second", *(each.id for each in kit.candidates)):
            assert secret not in text
    assert 'href="/results"' not in page.text
    assert 'href="/owner"' not in page.text
    assert 'data-do="finish"' not in page.text
    assert 'data-do="finish"' in owner.get("/").text


def test_a_vote_is_that_of_the_cookie_whatever_is_claimed(people: People, store: Store) -> None:
    anna, invitation = people.guest()
    duel = anna.get("/api/duels").json()["duels"][0]
    body = {"duel_id": duel["id"], "verdict": "left", "key": "key-0123456789abcdef"}
    assert anna.post("/api/votes", json={**body, "judge": "me"}).status_code == 400
    headers = {"x-forwarded-user": "me", "x-judge": "me"}
    assert anna.post("/api/votes", json=body, headers=headers).status_code == 200
    (vote,) = StudyState.replay(store.events()).votes
    assert vote.judge == invitation.rater


def test_viewers_read_and_leave_no_trace(people: People, store: Store) -> None:
    viewer, _ = people.guest(PUBLIC, role="viewer")
    before = store.last_seq()
    for path in ("/results", "/statistics", "/results/best.txt"):
        reply = viewer.get(path)
        assert reply.status_code == 200
        assert 'href="/"' not in reply.text
        assert 'href="/owner"' not in reply.text
    assert store.last_seq() == before
    owner = people.owner()
    for path in ("/results", "/statistics"):
        assert 'href="/owner"' in owner.get(path).text


def test_a_picture_is_for_those_whose_duel_it_is_in(store: Store, make_kit: Callable[..., StudyKit]) -> None:
    kit = make_kit()
    people = People(store)
    one, two = kit.candidates[:2]
    for number in range(4):
        drawn = [paint(f"{green} {number}", (8 + number, 8)) for green in ("grassy", "brown")]
        made = [Response("image", picture_content(Picture("image/png", 8 + number, 8, png))) for png in drawn]
        hashes = [store.put_response(f"key-{number}-{side}", each) for side, each in enumerate(made)]
        pairing = Pairing(f"pairing-{number}", "i1", one.id, two.id, *hashes)
        store.append(EventKind.PAIRING_OPENED, pairing_payload(pairing))
    (anna, _), (viewer, _) = people.guest(), people.guest(role="viewer")
    hers = anna.get("/api/duels").json()["duels"]
    seen = [duel[side]["picture"] for duel in hers for side in ("left", "right")]
    state = StudyState.replay(store.events())
    every = {
        f"/pictures/{address}"
        for pairing in state.pairings.values()
        for address in (pairing.first_response, pairing.second_response)
    }
    others = every - set(seen)
    assert len(others) == 2
    assert {anna.get(path).status_code for path in seen} == {200}
    assert {anna.get(path).status_code for path in others} == {404}
    assert {viewer.get(path).status_code for path in every} == {200}


def test_the_monitors_token_opens_figures_alone(people: People) -> None:
    for origin in (ORIGIN, PUBLIC):
        client = people.monitor(origin)
        assert client.get("/metrics").status_code == 200
        assert client.get("/health").status_code == 200
        assert client.get("/owner").status_code == 403
        for wrong in (MONITOR, f"Basic {MONITOR}", f"Bearer {MONITOR}x", "Bearer ", f"bearer  {MONITOR}"):
            client.headers["authorization"] = wrong
            assert client.get("/metrics").status_code == 403, wrong
