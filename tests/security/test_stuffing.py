"""Votes beyond one's own: at the page one vote a duel and person, and in the mathematics few count as few."""

import http.client
import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from people_kit import PUBLIC, People
from starlette.testclient import TestClient
from study_kit import StudyKit
from test_page_server import PATIENCE, served

from palate.store import Store, StudyState


@pytest.fixture
def people(store: Store) -> People:
    StudyKit(store).pair(6)
    return People(store)


def body(duel_id: str, key: str, verdict: str = "left") -> dict[str, Any]:
    return {"duel_id": duel_id, "verdict": verdict, "key": f"key-{key:>16}".replace(" ", "0")}


def votes(store: Store) -> list[Any]:
    return StudyState.replay(store.events()).all_votes


def duels(client: TestClient) -> list[str]:
    return [duel["id"] for duel in client.get("/api/duels").json()["duels"]]


def test_one_duel_takes_one_vote_however_many_come_at_once(store: Store) -> None:
    StudyKit(store).pair(2)
    secret = "s" * 43
    rater = store.invite("Anna", secret).rater
    with served(store) as link:
        place = urlsplit(link).netloc
        cookie = ""

        def send(method: str, path: str, content: dict[str, Any] | None = None) -> tuple[int, str, bytes]:
            headers = {"origin": f"http://{place}", "content-type": "application/json", "cookie": cookie}
            with closing(http.client.HTTPConnection(place, timeout=PATIENCE)) as connection:
                connection.request(method, path, json.dumps(content) if content else None, headers)
                reply = connection.getresponse()
                return reply.status, str(reply.getheader("set-cookie")), reply.read()

        cookie = send("POST", f"/join/{secret}")[1].partition(";")[0]
        duel = json.loads(send("GET", "/api/duels")[2])["duels"][0]["id"]
        with ThreadPoolExecutor(12) as crowd:
            sent = [body(duel, str(number), ("left", "right")[number % 2]) for number in range(24)]
            said = list(crowd.map(lambda content: send("POST", "/api/votes", content)[0], sent))
    assert sorted(said) == [200] + [409] * 23
    assert [vote.judge for vote in votes(store)] == [rater]


def test_nobody_votes_on_what_was_not_shown_to_them(people: People, store: Store) -> None:
    (anna, _), (ben, _) = people.guest(PUBLIC), people.guest(PUBLIC)
    for duel in (*duels(anna), "pairing-0", "0" * 32, "../x"):
        reply = ben.post("/api/votes", json=body(duel, "ben"))
        assert reply.status_code == 404
    extra = ben.post("/api/votes", json={**body(duels(ben)[0], "ben"), "judge": "somebody"})
    assert extra.status_code == 400
    assert not votes(store)


def test_a_person_is_one_person_in_every_browser(people: People, store: Store) -> None:
    invitation, secret = people.invited(uses=3)
    browsers = [people.at(PUBLIC) for _ in range(3)]
    assert [browser.post(f"/join/{secret}").status_code for browser in browsers] == [303] * 3
    shown = [duels(browser) for browser in browsers]
    assert shown[0] == shown[1] == shown[2]
    for number, (browser, status) in enumerate(zip(browsers, (200, 409, 409), strict=True)):
        assert browser.post("/api/votes", json=body(shown[0][0], str(number))).status_code == status
    assert {vote.judge for vote in votes(store)} == {invitation.rater}
    one_more = people.at(PUBLIC)
    assert one_more.post(f"/join/{secret}").status_code == 403


def test_undoing_and_voting_again_leaves_one_vote(people: People, store: Store) -> None:
    client, _ = people.guest(PUBLIC)
    duel = duels(client)[0]
    for number in range(4):
        assert client.post("/api/votes", json=body(duel, f"again-{number}")).status_code == 200
        assert len(votes(store)) == 1
        assert client.post("/api/undo", json={"duel_id": duel}).status_code == 200
    assert not votes(store)


def test_somebody_who_was_removed_votes_no_more(people: People, store: Store) -> None:
    client, anna = people.guest(PUBLIC)
    shown = duels(client)
    store.remove_rater(anna.rater)
    assert client.post("/api/votes", json=body(shown[0], "late")).status_code == 403
    assert not votes(store)


@pytest.fixture(scope="module")
def rigged_votes() -> ModuleType:
    """The simulation of the committed table, so that both say the same."""
    path = Path(__file__).parents[2] / "benchmarks" / "rigged_votes.py"
    spec = importlib.util.spec_from_file_location("rigged_votes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_hundred_votes_of_five_people_do_not_choose_the_winner(rigged_votes: ModuleType) -> None:
    """Among 2,000 honest votes; without weights the same votes do, or the attack would be none."""
    kept, fallen = 0, 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        utility_N = 0.7 * rng.standard_normal(rigged_votes.N)
        clean = rigged_votes.honest_rows(rng, utility_N)
        score_N = rigged_votes.plain(clean)
        winner = rigged_votes.trusted(clean)[0].winner
        more = rigged_votes.rigged_rows(rng, utility_N, score_N, "target", 2)
        assert (more[:, 3] >= 0).sum() == 200
        assert len(set(more[:, 2])) == 5
        rows = np.concatenate([clean, more])[rng.permutation(len(clean) + len(more))]
        kept += rigged_votes.trusted(rows)[0].winner == winner
        fallen += int(np.argmax(rigged_votes.plain(rows))) != int(np.argmax(score_N))
    assert kept == 4
    assert fallen >= 1
