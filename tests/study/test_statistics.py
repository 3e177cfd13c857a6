"""Statistics of studies whose answer is known: by hand, by construction, or by simulation."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from palate.choice import ELO
from palate.statistics import Statistics, study_statistics, style_counts
from palate.store import (
    EventKind,
    Store,
    StudyState,
    candidates_payload,
    inputs_payload,
    open_store,
    pairing_payload,
)
from palate.types import Ballot, Candidate, Duel, Input, Lineage, Pairing, Response, Verdict

PROMPTS = ("Reply.", "Reply kindly.", "Apologise.", "Say when.")
Says = Callable[[Duel], Verdict | str]


class Voted:
    """A study in which votes are given on chosen pairs."""

    def __init__(self, store: Store, responses: Callable[[int, int], Response] | None = None) -> None:
        self.store = store
        self.candidates = [
            Candidate.make(text, lineage=Lineage("seed" if k == 0 else "user"))
            for k, text in enumerate(PROMPTS)
        ]
        self._respond = responses or (lambda c, i: Response("text", f"Answer {'abcd'[c]} to {i}"))
        self._count = 0
        store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
        store.append(EventKind.INPUTS_ADDED, inputs_payload([Input(f"i{k}", f"Q{k}") for k in range(40)]))
        store.append(EventKind.CANDIDATES_ADDED, candidates_payload(self.candidates))

    def index(self, candidate_id: str) -> int:
        return [c.id for c in self.candidates].index(candidate_id)

    def give(self, judge: str, pairs: Sequence[tuple[int, int, int]], says: Says) -> None:
        """``pairs`` are two candidates and an input; the side is drawn by the store."""
        events = []
        for first, second, asked in pairs:
            hashes = [
                self.store.put_response(f"key-{c}-{asked}", self._respond(c, asked)) for c in (first, second)
            ]
            ids = [self.candidates[c].id for c in (first, second)]
            pairing = Pairing(f"p{self._count}", f"i{asked}", *ids, *hashes)
            self._count += 1
            events.append((EventKind.PAIRING_OPENED, pairing_payload(pairing)))
        self.store.append_many(events)
        sides = random.Random(self._count)
        for duel in self.store.open_duels(judge, len(pairs), sides):
            ballot = Ballot(duel.id, Verdict(says(duel)), judge, f"key-{duel.id}", 2.0)
            self.store.submit(ballot).result()

    def prefer(self, judge: str, winner: int, loser: int, count: int, start: int = 0) -> None:
        won = self.candidates[winner].id
        pairs = [(winner, loser, (start + k) % 40) for k in range(count)]
        self.give(judge, pairs, lambda duel: "left" if duel.left_candidate == won else "right")

    def statistics(self, **options: int) -> Statistics:
        return study_statistics(StudyState.replay(self.store.events()), self.store.get_response, **options)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "study.db") as opened:
        yield opened


@pytest.fixture
def voted(store: Store) -> Voted:
    return Voted(store)


def test_two_prompts_by_hand(voted: Voted) -> None:
    """30 to 10 is a gap of 400 log10(3) = 190.85 points, its standard error ELO / sqrt(7.5) = 63.43."""
    voted.prefer("me", 1, 0, 30)
    voted.prefer("me", 0, 1, 10)
    found = voted.statistics()
    first, second = found.rated
    assert (first.text, second.text) == ("Reply kindly.", "Reply.")
    assert first.rating == pytest.approx((1095.42, 1095.42 - 62.16, 1095.42 + 62.16), abs=0.02)
    assert second.behind == pytest.approx((190.85, 190.85 - 124.33, 190.85 + 124.33), abs=0.02)
    assert first.behind is None
    assert [(row.rank, row.with_leader, row.bounded) for row in found.rated] == [
        (1, True, True),
        (2, False, True),
    ]
    assert found.method == "sandwich"
    assert found.wins[0][:2] == (0, 30)
    assert found.wins[1][:2] == (10, 0)
    assert found.ties == ((0,) * 4,) * 4
    assert (first.wins, first.ties, first.losses, first.votes) == (30, 0, 10, 40)
    assert first.bootstrap is not None
    assert first.bootstrap == pytest.approx((1095 - 62, 1095 + 68), abs=15)
    assert found.with_leader == (first,)


def test_prompts_that_were_never_compared_have_no_rating(voted: Voted) -> None:
    voted.prefer("me", 1, 0, 3)
    voted.prefer("me", 0, 1, 2)
    voted.prefer("me", 3, 2, 1)
    found = voted.statistics()
    assert [row.text for row in found.rated] == ["Reply kindly.", "Reply."]
    apart = found.candidates[2:]
    assert [(row.rating, row.rank, row.with_leader, row.behind) for row in apart] == [
        (None, None, False, None)
    ] * 2
    assert sorted(row.votes for row in apart) == [1, 1]


def test_a_study_without_a_vote_claims_nothing(voted: Voted) -> None:
    found = voted.statistics()
    assert (found.votes, found.counted, found.method, found.rated, found.side) == (0, 0, None, (), ())
    assert len(found.candidates) == 4
    assert found.agreement.raw is None
    assert found.style.effects == ()
    json.dumps(found.to_json(), allow_nan=False)


def test_skips_say_nothing_and_ties_count_half(voted: Voted) -> None:
    pairs = [(0, 1, k) for k in range(6)]
    voted.give("me", pairs[:2], lambda _: "skip")
    voted.give("me", pairs[2:4], lambda _: "tie")
    voted.give("me", pairs[4:], lambda _: "both_bad")
    found = voted.statistics()
    assert (found.votes, found.counted) == (6, 4)
    assert found.verdicts == {"both_bad": 2, "skip": 2, "tie": 2}
    assert [row.rating.value for row in found.rated if row.rating] == pytest.approx([1000, 1000])
    assert [(row.wins, row.ties, row.losses) for row in found.rated] == [(0, 4, 0)] * 2
    assert found.ties[0][:2] == (0, 4)
    assert found.side == ()
    # A spread of 0 would claim that four ties prove two prompts equal.
    assert found.method == "model"
    assert all(row.rating and row.rating.low and row.rating.low < 850 for row in found.rated)


def test_who_won_everything_is_marked_and_has_a_wide_interval(voted: Voted) -> None:
    voted.prefer("me", 1, 0, 5)
    found = voted.statistics()
    assert found.method == "prior"
    assert [row.bounded for row in found.rated] == [False, False]
    first = found.rated[0]
    assert first.rating is not None
    assert first.rating.low is not None
    assert first.rating.high is not None
    assert 1000 < first.rating.value < 1500
    assert first.rating.high - first.rating.low > 400
    assert first.bootstrap is None
    assert len(found.with_leader) >= 1


def test_a_withdrawn_prompt_keeps_its_votes(voted: Voted) -> None:
    voted.prefer("me", 1, 0, 3)
    voted.prefer("me", 0, 1, 3)
    for gone in (1, 2):
        voted.store.append(
            EventKind.CANDIDATE_WITHDRAWN, {"id": voted.candidates[gone].id, "reason": "unwanted"}
        )
    found = voted.statistics()
    assert {row.text: row.withdrawn for row in found.candidates} == {
        "Reply.": False,
        "Say when.": False,
        "Reply kindly.": True,
    }
    assert len(found.rated) == 2


def test_an_undone_vote_is_gone(voted: Voted) -> None:
    voted.prefer("me", 1, 0, 4)
    voted.store.undo("me")
    assert voted.statistics().counted == 3


def test_a_judge_who_always_takes_the_left_one(voted: Voted) -> None:
    """20 of 20 by anna: Wilson's lower end is 20 / (20 + 1.96²) = 0.8389; bert decides by the prompt."""
    pairs = [(k % 2, 2 + k % 2, k) for k in range(20)]
    voted.give("anna", pairs, lambda _: "left")
    voted.prefer("bert", 0, 2, 6, start=20)
    voted.prefer("bert", 2, 0, 6, start=26)
    overall, anna, bert = voted.statistics().side
    assert (overall.judge, anna.judge, bert.judge) == (None, "anna", "bert")
    assert (anna.left, anna.decided, bert.decided, overall.decided) == (20, 20, 12, 32)
    assert anna.share == pytest.approx((1.0, 0.8389, 1.0), abs=1e-4)
    assert anna.coefficient is not None
    assert anna.coefficient.low is not None
    assert anna.coefficient.low > 0
    assert bert.coefficient is not None
    assert bert.coefficient.low is not None
    assert bert.coefficient.high is not None
    assert bert.coefficient.low < 0 < bert.coefficient.high
    assert overall.left == 20 + bert.left


def test_few_votes_have_no_side_coefficient(voted: Voted) -> None:
    voted.prefer("me", 1, 0, 9)
    [overall] = voted.statistics().side
    assert overall.coefficient is None
    assert overall.decided == 9


def long_and_short(candidate: int, asked: int) -> Response:
    """Candidate 0 writes at length, candidate 1 briefly, and each the other way in three of ten inputs."""
    at_length = (candidate == 0) != (asked % 10 < 3)
    return Response("text", f"{candidate}.{asked} " + "word " * (60 if at_length else 15))


def test_style_control_takes_the_pull_of_length_out(store: Store) -> None:
    """Length alone decides: whoever wrote it, the longer answer wins five times in six."""
    voted = Voted(store, long_and_short)
    seen: Counter[str] = Counter()

    def says(duel: Duel) -> str:
        longer_left = len(duel.left.content) > len(duel.right.content)
        longer = duel.left_candidate if longer_left else duel.right_candidate
        seen[longer] += 1
        return "left" if longer_left == (seen[longer] % 6 > 0) else "right"

    voted.give("me", [(0, 1, k % 40) for k in range(240)], says)
    found = voted.statistics(rounds=0)
    [effect] = found.style.effects
    assert effect.feature == "length"
    # (a - b) / (a + b) of the two lengths, about 0.58; its coefficient is log(5) / 0.58.
    ratio = (304 - 79) / (304 + 79)
    assert effect.coefficient.low is not None
    assert effect.coefficient.high is not None
    assert effect.coefficient.low < np.log(5) / ratio < effect.coefficient.high
    assert effect.coefficient.low > 0
    assert effect.wins.value == pytest.approx(1 / (1 + np.exp(-effect.coefficient.value / 3)))
    raw = {row.text: row for row in found.rated}
    gap = raw["Reply."].rating, raw["Reply."].controlled
    assert gap[0] is not None
    assert gap[0].low is not None
    assert gap[1] is not None
    assert gap[0].low > 1000  # by votes alone the prompt that writes at length looks better
    assert gap[1].value == pytest.approx(1000, abs=10)
    assert found.style.votes == 240
    assert found.rated[0].bootstrap is None


def test_style_needs_votes_and_texts(store: Store) -> None:
    voted = Voted(store, lambda c, i: Response("image", f"{c}-{i}.png") if i % 2 else long_and_short(c, i))
    voted.prefer("me", 1, 0, 8)
    voted.prefer("me", 0, 1, 4)
    style = voted.statistics().style
    assert style.votes == 6  # those with pictures are left out
    assert (style.effects, style.needed) == ((), 20)  # ten a coefficient: length and side


def test_a_lost_response_leaves_its_vote_out_of_style_only(voted: Voted) -> None:
    voted.prefer("me", 1, 0, 3)

    def lost(address: str) -> Response:
        from palate.errors import NotFoundError

        raise NotFoundError(f"no response {address!r}")

    found = study_statistics(StudyState.replay(voted.store.events()), lost)
    assert (found.counted, found.style.votes) == (3, 0)


def test_judges_agree_whoever_stood_left(voted: Voted) -> None:
    """12 duels shared by two judges who want the same answer; the sides were drawn for each of them."""
    for judge in ("anna", "bert"):
        voted.prefer(judge, 1, 0, 6)
        voted.prefer(judge, 0, 1, 6, start=6)
    found = voted.statistics().agreement
    assert found.shared == 12
    assert found.raw == pytest.approx((1, 1, 1))
    assert found.raw_decided == pytest.approx((1, 1, 1))
    assert found.alpha is not None
    assert found.alpha.value == 1
    [pair] = found.pairs
    assert (pair.first, pair.second, pair.duels) == ("anna", "bert", 12)
    assert pair.kappa is not None
    assert pair.kappa.value == 1
    assert found.repeats == ()


def test_disagreement_by_hand(voted: Voted) -> None:
    """4 shared duels: 2 alike, 1 opposite, 1 tie against win. Raw 2/4; without ties 2/3."""
    voted.prefer("anna", 1, 0, 4)
    voted.prefer("bert", 1, 0, 2)
    voted.prefer("bert", 0, 1, 1, start=2)
    voted.give("bert", [(0, 1, 3)], lambda _: "both_bad")
    found = voted.statistics().agreement
    assert found.raw == (0.5, None, None)  # too few duels for an interval
    assert found.raw_decided is not None
    assert found.raw_decided.value == pytest.approx(2 / 3)
    assert found.decided == 3
    judges = voted.statistics().judges
    assert judges == {"anna": 4, "bert": 4}


def test_a_pair_shown_again_measures_a_judge_against_himself(voted: Voted) -> None:
    voted.prefer("me", 1, 0, 5)
    voted.prefer("me", 1, 0, 3)  # the same inputs again, the same answers preferred
    voted.prefer("me", 0, 1, 2, start=3)  # and two where he changed his mind
    found = voted.statistics().agreement
    [everyone] = found.repeats
    assert (everyone.judge, everyone.repeats, everyone.same) == (None, 5, 3)
    assert everyone.share.value == pytest.approx(0.6)
    assert 0 < everyone.swapped < 5
    assert everyone.swapped_same <= everyone.swapped
    assert found.raw is None


def test_two_equal_texts_are_no_measure_of_agreement(store: Store) -> None:
    voted = Voted(store, lambda c, i: Response("text", f"Same {i}"))
    voted.give("anna", [(0, 1, k) for k in range(3)], lambda _: "left")
    voted.give("bert", [(0, 1, k) for k in range(3)], lambda _: "right")
    assert voted.statistics().agreement.shared == 0


def test_the_same_seed_gives_the_same_figures_and_json_holds_them_all(voted: Voted) -> None:
    voted.prefer("anna", 1, 0, 20)
    voted.prefer("bert", 0, 1, 12)
    first, again = voted.statistics(seed=3), voted.statistics(seed=3)
    assert first == again
    told = json.loads(json.dumps(first.to_json(), allow_nan=False))
    assert set(told) == set(Statistics.__dataclass_fields__)
    assert told["candidates"][0]["rating"]["value"] == first.rated[0].rating.value  # pyright: ignore[reportOptionalMemberAccess]
    assert told["candidates"][2]["rating"] is None
    assert voted.statistics(seed=3, rounds=0).agreement == first.agreement
    voted.prefer("bert", 2, 0, 17)
    voted.prefer("bert", 0, 2, 11)
    assert voted.statistics(seed=4).rated[0].bootstrap != voted.statistics(seed=5).rated[0].bootstrap
    # 20 to 12: log(20 / 12) in Elo points.
    gap = first.rated[0].rating.value - first.rated[1].rating.value  # pyright: ignore[reportOptionalMemberAccess]
    assert gap == pytest.approx(ELO * np.log(20 / 12))


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", (0, 0, 0, 0, 0)),
        ("- `a`\n- **`b`**\n# `c`", (21, 1, 2, 1, 3)),
        ("# One\n## Two\n#not one", (21, 2, 0, 0, 0)),
        ("- a\n* b\n+ c\n1. d\n2) e\n-f", (24, 0, 5, 0, 0)),
        ("**a** and __b__ but not ** c ** or snake__case__name", (52, 0, 0, 2, 0)),
        ("`a` and ``b`c``", (15, 0, 0, 0, 2)),
        ("```\n# no\n- no\n**no**\n```\n# yes", (30, 1, 0, 0, 1)),
        ("~~~\nnever closed\n- no", (21, 0, 0, 0, 1)),
    ],
)
def test_style_by_hand(text: str, counts: tuple[int, ...]) -> None:
    assert style_counts(text) == (len(text), *counts[1:])


@pytest.mark.parametrize(
    "piece", ["`", "**", "```\n", "#", "- ", "__a", "* ", "`a``", "\n", "** a", " \n", "``a`b"]
)
def test_counting_a_hostile_text_takes_no_time(piece: str) -> None:
    """A pattern that looks back and forth would take hours here."""
    assert style_counts(piece * 300_000)[0] == len(piece) * 300_000
