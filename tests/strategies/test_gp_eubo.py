import numpy as np
import pytest
from scipy.stats import norm

from palate.strategies import duel_bandit, gp_eubo
from palate.strategies._gp_eubo import linear_kernel, rbf_kernel
from palate.testing._strategies import noisy_judge, play, toy_problem

EXACT = 1e-9  # sums of a few dozen float64 numbers


def test_kernels_by_loops() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3))
    distances = [np.sum((x[i] - x[j]) ** 2) for i in range(6) for j in range(i + 1, 6)]
    centre = np.eye(6) - 1 / 6
    for ours, plain in (
        (linear_kernel(x), x @ x.T),
        (
            rbf_kernel(x),
            np.array([[np.exp(-np.sum((a - b) ** 2) / (2 * np.median(distances))) for b in x] for a in x]),
        ),
    ):
        centred = centre @ plain @ centre
        assert ours == pytest.approx(centred / (np.trace(centred) / 6), abs=EXACT)


def test_equal_features_leave_only_what_each_candidate_has_for_itself() -> None:
    same = np.tile([0.6, 0.8], (5, 1))
    assert linear_kernel(same).tolist() == np.zeros((5, 5)).tolist()
    bandit = duel_bandit("gp-eubo", same, seed=0)
    for _ in range(6):
        bandit.tell(3, 1, "left")
    assert bandit.best() == 3
    assert np.argmin(bandit.posterior().mean_N) == 1


def test_the_next_pair_is_the_maximum_over_all_pairs() -> None:
    feature, utility = toy_problem(9, 3, seed=2)
    bandit = duel_bandit("gp-eubo", feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0)), 10)
    strategy = gp_eubo()
    mean, covariance = strategy.belief(strategy.fit(strategy.prepare(feature), bandit.history))
    value = {}
    for i in range(9):
        for j in range(i + 1, 9):
            s = np.sqrt(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
            u = (mean[i] - mean[j]) / s
            value[frozenset((i, j))] = s * (norm.pdf(u) + u * norm.cdf(u)) + mean[j]
    pair = bandit.ask()
    assert frozenset(pair) == max(value, key=lambda key: value[key])
    assert mean[pair[0]] >= mean[pair[1]]


def test_scale_and_mixture_follow_the_evidence() -> None:
    # A judge with sharp taste is believed to have one, and one who tosses coins is not.
    feature, utility = toy_problem(12, 3, seed=3)
    scales = []
    for slope in (0.0, 6.0):
        bandit = duel_bandit("random", feature, seed=0)
        play(bandit, noisy_judge(utility, np.random.default_rng(1), slope), 80)
        strategy = gp_eubo()
        scales.append(strategy.fit(strategy.prepare(feature), bandit.history).scale)
    assert scales[0] < scales[1]


def test_the_belief_is_calibrated_on_worlds_drawn_from_its_prior() -> None:
    # 200 worlds: the 95 % interval of u_0 - u_1 must cover; four standard errors of 0.95 are 0.06.
    rng = np.random.default_rng(0)
    feature, _ = toy_problem(6, 3, seed=4)
    strategy = gp_eubo(scales=[1.5])
    root = np.linalg.cholesky(1.5**2 * strategy.prepare(feature)[0] + 1e-9 * np.eye(6))
    covered = 0
    for _ in range(200):
        utility = root @ rng.standard_normal(6)
        bandit = duel_bandit("gp-eubo", feature, seed=0, scales=[1.5])
        for _ in range(15):
            i, j = rng.choice(6, 2, replace=False).tolist()
            bandit.tell(i, j, noisy_judge(utility, rng, 1.0)(i, j))
        _, low, high = bandit.win_rate(0, 1)
        covered += low <= 1 / (1 + np.exp(utility[1] - utility[0])) <= high
    assert covered / 200 >= 0.95 - 0.06


def test_open_questions_change_what_is_asked_next() -> None:
    feature, utility = toy_problem(20, 3, seed=5)
    bandit = duel_bandit("gp-eubo", feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0)), 5)
    first = bandit.ask()
    eight = bandit.ask(8)
    assert eight[0] == first
    assert bandit.ask(pending=[first]) == eight[1]
    assert bandit.ask(pending=[(first[1], first[0])]) == eight[1]


def test_a_thousand_votes_on_ten_candidates() -> None:
    # Many more votes than pairs: the work is done on distinct pairs, and the best is certain.
    feature, utility = toy_problem(10, 3, seed=11)
    bandit = duel_bandit("gp-eubo", feature, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(1000):
        i, j = rng.choice(10, 2, replace=False).tolist()
        bandit.tell(i, j, noisy_judge(utility, rng)(i, j))
    assert bandit.best() == int(utility.argmax())
    assert bandit.should_stop()[0]
