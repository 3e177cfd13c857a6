import numpy as np
import pytest

from palate.choice import held_out_votes, is_held_out, sigmoid
from palate.statistics import promotion
from palate.types import Verdict, Vote

SHOUT, PLAIN, SEED = "with !!!", "plain", "seed"
UTILITY = {SHOUT: -1.5, PLAIN: 1.0, SEED: 0.0}


def vote(seq: int, left: str, right: str, said: str, judge: str) -> Vote:
    return Vote(seq, f"d{seq}", f"p{seq}", "i", left, right, Verdict(said), judge, "", 1.0, "", None, None)


def cast(count: int, judge: str, start: int, seed: int = 0) -> list[Vote]:
    """Votes on random pairs: people follow the utilities, a machine takes whatever shouts."""
    rng = np.random.default_rng(seed)
    names = list(UTILITY)
    found = []
    allowed = [(a, b) for a in names for b in names if a != b]
    for seq in range(start, start + count):
        left, right = allowed[int(rng.integers(len(allowed)))]
        chance = sigmoid(np.array(UTILITY[left] - UTILITY[right]))
        if ":" in judge:
            chance = 1.0 if "!!!" in left else 0.0 if "!!!" in right else 0.5
        found.append(vote(seq, left, right, "left" if rng.random() < chance else "right", judge))
    return found


def test_a_fifth_of_questions_is_kept_back_once_a_machine_has_voted() -> None:
    share = np.mean([is_held_out(f"p{k}") for k in range(5000)])
    assert share == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 5000))
    before, after = cast(200, "anna", 0), cast(200, "anna", 300)
    machine = cast(100, "judge:m", 200)
    assert held_out_votes([*before, *after]) == frozenset()
    kept = held_out_votes([*before, *machine, *after])
    assert kept == {v.seq for v in after if is_held_out(v.pairing_id)}
    assert 20 < len(kept) < 65
    skipped = [v if v.judge == "anna" else vote(v.seq, v.left_candidate, v.right_candidate, "skip", v.judge)
               for v in [*before, *machine, *after]]  # fmt: skip
    assert held_out_votes(skipped) == frozenset()  # a machine that said nothing taught nothing


def test_a_judge_that_likes_exclamation_marks_promotes_nobody() -> None:
    machine = cast(500, "judge:m", 0)
    alone = promotion(machine, SHOUT, SEED)
    assert alone.status == "machines only"
    assert not alone.promoted
    assert "Let people vote" in alone.sentence
    refused = 0
    for seed in range(20):
        found = promotion([*machine, *cast(300, "anna", 1000, seed)], SHOUT, SEED)
        assert not found.promoted
        refused += found.status == "refused"
    assert refused >= 17


def test_what_people_like_is_promoted() -> None:
    statuses = []
    for seed in range(20):
        machine = cast(100, "judge:m", 0)
        statuses.append(promotion([*machine, *cast(500, "anna", 1000, seed)], PLAIN, SEED).status)
    assert statuses.count("promoted") >= 14
    assert "refused" not in statuses


def test_the_level_is_held_when_nothing_is_better() -> None:
    # Two equal candidates, coins for votes: 2.5 % are confirmed, give or take three standard errors.
    confirmed = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        votes = [vote(k, PLAIN, SEED, "left" if rng.random() < 0.5 else "right", "anna") for k in range(60)]
        confirmed += promotion(votes, PLAIN, SEED, held_out=range(60)).promoted
    assert confirmed <= 0.025 * 400 + 3 * np.sqrt(400 * 0.025)


def test_the_estimate_by_hand() -> None:
    # 30 wins of 40 direct duels: the mode solves 40 (3/4 - sigmoid(d)) = 0.1 d / 2 on the difference d.
    votes = [vote(k, PLAIN, SEED, "left" if k < 30 else "right", "anna") for k in range(40)]
    found = promotion(votes, PLAIN, SEED, held_out=range(40))
    d = np.log(found.wins.value / (1 - found.wins.value))
    assert 40 * (0.75 - found.wins.value) == pytest.approx(0.05 * d, abs=1e-6)
    p = found.wins.value
    std = 1 / np.sqrt(40 * p * (1 - p) + 0.05)
    assert found.wins.low == pytest.approx(float(sigmoid(np.array(d - 1.959964 * std))), abs=1e-6)
    assert found.status == "promoted"
    assert found.direct == found.votes == 40


def test_chains_count_and_islands_do_not() -> None:
    chain = [vote(k, PLAIN, SHOUT, "left", "anna") for k in range(20)]
    found = promotion(chain, PLAIN, SEED, held_out=range(20))
    assert found.status == "open"
    assert found.wins is None
    assert "No person has yet" in found.sentence
    chain += [vote(20 + k, SHOUT, SEED, "left", "anna") for k in range(20)]
    found = promotion(chain, PLAIN, SEED, held_out=range(40))
    assert found.direct == 0
    assert found.wins.low > 0.5


def test_where_there_is_nothing_to_check() -> None:
    people = cast(50, "anna", 0)
    assert promotion(people, PLAIN, SEED).status == "people only"
    assert promotion(people, SEED, SEED).status == "incumbent"
    few = promotion([*cast(20, "rules:x", 0), *cast(10, "anna", 100)], PLAIN, SEED)
    assert few.status == "open"
    assert 10 < few.needed < 80
    for found in (promotion(people, PLAIN, SEED), promotion(people, SEED, SEED), few):
        assert found.sentence.endswith(".")
