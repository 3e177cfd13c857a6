"""What every store must do, and the small studies that its tests are made on."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from palate.errors import ConflictError, InputError, NotFoundError, StoreError
from palate.store import (
    EventKind,
    Store,
    StudyState,
    candidates_payload,
    inputs_payload,
    pairing_payload,
)
from palate.types import Ballot, Belief, Candidate, Duel, Input, Pairing, Response, Standing, Verdict

__all__ = ["StoreContract", "ballot_on", "fill_study"]

_LONE_SURROGATE = "\ud800"


def fill_study(store: Store, pairings: int = 4, *, prefix: str = "pairing") -> tuple[Candidate, Candidate]:
    """Set up a study of two candidates and two inputs, with some pairings that are ready to be shown."""
    first, second = Candidate.make("Be brief."), Candidate.make("Be kind.")
    shown = [
        store.put_response(f"{candidate.id}-{k}", Response("text", f"{candidate.text} {k}", 0.5, 0.001))
        for candidate in (first, second)
        for k in range(2)
    ]
    store.append_many(
        [
            (EventKind.STUDY_CREATED, {"config": "", "settings": {"seed": 1}, "guidelines": "Be fair."}),
            (EventKind.INPUTS_ADDED, inputs_payload([Input("in-0", "Hello?"), Input("in-1", "Why?")])),
            (EventKind.CANDIDATES_ADDED, candidates_payload([first, second])),
        ]
    )
    opened = [
        Pairing(f"{prefix}-{k}", f"in-{k % 2}", first.id, second.id, shown[k % 2], shown[2 + k % 2])
        for k in range(pairings)
    ]
    store.append_many([(EventKind.PAIRING_OPENED, pairing_payload(pairing)) for pairing in opened])
    return first, second


def ballot_on(duel: Duel, verdict: Verdict = Verdict.LEFT, key: str | None = None) -> Ballot:
    """A ballot on a duel, under a key of its own."""
    return Ballot(duel.id, verdict, duel.judge, key or f"key-{duel.id}", seconds=1.5)


class StoreContract:
    """Subclass it and give a fixture ``reopen``: a callable that opens the same study each time.

    The study is empty when a test begins.
    """

    @pytest.fixture
    def reopen(self) -> Callable[[], Store]:
        """Opens the study under test."""
        raise NotImplementedError("give a fixture 'reopen' that opens the study under test")

    def test_open_duels_are_filled_up_when_fewer_than_the_least_are_left(
        self, reopen: Callable[[], Store]
    ) -> None:
        with reopen() as store:
            fill_study(store, 6)
            first = store.open_duels("anna", 3, least=2)
            store.vote(ballot_on(first[0]))
            before = store.last_seq()
            assert store.open_duels("anna", 3, least=2) == first[1:]
            assert store.last_seq() == before
            store.vote(ballot_on(first[1]))
            then = store.open_duels("anna", 3, least=2)
            assert (len(then), then[0]) == (3, first[2])

    def test_a_vote_is_there_after_reopening(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            duel = store.open_duels("anna", 1)[0]
            receipt = store.vote(ballot_on(duel, Verdict.RIGHT))
            live = StudyState.replay(store.events())
        assert (receipt.duel_id, receipt.verdict, receipt.replayed) == (duel.id, Verdict.RIGHT, False)
        with reopen() as store:
            state = StudyState.replay(store.events())
            assert store.verify() == []
        assert state == live
        (vote,) = state.votes
        assert (vote.seq, vote.verdict, vote.judge, vote.seconds) == (receipt.seq, "right", "anna", 1.5)
        assert (vote.left_candidate, vote.right_candidate) == (duel.left_candidate, duel.right_candidate)

    def test_a_repeat_gets_the_first_receipt(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            ballot = ballot_on(store.open_duels("anna", 1)[0])
            first = store.vote(ballot)
            assert store.vote(ballot) == first._replace(replayed=True)
        with reopen() as store:
            assert store.vote(ballot) == first._replace(replayed=True)
            store.undo("anna")
            assert store.vote(ballot) == first._replace(replayed=True)
            assert StudyState.replay(store.events()).votes == []

    def test_a_key_with_another_content_is_refused(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            one, two = store.open_duels("anna", 2)
            store.vote(ballot_on(one, key="k"))
            for wrong in (ballot_on(one, Verdict.TIE, key="k"), ballot_on(two, key="k")):
                with pytest.raises(ConflictError, match="key 'k' already stands"):
                    store.vote(wrong)
            assert len(StudyState.replay(store.events()).votes) == 1

    def test_a_duel_has_one_vote(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            duel = store.open_duels("anna", 1)[0]
            store.vote(ballot_on(duel, key="k1"))
            with pytest.raises(ConflictError, match="already has a vote"):
                store.vote(ballot_on(duel, key="k2"))

    def test_two_judges_may_use_the_same_key(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            for judge in ("anna", "ben"):
                assert not store.vote(ballot_on(store.open_duels(judge, 1)[0], key="k")).replayed

    def test_a_duel_of_somebody_else_is_unknown(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            duel = store.open_duels("anna", 1)[0]
            for ballot in (
                Ballot(duel.id, Verdict.LEFT, "ben", "k"),
                Ballot("nothing", Verdict.LEFT, "anna", "k"),
            ):
                with pytest.raises(NotFoundError, match="was shown to"):
                    store.vote(ballot)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"key": ""},
            {"key": "k" * 201},
            {"key": _LONE_SURROGATE},
            {"judge": "a\0b"},
            {"seconds": float("nan")},
            {"seconds": -1.0},
            {"verdict": "left"},
            {"comment": "x" * 20_001},
        ],
    )
    def test_a_malformed_ballot_is_refused(
        self, reopen: Callable[[], Store], wrong: dict[str, object]
    ) -> None:
        fields: dict[str, object] = {"duel_id": "d", "verdict": Verdict.LEFT, "judge": "a", "key": "k"}
        with reopen() as store, pytest.raises(InputError, match=f"ballot's {next(iter(wrong))}"):
            store.vote(Ballot(**{**fields, **wrong}))  # pyright: ignore[reportArgumentType]

    def test_odd_comments_come_back_as_they_were(self, reopen: Callable[[], Store]) -> None:
        comment = f"=1+1 \0 {_LONE_SURROGATE} \u202e '; DROP TABLE vote; --"
        with reopen() as store:
            fill_study(store)
            duel = store.open_duels("anna", 1)[0]
            store.vote(Ballot(duel.id, Verdict.SKIP, "anna", "k", reason="unclear", comment=comment))
            assert StudyState.replay(store.events()).votes[0].comment == comment
            assert store.verify() == []

    def test_undo_goes_back_twelve_votes_and_over_a_restart(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store, 12)
            seen = [duel.id for duel in store.open_duels("anna", 12)]
            for duel in store.open_duels("anna", 12):
                store.vote(ballot_on(duel))
            assert store.ready() == 0
        for expected in reversed(seen):
            with reopen() as store:
                duel = store.undo("anna")
                assert duel is not None
                assert duel.id == expected == store.open_duels("anna", 1)[0].id
        with reopen() as store:
            assert store.undo("anna") is None
            assert store.ready() == 12
            assert [duel.id for duel in store.open_duels("anna", 12)] == seen
            assert StudyState.replay(store.events()).votes == []
            assert store.verify() == []

    def test_open_duels_stay_the_same_until_a_vote(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store, 6)
            shown = store.open_duels("anna", 3)
            others = store.open_duels("ben", 6)
            assert store.open_duels("anna", 3) == shown
        with reopen() as store:
            assert store.open_duels("anna", 3) == shown
            held = {duel.pairing_id for duel in shown} | {duel.pairing_id for duel in others}
            assert len(held) == 6
            assert len(others) == 3
            store.vote(ballot_on(shown[0]))
            assert store.open_duels("anna", 3) == shown[1:]

    def test_a_seeded_generator_gives_the_same_duels(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            first, second = fill_study(store, 40)
            shown = store.open_duels("anna", 40, Random(7))
        draws = Random(7)
        sides_drawn = [(draws.getrandbits(128), bool(draws.getrandbits(1)))[1] for _ in range(40)]
        assert [duel.swapped for duel in shown] == sides_drawn
        assert {duel.swapped for duel in shown} == {True, False}
        assert all(len(duel.id) == 32 for duel in shown)
        for duel in shown:
            sides = (second.id, first.id) if duel.swapped else (first.id, second.id)
            assert (duel.left_candidate, duel.right_candidate) == sides
            assert duel.left.content.startswith("Be kind." if duel.swapped else "Be brief.")

    def test_a_generator_that_starts_again_makes_no_id_twice(self, reopen: Callable[[], Store]) -> None:
        ids: list[str] = []
        for _ in range(3):
            with reopen() as store:
                if not ids:
                    fill_study(store, 3)
                duel = store.open_duels("anna", 1, Random(7))[0]
                store.vote(ballot_on(duel))
                ids.append(duel.id)
        assert len(set(ids)) == 3

    def test_one_key_from_many_threads_is_one_vote(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            ballot = ballot_on(store.open_duels("anna", 1)[0])
            with ThreadPoolExecutor(8) as pool:
                receipts = list(pool.map(store.vote, [ballot] * 64))
            assert len({receipt.seq for receipt in receipts}) == 1
            assert sum(not receipt.replayed for receipt in receipts) == 1

    def test_texts_come_back_exactly_and_are_paid_for_once(self, reopen: Callable[[], Store]) -> None:
        answer = Response("text", f"a\0b{_LONE_SURROGATE}猫\r\n", seconds=2.0, cost=None)
        with reopen() as store:
            place = store.put_response("request", answer)
            assert store.put_response("request", Response("text", "another")) == place
            assert store.put_response("other request", answer) == place
        with reopen() as store:
            assert store.get_response(place) == store.get_response_by_key("request") == answer
            assert store.get_response_by_key("never asked") is None
            assert store.verify() == []
            with pytest.raises(NotFoundError, match="no response"):
                store.get_response("0" * 64)
            with pytest.raises(InputError, match="failed"):
                store.put_response("k", Response("text", "", failed="timed out"))

    def test_completions_are_kept_under_their_key(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            assert store.get_completion("k") is None
            store.put_completion("k", {"text": f"é{_LONE_SURROGATE}", "cost": None})
            store.put_completion("k", {"text": "later"})
        with reopen() as store:
            assert store.get_completion("k") == {"text": f"é{_LONE_SURROGATE}", "cost": None}

    def test_the_newest_belief_and_the_curve_come_back(self, reopen: Callable[[], Store]) -> None:
        beliefs = [
            Belief(seq, votes, "a", (Standing("a", 0.5 + votes / 10, 0.1, 0.9, votes / 4, votes),), False, "")
            for seq, votes in ((3, 1), (5, 2), (9, 3))
        ]
        with reopen() as store:
            assert store.belief() is None
            for belief in beliefs:
                store.put_belief(belief)
            store.put_belief(beliefs[0])
        with reopen() as store:
            assert store.belief() == beliefs[-1]
            assert store.belief_curve() == [(1, 0.25, "a", 0.6), (2, 0.5, "a", 0.7), (3, 0.75, "a", 0.8)]

    def test_events_of_one_call_are_all_there_or_none(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            before = store.last_seq()
            lost = pairing_payload(Pairing("new", "in-0", "a", "b", "0" * 64, "1" * 64))
            with pytest.raises(NotFoundError, match="put_response"):
                store.append_many([(EventKind.STUDY_CLOSED, {"reason": "done"}), ("pairing_opened", lost)])
            assert store.last_seq() == before
            assert store.append("study_closed", {"reason": "done"}).seq == before + 1
            assert store.verify() == []

    def test_events_come_in_order_from_any_place(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store, 7)
            every = list(store.events())
            assert [event.seq for event in every] == list(range(1, store.last_seq() + 1))
            assert list(store.events(after=4, limit=3)) == every[4:7]
            assert list(store.events(after=len(every))) == []

    def test_reserved_and_unknown_events_are_refused(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            with pytest.raises(InputError, match="undo"):
                store.append(EventKind.UNDONE, {"vote_seq": 1, "duel_id": "d"})
            with pytest.raises(InputError, match="did you mean 'study_closed'"):
                store.append("study_close", {"reason": ""})
            with pytest.raises(InputError, match="'reason'"):
                store.append("study_closed", {})
            assert store.last_seq() == 0

    def test_a_withdrawn_candidate_is_not_shown_any_more(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            _, second = fill_study(store, 4)
            held = store.open_duels("anna", 1)
            store.append("candidate_withdrawn", {"id": second.id, "reason": "leaks the prompt"})
            assert store.open_duels("anna", 3) == held
            assert store.ready() == 1
            state = StudyState.replay(store.events())
            assert [pairing.id for pairing in state.pending] == [held[0].pairing_id]
            assert second.id in state.withdrawn
            assert store.verify() == []
            with pytest.raises(NotFoundError, match="cannot be withdrawn"):
                store.append("candidate_withdrawn", {"id": second.id, "reason": "again"})

    def test_waiting_ends_with_the_next_event(self, reopen: Callable[[], Store]) -> None:
        with reopen() as store:
            fill_study(store)
            latest = store.last_seq()
            assert store.wait(latest - 1, 60.0) == latest
            assert store.wait(latest, 0.0) == latest
            woken: list[int] = []
            waiter = threading.Thread(target=lambda: woken.append(store.wait(latest, 60.0)))
            waiter.start()
            store.append("study_closed", {"reason": "done"})
            waiter.join(30)
            assert woken == [latest + 1]

    def test_another_opening_sees_every_write(self, reopen: Callable[[], Store]) -> None:
        with reopen() as writer, reopen() as reader:
            fill_study(writer)
            state = StudyState()
            assert state.follow(reader) == writer.last_seq()
            duel = writer.open_duels("anna", 1)[0]
            writer.vote(ballot_on(duel))
            assert reader.wait(state.seq, 60.0) == writer.last_seq()
            assert state.follow(reader) == 2
            assert state.vote_on(duel.id) is not None

    def test_a_closed_store_says_so(self, reopen: Callable[[], Store]) -> None:
        store = reopen()
        store.close()
        store.close()
        for use in (
            store.last_seq,
            lambda: store.append("study_closed", {"reason": ""}),
            lambda: store.undo("a"),
        ):
            with pytest.raises(StoreError, match="was closed"):
                use()
        assert store.wait(0, 60.0) == 0
