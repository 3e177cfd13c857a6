"""The tests of edges: equal to Stein's estimate where they should be, honest, and able to find something."""

import itertools

import numpy as np
import pytest

from palate.choice import count_duels
from palate.errors import ConfigError
from palate.structure import (
    EdgeTest,
    Form,
    ScoreLog,
    VoteLog,
    discover,
    edge_tests,
    false_discovery_edges,
    fit_model,
    mean_hessian,
    normal_scores,
    top_edges,
)

SLOTS = (3, 3, 2, 4)


def slots(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.stack([rng.integers(levels, size=count) for levels in SLOTS], axis=1).astype(float)


def additive(x: np.ndarray) -> np.ndarray:
    return 1.5 * (x[:, 0] == 1) - (x[:, 1] == 2) + 0.8 * x[:, 2] + 0.5 * (x[:, 3] > 1)


def vote(rng: np.random.Generator, x: np.ndarray, utility: np.ndarray, count: int) -> VoteLog:
    first = rng.integers(len(x), size=count)
    second = (first + rng.integers(1, len(x), size=count)) % len(x)
    won = rng.random(count) < 1 / (1 + np.exp(utility[second] - utility[first]))
    return VoteLog(x, count_duels(first, second, won.astype(float)))


def test_for_numbers_and_scores_it_is_the_published_estimate() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((4000, 4))
    z = normal_scores(x)
    y = z[:, 0] * z[:, 1] + np.tanh(z[:, 2]) + 0.1 * rng.standard_normal(4000)
    strength = {t.edge: t.strength for t in edge_tests(ScoreLog(x, y), (0,) * 4, degree=1)}
    stein = mean_hessian(z, y / y.std())
    for pair in itertools.combinations(range(4), 2):
        # The test divides by the observed size of the products, the estimate by their expected one, 1.
        assert strength[pair] == pytest.approx(abs(stein.value_VV[pair]), rel=0.05, abs=0.01)


def test_a_score_test_by_hand() -> None:
    # Two options each, every combination once, y = the product of signs: nothing additive, all of it joint.
    # sum of y φ φ = 4; with the mean fitted and (ridge 1) main effects of nothing, the variance of y is
    # 4 / (4 - 1 - 2 · 4/5) = 20 / 7, the information 4 · 7 / 20, so strength 1 and χ² = 4 · 7 / 20 = 1.4.
    x = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    (test,) = edge_tests(ScoreLog(x, np.array([1.0, -1, -1, 1])), (2, 2))
    assert test.strength == pytest.approx(1.0)
    assert test.p == pytest.approx(0.236724, abs=1e-6)  # chance of χ² > 1.4 with one degree of freedom


@pytest.mark.parametrize("kind", ["scores", "votes"])
def test_p_values_are_uniform_without_interactions(kind: str) -> None:
    p: list[float] = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = slots(rng, 150)
        y = additive(x)
        log = ScoreLog(x, y + rng.standard_normal(150)) if kind == "scores" else vote(rng, x, y, 300)
        p += [test.p for test in edge_tests(log, SLOTS)]
    # 360 values; the deviation of a share of 10 % is 1.6 %, of 50 % is 2.6 %; tests of a log are related.
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.06)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_control_makes_votes_find_what_is_hidden_by_main_effects() -> None:
    rank: dict[bool, list[int]] = {True: [], False: []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = slots(rng, 200)
        log = vote(rng, x, 2 * additive(x) + 1.5 * (x[:, 0] == 2) * (x[:, 1] == 0), 400)
        for control in rank:
            order = [test.edge for test in edge_tests(log, SLOTS, control=control)]
            rank[control].append(order.index((0, 1)))
    assert np.mean(rank[True]) < np.mean(rank[False])
    assert np.mean(rank[True]) < 0.6


def test_squares_see_what_averages_out() -> None:
    # f = (z0² - 1) (z1² - 1): the mixed derivative is 4 z0 z1, zero on average.
    rng = np.random.default_rng(0)
    x = rng.random((800, 3))
    z = normal_scores(x)
    log = ScoreLog(x, (z[:, 0] ** 2 - 1) * (z[:, 1] ** 2 - 1))
    assert {t.edge: t.p for t in edge_tests(log, (0, 0, 0))}[0, 1] < 1e-10
    stein = mean_hessian(z, log.y_N)
    assert abs(stein.value_VV[0, 1]) < 3 * stein.error_VV[0, 1]


def test_a_variable_that_never_varies_has_no_edges() -> None:
    rng = np.random.default_rng(0)
    x = slots(rng, 50)
    x[:, 3] = 2
    tests = {t.edge: t for t in edge_tests(ScoreLog(x, rng.standard_normal(50)), SLOTS)}
    assert [tests[pair].p for pair in ((0, 3), (1, 3), (2, 3))] == [1, 1, 1]
    assert tests[0, 3].strength == 0


def test_false_discoveries_by_hand() -> None:
    # Thresholds of five at 10 % are 0.02, 0.04, 0.06, 0.08, 0.1: the last below its own is the third.
    tests = tuple(EdgeTest((0, k), 1 / k, p) for k, p in enumerate((0.01, 0.05, 0.055, 0.2, 0.9), start=1))
    assert false_discovery_edges(tests, 0.1) == {(0, 1), (0, 2), (0, 3)}
    assert false_discovery_edges(tests, 0.01) == frozenset()
    assert top_edges(tests, 0.3) == {(0, 1), (0, 2)}
    assert top_edges(tests, 0.0) == frozenset()


@pytest.mark.parametrize("rule", ["evidence", "level", "share"])
def test_a_planted_graph_is_found(rule: str) -> None:
    rng = np.random.default_rng(5)
    x = slots(rng, 400)
    y = additive(x) + 1.5 * (x[:, 0] == 2) * (x[:, 1] == 0) - 1.5 * (x[:, 2] == 1) * (x[:, 3] == 3)
    log = ScoreLog(x, y + 0.2 * rng.standard_normal(400))
    found = discover(log, SLOTS, rule=rule, share=2 / 6)  # pyright: ignore[reportArgumentType]
    assert found.edges == {(0, 1), (2, 3)}
    assert found.gain == pytest.approx(
        found.model.evidence - fit_model(log, Form(SLOTS, frozenset())).evidence, abs=1e-6
    )
    assert found.gain > 50


def test_nothing_is_found_where_nothing_is() -> None:
    rng = np.random.default_rng(0)
    x = slots(rng, 300)
    found = discover(
        ScoreLog(x, additive(x) + 0.5 * rng.standard_normal(300)), SLOTS, rule="level", level=0.01
    )
    assert found.edges == frozenset()
    assert found.gain == 0
    assert found.model.form.cliques == ((0,), (1,), (2,), (3,))


@pytest.mark.parametrize("options", [{"rule": "guess"}, {"level": 1.0}, {"share": -0.1}])
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    log = ScoreLog(slots(np.random.default_rng(0), 5), np.arange(5.0))
    with pytest.raises(ConfigError, match=next(iter(options))):
        discover(log, SLOTS, **options)  # pyright: ignore[reportArgumentType]
