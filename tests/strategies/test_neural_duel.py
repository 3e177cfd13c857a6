"""Neural duelling bandits: exact inverses on tiny networks, finite differences, limits and draws."""

import numpy as np
import pytest

from palate.choice import count_duels, fit_utilities, log_sigmoid
from palate.errors import ConfigError
from palate.strategies import History, NeuralDuel, duel_bandit, ndb_ts, ndb_ucb
from palate.strategies._network import forward, layers
from palate.strategies._neural_duel import mirrored_weights, refit
from palate.strategies._protocol import Pool
from palate.testing._strategies import noisy_judge, play, toy_problem

EXACT = 1e-9  # two ways to do the same float64 sums
FOUR_ERRORS = 4.0


def votes(count: int = 9, size: int = 6) -> History:
    rng = np.random.default_rng(0)
    first = rng.integers(0, size, count)
    second = (first + rng.integers(1, size, count)) % size
    return History(first, second, rng.integers(0, 3, count) / 2)


def score(theta: np.ndarray, points: np.ndarray, width: int, depth: int) -> np.ndarray:
    """The network of the paper, with its factor in front, for weights without biases."""
    network = layers(theta, points.shape[1], (width,) * depth)
    state = points
    for weight, _ in network[:-1]:
        state = np.maximum(state @ weight.T, 0.0)
    return np.sqrt(width) * (state @ network[-1][0].T)[:, 0]


def features_by_differences(theta: np.ndarray, points: np.ndarray, width: int, depth: int) -> np.ndarray:
    """``g(x; theta) / sqrt(m)`` of the strategy's own network, one weight after another, ``(N, P)``."""
    inputs = np.sqrt(width) * points

    def at(weights: np.ndarray) -> np.ndarray:
        return forward(layers(weights, points.shape[1], (width,) * depth), inputs)[-1][:, 0]

    step = 1e-6
    columns = [(at(theta + step * e) - at(theta - step * e)) / (2 * step) for e in np.eye(len(theta))]
    return np.stack(columns, axis=1) / np.sqrt(width)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_network_is_that_of_the_paper_and_starts_at_zero(depth: int) -> None:
    points, _ = toy_problem(6, 3, seed=0)
    start = mirrored_weights(3, 8, depth, 0)
    assert score(start, points, 8, depth) == pytest.approx(np.zeros(6), abs=1e-12)
    # Any weights without biases: the factor on the inputs is the factor in front.
    network = layers(np.zeros_like(start), 3, (8,) * depth)
    rng = np.random.default_rng(1)
    theta = np.concatenate(
        [
            part.ravel()
            for weight, bias in network
            for part in (rng.standard_normal(weight.shape), np.zeros_like(bias))
        ]
    )
    ours = forward(layers(theta, 3, (8,) * depth), np.sqrt(8) * points)[-1][:, 0]
    assert ours == pytest.approx(score(theta, points, 8, depth), rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gradients_are_of_order_one_whatever_the_width(depth: int) -> None:
    # The expected squared norm is one a layer, and |delta|^2 / m for biases, which is at most 3 / 64 here.
    points, _ = toy_problem(4, 3, seed=0)
    for width in (64, 256):
        sizes = [
            float(np.diag(ndb_ucb(width=width, depth=depth, network_seed=s).prepare(points).kernel_NN).mean())
            for s in range(200)
        ]
        error = FOUR_ERRORS * float(np.std(sizes)) / np.sqrt(200)
        assert depth + 1 - error <= np.mean(sizes) <= depth + 1 + depth / 64 + error


@pytest.mark.parametrize(("decay", "kappa"), [(1.0, 0.1), (0.3, 0.25)])
def test_widths_are_those_of_the_dense_inverse(decay: float, kappa: float) -> None:
    points, _ = toy_problem(6, 3, seed=0)
    history = votes()
    strategy = ndb_ucb(width=8, decay=decay, kappa=kappa, nu=0.7, steps=20, warm_start=0)
    prepared = strategy.prepare(points)
    # no unit sits at the kink of relu, where differences would see half a slope
    first = layers(prepared.start_P, 3, (8, 8))[0][0] @ points.T
    assert (np.maximum(first, 0.0).sum(axis=0) > 0).all()
    g = features_by_differences(prepared.start_P, points, 8, 2)
    assert prepared.kernel_NN == pytest.approx(g @ g.T, abs=1e-7)
    phi = g[history.first_M] - g[history.second_M]
    dense = np.linalg.inv(phi.T @ phi + decay / kappa * np.eye(g.shape[1]))  # 113 x 113 here
    fitted = strategy.fit(prepared, history)
    covariance = fitted.belief.covariance_NN
    for i in range(6):
        for j in range(6):
            psi = g[i] - g[j]
            sigma = np.sqrt(decay / kappa * psi @ dense @ psi)
            ours = np.sqrt(max(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j], 0.0))
            assert ours == pytest.approx(0.7 * sigma, abs=1e-6)
    # and the choice: the best one, and the best sum of score and width among the others
    h = fitted.score_N
    first = int(h.argmax())
    value = [
        h[k] + 0.7 * np.sqrt(decay / kappa * (g[k] - g[first]) @ dense @ (g[k] - g[first])) for k in range(6)
    ]
    value[first] = -np.inf
    chosen = strategy.choose(fitted, history, Pool(np.ones(6, dtype=np.bool_)), np.random.default_rng(0))
    assert chosen == (first, int(np.argmax(value)))


def test_last_layer_widths_are_those_of_its_activations() -> None:
    points, _ = toy_problem(6, 3, seed=0)
    history = votes()
    strategy = ndb_ucb(width=4, steps=50, phi="last-layer")
    prepared = strategy.prepare(points)
    theta = refit(prepared.start_P, prepared.input_ND, history, hidden=(4, 4), decay=1.0, steps=50)
    phi = forward(layers(theta, 3, (4, 4)), prepared.input_ND)[-2] / 2.0
    psi = phi[history.first_M] - phi[history.second_M]
    dense = np.linalg.inv(psi.T @ psi + 10.0 * np.eye(4))
    covariance = strategy.fit(prepared, history).belief.covariance_NN
    centre = np.eye(6) - 1 / 6
    assert covariance == pytest.approx(10.0 * centre @ phi @ dense @ phi.T @ centre, abs=EXACT)


def test_sigma_by_hand() -> None:
    # One vote between two candidates whose features differ by psi, |psi|^2 = s: V = psi psi^T + r I, and
    # r psi^T V^-1 psi = r s / (s + r); before the vote it is s.
    points = np.array([[1.0, 0.0], [0.0, 1.0]])
    strategy = ndb_ucb(width=4, depth=1, decay=0.5, kappa=0.25, steps=1)
    prepared = strategy.prepare(points)
    k = prepared.kernel_NN
    s, r = k[0, 0] + k[1, 1] - 2 * k[0, 1], 2.0
    once = History(np.array([0]), np.array([1]), np.array([1.0]))
    for history, expected in ((once.until(0), s), (once, r * s / (s + r))):
        c = strategy.fit(prepared, history).belief.covariance_NN
        assert c[0, 0] + c[1, 1] - 2 * c[0, 1] == pytest.approx(expected, abs=EXACT)


def test_training_minimises_the_loss_of_the_paper() -> None:
    points, _ = toy_problem(6, 3, seed=0)
    history = votes()
    start, inputs = ndb_ucb(width=8).prepare(points)[1::-1]

    def loss(theta: np.ndarray) -> float:
        h = forward(layers(theta, 3, (8, 8)), inputs)[-1][:, 0]
        gap = h[history.first_M] - h[history.second_M]
        likelihood = history.outcome_M @ log_sigmoid(gap) + (1 - history.outcome_M) @ log_sigmoid(-gap)
        return float(-likelihood / 8 + 0.15 * (theta - start) @ (theta - start))

    found = refit(start, inputs, history, hidden=(8, 8), decay=0.3, steps=3000)
    # A minimum often lies on a kink of relu, where slopes say nothing: no small step in any direction helps.
    random = np.random.default_rng(0).standard_normal((300, len(found)))
    directions = [*np.eye(len(found)), *(random / np.linalg.norm(random, axis=1, keepdims=True))]
    least = min(loss(found + sign * 1e-2 * e) for e in directions for sign in (1, -1))
    assert least >= loss(found) - 1e-6
    assert loss(found) < loss(start) - 0.03
    assert (
        refit(start, inputs, history.until(0), hidden=(4, 4), decay=0.3, steps=9).tolist() == start.tolist()
    )


def test_the_first_step_follows_the_gradient() -> None:
    # Adam's first step is the rate times the sign of the gradient, here by finite differences.
    points, _ = toy_problem(6, 3, seed=0)
    history = votes()
    start = mirrored_weights(3, 4, 2, 0) + 0.05 * np.random.default_rng(0).standard_normal(41)
    inputs = 2.0 * points

    def loss(theta: np.ndarray) -> float:
        h = forward(layers(theta, 3, (4, 4)), inputs)[-1][:, 0]
        gap = h[history.first_M] - h[history.second_M]
        return -float(history.outcome_M @ log_sigmoid(gap) + (1 - history.outcome_M) @ log_sigmoid(-gap)) / 4

    slope = np.array([(loss(start + 1e-6 * e) - loss(start - 1e-6 * e)) / 2e-6 for e in np.eye(41)])
    moved = refit(start, inputs, history, hidden=(4, 4), decay=1.0, steps=1) - start
    strong = np.abs(slope) > 1e-4
    assert strong.sum() > 20
    assert moved[strong] == pytest.approx(-1e-3 * np.sign(slope[strong]), rel=1e-3)


def test_a_wide_network_is_a_bayesian_logistic_regression() -> None:
    # The claim in the file's head; at a width of 512 the two agree to a few parts in a hundred.
    points, utility = toy_problem(8, 3, seed=1)
    rng = np.random.default_rng(0)
    first = rng.integers(0, 8, 40)
    second = (first + rng.integers(1, 8, 40)) % 8
    judge = noisy_judge(utility, rng)
    won = np.array([float(judge(i, j) == "left") for i, j in zip(first, second, strict=True)])
    strategy = ndb_ucb(width=512, depth=1, decay=0.5, nu=1 / np.sqrt(0.5), kappa=0.25)
    prepared = strategy.prepare(points)
    belief = strategy.fit(prepared, History(first, second, won)).belief
    root = np.linalg.cholesky(prepared.kernel_NN / 0.5 + 1e-10 * np.eye(8))
    limit, _ = fit_utilities(root, count_duels(first, second, won))
    mean = limit.mean_N - limit.mean_N.mean()
    assert np.abs(belief.mean_N - mean).max() < 0.05 * np.abs(mean).max()
    # with the steepest slope as kappa, the width is a lower bound of the posterior's instead
    centre = np.eye(8) - 1 / 8
    posterior = centre @ limit.covariance_NN @ centre
    assert (belief.variance_N <= np.diag(posterior) + EXACT).all()


def test_kappa_as_the_least_slope_bounds_the_posterior_from_above() -> None:
    points, _ = toy_problem(8, 3, seed=1)
    history = votes(30, 8)
    strategy = ndb_ucb(width=512, depth=1, nu=1.0, kappa=0.05)
    prepared = strategy.prepare(points)
    root = np.linalg.cholesky(prepared.kernel_NN + 1e-10 * np.eye(8))
    limit, _ = fit_utilities(root, count_duels(history.first_M, history.second_M, history.outcome_M))
    gap = limit.mean_N[history.first_M] - limit.mean_N[history.second_M]
    assert (np.exp(-np.abs(gap)) / (1 + np.exp(-np.abs(gap))) ** 2).min() >= 0.05
    centre = np.eye(8) - 1 / 8
    posterior = centre @ limit.covariance_NN @ centre
    belief = strategy.fit(prepared, history).belief
    assert (belief.variance_N >= np.diag(posterior) - EXACT).all()


def test_thompson_opponents_follow_the_stated_normals() -> None:
    points, _ = toy_problem(6, 3, seed=0)
    history = votes()
    strategy = ndb_ts(width=8, steps=50, nu=0.5, warm_start=0)
    fitted = strategy.fit(strategy.prepare(points), history)
    pool, rng = Pool(np.ones(6, dtype=np.bool_)), np.random.default_rng(0)
    picks = [strategy.choose(fitted, history, pool, rng) for _ in range(4000)]
    first = int(fitted.score_N.argmax())
    assert {pair[0] for pair in picks} == {first}
    covariance = fitted.belief.covariance_NN
    spread = np.sqrt(np.diag(covariance) + covariance[first, first] - 2 * covariance[first])
    draws = fitted.score_N + spread * np.random.default_rng(1).standard_normal((40_000, 6))
    draws[:, first] = -np.inf
    chance = np.bincount(draws.argmax(axis=1), minlength=6) / 40_000
    seen = np.bincount([pair[1] for pair in picks], minlength=6) / 4000
    assert seen == pytest.approx(chance, abs=FOUR_ERRORS * 0.5 * np.sqrt(1 / 4000 + 1 / 40_000))
    assert (seen > 0).sum() >= 3


def test_a_width_of_zero_is_greedy() -> None:
    points, utility = toy_problem(7, 3, seed=0)
    for name in ("ndb-ucb", "ndb-ts"):
        bandit = duel_bandit(name, points, 0, nu=0.0, width=8, steps=50)
        play(bandit, noisy_judge(utility, np.random.default_rng(0)), 6)
        order = np.argsort(-bandit.posterior().mean_N)
        assert bandit.ask() == (order[0], order[1])
        assert bandit.posterior().std_N.tolist() == [0.0] * 7


def test_open_pairs_shrink_the_width_between_them() -> None:
    points, _ = toy_problem(12, 3, seed=2)
    strategy = ndb_ucb(width=16, steps=30, nu=5.0, warm_start=0)
    history = votes(5, 12)
    fitted = strategy.fit(strategy.prepare(points), history)
    live, rng = np.ones(12, dtype=np.bool_), np.random.default_rng(0)
    first = strategy.choose(fitted, history, Pool(live), rng)
    again = strategy.choose(fitted, history, Pool(live, (first,)), rng)
    more = History(*(np.append(part, new) for part, new in zip(
        (history.first_M, history.second_M, history.outcome_M), (*first, 0.5), strict=True
    )))  # fmt: skip
    # as if it had been answered, with the scores as they are
    assert again == strategy.choose(fitted, more, Pool(live, (first,)), rng)
    assert set(again) != set(first)


@pytest.mark.parametrize("name", ["ndb-ucb", "ndb-ts"])
def test_withdrawn_candidates_and_open_pairs(name: str) -> None:
    points, utility = toy_problem(6, 3, seed=5)
    bandit = duel_bandit(name, points, 0, width=8, steps=30, warm_start=2)
    play(bandit, noisy_judge(utility, np.random.default_rng(0)), 5)
    bandit.withdraw(bandit.best())
    asked = bandit.ask(10)
    assert {row for pair in asked for row in pair} <= set(bandit.live)
    assert len({frozenset(pair) for pair in asked}) == 10  # all pairs of five
    assert bandit.best() in bandit.live


def test_names_and_options() -> None:
    expected = NeuralDuel("ts", 2.0, 0.2, 0.5, 6, 3, 7, 1, "last-layer", 4)
    made = ndb_ts(
        decay=2, kappa=0.2, nu=0.5, width=6, depth=3, steps=7, warm_start=1, phi="last-layer",
        network_seed=4,
    )  # fmt: skip
    assert made == expected
    assert not made.calibrated
    assert ndb_ucb().rule == "ucb"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("decay", 0.0),
        ("kappa", 0.0),
        ("kappa", 0.3),
        ("nu", -1.0),
        ("width", 7),
        ("width", 0),
        ("depth", 0),
        ("steps", 0),
        ("warm_start", -1),
        ("phi", "all"),
        ("network_seed", -1),
    ],
)
def test_wrong_options_are_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=option):
        ndb_ucb(**{option: value})
