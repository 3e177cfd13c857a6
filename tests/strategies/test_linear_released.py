"""The released linear baseline against a literal reference, vote by vote."""

import numpy as np
import pytest

from palate.errors import ConfigError
from palate.strategies import duel_bandit, linear_released
from palate.strategies._protocol import History, Pool
from palate.testing._strategies import toy_problem

N, D, STEPS = 9, 4, 120
TRAINED = 1e-8  # Adam divides by the root of its second moment, which amplifies rounding


def problem(seed, votes=10):
    feature, _ = toy_problem(N, D, seed)
    rng = np.random.default_rng(seed)
    first = rng.integers(N, size=votes)
    second = (first + rng.integers(1, N, size=votes)) % N
    return feature, History(first, second, rng.choice([0.0, 0.5, 1.0], size=votes))


def reference_train(start, feature, past):
    w, m, v = start.copy(), np.zeros(D), np.zeros(D)
    for t in range(1, STEPS + 1):
        gradient = np.zeros(D)
        for i, j, y in zip(past.first_M, past.second_M, past.outcome_M, strict=True):
            phi = feature[i] - feature[j]
            gradient += (1 / (1 + np.exp(-w @ phi)) - y) * phi / len(past)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w = w - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


@pytest.mark.parametrize("seed", range(5))
def test_training_choice_and_report_by_the_book(seed) -> None:
    feature, past = problem(seed)
    strategy = linear_released(steps=STEPS, nu=0.5)
    prepared = strategy.prepare(feature)
    start = prepared[1]
    assert (np.abs(start) <= 1 / np.sqrt(D)).all()
    w = reference_train(start, feature, past)
    fitted = strategy.fit(prepared, past)
    assert fitted.score_N == pytest.approx(feature @ w, abs=TRAINED)

    diagonal = np.full(D, 1e-10)
    for i, j in past.pairs:
        diagonal += (feature[i] - feature[j]) ** 2
    first = int((feature @ w).argmax())
    ucb = [
        feature[x] @ w
        + np.sqrt(sum(0.5 * p * p / u for p, u in zip(feature[x] - feature[first], diagonal, strict=True)))
        for x in range(N)
    ]
    ranked = np.argsort(ucb)[::-1]
    second = int(ranked[1] if ranked[0] == first else ranked[0])
    everyone = Pool(np.ones(N, dtype=bool))
    assert strategy.choose(fitted, past, everyone, np.random.default_rng(0)) == (first, second)

    before = feature @ reference_train(start, feature, past.until(9))
    shown = sorted({*past.first_M.tolist(), *past.second_M.tolist()})
    report = strategy.report(past, lambda h: strategy.fit(prepared, h), everyone)
    assert report == max(shown, key=lambda x: before[x])


def test_an_open_pair_makes_its_direction_less_interesting() -> None:
    # 0 leads; 1 and 2 are equally good, one along each axis. With 9 added to U along one of them, the bonus
    # along it falls from 1 to 1 / sqrt(10).
    feature = np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, -1.0], [3.0, 0.0], [0.0, 3.0]])
    past = History(np.array([3]), np.array([4]), np.array([0.5]))
    strategy = linear_released(warm_start=0, steps=1)
    fitted = strategy.fit(strategy.prepare(feature), past)
    assert fitted.square_D.tolist() == [9.0, 9.0]
    fitted = fitted._replace(square_D=np.ones(2), score_N=np.array([1.0, 0.0, 0.0, 0.0, 0.0]))
    live = np.array([True, True, True, False, False])
    for waiting, second in ((3, 2), (4, 1)):
        pool = Pool(live, ((waiting, 0),))
        assert strategy.choose(fitted, past, pool, np.random.default_rng(0)) == (0, second)


def test_the_belief_is_the_bonus() -> None:
    feature, past = problem(3)
    strategy = linear_released(steps=STEPS, nu=2.0)
    fitted = strategy.fit(strategy.prepare(feature), past)
    mean, covariance = strategy.belief(fitted)
    for i in range(N):
        for j in range(N):
            variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
            bonus = 2.0 * ((feature[i] - feature[j]) ** 2 / (fitted.square_D + 1e-10)).sum()
            assert variance == pytest.approx(bonus, abs=1e-9)
            assert mean[i] - mean[j] == pytest.approx(fitted.score_N[i] - fitted.score_N[j], abs=1e-12)


def test_it_cannot_say_when_to_stop() -> None:
    bandit = duel_bandit("linear-released", np.eye(3), seed=0, steps=5)
    stop, reason = bandit.should_stop()
    assert not stop
    assert "budget" in reason


@pytest.mark.parametrize(
    "options", [{"nu": -1.0}, {"steps": 0}, {"warm_start": -1}, {"network_seed": -1}, {"steps": True}]
)
def test_refuses_wrong_options(options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        linear_released(**options)
