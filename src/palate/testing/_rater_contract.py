"""What every store must do for many raters: overlap, leases, planted duels, groups, and being forgotten."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from palate.errors import ConflictError, InputError, NotFoundError
from palate.store import EventKind, GoldDuel, Store, StudyState, gold_payload, inputs_payload, pairing_payload
from palate.testing._stores import ballot_on, fill_study
from palate.types import Ballot, Duel, Input, Json, Pairing, Response, Verdict

__all__ = ["RaterContract", "SimulatedClock", "with_rules"]

At = Callable[["SimulatedClock"], Store]


class SimulatedClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 21, 8, tzinfo=UTC)

    def __call__(self) -> str:
        """The time, as a store wants it."""
        return self._now.isoformat(timespec="milliseconds")

    def go_on(self, seconds: float) -> None:
        """Let time pass; a negative number turns the clock back."""
        self._now += timedelta(seconds=seconds)


def with_rules(store: Store, rules: dict[str, Json], pairings: int = 4) -> None:
    """Set up a small study with a ``[raters]`` table, its pairings opened under these rules."""
    fill_study(store, 0)
    store.append("config_changed", {"config": "", "settings": {"raters": rules}, "guidelines": ""})
    open_more(store, pairings)


def open_more(store: Store, pairings: int, group: str = "", prefix: str = "p") -> None:
    """Open pairings of the two candidates of :func:`with_rules`."""
    state = StudyState.replay(store.events())
    first, second = state.candidates
    one, two = (store.put_response(f"{which}-0", Response("text", which)) for which in (first, second))
    start = len(state.pairings)
    store.append_many(
        [
            (
                EventKind.PAIRING_OPENED,
                pairing_payload(Pairing(f"{prefix}-{start + k}", "in-0", first, second, one, two, group)),
            )
            for k in range(pairings)
        ]
    )


def pairings_of(duels: list[Duel]) -> list[str]:
    """Which pairings are shown."""
    return [duel.pairing_id for duel in duels]


class RaterContract:
    """Subclass it and give a fixture ``at``: a callable that opens the same study with a clock."""

    @pytest.fixture
    def at(self) -> At:
        """Opens the study under test."""
        raise NotImplementedError("give a fixture 'at' that opens the study under test with a clock")

    def test_three_raters_see_each_pairing_once_on_sides_of_their_own(self, at: At) -> None:
        with at(SimulatedClock()) as store:
            with_rules(store, {"overlap": 3}, 20)
            shown = {judge: store.open_duels(judge, 20, Random(judge)) for judge in "abc"}
            assert all(len(set(pairings_of(duels))) == 20 for duels in shown.values())
            assert store.open_duels("d", 1) == []
            assert len({tuple(duel.swapped for duel in duels) for duels in shown.values()}) == 3
            assert store.ready() == 20
            state = StudyState()
            for votes, judge in enumerate("abc", start=1):
                store.vote(ballot_on(shown[judge][0]))
                state = StudyState.replay(store.events())
                assert state.progress("p-0")[:3] == (3, votes, 3 - votes)
                assert state.stage("p-0") == ("voted" if votes == 3 else "shown")
            assert store.ready() == 19 == len(state.pending)
            assert store.verify() == []

    def test_a_lease_that_ended_lets_somebody_else_in(self, at: At) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {"lease": 60}, 2)
            (held,) = store.open_duels("anna", 1)
            store.open_duels("carl", 1)
            clock.go_on(59)
            assert store.open_duels("ben", 2) == []
            clock.go_on(2)
            (taken,) = store.open_duels("ben", 1)
            assert taken.pairing_id == held.pairing_id
            assert taken.id != held.id
            state = StudyState.replay(store.events())
            assert state.expired(held.id)
            assert state.progress(held.pairing_id)[:3] == (1, 0, 1)
            assert store.verify() == []

    def test_nobody_loses_a_duel_that_nobody_else_wants(self, at: At) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {"lease": 60}, 3)
            shown = store.open_duels("anna", 3)
            clock.go_on(10_000)
            assert store.open_duels("anna", 3) == shown
            assert not any(event.kind is EventKind.LEASE_EXPIRED for event in store.events())
            store.vote(ballot_on(shown[0]))
            assert StudyState.replay(store.events()).votes[0].surplus is False

    def test_a_late_vote_counts_while_one_is_wanted_and_is_surplus_then(self, at: At) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {"lease": 60}, 1)
            (late,) = store.open_duels("anna", 1)
            clock.go_on(61)
            (taken,) = store.open_duels("ben", 1)
            store.vote(ballot_on(late))
            assert StudyState.replay(store.events()).stage("p-0") == "voted"
            store.vote(ballot_on(taken, Verdict.RIGHT))
            state = StudyState.replay(store.events())
            assert [(vote.judge, vote.surplus) for vote in state.votes] == [("anna", False), ("ben", True)]
            assert state.progress("p-0")[:3] == (1, 1, 0)
            with pytest.raises(ConflictError, match="already has a vote"):
                store.vote(ballot_on(late, key="another"))
            assert store.verify() == []
            undone = store.undo("ben")
            assert undone is not None
            assert StudyState.replay(store.events()).progress("p-0")[:3] == (1, 1, 1)
            store.undo("anna")
            assert StudyState.replay(store.events()).progress("p-0")[:3] == (1, 0, 2)
            assert store.verify() == []

    def test_whoever_comes_back_finds_the_same_duel(self, at: At) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {"lease": 60}, 1)
            (first,) = store.open_duels("anna", 1)
            clock.go_on(61)
            store.open_duels("ben", 1)
            assert store.open_duels("anna", 1) == []
            clock.go_on(61)
            assert store.open_duels("anna", 1) == [first]
            state = StudyState.replay(store.events())
            assert state.progress("p-0") == (1, 0, 1, ("anna", "ben"))
            assert not state.expired(first.id)
            assert store.verify() == []
            store.vote(ballot_on(first))
            assert StudyState.replay(store.events()).votes[0].surplus is False

    def test_an_old_pairing_comes_before_a_new_one(self, at: At) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {"lease": 60}, 1)
            store.open_duels("anna", 1)
            clock.go_on(61)
            open_more(store, 3)
            assert pairings_of(store.open_duels("ben", 2)) == ["p-0", "p-1"]

    def test_a_clock_that_is_turned_back_only_makes_leases_longer(self, at: At) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {"lease": 60}, 1)
            clock.go_on(-100_000)
            (shown,) = store.open_duels("anna", 1)
            assert store.open_duels("ben", 1) == []
            clock.go_on(100_000)
            assert pairings_of(store.open_duels("ben", 1)) == [shown.pairing_id]
            assert store.verify() == []

    def test_a_pairing_can_be_asked_once_more(self, at: At) -> None:
        with at(SimulatedClock()) as store:
            with_rules(store, {"overlap": "until decided", "most": 3}, 1)
            with pytest.raises(NotFoundError, match="that has its votes"):
                store.append("pairing_extended", {"id": "p-0"})
            store.vote(ballot_on(store.open_duels("anna", 1)[0]))
            assert store.open_duels("ben", 1) == []
            store.append("pairing_extended", {"id": "p-0"})
            assert store.open_duels("anna", 1) == []
            (again,) = store.open_duels("ben", 1)
            store.vote(ballot_on(again))
            assert StudyState.replay(store.events()).progress("p-0") == (2, 2, 0, ("anna", "ben"))
            assert store.verify() == []

    def test_a_withdrawn_candidate_gets_no_further_rater(self, at: At) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {"overlap": 2, "lease": 60}, 3)
            begun, full = store.open_duels("anna", 2)
            held = store.open_duels("ben", 2)[1]
            store.vote(ballot_on(begun))
            second = list(StudyState.replay(store.events()).candidates)[1]
            store.append("candidate_withdrawn", {"id": second, "reason": "leaks the prompt"})
            clock.go_on(61)
            assert store.open_duels("carl", 3) == []
            state = StudyState.replay(store.events())
            assert [state.stage(f"p-{k}") for k in range(3)] == ["shown", "shown", "withdrawn"]
            for duel in (full, held):
                store.vote(ballot_on(duel))
            assert StudyState.replay(store.events()).stage("p-1") == "voted"
            assert store.verify() == []

    def test_a_group_sees_its_own_pairings(self, at: At) -> None:
        with at(SimulatedClock()) as store:
            with_rules(store, {"groups": ["doctors", "patients"]}, 1)
            open_more(store, 2, "doctors")
            open_more(store, 2, "patients")
            doctor, patient = store.add_rater("Dr Eve", "doctors"), store.add_rater("Pat", "patients")
            assert pairings_of(store.open_duels(doctor, 9)) == ["p-0", "p-1", "p-2"]
            assert pairings_of(store.open_duels(patient, 9)) == ["p-3", "p-4"]
            assert store.open_duels("nobody", 9) == []
            state = StudyState.replay(store.events())
            assert state.raters == {doctor: "doctors", patient: "patients"}
            assert store.rater_names() == {doctor: "Dr Eve", patient: "Pat"}
            assert "Dr Eve" not in str(list(store.events()))
            with pytest.raises(InputError, match="name"):
                store.add_rater(" ")
            assert store.verify() == []

    def test_planted_duels_are_few_apart_and_say_nothing_of_candidates(self, at: At) -> None:
        with at(SimulatedClock()) as store:
            with_rules(store, {"overlap": 2, "gold": 0.2, "repeats": 0.2}, 150)
            plant_gold(store, 12)
            draws, order = Random(3), list[Duel]()
            for _ in range(150):
                (duel,) = store.open_duels("anna", 1, draws)
                store.vote(ballot_on(duel))
                order.append(duel)
            state = StudyState.replay(store.events())
            planted = Counter(state.duels[duel.id].planted for duel in order)
            # All 12 gold duels; of the rest about a fifth is repeated (within 5 standard deviations).
            assert planted["gold"] == 12
            assert 8 <= planted["repeat"] <= 52
            assert len(state.votes) == planted[""]
            assert Counter(vote.planted for vote in state.checks) == {
                "gold": planted["gold"],
                "repeat": planted["repeat"],
            }
            self._check_repeats(state, order)
            assert len(state.all_votes) == 150
            assert store.ready() == 150
            assert store.undo("anna") is not None
            assert store.verify() == []

    def _check_repeats(self, state: StudyState, order: list[Duel]) -> None:
        place = {(duel.pairing_id, state.duels[duel.id].planted): k for k, duel in enumerate(order)}
        for (pairing_id, planted), later in place.items():
            if planted == "repeat":
                earlier = place[pairing_id, ""]
                assert later - earlier > 10
                assert order[later].swapped is not order[earlier].swapped
                assert order[later].left == order[earlier].right

    def test_gold_is_shown_as_it_is_and_once_to_each(self, at: At) -> None:
        with at(SimulatedClock()) as store:
            with_rules(store, {"gold": 0.99}, 40)
            plant_gold(store, 3)
            for judge in ("anna", "ben"):
                duels = store.open_duels(judge, 8, Random(1))
                gold = [duel for duel in duels if duel.left_candidate in ("better", "worse")]
                assert len({duel.pairing_id for duel in gold}) == 3
                for duel in gold:
                    assert duel.input.text.startswith("Known question")
                    good = duel.right if duel.swapped else duel.left
                    assert good.content.startswith("good")
            with pytest.raises(ConflictError, match="already in the study"):
                plant_gold(store, 1)
            with pytest.raises(ConflictError, match="another content"):
                store.append("inputs_added", inputs_payload([Input("gold-0", "something else")]))
            assert store.verify() == []

    def test_without_shares_nothing_is_planted_and_the_draws_stay_the_same(self, at: At) -> None:
        with at(SimulatedClock()) as store:
            with_rules(store, {"gold": 0.0, "repeats": 0.0}, 30)
            plant_gold(store, 5)
            shown = store.open_duels("anna", 30, Random(7))
        draws = Random(7)
        assert [d.swapped for d in shown] == [
            (draws.getrandbits(128), bool(draws.getrandbits(1)))[1] for _ in range(30)
        ]

    @pytest.mark.parametrize("votes", ["keep", "drop"])
    def test_a_removed_rater_is_forgotten_and_the_chain_stays_whole(self, at: At, votes: str) -> None:
        clock = SimulatedClock()
        with at(clock) as store:
            with_rules(store, {}, 4)
            rater = store.add_rater("Zoë Example", "")
            one, two, three = store.open_duels(rater, 3)
            said = Ballot(one.id, Verdict.LEFT, rater, "k1", comment="I am Zoë, call me")
            receipt = store.vote(said)
            assert store.vote(said) == receipt._replace(replayed=True)
            with pytest.raises(ConflictError, match="already stands"):
                store.vote(Ballot(one.id, Verdict.LEFT, rater, "k1", comment="Something else"))
            store.vote(ballot_on(two))
            assert StudyState.replay(store.events()).votes[0].comment == "I am Zoë, call me"
            chain = [event.hash for event in store.events()]
            store.remove_rater(rater, votes=votes, actor="owner")
            assert [event.hash for event in store.events()][: len(chain)] == chain
            assert "Zo" not in str(list(store.events()))
            assert store.rater_names() == {}
            state = StudyState.replay(store.events())
            assert [vote.judge for vote in state.votes] == ([rater, rater] if votes == "keep" else [])
            assert state.removed == {rater: votes}
            assert state.vote_on(one.id) is not None
            assert store.verify() == []
            with pytest.raises(NotFoundError, match="was shown to"):
                store.vote(ballot_on(three))
            with pytest.raises(NotFoundError, match="was removed"):
                store.open_duels(rater, 1)
            assert store.undo(rater) is None
            with pytest.raises(NotFoundError, match="to remove"):
                store.remove_rater(rater)
            assert pairings_of(store.open_duels("ben", 9)) == ["p-2", "p-3"]
        with at(clock) as store:
            assert store.verify() == []
            assert StudyState.replay(store.events()).removed == {rater: votes}

    def test_the_end_of_a_lease_and_a_removal_are_not_for_callers(self, at: At) -> None:
        with at(SimulatedClock()) as store:
            with_rules(store, {}, 1)
            payloads: dict[str, dict[str, Json]] = {
                "lease_expired": {"duel_id": "d"},
                "lease_renewed": {"duel_id": "d", "until": ""},
                "rater_removed": {"rater": "r", "votes": "keep"},
            }
            for kind, payload in payloads.items():
                with pytest.raises(InputError, match="not appended"):
                    store.append(kind, payload)


def plant_gold(store: Store, count: int) -> None:
    """Add gold duels whose better answer begins with ``good``."""
    gold = [
        GoldDuel(
            f"gold-{k}",
            Input(f"gold-{k}", f"Known question {k}"),
            store.put_response(f"gold-{k}-better", Response("text", f"good {k}")),
            store.put_response(f"gold-{k}-worse", Response("text", f"bad {k}")),
        )
        for k in range(count)
    ]
    store.append(EventKind.GOLD_ADDED, gold_payload(gold))
