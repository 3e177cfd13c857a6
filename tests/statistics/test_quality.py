"""The figures of raters, against counts by hand and a slow reading of the binomial test."""

from math import comb
from pathlib import Path
from random import Random

import pytest

from palate.statistics import rater_quality
from palate.statistics._quality import left_p_value
from palate.store import Store, StudyState, open_store
from palate.testing import SimulatedClock, with_rules
from palate.testing._rater_contract import plant_gold
from palate.types import Ballot, Belief, Duel, Standing, Verdict


@pytest.mark.parametrize(("left", "decided"), [(0, 1), (3, 7), (4, 8), (8, 8), (41, 60), (900, 2000)])
def test_the_test_of_sides_adds_up_both_tails(left: int, decided: int) -> None:
    far = abs(2 * left - decided)
    slow = sum(comb(decided, k) for k in range(decided + 1) if abs(2 * k - decided) >= far) / 2**decided
    assert left_p_value(left, decided) == pytest.approx(slow, rel=1e-12)


def say(store: Store, duel: Duel, winner: str | None, seconds: float = 20.0) -> None:
    """Vote for a candidate wherever it stands; a tie for nobody."""
    verdict = Verdict.TIE
    if winner is not None:
        verdict = Verdict.LEFT if duel.left_candidate == winner else Verdict.RIGHT
    store.vote(Ballot(duel.id, verdict, duel.judge, f"k-{duel.id}", seconds))


def test_agreement_with_others_and_with_the_belief_is_counted(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db", clock=SimulatedClock()) as store:
        with_rules(store, {"overlap": 3}, 4)
        first, second = StudyState.replay(store.events()).candidates
        plan = {
            # p-0: a and b agree, c does not; p-1: all agree; p-2: c ties; p-3: a and b differ, c ties.
            "a": [first, first, first, first],
            "b": [first, first, second, second],
            "c": [second, first, None, None],
        }
        for judge, winners in plan.items():
            for duel, winner in zip(store.open_duels(judge, 4, Random(1)), winners, strict=True):
                say(store, duel, winner)
        belief = Belief(
            1, 1, first, (Standing(first, 0.6, 0, 1, 1, 1), Standing(second, 0.4, 0, 1, 0, 1)), False, ""
        )
        a, b, c = rater_quality(StudyState.replay(store.events()), belief)
    # Others of a: p-0 b and c are even (left out), p-1 same, p-2 b differs, p-3 b differs.
    assert a.with_others is not None
    assert (a.with_others.value, a.votes) == (1 / 3, 4)
    # Others of c: p-0 both say first, p-1 same; ties of c do not count.
    assert c.with_others is not None
    assert c.with_others.value == 1 / 2
    # Of b's four decided votes two are for the believed better one; of c's two, one.
    assert b.with_belief is not None
    assert c.with_belief is not None
    assert (b.with_belief.value, c.with_belief.value) == (0.5, 0.5)
    assert [each.gold for each in (a, b, c)] == [None] * 3
    assert [each.flags for each in (a, b, c)] == [()] * 3


def test_inattention_shows_and_nothing_is_deleted(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db", clock=SimulatedClock()) as store:
        with_rules(store, {"overlap": 2, "gold": 0.3, "repeats": 0.3}, 60)
        plant_gold(store, 20)
        first, _ = StudyState.replay(store.events()).candidates
        draws = Random(2)
        for judge in ("careful", "careless"):
            for _ in range(60):
                (duel,) = store.open_duels(judge, 1, draws)
                if judge == "careless":
                    store.vote(Ballot(duel.id, Verdict.LEFT, judge, f"k-{duel.id}", 0.4))
                else:
                    say(
                        store,
                        duel,
                        "better" if "better" in (duel.left_candidate, duel.right_candidate) else first,
                    )
        state = StudyState.replay(store.events())
        careful, careless = rater_quality(state)
    assert careful.flags == ()
    assert careful.gold is not None
    assert careful.repeats is not None
    assert (careful.gold.value, careful.repeats.value) == (1.0, 1.0)
    # Always left: every swapped repeat is answered the other way round.
    assert careless.repeats is not None
    assert careless.repeats.value == 0.0
    assert careless.left is not None
    assert careless.left.value == 1.0
    assert careless.left_p == pytest.approx(2 * 0.5**60)
    assert {"side", "fast", "repeats"} <= {flag.kind for flag in careless.flags}
    assert all(flag.reason for flag in careless.flags)
    assert len(state.all_votes) == 120
    gold = [vote for vote in state.checks if vote.planted == "gold" and vote.judge == "careless"]
    right = sum(vote.left_candidate == "better" for vote in gold)
    assert careless.gold is not None
    assert careless.gold.value == right / len(gold) == right / careless.gold_given
