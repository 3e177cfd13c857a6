"""Judges and groups of whole studies, from their votes to what is said of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from palate.choice import sigmoid
from palate.command._trust import group_lines, trust_lines
from palate.statistics import study_groups, study_trust
from palate.types import Verdict, Vote

IDS = [f"c{k}" for k in range(8)]
TEXTS = {identifier: f"prompt {identifier}" for identifier in IDS}


def study(
    judges: dict[str, tuple[int, np.ndarray | None]], seed: int = 0, groups: dict[str, str] | None = None
) -> SimpleNamespace:
    """A study's votes, from each judge's number of votes and log-odds; ``None`` is always the left."""
    rng = np.random.default_rng(seed)
    votes = []
    for judge, (count, value) in judges.items():
        for _ in range(count):
            left, right = rng.choice(8, 2, replace=False).tolist()
            chance = 1.0 if value is None else float(sigmoid(np.array(value[left] - value[right])))
            said = Verdict.LEFT if rng.random() < chance else Verdict.RIGHT
            seq = len(votes)
            votes.append(Vote(seq, f"d{seq}", f"p{seq}", "i", IDS[left], IDS[right], said, judge, ""))
    invited = {
        str(k): SimpleNamespace(rater=rater, group=group)
        for k, (rater, group) in enumerate((groups or {}).items())
    }
    return SimpleNamespace(
        votes=votes, candidates=dict.fromkeys(IDS), invitations=SimpleNamespace(by_id=invited), seq=len(votes)
    )


def passed_by(judge: str, keeps: str, count: int, seed: int = 0) -> list[Vote]:
    """Votes of somebody who is shown random pairs, votes for one candidate and passes on all others."""
    rng = np.random.default_rng(seed)
    votes = []
    while sum(vote.verdict.teaches for vote in votes) < count:
        left, right = (IDS[k] for k in rng.choice(8, 2, replace=False).tolist())
        said = {left: Verdict.LEFT, right: Verdict.RIGHT}.get(keeps, Verdict.SKIP)
        seq = 10_000 + len(votes)
        votes.append(Vote(seq, f"d{seq}", f"p{seq}", "i", left, right, said, judge, ""))
    return votes


TASTE = np.array([2.0, 1.0, 0.5, 0.0, 0.0, -0.5, -1.0, -2.0])


def test_odd_judges_are_named_with_a_reason_and_keep_their_votes() -> None:
    judges = {f"rater {k}": (60, TASTE) for k in range(6)}
    judges |= {
        "lefty": (60, None),
        "coin": (80, 0 * TASTE),
        "contrary": (60, -TASTE),
        "judge:m": (200, TASTE),
    }
    found = study_trust(study(judges))
    kinds = {row.judge: {odd.kind for odd in row.odd} for row in found.judges}
    assert "one side" in kinds["lefty"]
    assert "contrary" in kinds["contrary"]
    assert not any(kinds[f"rater {k}"] & {"coin", "one side", "contrary"} for k in range(6))
    assert {row.judge: row.votes for row in found.judges} == {
        name: count for name, (count, _) in judges.items()
    }
    machine = next(row for row in found.judges if row.machine)
    assert machine.judge == "judge:m"
    assert 0.2 < machine.worth.value < 3
    assert found.winner == "c0"
    lines = list(trust_lines(found, TEXTS))
    assert any("(machine)" in line and "human votes" in line for line in lines)
    assert any(line.startswith("odd") and "lefty" in line for line in lines)
    told = found.to_json()
    assert told["winner"] == "c0"
    assert len(told["judges"]) == 10


def test_machines_alone_are_not_given_a_worth() -> None:
    found = study_trust(study({"judge:a": (60, TASTE), "rules:b": (60, TASTE)}))
    assert all(row.worth is None for row in found.judges)
    assert "no person has voted" in list(trust_lines(found, TEXTS))[-1]


def test_nothing_to_say() -> None:
    assert study_trust(study({})).left_out == "no votes yet"
    alone = study_trust(study({"anna": (20, TASTE)}))
    assert list(trust_lines(alone, TEXTS)) == []


def test_groups_that_differ_get_a_curve_and_equal_ones_an_honest_word() -> None:
    other = np.array([-2.0, 1.0, 0.5, 0.0, 0.0, -0.5, -1.0, 2.0])
    group_of = {f"d{k}": "doctors" for k in range(5)} | {f"p{k}": "patients" for k in range(5)}
    judges = {rater: (50, TASTE if group == "doctors" else other) for rater, group in group_of.items()}
    found = study_groups(study(judges, groups=group_of), np.random.default_rng(0))
    assert found.differ
    assert found.together < 0.01
    assert {row.group: row.best for row in found.groups} == {"doctors": "c0", "patients": "c7"}
    assert found.curve[-1].best == "c1"  # neither's first, and good for both
    worst = [point.worst.value for point in found.curve]
    assert worst == sorted(worst)
    assert any("worst-off" in line for line in group_lines(found, TEXTS))
    same = study_groups(study(dict.fromkeys(judges, (50, TASTE)), seed=1), np.random.default_rng(0), group_of)
    assert not same.differ
    assert "cannot tell" in same.verdict
    assert same.together > 0.5


def test_one_group_cannot_be_compared() -> None:
    found = study_groups(study({"anna": (20, TASTE)}, groups={"anna": "all"}), np.random.default_rng(0))
    assert found.groups == ()
    assert "Fewer than two groups" in next(iter(group_lines(found, TEXTS)))
    few = study_groups(
        study({"a": (15, TASTE), "b": (15, TASTE)}, groups={"a": "x", "b": "y"}), np.random.default_rng(0)
    )
    assert few.p_value is None
    assert few.verdict.startswith("Too few raters")


def test_a_mapping_may_be_given() -> None:
    state = study({"a": (30, TASTE), "b": (30, TASTE), "judge:m": (30, TASTE)})
    found = study_groups(state, np.random.default_rng(0), {"a": "x", "b": "y", "judge:m": "y"})
    assert [row.votes for row in found.groups] == [30, 30]  # machines belong to no group
    assert found.curve[0].average.value == pytest.approx(
        np.mean(list(found.curve[0].wins.values())), abs=1e-9
    )


def test_votes_of_those_who_answer_for_one_candidate_alone_do_not_count() -> None:
    told = study({f"rater {k}": (40, TASTE) for k in range(6)})
    cheats = [vote for k in range(3) for vote in passed_by(f"cheat {k}", "c1", 60, k)]
    told.votes.extend(cheats)
    found = study_trust(told)
    assert found.winner == "c0"
    rows = {row.judge: row for row in found.judges}
    for k in range(3):
        assert rows[f"cheat {k}"].counted == 0.0
        assert rows[f"cheat {k}"].odd[0].kind == "picks"
        assert "c1" in rows[f"cheat {k}"].odd[0].why
    assert not any(odd.kind == "picks" for k in range(6) for odd in rows[f"rater {k}"].odd)
    # Without their passes nobody could tell, and they would win.
    told.votes[:] = [vote for vote in told.votes if vote.verdict.teaches]
    assert study_trust(told).winner == "c1"
