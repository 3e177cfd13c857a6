"""The fold itself: order, closing, following, and what it refuses."""

from pathlib import Path

import pytest

from palate.errors import StoreError
from palate.store import EventKind, StoredEvent, StudyState, guideline_version, open_store
from palate.store._events import chained, encode, input_of
from palate.testing import ballot_on, fill_study
from palate.types import Verdict


def event(seq: int, kind: EventKind, **payload: object) -> StoredEvent:
    return StoredEvent(seq, kind, payload, "palate", "2026-11-21T08:00:00.000+00:00", "")


def test_the_chain_is_the_written_formula() -> None:
    # sha256('["", 1, "t", "study_closed", "palate", "{}"]'), worked out with sha256sum.
    import hashlib

    by_hand = hashlib.sha256(b'["", 1, "t", "study_closed", "palate", "{}"]').hexdigest()
    assert chained("", 1, "t", EventKind.STUDY_CLOSED.value, "palate", "{}") == by_hand
    assert encode({"b": 1, "a": "\ud800é"}) == '{"a":"\\ud800\\u00e9","b":1}'


def test_closing_and_reopening() -> None:
    state = StudyState.replay([event(1, EventKind.STUDY_CLOSED, reason="done")])
    assert state.closed == "done"
    state.apply(event(2, EventKind.STUDY_REOPENED, reason="more"))
    assert state.closed is None


def test_the_guidelines_of_a_duel_are_those_it_was_shown_under(tmp_path: Path) -> None:
    with open_store(tmp_path / "study.db") as store:
        fill_study(store, 2)
        old = store.open_duels("anna", 1)[0]
        store.append("config_changed", {"config": "x", "settings": {"seed": 2}, "guidelines": "Be strict."})
        store.vote(ballot_on(old))
        new = store.open_duels("anna", 1)[0]
        store.vote(ballot_on(new, Verdict.TIE))
        state = StudyState.replay(store.events())
    assert [vote.guideline_version for vote in state.votes] == [
        guideline_version("Be fair."),
        guideline_version("Be strict."),
    ]
    assert state.settings == {"seed": 2}
    assert state.guideline_version == guideline_version("Be strict.")


def test_an_event_out_of_turn_is_refused() -> None:
    for seq in (0, 2):
        with pytest.raises(StoreError, match=f"event {seq} cannot follow event 0"):
            StudyState.replay([event(seq, EventKind.STUDY_CLOSED, reason="")])


def test_an_event_about_nothing_is_refused() -> None:
    with pytest.raises(StoreError, match="does not fit what came before it"):
        StudyState.replay([event(1, EventKind.UNDONE, vote_seq=9, duel_id="d")])


def test_states_differ_when_a_part_differs() -> None:
    one = StudyState.replay([event(1, EventKind.RESPONSE_FAILED, candidate_id="c", input_id="i", reason="x")])
    two = StudyState.replay([event(1, EventKind.RESPONSE_FAILED, candidate_id="c", input_id="i", reason="y")])
    assert one != two
    assert one == StudyState.replay(
        [event(1, EventKind.RESPONSE_FAILED, candidate_id="c", input_id="i", reason="x")]
    )
    assert one.failures == {("c", "i"): "x"}
    assert "votes=0" in repr(one)


def test_an_input_needs_no_more_than_a_text() -> None:
    assert input_of({"id": "a", "text": "t"}).references == ()
