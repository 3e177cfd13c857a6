"""What the page tells of itself: requests by route, failures by class, alarms when they change."""

import logging
import threading
from typing import Any

import pytest
from people_kit import PUBLIC, People
from starlette.testclient import TestClient
from study_kit import ORIGIN, StudyKit

from palate.errors import StoreError
from palate.models import Spent
from palate.operations import AlarmChanged, Event, Failed, RequestServed
from palate.store import Store
from palate.web import Learning, serve
from palate.web._roles import ROUTES, template_of


class Heard(logging.Handler):
    """Everything that was told."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, Event)
        self.events.append(record.msg)

    def of(self, kind: type[Event]) -> list[Any]:
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found


@pytest.fixture
def heard() -> Any:
    log, handler = logging.getLogger("palate.operations"), Heard()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.setLevel(logging.NOTSET)
    log.removeHandler(handler)


def test_each_route_is_its_own_template() -> None:
    for route in ROUTES:
        assert (
            template_of(route.path.replace("{token}", "t").replace("{secret}", "s").replace("{name}", "n"))
            == route.path
        )
    for path in (
        "/nowhere",
        "/start/",
        "/start/a/b",
        "/static",
        "/results/",
        "/results/other.txt",
        "",
        "/api",
    ):
        assert template_of(path) == "none"


def test_requests_are_told_by_route_role_and_outcome(store: Store, kit: StudyKit, heard: Heard) -> None:
    kit.pair(2)
    people = People(store)
    client, _ = people.guest(PUBLIC)
    heard.of(RequestServed)
    duel = client.get("/api/duels?wait=0&text=wombat").json()["duels"][0]["id"]
    client.post("/api/votes", json={"duel_id": duel, "verdict": "left", "key": "k" * 20, "comment": "wombat"})
    client.post("/api/votes", json={"duel_id": duel, "verdict": "left", "key": "l" * 20})
    client.get("/owner")
    client.get("/wombat/wombat")
    client.request("WOMBAT", "/")
    people.at(PUBLIC).get("/")
    people.at(ORIGIN).get("/", headers={"host": "wombat.example"})
    told = heard.of(RequestServed)
    assert [(e.method, e.route, e.status, e.role, e.refused) for e in told] == [
        ("GET", "/api/duels", 200, "rater", None),
        ("POST", "/api/votes", 200, "rater", None),
        ("POST", "/api/votes", 409, "rater", None),
        ("GET", "/owner", 403, "rater", "role"),
        ("GET", "none", 404, "rater", "path"),
        ("other", "/", 405, "rater", "method"),
        ("GET", "/", 403, "guest", "token"),
        ("GET", "/", 403, "unknown", "host"),
    ]
    assert all(event.milliseconds > 0 for event in told)
    assert "wombat" not in "".join(map(str, (*told, *heard.events))).lower()


def test_a_failure_is_told_by_its_class_and_line(
    store: Store, kit: StudyKit, heard: Heard, monkeypatch: pytest.MonkeyPatch, page: TestClient
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("wombat")

    monkeypatch.setattr(store, "open_duels", fail)
    heard.of(RequestServed)
    crashing = TestClient(page.app, base_url=ORIGIN, cookies=page.cookies, raise_server_exceptions=False)
    assert crashing.get("/api/duels").status_code == 500
    (failed,) = heard.of(Failed)
    assert (failed.part, failed.error) == ("page", "KeyError")
    assert failed.where.startswith("web/_view.py:")
    assert [event.status for event in heard.of(RequestServed)] == [500]


def test_alarms_are_told_when_they_change(
    store: Store, kit: StudyKit, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning = [Learning(True)]
    people = People(store, learning=lambda: learning[0])
    monkeypatch.setattr("palate.web._figures.LATELY", 0.0)
    monitor, owner = people.monitor(), people.owner()

    def changes() -> list[tuple[str, bool]]:
        return [(event.alarm, event.on) for event in heard.of(AlarmChanged)]

    for _ in range(2):
        monitor.get("/metrics")
        owner.get("/owner")
    assert not changes()
    learning[0] = Learning(False)

    def full() -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "check_writable", full)
        for page in ("/health", "/health", "/metrics"):
            monitor.get(page)
        assert sorted(changes()) == [("learner", True), ("store", True)]
        owner.get("/owner")
        assert not changes()
    learning[0] = Learning(True)
    monitor.get("/health")
    assert sorted(changes()) == [("learner", False), ("store", False)]


def test_what_only_the_owners_page_shows_is_noticed_without_it(
    make_kit: Any, store: Store, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_kit(settings={"budget": {"cost": 5.0}})
    cost = [4.0]
    people = People(store, spent=lambda: Spent(calls=10, priced=cost[0]))
    people.apps.look()
    assert not heard.of(AlarmChanged)
    cost[0] = 4.6
    people.apps.look()
    people.apps.look()
    assert [(event.alarm, event.on) for event in heard.of(AlarmChanged)] == [("budget", True)]
    cost[0] = 0.0
    with monkeypatch.context() as patched:
        patched.setattr("palate.web._owner.MANY", -1)  # so many votes that looking takes long
        people.apps.look()
        assert not heard.of(AlarmChanged)
    people.apps.look()
    assert [(event.alarm, event.on) for event in heard.of(AlarmChanged)] == [("budget", False)]


@pytest.mark.parametrize("error", [StoreError("the server is away"), ValueError("a mistake of ours")])
def test_the_server_keeps_looking_whatever_goes_wrong(
    error: Exception, store: Store, kit: StudyKit, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, stop = [0], threading.Event()

    def fail(_: object) -> None:
        looked[0] += 1
        if looked[0] == 3:
            stop.set()
        raise error

    monkeypatch.setattr("palate.web._server.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("palate.web._owner.OwnerPage.look", fail)
    serve(store, on_ready=lambda link: None, stop=stop)
    assert looked[0] == 3
    assert [event.error for event in heard.of(Failed)] == [type(error).__name__] * 3
