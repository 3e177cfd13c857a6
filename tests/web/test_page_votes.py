"""What the page's script relies on: duels that tell nothing, votes that count once, undo that repeats."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from study_kit import PROMPTS, StudyKit

from palate.errors import StoreError
from palate.store import Store, StudyState
from palate.types import Verdict


def ballot(duel: str, verdict: str = "left", key: str | None = None, **more: Any) -> dict[str, Any]:
    return {"duel_id": duel, "verdict": verdict, "key": key or f"key-of-{duel}-{verdict}", **more}


def duels(page: TestClient, query: str = "") -> dict[str, Any]:
    reply = page.get(f"/api/duels{query}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_the_stored_choice_is_the_text_that_was_shown(store: Store, kit: StudyKit, page: TestClient) -> None:
    kit.pair(40)
    said: dict[str, tuple[str, str]] = {}
    verdicts = ["left", "right", "tie", "both_bad", "skip"]
    for number in range(40):
        duel = duels(page)["duels"][0]
        verdict = verdicts[number % 5]
        chosen = duel[verdict]["raw"] if verdict in ("left", "right") else ""
        said[duel["id"]] = (verdict, chosen)
        assert page.post("/api/votes", json=ballot(duel["id"], verdict)).status_code == 200
    state = StudyState.replay(store.events())
    assert len(state.votes) == 40
    for vote in state.votes:
        verdict, chosen = said[vote.duel_id]
        assert vote.verdict == verdict
        winner = {"left": vote.left_candidate, "right": vote.right_candidate}.get(verdict)
        if winner is not None:
            rank = [candidate.id for candidate in kit.candidates].index(winner)
            number = int(vote.pairing_id.split("-")[1])
            assert chosen == kit.text(rank, number)
    sides = {vote.left_candidate for vote in state.votes}
    assert sides == {kit.candidates[0].id, kit.candidates[1].id}


def test_reloading_shows_the_same_duels_and_two_more_are_ready(kit: StudyKit, page: TestClient) -> None:
    kit.pair(5)
    first = duels(page)
    assert first["state"] == "voting"
    assert len(first["duels"]) == 3
    assert duels(page)["duels"] == first["duels"]
    page.post("/api/votes", json=ballot(first["duels"][0]["id"]))
    then = duels(page)
    assert [duel["id"] for duel in then["duels"]][:2] == [duel["id"] for duel in first["duels"]][1:]
    assert len(then["duels"]) == 2  # one is ready still, which saves the writing of another
    page.post("/api/votes", json=ballot(then["duels"][0]["id"]))
    last = duels(page)
    assert last["duels"][0] == then["duels"][1]
    assert len(last["duels"]) == 3


def test_nothing_on_the_voting_page_names_a_candidate(store: Store, kit: StudyKit, page: TestClient) -> None:
    kit.pair(6)
    kit.believe(3)
    replies = [page.get("/"), page.get("/api/duels"), page.get("/static/vote.js")]
    for duel in replies[1].json()["duels"][:2]:
        replies.append(page.post("/api/votes", json=ballot(duel["id"])))
        replies.append(page.post("/api/votes", json=ballot(duel["id"])))
    replies.append(page.post("/api/votes", json=ballot(duel["id"], "right", key="another-key-0123456789")))
    replies.append(page.post("/api/undo", json={"duel_id": duel["id"]}))
    replies.append(page.get("/api/duels"))
    state = StudyState.replay(store.events())
    secrets = [candidate.id for candidate in kit.candidates] + PROMPTS + list(state.pairings)
    secrets += [pairing.first_response for pairing in state.pairings.values()]
    secrets += [pairing.second_response for pairing in state.pairings.values()]
    secrets += ["rephrase", "swapped", "lineage", "candidate"]
    for reply in replies:
        if "vote.js" in str(reply.url):
            continue
        text = "\n".join([reply.text, *(f"{name}: {value}" for name, value in reply.headers.items())])
        assert [secret for secret in secrets if secret in text] == [], reply.url
    names = set(replies[1].json()["duels"][0])
    assert names == {"id", "input", "left", "right"}
    assert set(replies[1].json()["duels"][0]["left"]) == {"kind", "html", "raw"}


def test_both_sides_look_alike_whoever_answered(kit: StudyKit, page: TestClient) -> None:
    kit.pair(1, first="The same words.", second="The same words.")
    duel = duels(page)["duels"][0]
    assert duel["left"] == duel["right"]


def test_a_repeat_returns_the_first_answer_byte_for_byte(
    store: Store, kit: StudyKit, page: TestClient
) -> None:
    kit.pair(2)
    body = ballot(duels(page)["duels"][0]["id"], seconds=1.5, comment="  quoted “words” ")
    first = page.post("/api/votes", json=body)
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    assert first.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert first.headers["x-content-type-options"] == "nosniff"
    for _ in range(3):
        again = page.post("/api/votes", json=body)
        assert again.content == first.content
        assert again.headers["idempotent-replayed"] == "true"
    assert len(StudyState.replay(store.events()).votes) == 1


def test_the_same_key_with_another_vote_is_422_and_a_second_vote_409(
    store: Store, kit: StudyKit, page: TestClient
) -> None:
    kit.pair(2)
    one, two = (duel["id"] for duel in duels(page)["duels"])
    assert page.post("/api/votes", json=ballot(one, "left", "key-0123456789abcdef")).status_code == 200
    for changed in (
        ballot(one, "right", "key-0123456789abcdef"),
        ballot(two, "left", "key-0123456789abcdef"),
    ):
        assert page.post("/api/votes", json=changed).status_code == 422
    assert page.post("/api/votes", json=ballot(one, "right", "key-fedcba9876543210")).status_code == 409
    assert page.post("/api/votes", json=ballot("f" * 32, "right", "key-fedcba9876543210")).status_code == 404
    assert [vote.verdict for vote in StudyState.replay(store.events()).votes] == [Verdict.LEFT]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"verdict": "failed"}, "verdict"),
        ({"verdict": "LEFT"}, "verdict"),
        ({"verdict": None}, "verdict"),
        ({"verdict": ["left"]}, "verdict"),
        ({"key": None}, "key"),
        ({"key": ""}, "key"),
        ({"key": "short"}, "key"),
        ({"key": "x" * 129}, "key"),
        ({"key": "spaces are not allowed here"}, "key"),
        ({"key": 5}, "key"),
        ({"duel_id": None}, "duel_id"),
        ({"duel_id": ""}, "duel_id"),
        ({"duel_id": "x" * 129}, "duel_id"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": "3"}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"seconds": 1e999}, "seconds"),
        ({"reason": "because"}, "reason"),
        ({"reason": ["unclear"]}, "reason"),
        ({"comment": 7}, "comment"),
        ({"comment": "x" * 2001}, "comment"),
        ({"judge": "somebody else"}, "judge"),
        ({"swapped": True}, "swapped"),
    ],
)
def test_malformed_votes_are_refused_in_one_line(
    store: Store, kit: StudyKit, page: TestClient, change: dict[str, Any], named: str
) -> None:
    kit.pair()
    body = {**ballot(duels(page)["duels"][0]["id"]), **change}
    reply = page.post("/api/votes", content=json.dumps(body), headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert named in reply.json()["error"]
    assert not StudyState.replay(store.events()).votes


def test_reason_comment_time_and_guidelines_are_stored(store: Store, kit: StudyKit, page: TestClient) -> None:
    kit.pair()
    shown = duels(page)
    body = ballot(shown["duels"][0]["id"], "skip", seconds=2.25, reason="unclear", comment="Which parcel?")
    assert page.post("/api/votes", json=body).status_code == 200
    (vote,) = StudyState.replay(store.events()).votes
    assert (vote.verdict, vote.reason, vote.comment, vote.seconds, vote.judge) == (
        Verdict.SKIP,
        "unclear",
        "Which parcel?",
        2.25,
        "me",
    )
    assert vote.guideline_version == shown["guidelines"]["version"]
    assert shown["guidelines"]["html"] == "<p>Be <strong>fair</strong>.</p>\n"


def test_a_store_that_cannot_write_is_503_and_the_vote_can_be_sent_again(
    store: Store, kit: StudyKit, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.pair()
    body = ballot(duels(page)["duels"][0]["id"])

    def full(ballot: object) -> None:
        raise StoreError("the disk is full; free some space")

    with monkeypatch.context() as patch:
        patch.setattr(store, "submit", full)
        reply = page.post("/api/votes", json=body)
    assert (reply.status_code, reply.json()) == (503, {"error": "the disk is full; free some space"})
    assert page.post("/api/votes", json=body).status_code == 200


def test_a_mistake_of_ours_is_500_without_details(
    store: Store, kit: StudyKit, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.pair()
    body = ballot(duels(page)["duels"][0]["id"])

    def broken(ballot: object) -> None:
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(store, "submit", broken)
    reply = page.post("/api/votes", json=body)
    assert reply.status_code == 500
    assert "secret" not in reply.text


def test_undo_goes_back_through_many_votes(store: Store, kit: StudyKit, page: TestClient) -> None:
    kit.pair(15)
    order = []
    for _ in range(15):
        duel = duels(page)["duels"][0]
        order.append(duel["id"])
        page.post("/api/votes", json=ballot(duel["id"]))
    for duel_id in reversed(order):
        assert duels(page)["undo"] == duel_id
        reply = page.post("/api/undo", json={"duel_id": duel_id})
        assert reply.status_code == 200
        assert reply.json()["duels"][0]["id"] == duel_id
    assert duels(page)["undo"] is None
    assert StudyState.replay(store.events()).votes == []
    again = page.post("/api/votes", json=ballot(order[0], "right", "a-new-key-0123456789"))
    assert again.status_code == 200


def test_an_undo_that_is_sent_twice_undoes_once(store: Store, kit: StudyKit, page: TestClient) -> None:
    kit.pair(3)
    first, second, _ = (duel["id"] for duel in duels(page)["duels"])
    for duel_id in (first, second):
        page.post("/api/votes", json=ballot(duel_id))
    replies = [page.post("/api/undo", json={"duel_id": second}) for _ in range(3)]
    assert {reply.status_code for reply in replies} == {200}
    assert {reply.json()["duels"][0]["id"] for reply in replies} == {second}
    assert [vote.duel_id for vote in StudyState.replay(store.events()).votes] == [first]


def test_undoing_what_is_not_last_is_refused(kit: StudyKit, page: TestClient) -> None:
    kit.pair(3)
    first, second, _ = (duel["id"] for duel in duels(page)["duels"])
    for duel_id in (first, second):
        page.post("/api/votes", json=ballot(duel_id))
    assert page.post("/api/undo", json={"duel_id": first}).status_code == 409
    assert page.post("/api/undo", json={"duel_id": "unknown"}).status_code == 409
    assert page.post("/api/undo", json={"duel_id": 3}).status_code == 400
    assert page.post("/api/undo", json={"duel_id": second, "judge": "x"}).status_code == 400


def test_a_late_repeat_of_an_undone_vote_changes_nothing(
    store: Store, kit: StudyKit, page: TestClient
) -> None:
    kit.pair()
    body = ballot(duels(page)["duels"][0]["id"])
    first = page.post("/api/votes", json=body)
    page.post("/api/undo", json={"duel_id": body["duel_id"]})
    assert page.post("/api/votes", json=body).content == first.content
    assert StudyState.replay(store.events()).votes == []
    assert duels(page)["duels"][0]["id"] == body["duel_id"]


def test_an_empty_queue_waits_and_a_new_pairing_ends_the_wait(kit: StudyKit, page: TestClient) -> None:
    assert duels(page)["state"] == "waiting"
    timer = threading.Timer(0.3, kit.pair)
    timer.start()
    shown = duels(page, "?wait=20&have=0")
    timer.join()
    assert (shown["state"], len(shown["duels"])) == ("voting", 1)


def test_a_wait_that_nothing_ends_times_out(kit: StudyKit, page: TestClient) -> None:
    assert duels(page, "?wait=1&have=0")["state"] == "waiting"


@pytest.mark.parametrize("query", ["?wait=-1", "?wait=nan", "?wait=1e9", "?have=x", "?have=9999999"])
def test_odd_waits_are_refused(kit: StudyKit, page: TestClient, query: str) -> None:
    assert page.get(f"/api/duels{query}").status_code == 400


def test_the_budget_of_votes_ends_the_study_and_skips_do_not_count(
    make_kit: Callable[..., StudyKit], page: TestClient
) -> None:
    kit = make_kit(settings={"budget": {"votes": 2}})
    kit.pair(3)
    for verdict, state in [("skip", "voting"), ("tie", "voting"), ("left", "done")]:
        duel = duels(page)["duels"][0]
        page.post("/api/votes", json=ballot(duel["id"], verdict))
        shown = duels(page)
        assert shown["state"] == state
    assert shown["progress"] == {"mine": 3, "taught": 2, "limit": 2}
    assert shown["closed"] is False


def test_being_done_is_recorded_once_and_can_be_taken_back(
    store: Store, kit: StudyKit, page: TestClient
) -> None:
    kit.pair(2)
    for _ in range(2):
        shown = page.post("/api/close", json={}).json()
        assert (shown["state"], shown["closed"], shown["duels"]) == ("done", True, [])
    assert page.post("/api/close", json={"now": True}).status_code == 400
    for _ in range(2):
        assert page.post("/api/reopen", json={}).json()["state"] == "voting"
    kinds = [event.kind.value for event in store.events()]
    assert (kinds.count("study_closed"), kinds.count("study_reopened")) == (1, 1)


def test_advice_comes_from_the_belief(kit: StudyKit, page: TestClient) -> None:
    assert duels(page)["advice"] is None
    kit.believe(stop=True)
    assert duels(page)["advice"] == {"stop": True, "text": "Twenty more votes would change little."}
