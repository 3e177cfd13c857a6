"""The average over graphs: weights, probabilities, and the mixture that it is."""

import numpy as np
import pytest

from palate.choice import count_duels, win_rate
from palate.structure import ScoreLog, VoteLog, average_graphs

LEVELS = (3, 3, 3, 3)


def scores(seed: int, count: int, strength: float) -> ScoreLog:
    rng = np.random.default_rng(seed)
    x = rng.integers(3, size=(count, 4)).astype(float)
    main = x @ np.array([0.5, -0.3, 0.2, 0.4])
    joint = strength * (x[:, 0] == 1) * (x[:, 2] == 2)
    return ScoreLog(x, main + joint + 0.3 * rng.standard_normal(count))


def test_much_data_make_the_graph_sure() -> None:
    found = average_graphs(scores(0, 150, 2.0), LEVELS)
    assert sum(found.weights) == pytest.approx(1)
    assert found.probability[0, 2] > 0.99
    assert found.edges == {(0, 2)}
    assert found.cliques == ((0, 2), (1,), (3,))
    assert found.unstructured < 0.01
    assert max(share for edge, share in found.probability.items() if edge != (0, 2)) < 0.5


def test_few_data_leave_it_open() -> None:
    found = average_graphs(scores(0, 8, 0.0), LEVELS)
    assert found.edges == frozenset()
    assert 0.01 < found.unstructured < 0.5
    assert found.unstructured == pytest.approx(found.weights[-1])
    assert average_graphs(scores(0, 8, 0.0), LEVELS, unstructured=False).unstructured == 0


def test_it_is_the_mixture() -> None:
    found = average_graphs(scores(1, 20, 1.0), LEVELS)
    x = found.models[0].log.x_NV[:2]
    assert len(found.models) > 3
    mean = sum(w * m.mean(x) for w, m in zip(found.weights, found.models, strict=True))
    assert found.mean(x) == pytest.approx(mean)
    value, slope = found.gradient(x[0])
    assert value == pytest.approx(mean[0])
    assert slope.tolist() == [0] * 4
    factors = found.factors([np.arange(3.0)] * 4)
    assert factors is not None

    def told(row: np.ndarray) -> float:
        return float(sum(f.table[tuple(int(row[v]) for v in f.scope)] for f in factors))

    assert told(x[0]) - told(x[1]) == pytest.approx(mean[0] - mean[1])


def test_comparison_has_the_moments_of_the_mixture() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(3, size=(12, 4)).astype(float)
    first = rng.integers(12, size=30)
    second = (first + rng.integers(1, 12, size=30)) % 12
    found = average_graphs(VoteLog(x, count_duels(first, second, (x[first, 0] > x[second, 0]) * 1.0)), LEVELS)
    gaps = np.array([m.gap(x[0], x[1]) for m in found.models])
    draws = rng.choice(len(gaps), p=found.weights, size=200_000)
    gap = gaps[draws, 0] + np.sqrt(gaps[draws, 1]) * rng.standard_normal(200_000)
    assert found.compare(x[0], x[1]) == pytest.approx(win_rate(gap.mean(), gap.var()), abs=0.01)


def test_two_variables_and_one() -> None:
    log = scores(0, 40, 0.0)
    pair = average_graphs(ScoreLog(log.x_NV[:, :2], log.y_N), LEVELS[:2])
    assert set(pair.probability) == {(0, 1)}
    alone = average_graphs(ScoreLog(log.x_NV[:, :1], log.y_N), LEVELS[:1])
    assert (alone.weights, alone.cliques) == ((1.0,), ((0,),))


def test_repeatable() -> None:
    one, two = (average_graphs(scores(1, 20, 1.0), LEVELS) for _ in range(2))
    assert one.weights == two.weights
    assert one.probability == two.probability
