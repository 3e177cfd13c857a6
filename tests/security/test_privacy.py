"""Who voted what: pseudonyms everywhere, no addresses anywhere, and a person who goes is gone."""

from pathlib import Path

import pytest
from people_kit import PUBLIC, People
from starlette.testclient import TestClient
from study_kit import PORT, TOKEN, StudyKit

from palate.store import EXPORT_FORMATS, Store, StudyState, export, open_store
from palate.web._app import create_apps

NAME, WORDS = "Annabel Quince", "my neighbour in Elm Lane said so"
ADDRESS, FORWARDED = "203.0.113.77", "198.51.100.23"
AGENT = "AgentOfAnnabel/9.9"


def with_a_vote(store: Store) -> tuple[People, TestClient, str]:
    """Somebody comes from somewhere, behind a proxy, and votes with a comment."""
    StudyKit(store).pair(3)
    people = People(store, proxied=True)
    apps = create_apps(store, launch_token=TOKEN, port=PORT, origin=PUBLIC, proxied=True)
    invitation, secret = people.invited(NAME)
    assert apps.public is not None
    client = TestClient(apps.public, base_url=PUBLIC, client=(ADDRESS, 40_000), follow_redirects=False)
    client.headers.update(
        {"origin": PUBLIC, "x-forwarded-for": FORWARDED, "x-forwarded-proto": "https", "user-agent": AGENT}
    )
    assert client.get("/join/" + "w" * 43).status_code == 403  # a wrong secret, which is counted by address
    assert client.post(f"/join/{secret}").status_code == 303
    duel = client.get("/api/duels").json()["duels"][0]
    vote = {"duel_id": duel["id"], "verdict": "left", "key": "k" * 20, "comment": WORDS}
    assert client.post("/api/votes", json=vote).status_code == 200
    return people, client, invitation.rater


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_address_and_no_browser_is_kept(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        people, _, _ = with_a_vote(store)
        open_now = on_disk(tmp_path)
        shown = people.owner().get("/owner").text + people.monitor().get("/metrics").text
    for trace in (ADDRESS, FORWARDED, AGENT):
        assert trace.encode() not in open_now + on_disk(tmp_path)
        assert trace not in shown


@pytest.mark.parametrize("form", [form for form in EXPORT_FORMATS if form != "hf"])
def test_an_export_names_nobody(tmp_path: Path, store: Store, form: str) -> None:
    _, _, rater = with_a_vote(store)
    export(store, form, tmp_path / "out")
    written = on_disk(tmp_path)
    assert written
    assert NAME.encode() not in written
    if form != "jsonl":  # the events themselves, whose chain of hashes holds the pseudonyms
        assert rater.encode() not in written


def test_other_raters_learn_nothing_of_somebody(store: Store) -> None:
    people, _, rater = with_a_vote(store)
    other, _ = people.guest()
    seen = "".join(other.get(page).text for page in ("/", "/api/duels"))
    for trace in (NAME, rater, WORDS):
        assert trace not in seen


def test_somebody_who_goes_is_gone_and_the_chain_still_holds(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        _, _, rater = with_a_vote(store)
        assert NAME.encode() in on_disk(tmp_path)
        assert WORDS.encode() in on_disk(tmp_path)
        hashes = [event.hash for event in store.events()]
        store.remove_rater(rater)
        assert [event.hash for event in store.events()][: len(hashes)] == hashes
        assert not store.verify()
        (vote,) = StudyState.replay(store.events()).votes
        assert vote.judge == rater
        store.backup(tmp_path / "copy.db")
    left = on_disk(tmp_path)
    assert NAME.encode() not in left
    assert WORDS.encode() not in left
