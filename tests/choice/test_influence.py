import numpy as np
import pytest

from palate.choice import Votes, capped_weights, concerted, decisive_raters, fit_trust, sigmoid
from palate.choice._influence import concert_weights
from palate.errors import InputError


def crowd(seed: int, raters: int, each: int, size: int = 10) -> tuple[np.ndarray, Votes]:
    rng = np.random.default_rng(seed)
    utility = rng.standard_normal(size)
    first = rng.integers(size, size=raters * each)
    second = (first + rng.integers(1, size, size=len(first))) % size
    said = (rng.random(len(first)) < sigmoid(utility[first] - utility[second])).astype(float)
    return utility, Votes(first, second, said, judge_M=np.repeat(np.arange(raters), each))


def rigged(votes: Votes, target: int, raters: int, each: int, size: int = 10) -> Votes:
    """The same and some more raters, who only ever vote for the target."""
    other = np.arange(raters * each) % (size - 1)
    other = other + (other >= target)
    left = np.arange(raters * each) % 2 == 0
    start = int(votes.judge_M.max()) + 1
    return Votes(
        np.concatenate([votes.first_M, np.where(left, target, other)]),
        np.concatenate([votes.second_M, np.where(left, other, target)]),
        np.concatenate([votes.outcome_M, left.astype(float)]),
        judge_M=np.concatenate([votes.judge_M, start + np.repeat(np.arange(raters), each)]),
    )


def test_the_cap_counts_a_crowd_and_leaves_a_few_alone() -> None:
    everybody = np.ones(7, bool)
    # Counts 100, 20 x 5, 4: the crowd is the six with ten or more, of median 20; 60 of 100 count.
    votes = np.repeat(np.arange(7), [100, 20, 20, 20, 20, 20, 4])
    assert capped_weights(votes, everybody).tolist() == [0.6, 1, 1, 1, 1, 1, 1]
    few = np.repeat(np.arange(3), [300, 12, 12])
    assert capped_weights(few, np.ones(3, bool)).tolist() == [1, 1, 1]
    machine = everybody.copy()
    machine[0] = False  # what a machine can add is bounded by the model itself
    assert capped_weights(votes, machine).tolist() == [1] * 7
    with pytest.raises(InputError, match="judge 6"):
        capped_weights(votes, np.ones(3, bool))


def test_a_capped_rater_counts_for_what_the_rule_says() -> None:
    _, votes = crowd(0, 6, 20)
    more = rigged(votes, 9, 1, 200)
    judge = fit_trust(np.eye(10), more, np.zeros(7, bool)).judges[6]
    assert judge.votes == 200
    assert judge.counted == pytest.approx(60.0)
    free = fit_trust(np.eye(10), more, np.zeros(7, bool), cap=False).judges[6]
    assert free.counted == pytest.approx(200.0)


def test_raters_who_push_one_candidate_are_found_and_others_are_not() -> None:
    found, wrong = 0, 0
    for seed in range(5):
        utility, votes = crowd(seed, 20, 25)
        target = int(np.argsort(utility)[2])
        more = rigged(votes, target, 3, 30)
        fit = fit_trust(np.eye(10), more, np.zeros(23, bool))
        five = next((group for group in fit.concerts if 20 in group.raters), None)
        found += five is not None and set(five.raters) >= {20, 21, 22} and five.favours == target
        wrong += sum(rater < 20 for group in fit.concerts for rater in group.raters)
        assert sum(fit.judges[j].counted for j in (20, 21, 22)) <= 26
    assert found == 5
    assert wrong <= 1


def test_independent_raters_are_hardly_ever_joined() -> None:
    # Scores at the true utilities: what is left of each vote is independent of everything.
    joined = 0
    for seed in range(40):
        utility, votes = crowd(seed, 20, 40)
        joined += bool(concerted(votes, np.tile(utility, (20, 1))))
    assert joined <= 6  # one in twenty studies, and three standard errors


def test_a_group_counts_as_its_median_peer() -> None:
    _, votes = crowd(0, 8, 20)
    more = rigged(votes, 0, 2, 50)
    fit = fit_trust(np.eye(10), more, np.zeros(10, bool))
    groups = tuple(group for group in fit.concerts if set(group.raters) == {8, 9})
    assert groups
    # Two with 50 votes each count together for the 20 of an ordinary rater.
    assert concert_weights(more.judge_M, np.ones(10, bool), groups)[8:].tolist() == [0.2, 0.2]
    # With no crowd beside them nobody is measured by it.
    few = Votes(more.first_M[-100:], more.second_M[-100:], more.outcome_M[-100:], judge_M=more.judge_M[-100:])
    assert concert_weights(few.judge_M, np.ones(10, bool), groups).tolist() == [1.0] * 10


def test_who_decides_the_winner() -> None:
    # Natural parameters of three raters about three candidates; the third alone puts the last one first.
    precision = np.stack([np.eye(3)] * 3)
    pull = np.array([[1.0, 0.5, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 3.0]])
    assert decisive_raters(pull, precision, 4 * np.eye(3), 3) == (2,)
    agreed = np.array([[1.0, 0.5, 0.0]] * 3)
    assert decisive_raters(agreed, precision, 4 * np.eye(3), 2) == ()
