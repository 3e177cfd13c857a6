"""Combinations from votes and scores: what is learnt, what is proposed, and where it is said to come from."""

import asyncio
import itertools

import numpy as np
import pytest

from palate.errors import ConfigError, InputError, NotFoundError
from palate.models import scripted_model
from palate.proposers import (
    Fgm,
    Said,
    combination_of,
    fgm_from_scores,
    fgm_from_votes,
    learn_combinations,
    propose_combinations,
)
from palate.registry import make
from palate.structure import Domain, Options, Range
from palate.targets import SlotsTarget
from palate.types import Candidate, Comparison, Input, Known, Response, Verdict

ROLES, TONES, FORMATS = ("teacher", "friend", "lawyer"), ("warm", "plain", "stern"), ("list", "prose")


def slots(role: str, tone: str, form: str) -> Candidate:
    return Candidate.make(
        f"{role}/{tone}/{form}",
        parts={"slots": {"role": role, "tone": tone, "format": form}, "demonstrations": []},
    )


def worth(candidate: Candidate) -> float:
    """A stern lawyer and a warm friend are liked, the other way round disliked; lists a little."""
    value = combination_of(candidate)
    pair = {
        ("lawyer", "stern"): 2.0,
        ("friend", "warm"): 4.0,
        ("friend", "stern"): -2.0,
        ("lawyer", "warm"): -2.0,
    }
    return pair.get((str(value["role"]), str(value["tone"])), 0.0) + 0.8 * (value["format"] == "list")


EVERYBODY = [slots(*one) for one in itertools.product(ROLES, TONES, FORMATS)]
BEST = slots("friend", "warm", "list")
TRIED = [candidate for candidate in EVERYBODY if candidate != BEST]


def said(candidates: list[Candidate], count: int, seed: int = 0) -> list[Said]:
    rng = np.random.default_rng(seed)
    votes: list[Said] = []
    for _ in range(count):
        i, j = rng.choice(len(candidates), size=2, replace=False)
        gap = worth(candidates[i]) - worth(candidates[j])
        left = rng.random() < 1 / (1 + np.exp(-gap))
        votes.append((candidates[i].id, candidates[j].id, "left" if left else "right"))
    return votes


def test_the_missing_combination_is_stitched_from_its_pieces() -> None:
    learnt = learn_combinations(TRIED, votes=said(TRIED, 300))
    assert ("role", "tone") in learnt.cliques
    assert learnt.outcomes == 300
    (first,) = propose_combinations(learnt, 5, np.random.default_rng(0), existing=TRIED)
    assert first.values == {"role": "friend", "tone": "warm", "format": "list"}
    assert first.exact
    assert first.candidate.text == "role: friend\ntone: warm\nformat: list"
    assert first.candidate.parts == {**BEST.parts}
    assert first.tried[("role", "tone")] == 1  # with prose
    assert first.tried[("format",)] == 8
    by_id = {candidate.id: candidate for candidate in TRIED}
    parents = [combination_of(by_id[parent]) for parent in first.candidate.lineage.parents]
    assert {"role": "friend", "tone": "warm", "format": "prose"} in parents
    assert any(parent["format"] == "list" for parent in parents)


def test_the_predicted_win_rate_is_about_the_true_one() -> None:
    # Against the best that was tried, friend and warm in prose, the list is worth 0.8: it wins 69 %.
    rates = []
    for seed in range(6):
        learnt = learn_combinations(TRIED, votes=said(TRIED, 400, seed))
        assert learnt.best() == slots("friend", "warm", "prose")
        (first,) = propose_combinations(learnt, 1, np.random.default_rng(0), existing=TRIED)
        assert first.win.low < 0.69 < first.win.high
        rates.append(first.win.mean)
    assert np.mean(rates) == pytest.approx(0.69, abs=0.06)


def test_lineage_holds_the_prediction() -> None:
    (made,) = fgm_from_votes(TRIED, said(TRIED, 300), None, 1, np.random.default_rng(0))
    detail = made.lineage.detail
    assert made.lineage.origin == "fgm"
    assert detail["against"] == slots("friend", "warm", "prose").id
    assert isinstance(detail["utility"], float)
    assert detail["utility"] > 0
    assert isinstance(detail["win_rate"], float)
    assert 0.5 < detail["win_rate"] < 1
    assert {"variables": ["role", "tone"], "tried": 1} in detail["cliques"]  # pyright: ignore[reportOperatorIssue]
    assert (detail["outcomes"], detail["exact"]) == (300, True)


def test_left_and_right_may_be_exchanged() -> None:
    votes = said(TRIED, 60)
    turned: list[Said] = [(right, left, Verdict(verdict).swapped()) for left, right, verdict in votes]
    one, two = (learn_combinations(TRIED, votes=told) for told in (votes, turned))
    rank = {candidate.id: row for row, candidate in enumerate(two.candidates)}
    mean = two.belief.mean(two.x_NV)
    for candidate, value in zip(one.candidates, one.belief.mean(one.x_NV), strict=True):
        assert mean[rank[candidate.id]] == pytest.approx(value, abs=1e-4)


def test_skips_teach_nothing_and_ties_do() -> None:
    votes = said(TRIED, 40)
    more: list[Said] = [(TRIED[0].id, TRIED[1].id, "skip"), (TRIED[2].id, TRIED[3].id, "failed")]
    assert learn_combinations(TRIED, votes=[*votes, *more]).outcomes == 40
    tie: list[Said] = [(TRIED[0].id, TRIED[1].id, "tie")]
    assert learn_combinations(TRIED, votes=[*votes, *tie]).outcomes == 41


def test_settings_with_numbers_from_scores() -> None:
    rng = np.random.default_rng(0)
    tried = [
        Candidate.make(f"{k}", parts={"settings": {"temperature": float(t), "mode": mode}})
        for k, (t, mode) in enumerate(zip(rng.uniform(0, 2, 60), ["fast", "slow"] * 30, strict=True))
    ]

    def score(candidate: Candidate) -> float:
        value = combination_of(candidate)
        peak = 0.4 if value["mode"] == "fast" else 1.3
        return -((float(value["temperature"]) - peak) ** 2) + 0.2 * (value["mode"] == "slow")  # pyright: ignore

    scores = [(candidate.id, score(candidate)) for candidate in tried]
    made = fgm_from_scores(tried, scores, None, 2, rng)
    first, second = (combination_of(candidate) for candidate in made)
    assert first == {"temperature": pytest.approx(1.3, abs=0.05), "mode": "slow"}
    assert second["mode"] == "fast" or abs(second["temperature"] - 1.3) > 0.05  # pyright: ignore
    assert set(made[0].parts) == {"settings"}
    again = [*scores, *scores[:5]]
    assert learn_combinations(tried, scores=again).outcomes == 65


def test_a_declared_domain_may_hold_more_and_less() -> None:
    wider = Domain((Options("role", (*ROLES, "poet")), Options("tone", TONES), Options("format", FORMATS)))
    learnt = learn_combinations(TRIED, votes=said(TRIED, 100), domain=wider)
    assert learnt.left_out == 0
    made = propose_combinations(learnt, 7, np.random.default_rng(0), existing=TRIED)
    assert {one.values["role"] for one in made} == {"poet", "friend"}
    smaller = Domain((Options("role", ROLES[:2]), Options("tone", TONES), Options("format", FORMATS)))
    learnt = learn_combinations(TRIED, votes=said(TRIED, 100), domain=smaller)
    assert learnt.left_out == 6
    assert learnt.outcomes < 100


def test_candidates_of_another_shape_are_left_out() -> None:
    odd = Candidate.make("odd", parts={"slots": {"role": "teacher"}})
    votes: list[Said] = [*said(TRIED, 40), (odd.id, TRIED[0].id, "left")]
    learnt = learn_combinations([*TRIED, odd], votes=votes)
    assert (learnt.left_out, learnt.outcomes) == (1, 40)


def test_the_one_to_beat_is_among_those_that_take_part() -> None:
    learnt = learn_combinations(TRIED, votes=said(TRIED, 300))
    gone = slots("friend", "warm", "prose").id
    among = {candidate.id for candidate in TRIED} - {gone}
    (first,) = propose_combinations(learnt, 1, np.random.default_rng(0), existing=TRIED, among=among)
    assert learnt.best().id == gone
    assert first.candidate.lineage.detail["against"] == learnt.best(among).id != gone


def target() -> SlotsTarget:
    options = {"role": list(ROLES), "tone": list(TONES), "format": list(FORMATS)}
    return SlotsTarget(
        scripted_model(answers=["yes"]), options, layout="You are a {{role}}, {{tone}}, in {{format}}."
    )


def test_a_target_makes_the_candidates() -> None:
    own = target()
    tried = [own.combination(combination_of(candidate)) for candidate in TRIED]
    (made,) = fgm_from_votes(
        tried, said(tried, 300), None, 1, np.random.default_rng(0), combine=own.combination
    )
    assert made.text == "You are a friend, warm, in list."
    assert made.lineage.origin == "fgm"
    own.check(made)


def test_in_a_study_of_slots() -> None:
    own = target()
    (seed,) = own.origin([])
    proposer = make("proposers", "fgm", {}, target=own, model=None)
    drawn = propose(proposer, 12, compared([], [seed]))
    assert len({candidate.text for candidate in [seed, *drawn]}) == 13
    for candidate in drawn:
        own.check(candidate)
    tried = [own.combination(combination_of(candidate)) for candidate in TRIED]
    (made,) = propose(proposer, 3, compared(said(tried, 200), tried))
    assert made.text == "You are a friend, warm, in list."


@pytest.mark.parametrize(
    ("candidates", "votes", "said_"),
    [
        ([Candidate.make("a"), Candidate.make("b")], [], "write the prompt with slots"),
        (TRIED, [], "there are 0 votes on 0 combinations.*at least 10 votes on 4"),
        (TRIED, said(TRIED, 9), "there are 9 votes"),
        (TRIED[:3], said(TRIED[:3], 30), "on 3 combinations"),
    ],
)
def test_too_little_is_said_in_words(candidates: list[Candidate], votes: list[Said], said_: str) -> None:
    with pytest.raises(InputError, match=said_):
        learn_combinations(candidates, votes=votes)


def test_other_mistakes_are_named() -> None:
    both = Candidate.make("x", parts={"slots": {"a": "1"}, "settings": {"a": 2}})
    with pytest.raises(InputError, match="'a' is a slot and a setting"):
        combination_of(both)
    with pytest.raises(NotFoundError, match="candidate 'nobody'"):
        learn_combinations(TRIED, votes=[("nobody", TRIED[0].id, "left")])
    with pytest.raises(InputError, match="one kind at a time"):
        learn_combinations(TRIED, votes=said(TRIED, 20), scores=[(TRIED[0].id, 1.0)])
    learnt = learn_combinations(TRIED, votes=said(TRIED, 20))
    with pytest.raises(ConfigError, match="n is 0"):
        propose_combinations(learnt, 0, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="'tone' is 'warm'"):
        Fgm(variables={"tone": "warm"})


def compared(votes: list[Said], candidates: list[Candidate]) -> Known:
    by_id, shown = {c.id: c for c in candidates}, Response("text", "x")
    heard = [
        Comparison(Input("i", "?"), by_id[left], by_id[right], shown, shown, Verdict(verdict))
        for left, right, verdict in votes
    ]
    return Known(existing=candidates, comparisons=heard)


def propose(proposer: Fgm, n: int, known: Known, seed: int = 0) -> list[Candidate]:
    return asyncio.run(proposer.propose(n, known=known, rng=np.random.default_rng(seed)))


def test_as_a_proposer_it_learns_from_the_votes() -> None:
    proposer = make("proposers", "fgm", {}, model=None)
    assert isinstance(proposer, Fgm)
    (made,) = propose(proposer, 3, compared(said(TRIED, 200), TRIED))
    assert combination_of(made) == combination_of(BEST)
    assert made.lineage.detail["outcomes"] == 200


def test_before_there_are_votes_it_draws_what_nobody_made() -> None:
    few = TRIED[:2]
    declared = {"role": list(ROLES), "tone": list(TONES), "format": list(FORMATS)}
    made = propose(Fgm(variables=declared), 16, compared([], few))
    drawn = {tuple(combination_of(candidate).values()) for candidate in made}
    assert len(drawn) == len(made) == 16  # all that there are
    assert not drawn & {tuple(combination_of(candidate).values()) for candidate in few}
    assert all(candidate.lineage.detail["drawn"] for candidate in made)
    assert made == propose(Fgm(variables=declared), 16, compared([], few))
    assert made[:3] != propose(Fgm(variables=declared), 3, compared([], few), seed=1)


def test_numbers_are_drawn_within_their_range() -> None:
    start = Candidate.make("s", parts={"settings": {"t": 0.5, "n": 2}})
    declared = {"t": {"low": 0.0, "high": 1.0}, "n": {"low": 1, "high": 9, "integer": True}}
    made = propose(Fgm(variables=declared), 20, compared([], [start]))
    domain = Domain((Range("t", 0.0, 1.0), Range("n", 1, 9, integer=True)))
    coded = domain.encode([combination_of(candidate) for candidate in made])
    assert len(coded) == 20
    assert coded.std(axis=0) == pytest.approx(np.full(2, 0.29), abs=0.12)  # of uniform numbers


def test_nothing_to_draw_from_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InputError, match="slots"):
        propose(Fgm(), 3, compared([], [Candidate.make("plain prompt")]))
