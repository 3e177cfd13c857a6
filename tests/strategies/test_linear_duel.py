import numpy as np
import pytest
from scipy.optimize import minimize

from palate.errors import ConfigError
from palate.strategies import duel_bandit, linear_ucb, random_pairs
from palate.strategies._linear_duel import inverse_products, span
from palate.strategies._protocol import History, Pool
from palate.testing._strategies import noisy_judge, play, toy_problem

EXACT = 1e-9  # sums of a few hundred float64 numbers
FITTED = 1e-6  # the peer's optimiser stops there
BETA, RIDGE = 0.7, 0.3


def history(size, votes, seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(size, size=votes)
    second = (first + rng.integers(1, size, size=votes)) % size
    return History(first, second, rng.choice([0.0, 0.5, 1.0], size=votes))


def everyone(size, *open_pairs):
    return Pool(np.ones(size, dtype=bool), open_pairs)


def plain_v(feature, past, open_pairs=(), weights=None):
    pairs = [*past.pairs, *open_pairs]
    weights = np.ones(len(pairs)) if weights is None else weights
    big = RIDGE * np.eye(feature.shape[1])
    for (i, j), weight in zip(pairs, weights, strict=True):
        big += weight * np.outer(feature[i] - feature[j], feature[i] - feature[j])
    return np.linalg.inv(big)


def norm(inverse, difference):
    return float(np.sqrt(difference @ inverse @ difference))


def model(feature, past, beta=BETA, **options):
    strategy = linear_ucb(ridge=RIDGE, beta=beta, warm_start=0, **options)
    return strategy, strategy.fit(strategy.prepare(feature), past)


def test_one_vote_by_hand() -> None:
    # x = 0 and 1, and 1 won. The slope of log sigmoid(w) - lambda w^2 / 2 is sigmoid(-w) - lambda w, which is
    # zero at w = 1 for lambda = 1 / (1 + e). Then p (1 - p) = 0.196612, and the variance of u_1 - u_0 is
    # 1 / (0.196612 + 0.268941) = 2.147982.
    strategy = linear_ucb(ridge=1 / (1 + np.e), warm_start=0)
    past = History(np.array([1]), np.array([0]), np.array([1.0]))
    belief = strategy.belief(strategy.fit(strategy.prepare(np.array([[0.0], [1.0]])), past))
    assert belief.mean_N == pytest.approx([-0.5, 0.5], abs=1e-8)
    assert belief.covariance_NN == pytest.approx(0.25 * 2.147982 * np.array([[1, -1], [-1, 1]]), abs=1e-6)


@pytest.mark.parametrize(("dimension", "votes"), [(3, 40), (6, 4), (25, 6), (25, 60)])
def test_the_fit_by_a_general_optimiser(dimension, votes) -> None:
    feature, _ = toy_problem(10, dimension, seed=dimension)
    past = history(10, votes, seed=votes)
    difference = feature[past.first_M] - feature[past.second_M]

    def loss(w):
        z = difference @ w
        fit = past.outcome_M * np.logaddexp(0, -z) + (1 - past.outcome_M) * np.logaddexp(0, z)
        return fit.sum() + 0.5 * RIDGE * w @ w

    w = minimize(loss, np.zeros(dimension), method="BFGS", options={"gtol": 1e-9}).x
    score = model(feature, past)[1].score_N
    assert score - score.mean() == pytest.approx(feature @ w - (feature @ w).mean(), abs=FITTED)


@pytest.mark.parametrize(("dimension", "votes"), [(3, 40), (6, 4), (25, 6), (25, 60)])
def test_products_in_either_space_by_the_inverse(dimension, votes) -> None:
    feature, _ = toy_problem(10, dimension, seed=dimension)
    past = history(10, votes, seed=votes)
    weight = np.random.default_rng(1).random(votes)
    ours = inverse_products(span(feature), past.first_M, past.second_M, weight, RIDGE)
    plain = feature @ plain_v(feature, past, weights=weight) @ feature.T
    assert ours == pytest.approx(plain, abs=EXACT)


@pytest.mark.parametrize("matrix", ["design", "hessian"])
@pytest.mark.parametrize("seed", range(6))
def test_greedy_and_challenger_written_out(seed, matrix) -> None:
    feature, _ = toy_problem(9, 4, seed=seed)
    past, waiting = history(9, 12, seed=seed), (0, 1)
    strategy, fitted = model(feature, past, matrix=matrix)
    score = fitted.score_N
    chance = [1 / (1 + np.exp(score[j] - score[i])) for i, j in [*past.pairs, waiting]]
    weights = np.array([p * (1 - p) for p in chance]) if matrix == "hessian" else None
    inverse = plain_v(feature, past, [waiting], weights)
    first = int(score.argmax())
    value = {
        x: score[x] + BETA * norm(inverse, feature[x] - feature[first])
        for x in range(9)
        if x != first and {x, first} != {0, 1}
    }
    second = max(value, key=lambda x: value[x])
    pair = strategy.choose(fitted, past, everyone(9, waiting), np.random.default_rng(0))
    assert pair == (first, second)


def promising(score, distance, arms, beta):
    return [x for x in arms if all(score[x] - score[y] + beta * distance[x][y] > 0 for y in arms if y != x)]


@pytest.mark.parametrize("seed", range(6))
def test_most_informative_pair_written_out(seed) -> None:
    feature, _ = toy_problem(9, 4, seed=seed)
    past = history(9, 25, seed=seed)
    score, inverse = model(feature, past)[1].score_N, plain_v(feature, past)
    distance = [[norm(inverse, x - y) for y in feature] for x in feature]
    live = np.arange(9) != int(score.argmax())
    arms = np.flatnonzero(live).tolist()
    # The narrowest bonus that leaves three to choose from, so that the set matters.
    beta = next(b for b in np.linspace(0.0, 3.0, 301) if len(promising(score, distance, arms, b)) >= 3)
    kept = promising(score, distance, arms, beta)
    assert len(kept) < 8
    best = max(((x, y) for x in kept for y in kept if x < y), key=lambda pair: distance[pair[0]][pair[1]])
    strategy, fitted = model(feature, past, beta=float(beta), choice="max-inp")
    pair = strategy.choose(fitted, past, Pool(live), np.random.default_rng(0))
    assert set(pair) == set(best)
    assert score[pair[0]] >= score[pair[1]]


def test_a_lonely_promising_candidate_meets_the_one_it_is_least_comparable_with() -> None:
    # On a line, 9 beat 0 so often that nobody else can be better; 0 is the farthest from it.
    feature = np.arange(10.0)[:, None]
    past = History(np.full(40, 9), np.full(40, 0), np.ones(40))
    strategy, fitted = model(feature, past, choice="max-inp")
    assert strategy.choose(fitted, past, everyone(10), np.random.default_rng(0)) == (9, 0)
    assert strategy.choose(fitted, past, everyone(10, (0, 9)), np.random.default_rng(0)) == (9, 1)


@pytest.mark.parametrize("seed", range(6))
def test_colstim_written_out(seed) -> None:
    feature, _ = toy_problem(9, 4, seed=seed)
    past = history(9, 12, seed=seed)
    strategy, fitted = model(feature, past, choice="colstim", clip=1.5)
    score, inverse = fitted.score_N, plain_v(feature, past)
    noise = np.clip(np.random.default_rng(seed).gumbel(size=9), -1.5, 1.5)
    first = int(np.argmax([score[x] + noise[x] * norm(inverse, feature[x]) for x in range(9)]))
    value = [score[x] + BETA * norm(inverse, feature[x] - feature[first]) for x in range(9)]
    value[first] = -np.inf
    pair = strategy.choose(fitted, past, everyone(9), np.random.default_rng(seed))
    assert pair == (first, int(np.argmax(value)))


def test_colstim_without_noise_is_greedy() -> None:
    feature, _ = toy_problem(9, 4, seed=0)
    past = history(9, 12, seed=0)
    pairs = [
        strategy.choose(fitted, past, everyone(9), np.random.default_rng(3))
        for strategy, fitted in (model(feature, past, choice="colstim", clip=0.0), model(feature, past))
    ]
    assert pairs[0] == pairs[1]


@pytest.mark.parametrize("votes", [6, 30])
def test_the_belief_is_that_of_a_bayesian_linear_model(votes) -> None:
    # The baseline of random pairs has the prior N(0, (s^2 / v) I) on centred features of mean square v.
    feature, utility = toy_problem(12, 5, seed=4)
    past = play_history(feature, utility, votes)
    variance = ((feature - feature.mean(axis=0)) ** 2).sum(axis=1).mean()
    peer = random_pairs(scale=2.0)
    wanted = peer.belief(peer.fit(peer.prepare(feature), past))
    ours = linear_ucb(ridge=float(variance) / 4.0)
    belief = ours.belief(ours.fit(ours.prepare(feature), past))
    assert belief.mean_N == pytest.approx(wanted.mean_N, abs=1e-7)
    assert belief.covariance_NN == pytest.approx(wanted.covariance_NN, abs=1e-7)


def play_history(feature, utility, votes):
    bandit = duel_bandit("random", feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0)), votes)
    return bandit.history


def test_starts_with_distinct_random_pairs() -> None:
    feature, utility = toy_problem(5, 3, seed=0)
    asked = set()
    for seed in range(30):
        bandit = duel_bandit("linear-ucb", feature, seed, warm_start=4)
        pairs = [frozenset(pair) for pair in play(bandit, noisy_judge(utility, np.random.default_rng(0)), 4)]
        assert len(set(pairs)) == 4
        asked.update(pairs)
    assert len(asked) == 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ridge": 0.0}, "ridge must be above 0"),
        ({"beta": -1.0}, "beta must be at least 0"),
        ({"beta": float("nan")}, "beta must be at least 0"),
        ({"choice": "ucb"}, "choice must be one of 'greedy-ucb', 'max-inp', 'colstim', not 'ucb'"),
        ({"matrix": "v"}, "matrix must be one of 'design', 'hessian'"),
        ({"clip": -0.1}, "clip must be at least 0"),
        ({"warm_start": 1.5}, "warm_start must be a whole number of at least 0, not 1.5"),
    ],
)
def test_refuses_wrong_options(options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        linear_ucb(**options)
