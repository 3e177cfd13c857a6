"""Networks a clique: gradients against finite differences, tables against the sum, and what is learnt."""

import itertools

import numpy as np
import pytest

from palate.choice import count_duels
from palate.errors import ConfigError, InputError
from palate.structure import Form, Log, ScoreLog, VoteLog, fit_networks, network_loss

LEVELS = (3, 0, 2, 0)
FORM = Form(LEVELS, frozenset({(0, 1), (1, 3)}))


def rows(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.stack(
        [rng.integers(levels, size=count) if levels else rng.random(count) for levels in LEVELS], axis=1
    ).astype(float)


def logs() -> list[Log]:
    rng = np.random.default_rng(0)
    x = rows(rng, 7)
    first = rng.integers(7, size=15)
    second = (first + rng.integers(1, 7, size=15)) % 7
    return [
        ScoreLog(x, rng.standard_normal(7)),
        VoteLog(x, count_duels(first, second, rng.choice([0.0, 0.5, 1.0], size=15))),
    ]


@pytest.mark.parametrize("log", logs(), ids=["scores", "votes"])
def test_the_slope_of_the_loss_against_finite_differences(log: Log) -> None:
    # Cliques (0, 1), (1, 3), (2,): inputs 4 + 2 + 2, each with two hidden units and two rows of weights more.
    weights = np.random.default_rng(1).standard_normal((4 + 2 + 2 + 2 * 3) * 2)
    slope = network_loss(weights, log, FORM, 2, 0.1)[1]
    for k, step in itertools.product(range(len(weights)), [1e-5]):
        shift = step * np.eye(len(weights))[k]
        up, down = (network_loss(weights + s, log, FORM, 2, 0.1)[0] for s in (shift, -shift))
        assert slope[k] == pytest.approx((up - down) / (2 * step), abs=1e-8)


def test_a_loss_by_hand() -> None:
    # All weights 0: f = 0, so scores of variance 1 lose one half, votes log 2 each.
    scores, votes = logs()
    nothing = np.zeros(28)
    assert network_loss(nothing, scores, FORM, 2, 0.1)[0] == pytest.approx(0.5)
    assert network_loss(nothing, votes, FORM, 2, 0.1)[0] == pytest.approx(np.log(2))


def test_tables_and_slopes_are_those_of_the_function() -> None:
    model = fit_networks(logs()[0], FORM, rng=np.random.default_rng(0), width=3, steps=20)
    grids = [np.arange(3.0), np.linspace(0, 1, 3), np.arange(2.0), np.array([0.2, 0.7])]
    factors = model.factors(grids)
    assert factors is not None
    for choice in itertools.product(*(range(len(grid)) for grid in grids)):
        point = np.array([grid[k] for grid, k in zip(grids, choice, strict=True)])
        told = sum(f.table[tuple(choice[v] for v in f.scope)] for f in factors)
        assert told + model.offset == pytest.approx(model.mean(point[None])[0])
    point, step = np.array([1.0, 0.4, 1.0, 0.6]), 1e-6
    value, slope = model.gradient(point)
    assert value == pytest.approx(model.mean(point[None])[0])
    for v in (1, 3):
        shift = step * np.eye(4)[v]
        up, down = model.mean(np.stack([point + shift, point - shift]))
        assert slope[v] == pytest.approx((up - down) / (2 * step), abs=1e-6)
    assert slope[[0, 2]].tolist() == [0, 0]
    assert model.factors([np.linspace(0, 1, 600)] * 4) is None


def truth(x: np.ndarray) -> np.ndarray:
    return np.where(x[:, 0] == 1, 1.0, -1.0) * np.sin(4 * x[:, 1]) + x[:, 2] + x[:, 1] * x[:, 3]


def test_it_learns_scores_and_structure_helps() -> None:
    rng = np.random.default_rng(0)
    x, new = rows(rng, 150), rows(rng, 2000)
    log = ScoreLog(x, 10 + 5 * truth(x) + rng.standard_normal(150))
    every = Form(LEVELS, frozenset(itertools.combinations(range(4), 2)))
    errors = [
        np.std(fit_networks(log, form, rng=np.random.default_rng(1)).mean(new) - 10 - 5 * truth(new))
        for form in (FORM, every)
    ]
    assert errors[0] < 1.2  # the noise is 1, the function's deviation about 5
    assert errors[0] < errors[1]


def test_it_learns_votes_and_is_repeatable() -> None:
    rng = np.random.default_rng(0)
    x, new = rows(rng, 100), rows(rng, 500)
    first = rng.integers(100, size=1500)
    second = (first + rng.integers(1, 100, size=1500)) % 100
    gap = 2 * (truth(x)[first] - truth(x)[second])
    log = VoteLog(x, count_duels(first, second, (rng.random(1500) < 1 / (1 + np.exp(-gap))) * 1.0))
    one, two = (fit_networks(log, FORM, rng=np.random.default_rng(1)) for _ in range(2))
    assert np.corrcoef(one.mean(new), truth(new))[0, 1] > 0.95
    assert one.weights.tolist() == two.weights.tolist()


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="width = 0"):
        fit_networks(logs()[0], FORM, rng=np.random.default_rng(0), width=0)
    with pytest.raises(InputError, match="do not fit"):
        fit_networks(logs()[0], Form((3,), frozenset()), rng=np.random.default_rng(0))
