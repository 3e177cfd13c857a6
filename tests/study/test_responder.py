"""Who is blamed for a response that failed, and that a study is never held up by one prompt."""

import asyncio
from pathlib import Path

import pytest

from palate.responder import LAST_TRIES, Responder
from palate.store import EventKind, StudyState, candidates_payload, inputs_payload, open_store
from palate.types import Candidate, Input, Lineage, Pairing, Response

GOOD, OTHER, BAD = (Candidate.make(text, lineage=Lineage("seed")) for text in ("good", "other", "bad"))
PLACE = Input("i1", "?")


class Picky:
    """Answers everything but what it has been told to refuse."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        failed = "refused" if candidate.text in self.refused else None
        return Response("text", "" if failed else candidate.text, failed=failed)

    def check(self, candidate: Candidate, fields: object = ()) -> None: ...

    def features_text(self, candidate: Candidate) -> str:
        return candidate.text


def ask(responder: Responder, first: Candidate, second: Candidate, number: int) -> bool:
    return asyncio.run(
        responder.open(Pairing(f"p{number}", "i1", first.id, second.id, "", ""), first, second, PLACE)
    )


@pytest.mark.parametrize("again", [False, True])
def test_a_prompt_that_always_fails_is_withdrawn_although_nothing_new_can_succeed(
    tmp_path: Path, again: bool
) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
        store.append(EventKind.INPUTS_ADDED, inputs_payload([PLACE]))
        store.append(EventKind.CANDIDATES_ADDED, candidates_payload([GOOD, OTHER, BAD]))
        target = Picky("bad")
        responder = Responder(store, target, "", "key")
        assert ask(responder, GOOD, OTHER, 0)
        if again:  # a new run knows from the store what was answered before
            responder = Responder(store, target, "", "key")
        for number in range(1, LAST_TRIES):
            assert not ask(responder, GOOD, BAD, number)
        assert BAD.id not in StudyState.replay(store.events()).withdrawn
        assert not ask(responder, GOOD, BAD, LAST_TRIES)
        assert set(StudyState.replay(store.events()).withdrawn) == {BAD.id}


def test_when_everything_fails_nobody_is_withdrawn(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
        store.append(EventKind.INPUTS_ADDED, inputs_payload([PLACE]))
        store.append(EventKind.CANDIDATES_ADDED, candidates_payload([GOOD, OTHER, BAD]))
        responder = Responder(store, Picky("good", "other", "bad"), "", "key")
        for number in range(12):
            assert not ask(responder, GOOD, BAD, number)
        assert responder.outage == 24
        assert not StudyState.replay(store.events()).withdrawn


def test_after_an_outage_nobody_is_blamed_for_it(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
        store.append(EventKind.INPUTS_ADDED, inputs_payload([PLACE]))
        store.append(EventKind.CANDIDATES_ADDED, candidates_payload([GOOD, OTHER, BAD]))
        target = Picky("good", "other", "bad")
        responder = Responder(store, target, "", "key")
        for number in range(4):
            assert not ask(responder, GOOD, BAD, number)
        target.refused = {"bad"}
        assert ask(responder, GOOD, OTHER, 4)
        assert not StudyState.replay(store.events()).withdrawn
        # One that goes on failing while others answer is withdrawn as ever.
        for number in range(5, 5 + LAST_TRIES):
            assert not ask(responder, OTHER, BAD, number)
        assert set(StudyState.replay(store.events()).withdrawn) == {BAD.id}
