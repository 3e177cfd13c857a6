"""The owner's page: what is amiss, who votes how, and links that can be withdrawn."""

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from browser_kit import Reader, needs_browser
from people_kit import People
from selenium import webdriver
from starlette.testclient import TestClient
from study_kit import StudyKit
from test_page_server import served

from palate.errors import StoreError
from palate.models import Spent
from palate.statistics import Figure, JudgeTrust, Oddity, Trust, rater_quality
from palate.store import Store, StudyState
from palate.testing._rater_contract import plant_gold
from palate.types import Ballot, Verdict
from palate.web import Learning
from palate.web._owner import share_changed
from palate.web._words import read_words

WORDS = read_words()["owner"]


def vote(store: Store, judge: str, verdict: Verdict, **more: Any) -> None:
    (duel,) = store.open_duels(judge, 1)
    key = f"key-{duel.id}"
    store.vote(
        Ballot(duel.id, verdict, judge, key, more.get("seconds"), more.get("reason"), more.get("comment"))
    )


def text_of(page: TestClient) -> str:
    reply = page.get("/owner")
    assert reply.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", reply.text).split())


def test_people_with_their_names_groups_votes_and_habits(store: Store, kit: StudyKit) -> None:
    kit.pair(40)
    people = People(store)
    client, anna = people.guest(name="Anna", group="nurses")
    assert client.get("/api/duels").status_code == 200
    for _ in range(12):
        vote(store, anna.rater, Verdict.LEFT, seconds=1.0)
    vote(store, anna.rater, Verdict.SKIP)
    vote(store, "me", Verdict.RIGHT, seconds=4.0)
    shown = text_of(people.owner())
    # Wilson by hand: of 12 all, 12 / (12 + 3.84) = 76 %; of 1 none, 3.84 / (1 + 3.84) = 79 %.
    flags = f"{WORDS['flag']['side']} {WORDS['flag']['fast']}"
    assert f"Anna {anna.rater} nurses {flags} 13 1 skipped 100 % 76 % to 100 % 1.0 s just now" in shown
    assert "You me 1 0 % 0 % to 79 % 4.0 s just now" in shown
    assert WORDS["shares"]["gold"] not in shown  # nobody was asked one
    assert WORDS["all_well"] in shown


def test_agreement_counts_the_pairs_that_two_people_decided(make_kit: Any, store: Store) -> None:
    kit = make_kit(settings={"raters": {"overlap": 2}})
    kit.pair(4)
    anna, ben = (store.invite(name, name * 10).rater for name in ("Anna-", "Ben--"))
    winners: dict[str, str] = {}
    for judge, turn in ((anna, False), (ben, True)):
        for number in range(4):
            (duel,) = store.open_duels(judge, 1)
            first = min(duel.left_candidate, duel.right_candidate)
            wanted = first if not (turn and number == 3) else max(duel.left_candidate, duel.right_candidate)
            winners[duel.pairing_id] = wanted
            said = Verdict.LEFT if duel.left_candidate == wanted else Verdict.RIGHT
            store.vote(Ballot(duel.id, said, judge, f"key-{duel.id}", 5.0))
    # By hand: of four shared pairs the two agree on three; Wilson's interval is 0.628 ± 0.327.
    shown = text_of(People(store).owner())
    assert all(f"{rater} 4 75 % 30 % to 95 % " in shown for rater in (anna, ben))


def test_known_answers_and_repeats_are_shown_when_somebody_had_them(make_kit: Any, store: Store) -> None:
    kit = make_kit(settings={"raters": {"overlap": 2, "gold": 0.3, "repeats": 0.3}})
    kit.pair(40)
    plant_gold(store, 20)
    careless = store.invite("Anna-", "Anna-" * 10).rater
    for _ in range(40):
        vote(store, careless, Verdict.LEFT, seconds=5.0)
    (known,) = rater_quality(StudyState.replay(store.events()))
    assert known.gold is not None
    assert known.repeats is not None
    shown = text_of(People(store).owner())
    assert (
        f"{100 * known.gold.value:.0f} % {100 * known.gold.low:.0f} % to {100 * known.gold.high:.0f} %"
        in shown
    )
    assert f"0 % 0 % to {100 * known.repeats.high:.0f} %" in shown  # always left is never the same again
    assert all(WORDS["shares"][column] in shown for column in ("gold", "repeats"))
    assert all(WORDS["flag"][kind] in shown for kind in ("repeats", "side"))


def test_a_judge_that_cannot_be_reached_is_unknown_and_never_bad(store: Store, kit: StudyKit) -> None:
    kit.pair(6)
    people = People(store)
    vote(store, "robot", Verdict.LEFT)
    vote(store, "robot", Verdict.SKIP, reason="cannot_judge", comment="no verdict in 'well'")
    owner = people.owner()
    assert "robot answers 2 50 % 50 % just now" in text_of(owner)
    vote(store, "robot", Verdict.SKIP, reason="cannot_judge", comment="the judge failed: no route")
    shown = text_of(owner)
    assert "robot unknown 3 67 % 33 % just now" in shown
    assert WORDS["alarm"]["judge"].format(judge="robot") in shown
    assert " bad" not in shown.lower()
    vote(store, "robot", Verdict.RIGHT)
    assert "robot answers 4" in text_of(owner)


def test_alarms_of_budget_learner_and_disk(
    make_kit: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = make_kit(settings={"budget": {"votes": 10, "cost": 5.0, "calls": 100}})
    kit.pair(12)
    learning = [Learning(True, 90.0)]
    people = People(store, spent=lambda: Spent(calls=10, priced=4.6), learning=lambda: learning[0])
    owner = people.owner()
    assert "92 % of the budget is used (cost)." in text_of(owner)
    for _ in range(9):
        vote(store, "me", Verdict.LEFT, seconds=5.0)
    shown = text_of(owner)
    assert "90 % of the budget is used (votes)." in shown
    assert "(calls)" not in shown
    assert "1 min ago last learnt" in shown
    learning[0] = Learning(False)

    def full() -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "check_writable", full)
    people = People(store, learning=lambda: learning[0])
    shown = text_of(people.owner())
    assert WORDS["alarm"]["learner"] in shown
    assert "Votes cannot be stored: the disk is full" in shown


def test_a_changed_share_of_votes_that_say_something() -> None:
    # By hand: 90 of 100 before, 25 of the last 50; p = 115/150, error = sqrt(p(1-p)(1/100+1/50)) = 0.0733,
    # and 0.9 - 0.5 = 0.4 is more than 3.29 of them.
    assert share_changed([True] * 90 + [False] * 10 + [True] * 25 + [False] * 25) == (0.9, 0.5)
    # 45 of the last 50 is the same share.
    assert share_changed([True] * 90 + [False] * 10 + [True] * 45 + [False] * 5) is None
    # 36 of 50: 0.18 apart, p = 126/150, error 0.0635, 2.83 errors: not yet.
    assert share_changed([True] * 90 + [False] * 10 + [True] * 36 + [False] * 14) is None
    assert share_changed([True] * 99) is None
    assert share_changed([True] * 100) is None


def test_links_are_listed_without_their_secrets_and_withdrawn_by_a_guarded_post(
    store: Store, kit: StudyKit
) -> None:
    people = People(store)
    invitation, secret = people.invited("<script>alert(1)</script>", expires="2100-01-01T00:00:00+00:00")
    viewer, _ = people.invited("Ben", role="viewer")
    owner = people.owner()
    page = owner.get("/owner").text
    assert secret not in page
    assert invitation.secret not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("data-revoke=") == 2
    shown = text_of(owner)
    assert "votes not used yet 0 of 1 2100-01-01 00:00 UTC Revoke" in shown
    assert "Ben reads results not used yet 0 of 1 no end Revoke" in shown
    for body in ({}, {"id": 3}, {"id": viewer.id, "more": 1}, {"id": "x" * 81}):
        assert owner.post("/api/revoke", json=body).status_code == 400
    assert owner.post("/api/revoke", json={"id": "nobody"}).status_code == 404
    assert owner.post("/api/revoke", json={"id": viewer.id}, headers={"origin": "null"}).status_code == 403
    assert owner.post("/api/revoke", json={"id": viewer.id}).status_code == 200
    assert "Ben reads results revoked" in text_of(owner)
    assert owner.get("/owner").text.count("data-revoke=") == 1


def test_every_text_is_used_and_none_is_missing() -> None:
    template = (files("palate.web") / "templates" / "owner.html").read_text()
    code = (files("palate.web") / "_owner.py").read_text()
    named = set(re.findall(r"\bt\.(\w+)", template)) | set(re.findall(r'"(\w+)"', code)) | {"script"}
    built = {"role_rater", "role_viewer", "minutes", "hours", "days"}
    assert set(WORDS) <= named | built
    assert set(re.findall(r"\bt\.(\w+)", template)) <= set(WORDS)
    assert set(WORDS["alarm"]) <= named
    assert json.dumps(WORDS)


@pytest.mark.parametrize("width", [390, 1280])
@needs_browser[0]
@needs_browser[1]
def test_the_page_fits_and_a_button_revokes(
    store: Store, kit: StudyKit, driver: webdriver.Chrome, width: int
) -> None:
    kit.pair(3)
    store.invite(
        "Chiara De Luca-Montefiori", "c" * 43, group="clinicians", expires="2100-01-01T00:00:00+00:00"
    )
    with served(store) as link:
        reader = Reader(driver, link, store)
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        try:
            driver.get(link.split("/start")[0] + "/owner")
            assert reader.js("return document.documentElement.scrollWidth") <= width
            driver.find_element("css selector", "[data-revoke]").click()
            driver.switch_to.alert.accept()
            reader.until(lambda: not driver.find_elements("css selector", "[data-revoke]"))
        finally:
            driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    (invitation,) = [event for event in store.access_events() if event.kind.value == "invitation_revoked"]
    assert invitation.actor == "me"


def test_whoever_decides_the_winner_alone_is_named_and_odd_habits_are_flags(
    store: Store, kit: StudyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.pair(34)
    people = People(store)
    anna, _ = people.invited("Anna")
    for _ in range(31):
        vote(store, anna.rater, Verdict.LEFT, seconds=5.0)
    figure = Figure(1.0)
    odd = (Oddity("one side", "nearly always takes the left one, whatever it is"),)
    row = JudgeTrust(anna.rater, False, 31, 31.0, figure, figure, figure, None, None, None, 1.0, "c", odd)
    asked: list[int] = []

    def trusted(state: StudyState) -> Trust:
        asked.append(len(state.votes))
        return Trust("c", (row,), deciding[0])

    deciding = [(anna.rater,)]
    monkeypatch.setattr("palate.web._owner.study_trust", trusted)
    owner = people.owner()
    for _ in range(2):
        shown = text_of(owner)
        assert WORDS["alarm"]["deciding"].format(rater="Anna") in shown
        assert "nearly always takes the left one, whatever it is" in shown
    assert asked == [31]  # worked out once while nothing changes
    for deciding[0], words in (
        (("me",), WORDS["deciding_you"]),
        (("me", anna.rater), WORDS["alarm"]["deciding"].format(rater="you, Anna")),
    ):
        vote(store, anna.rater, Verdict.LEFT)
        assert words in text_of(owner)
    assert asked == [31, 32, 33]
