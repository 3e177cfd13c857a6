"""Commits that several callers share: one failure is one caller's, and nobody is answered too early."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from palate.errors import ConflictError, InputError, NotFoundError, StoreError
from palate.store import Store, StudyState, open_store
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.testing import ballot_on, fill_study
from palate.types import Ballot, Receipt, Verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "study.db") as opened:
        fill_study(opened, 8)
        yield opened


class Gate:
    """Work that keeps the writer busy until it is told to go on, so that what comes next queues up."""

    def __init__(self, store: Store) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=store._writer.run, args=(self._hold,))
        self.thread.start()
        assert self.inside.wait(30)

    def _hold(self, batch: Batch) -> None:
        self.inside.set()
        assert self.go_on.wait(30)

    def open(self) -> None:
        self.go_on.set()
        self.thread.join(30)


def outcome(future: "Future[Receipt]") -> Any:
    return future.exception(30) or future.result(30)


def test_one_refusal_is_one_callers_alone(store: Store) -> None:
    duels = store.open_duels("anna", 4)
    gate = Gate(store)
    futures = [
        store.submit(ballot)
        for ballot in (
            ballot_on(duels[0], key="a"),
            ballot_on(duels[0], key="b"),
            ballot_on(duels[0], key="a"),
            ballot_on(duels[1], Verdict.TIE, key="a"),
            Ballot("nobody's", Verdict.LEFT, "anna", "c"),
            ballot_on(duels[1], key="d"),
        )
    ]
    assert not any(future.done() for future in futures)
    gate.open()
    first, second, repeat, other, unknown, good = map(outcome, futures)
    assert isinstance(second, ConflictError)
    assert isinstance(other, ConflictError)
    assert isinstance(unknown, NotFoundError)
    assert repeat == first._replace(replayed=True)
    assert good.seq == first.seq + 1
    assert store.verify() == []
    assert len(StudyState.replay(store.events()).votes) == 2


def test_work_between_votes_keeps_its_place(store: Store) -> None:
    duels = store.open_duels("anna", 2)
    gate = Gate(store)
    before = store.submit(ballot_on(duels[0]))
    undone: list[Any] = []
    undo = threading.Thread(target=lambda: undone.append(store.undo("anna")))
    undo.start()
    gate.open()
    undo.join(30)
    assert outcome(before).duel_id == duels[0].id == undone[0].id
    assert store.verify() == []


def test_a_mistake_of_ours_hurts_nobody_else(store: Store) -> None:
    duel = store.open_duels("anna", 1)[0]
    last = store.last_seq()

    def twice(batch: Batch) -> None:
        row = {"hash": "h", "kind": "text", "content": b""}
        batch.connection.execute(insert(tables.text), [row, row])

    gate = Gate(store)
    future = store.submit(ballot_on(duel))
    errors: list[Exception] = []

    def fail() -> None:
        try:
            store._writer.run(twice)
        except StoreError as error:
            errors.append(error)

    failing = threading.Thread(target=fail)
    failing.start()
    gate.open()
    failing.join(30)
    assert outcome(future).seq == last + 1
    assert "UNIQUE" in str(errors[0])
    assert store.verify() == []


def test_a_vote_that_was_called_off_in_the_queue_is_not_cast(store: Store) -> None:
    duels = store.open_duels("anna", 2)
    gate = Gate(store)
    kept, dropped = (store.submit(ballot_on(duel)) for duel in duels)
    assert dropped.cancel()
    gate.open()
    assert outcome(kept).duel_id == duels[0].id
    assert [vote.duel_id for vote in StudyState.replay(store.events()).votes] == [duels[0].id]


def test_closing_finishes_what_is_queued(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    store = open_store(path)
    fill_study(store, 8)
    futures = [store.submit(ballot_on(duel)) for duel in store.open_duels("anna", 8)]
    store.close()
    assert all(future.done() for future in futures)
    with open_store(path) as again:
        assert len(StudyState.replay(again.events()).votes) == 8


def test_more_than_one_transaction_can_hold(tmp_path: Path) -> None:
    with open_store(tmp_path / "many.db") as store:
        fill_study(store, 300)
        duels = store.open_duels("anna", 300)
        gate = Gate(store)
        futures = [store.submit(ballot_on(duel)) for duel in duels]
        gate.open()
        seqs = [outcome(future).seq for future in futures]
    assert seqs == list(range(seqs[0], seqs[0] + 300))


def test_an_actor_needs_a_name(store: Store) -> None:
    with pytest.raises(InputError, match="an actor"):
        store.append("study_closed", {"reason": ""}, actor="")
    with pytest.raises(InputError, match="open_duels needs"):
        store.open_duels("", 1)
    with pytest.raises(InputError, match="open_duels needs"):
        store.open_duels("anna", 0)
