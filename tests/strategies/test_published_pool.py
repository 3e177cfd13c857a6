"""What published rules do not mention: candidates that were withdrawn, and questions that are still open."""

import numpy as np
import pytest

from palate.strategies import duel_bandit
from palate.testing._strategies import sure_judge, toy_problem

STRATEGIES = [
    ("linear-ucb", {}),
    ("linear-ucb", {"choice": "max-inp"}),
    ("linear-ucb", {"choice": "colstim"}),
    ("linear-released", {"steps": 30}),
    ("double-ts", {}),
    ("pdo", {}),
    ("ensemble-ts", {"steps": 10, "hidden": (4,)}),
]
each = pytest.mark.parametrize(("name", "options"), STRATEGIES)


@each
def test_the_withdrawn_are_neither_asked_about_nor_reported(name, options) -> None:
    feature, utility = toy_problem(7, 3, seed=0)
    judge = sure_judge(utility)
    bandit = duel_bandit(name, feature, 0, **options)
    for _ in range(12):
        pair = bandit.ask()
        bandit.tell(*pair, judge(*pair))
    # The best and the present favourite go; later their opponents do, until two are left.
    while len(bandit.live) > 2:
        bandit.withdraw(bandit.best())
        for _ in range(4):
            pair = bandit.ask()
            assert set(pair) <= set(bandit.live)
            assert pair[0] != pair[1]
            bandit.tell(*pair, judge(*pair))
            assert bandit.best() in bandit.live


@each
def test_open_pairs_are_avoided_while_others_are_left(name, options) -> None:
    feature, utility = toy_problem(5, 3, seed=0)
    judge = sure_judge(utility)
    bandit = duel_bandit(name, feature, 0, **options)
    for _ in range(9):
        pair = bandit.ask()
        bandit.tell(*pair, judge(*pair))
    pairs = [frozenset(pair) for pair in bandit.ask(10)]
    assert len(set(pairs)) == 10
    again = bandit.ask(pending=[tuple(sorted(pair)) for pair in pairs])
    assert len(set(again)) == 2


@each
def test_more_candidates_can_join(name, options) -> None:
    feature, utility = toy_problem(8, 3, seed=0)
    judge = sure_judge(utility)
    bandit = duel_bandit(name, feature[:5], 0, **options)
    asked = set()
    for number in range(40):
        if number == 8:
            assert bandit.add(feature[5:]) == [5, 6, 7]
        pair = bandit.ask()
        asked.update(pair)
        bandit.tell(*pair, judge(*pair))
    assert asked & {5, 6, 7}
    mean = bandit.posterior().mean_N
    assert mean.shape == (8,)
    assert np.isfinite(mean).all()
