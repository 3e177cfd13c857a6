import numpy as np
import pytest

from palate.choice import Gaussian
from palate.strategies import duel_bandit, expected_gain, outlook, stop_advice
from palate.strategies._stopping import _planned_directions
from palate.testing._strategies import noisy_judge, play, sure_judge, toy_problem


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_nothing_to_learn_is_worth_nothing() -> None:
    certain = Gaussian(np.array([1.0, 0.0, -1.0]), np.zeros((3, 3)))
    assert expected_gain(certain, 0, rng()) == 0.0


def test_a_report_that_is_known_to_be_worse_is_worth_replacing() -> None:
    # u_0 - u_1 = 2 for sure: reporting 1 now and 0 later wins sigmoid(2) of the time
    certain = Gaussian(np.array([1.0, -1.0]), np.zeros((2, 2)))
    assert expected_gain(certain, 1, rng()) == pytest.approx(1 / (1 + np.exp(-2.0)) - 0.5, abs=1e-12)


def test_planned_votes_remove_what_they_say() -> None:
    root = np.random.default_rng(1).standard_normal((5, 5))
    belief = Gaussian(np.arange(5.0), root @ root.T)
    columns, after = _planned_directions(belief, 7)
    assert columns @ columns.T + after == pytest.approx(belief.covariance_NN, abs=1e-9)


def test_gain_against_simulated_votes() -> None:
    """One informative pair of two: simulate 20 votes and the exact posterior on a grid."""
    variance = 4.0  # of u_0 - u_1, prior mean 0
    grid = np.linspace(-15, 15, 3001)
    prior = np.exp(-(grid**2) / (2 * variance))
    prior /= prior.sum()
    win = 1 / (1 + np.exp(-grid))
    gain = 0.0
    for wins in range(21):
        likelihood = win**wins * (1 - win) ** (20 - wins)
        weight = float((prior * likelihood).sum())
        later = float((prior * likelihood * win).sum()) / weight
        ways = np.prod([(20 - k) / (k + 1) for k in range(wins)]) if wins else 1.0
        # the report changes only when candidate 1 is then believed to win more than half of the time
        gain += ways * weight * max(0.5 - later, 0.0)
    belief = Gaussian(np.zeros(2), np.array([[1.0, -1.0], [-1.0, 1.0]]))
    # Two approximations, the curvature at the mean and the probit, and a simulation of 2,048 draws.
    assert expected_gain(belief, 0, rng()) == pytest.approx(gain, abs=0.01)


def test_more_votes_are_worth_more() -> None:
    root = np.random.default_rng(2).standard_normal((6, 6))
    belief = Gaussian(np.zeros(6), root @ root.T)
    values = [expected_gain(belief, 0, rng(), votes=n) for n in (1, 5, 20)]
    assert values[0] < values[1] < values[2] < 0.5


def test_it_needs_a_minimum_of_votes() -> None:
    certain = Gaussian(np.array([1.0, -1.0]), np.zeros((2, 2)))
    stop, reason = stop_advice(certain, 0, 9, rng())
    assert not stop
    assert "9 of at least 10" in reason
    assert stop_advice(certain, 0, 10, rng())[0]


def test_sentences() -> None:
    sharp = Gaussian(np.array([1.0, -1.0]), np.zeros((2, 2)))
    stop, reason = stop_advice(sharp, 0, 30, rng())
    assert (stop, reason.startswith("You can stop now: with 95 % certainty")) == (True, True)
    # Alike for certain: sure, and of no use.
    flat = Gaussian(np.zeros(40), 1e-4 * np.eye(40))
    stop, reason = stop_advice(flat, 0, 30, rng())
    assert (stop, "hardly better than an average one" in reason) == (True, True)
    # A leader who is probably the best of many that are close behind: not sure, but little to be gained.
    close = Gaussian(np.array([1.0, *np.full(20, 0.2)]), 0.12 * np.eye(21))
    sure, regret, gain = outlook(close, 0, rng())
    assert (sure < 0.95, regret < 0.03, gain < 0.005) == (True, True, True)
    stop, reason = stop_advice(close, 0, 30, rng())
    assert (stop, "endless voting by no more than" in reason) == (True, True)
    open_ = Gaussian(np.zeros(2), np.eye(2))
    stop, reason = stop_advice(open_, 0, 30, rng())
    assert (stop, reason.startswith("Worth going on: 20 more votes")) == (False, True)


def test_the_outlook_by_hand() -> None:
    # u_1 - u_0 ~ N(-1, 2): sure = P(d <= ln(0.55 / 0.45)), and regret = E[sigmoid(max(d, 0))] - 1/2.
    from scipy.stats import norm

    found = outlook(Gaussian(np.array([0.5, -0.5]), np.eye(2)), 0, rng())
    d = np.linspace(-12, 12, 100_001)
    weight = norm.pdf(d, -1.0, np.sqrt(2.0))
    weight /= weight.sum()
    assert found.sure == pytest.approx(norm.cdf(np.log(0.55 / 0.45), -1.0, np.sqrt(2.0)), abs=0.03)
    assert found.regret == pytest.approx(
        float(weight @ (1 / (1 + np.exp(-np.maximum(d, 0.0))))) - 0.5, abs=0.01
    )


def test_a_study_with_a_clear_winner_ends_and_its_winner_is_right() -> None:
    feature, utility = toy_problem(8, 3, seed=1)
    bandit = duel_bandit("default", feature, seed=0)
    votes = 0
    while not bandit.should_stop()[0]:
        play(bandit, sure_judge(utility), 1)
        votes += 1
        assert votes < 80
    assert bandit.best() == int(utility.argmax())


def test_stopping_is_rarely_wrong() -> None:
    # Twenty noisy studies that run until advised to stop lose little against the true best.
    lost = []
    for seed in range(20):
        feature, utility = toy_problem(10, 3, seed=seed)
        bandit = duel_bandit("default", feature, seed=seed)
        judge = noisy_judge(utility, np.random.default_rng(seed))
        play(bandit, judge, 10)
        for _ in range(15):
            if bandit.should_stop()[0]:
                break
            play(bandit, judge, 10)
        lost.append(utility.max() - utility[bandit.best()])
    assert np.mean(lost) < 0.15


@pytest.mark.parametrize("name", ["apohf", "random-memoryless"])
def test_strategies_without_calibrated_beliefs_say_so(name: str) -> None:
    bandit = duel_bandit(name, np.eye(4), seed=0)
    stop, reason = bandit.should_stop()
    assert not stop
    assert "not calibrated" in reason
