"""The best untried combinations, against trying them all and against a fine grid."""

import itertools

import numpy as np
import pytest

from palate.structure import (
    Domain,
    Factor,
    Form,
    Options,
    Range,
    Scale,
    ScoreLog,
    best_rows,
    fit_model,
)

SLOTS = Domain(tuple(Options(name, ("a", "b", "c")) for name in "xyz"))
MIXED = Domain((Options("tone", ("warm", "plain")), Range("t", 0.0, 1.0), Range("n", 1, 9, integer=True)))


def test_options_against_all_combinations() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(3, size=(15, 3)).astype(float)
    model = fit_model(ScoreLog(x, rng.standard_normal(15)), Form((3, 3, 3), frozenset({(0, 1), (1, 2)})))
    every = np.array(list(itertools.product(range(3), repeat=3)), dtype=float)
    new = np.array([row for row in every if not (x == row).all(axis=1).any()])
    wanted = np.sort(model.mean(new))[::-1][:4]
    tops = best_rows(model, SLOTS, 4, tried_NV=x, rng=rng)
    assert tops.exact
    assert model.mean(tops.x_PV) == pytest.approx(wanted)
    assert not any((x == row).all(axis=1).any() for row in tops.x_PV)


def test_nothing_is_left_when_everything_was_tried() -> None:
    every = np.array(list(itertools.product(range(3), repeat=3)), dtype=float)
    model = fit_model(ScoreLog(every, every[:, 0]), Form((3, 3, 3), frozenset()))
    assert best_rows(model, SLOTS, 4, tried_NV=every, rng=np.random.default_rng(0)).x_PV.shape == (0, 3)


def mixed() -> tuple[ScoreLog, Form]:
    rng = np.random.default_rng(1)
    x = np.stack([rng.integers(2, size=80), rng.random(80), rng.integers(9, size=80) / 8], axis=1)
    peak = np.where(x[:, 0] == 0, 0.23, 0.71)
    y = -((x[:, 1] - peak) ** 2) * 8 + 0.3 * (x[:, 0] == 1) - (x[:, 2] - 0.5) ** 2
    return ScoreLog(x, y), Form((2, 0, 0), frozenset({(0, 1)}))


def test_numbers_climb_to_the_top_between_grid_points() -> None:
    log, form = mixed()
    model = fit_model(log, form)
    tops = best_rows(model, MIXED, 2, tried_NV=log.x_NV, rng=np.random.default_rng(0), points=5)
    fine = np.array(list(itertools.product(range(2), np.linspace(0, 1, 401), np.arange(9) / 8)), dtype=float)
    best = fine[model.mean(fine).argmax()]
    assert tops.x_PV[0] == pytest.approx(best, abs=0.005)
    assert model.mean(tops.x_PV[:1])[0] >= model.mean(best[None])[0] - 1e-4
    assert MIXED.decode(tops.x_PV[0]) == {"tone": "plain", "t": pytest.approx(0.71, abs=0.02), "n": 5}
    # The second is another place, not the first one's neighbour on the grid.
    assert (np.abs(tops.x_PV[0] - tops.x_PV[1]) > [0, 0.05, 0.05]).any()


def test_what_was_tried_is_passed_over_between_grid_points_too() -> None:
    log, form = mixed()
    model = fit_model(log, form)
    rng = np.random.default_rng(0)
    first = best_rows(model, MIXED, 1, tried_NV=log.x_NV, rng=rng).x_PV
    again = best_rows(model, MIXED, 1, tried_NV=np.concatenate([log.x_NV, first]), rng=rng).x_PV
    assert (np.abs(first - again) > 1e-6).any()


def test_too_large_a_clique_is_climbed() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((40, 6))
    every = frozenset(itertools.combinations(range(6), 2))
    log = ScoreLog(x, -((x - 0.4) ** 2).sum(axis=1))
    model = fit_model(log, Form((0,) * 6, every), start=Scale(1.0, 0.1, 0.8, 0.001), climb=False)
    domain = Domain(tuple(Range(f"v{k}", 0.0, 1.0) for k in range(6)))
    tops = best_rows(model, domain, 1, tried_NV=x, rng=rng)
    assert not tops.exact
    assert tops.x_PV[0] == pytest.approx(np.full(6, 0.4), abs=0.1)
    value = model.mean(tops.x_PV)[0]
    assert value >= model.mean(x).max()
    assert value >= model.mean(rng.random((5000, 6))).max() - 1e-3


def test_factors_of_a_wider_graph_are_climbed_too() -> None:
    # A cycle's tables are small, but a bound of one entry leaves elimination no room.
    from palate.structure import best_choices

    factors = [Factor((0, 1), np.eye(3)), Factor((1, 2), np.eye(3))]
    found = best_choices(factors, [3, 3, 3], 1, rng=np.random.default_rng(0), largest=1)
    assert (found.exact, found.found[0][0]) == (False, 2.0)
