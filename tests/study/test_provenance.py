"""The family tree: everybody once, under a parent, with what was paid and what was said."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.provenance import Bill, Tally, bills, family, lineage_words, markdown_family, members_json
from palate.types import Candidate, Lineage, Pairing, Verdict, Vote


def made(text: str, *parents: Candidate, origin: str = "rephrase", **detail: object) -> Candidate:
    lineage = Lineage(origin, tuple(parent.id for parent in parents), None, detail)  # pyright: ignore[reportArgumentType]
    return Candidate.make(text, lineage=lineage)


SEED = made("Answer.", origin="seed")
KIND = made("Answer kindly.", SEED, cost=0.002)
SHORT = made("Answer shortly.", SEED, cost=None)
BOTH = made("Answer kindly and shortly.", KIND, SHORT, origin="evolve", cost=0.003)
LATE = made("Reply.", origin="user")
ALL = [SEED, KIND, SHORT, BOTH, LATE]


def vote(left: Candidate, right: Candidate, verdict: Verdict) -> Vote:
    return Vote(1, "d", "p", "i1", left.id, right.id, verdict, "me", "2026-11-21T10:00:00Z")


def pairing(first: Candidate, second: Candidate, input_id: str, *responses: str) -> Pairing:
    return Pairing("p", input_id, first.id, second.id, *responses)


def test_a_candidate_stands_under_its_first_parent_and_names_the_others() -> None:
    members = family(ALL, withdrawn={SHORT.id})
    assert [(m.number, m.depth, m.parents) for m in members] == [
        (1, 0, ()),
        (2, 1, (1,)),
        (4, 2, (2, 3)),
        (3, 1, (1,)),
        (5, 0, ()),
    ]
    assert [m.number for m in members if m.withdrawn] == [3]


def test_votes_are_counted_for_both_sides_and_skips_for_none() -> None:
    verdicts = [Verdict.LEFT, Verdict.LEFT, Verdict.RIGHT, Verdict.TIE, Verdict.BOTH_BAD, Verdict.SKIP]
    found = {m.number: m.tally for m in family(ALL, votes=[vote(SEED, KIND, v) for v in verdicts])}
    assert found[1] == Tally(2, 1, 1, 1)
    assert found[2] == Tally(1, 2, 1, 1)
    assert found[3] == Tally()
    assert (found[1].votes, found[1].words) == (5, "2 won, 1 lost, 1 tied, 1 both bad")
    assert found[3].words == "no votes yet"


def test_what_was_paid_is_added_up_once_and_the_unknown_stays_unknown() -> None:
    pairings = [
        pairing(SEED, KIND, "i1", "a1", "b1"),
        pairing(KIND, SEED, "i1", "b1", "a1"),  # shown again, paid once
        pairing(SEED, KIND, "i2", "a2", "b2"),
        pairing(SHORT, LATE, "i1", "c1", "nobody knows"),
    ]
    costs = {"a1": 0.25, "a2": 0.5, "b1": 1.0, "b2": None, "c1": 0.0}
    found = bills(ALL, pairings, costs)
    assert found[SEED.id] == Bill(0.75, 0)  # written by a person: only its responses
    assert found[KIND.id] == Bill(1.002, 1)  # proposal 0.002, responses 1.0 and unknown
    assert found[SHORT.id] == Bill(0.0, 1)  # an unknown proposal, a free response
    assert found[BOTH.id] == Bill(0.003, 0)
    assert found[LATE.id] == Bill(0.0, 1)
    assert [m.bill.words for m in family(ALL, bills=found)] == [
        "$0.75",
        "at least $1.002",
        "$0.003",
        "unknown",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("bill", "words"),
    [
        (Bill(), "$0"),
        (Bill(12.0, 0), "$12"),
        (Bill(0.000014, 0), "$0.000014"),
        (Bill(0.00001, 1), "at least $0.00001"),
        (Bill(100.0, 0), "$100"),
    ],
)
def test_money_in_words(bill: Bill, words: str) -> None:
    assert bill.words == words


def test_how_it_was_made_is_one_line() -> None:
    stranger = made(
        "x", origin="evo", temperature=0.7, sentences=[1, 3], plain=False, cost=1.0, note="a\nb" * 40
    )
    (member,) = family(
        [Candidate.make("x", lineage=Lineage("evo", ("?", "!"), "gpt", stranger.lineage.detail))]
    )
    said = lineage_words(member)
    assert said.startswith(
        "evo, by gpt, from 2 prompts of another study, temperature 0.7, sentences 1 3, plain no, note a ba b"
    )
    assert "\n" not in said
    assert "cost" not in said
    assert len(said) < 200


def test_the_report_is_a_nested_list_that_texts_cannot_break() -> None:
    evil = made("# <b>x</b> | [link](javascript:1) *\n- item", SEED)
    text = markdown_family(family([SEED, evil]))
    assert text == (
        "## Where the prompts come from\n\n"
        "- \\#1 “Answer.”: seed; cost unknown; no votes yet\n"
        "  - \\#2 “\\# \\<b\\>x\\</b\\> \\| \\[link\\](javascript:1) \\* - item”: rephrase, from \\#1; "
        "cost unknown; no votes yet\n"
    )
    assert markdown_family([]) == ""
    assert markdown_family(family(ALL), most=2).endswith("- and 3 more\n")


def test_the_same_as_data() -> None:
    (first, *_) = members_json(
        family(ALL, votes=[vote(SEED, KIND, Verdict.LEFT)], bills={SEED.id: Bill(0.5, 0)})
    )
    assert json.loads(json.dumps(first)) == {
        "number": 1,
        "candidate": SEED.id,
        "prompt": "Answer.",
        "origin": "seed",
        "model": None,
        "parents": [],
        "detail": {},
        "withdrawn": False,
        "cost": {"known": 0.5, "items_of_unknown_price": 0},
        "votes": {"won": 1, "lost": 0, "tied": 0, "both_bad": 0},
    }


def test_a_long_line_of_descent_is_indented_only_so_far() -> None:
    line = [SEED]
    for number in range(2000):
        line.append(made(f"Answer {number}.", line[-1]))
    members = family(line)
    assert [m.number for m in members] == list(range(1, 2002))
    assert max(m.depth for m in members) == 12
    assert members[-1].parents == (2000,)


@given(st.lists(st.lists(st.integers(0, 11), max_size=4), max_size=12))
def test_everybody_appears_once_whatever_the_file_claims(claims: list[list[int]]) -> None:
    # A file may name parents that come later, the candidate itself, and rings.
    ids = [Candidate.make(f"prompt {n}").id for n in range(12)]
    candidates = [
        Candidate.make(f"prompt {n}", lineage=Lineage("x", tuple(ids[m] for m in parents)))
        for n, parents in enumerate(claims)
    ]
    members = family(candidates)
    assert sorted(m.number for m in members) == list(range(1, len(claims) + 1))
    for before, after in pairwise(members):
        assert after.depth <= before.depth + 1
    for member in members:
        assert all(parent < member.number for parent in member.parents)
        assert len(member.parents) + member.strangers == len(set(claims[member.number - 1]))
