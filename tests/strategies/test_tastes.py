"""Machines beside people in the default strategy."""

import numpy as np
import pytest

from palate.choice import sigmoid
from palate.strategies import duel_bandit
from palate.strategies._prior import Mixture, make_prior
from palate.strategies._protocol import History
from palate.strategies._tastes import JudgedPrior, machines_of

SIZE = 16


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    feature = rng.standard_normal((SIZE, 4))
    return feature, 2.0 * rng.standard_normal(SIZE), 2.0 * rng.standard_normal(SIZE)


def told(seed: int, people: int, machine: int, rho: float, name: str = "judge:m"):
    """A learner that was told votes of a person, then of a machine, on random pairs."""
    feature, utility, own = problem(seed)
    bandit = duel_bandit("palate", feature, seed=0)
    rng = np.random.default_rng(seed)
    values = [(utility, "anna")] * people + [(rho * utility + np.sqrt(1 - rho**2) * own, name)] * machine
    for value, judge in values:
        i, j = rng.choice(SIZE, 2, replace=False).tolist()
        said = rng.random() < sigmoid(np.array(value[i] - value[j]))
        bandit.tell(i, j, "left" if said else "right", judge=judge)
    return bandit, utility, own


def agreement(bandit, utility: np.ndarray) -> float:
    return float(np.corrcoef(bandit.posterior().mean_N, utility)[0, 1])


def test_the_prior_of_several_tastes_is_a_covariance_with_the_given_alignment() -> None:
    feature, _, _ = problem(0)
    base = make_prior(feature, Mixture())
    prior = JudgedPrior(base, np.array([-1, 0, 1]), np.array([0.6, -0.5]))
    every = np.arange(len(prior))
    table = prior.between(every, every)
    kernel = base.between(np.arange(SIZE), np.arange(SIZE))
    through = np.array([1.0, 0.6, -0.5])
    mix = np.outer(through, through) + np.diag(1 - through**2)
    assert table == pytest.approx(np.kron(mix, kernel), abs=1e-12)
    assert prior.rows(every) == pytest.approx(table, abs=1e-12)
    assert prior.variance_N == pytest.approx(np.diag(table), abs=1e-12)
    assert np.linalg.eigvalsh(table).min() > -1e-9
    some = np.array([40, 3, 20])
    assert prior.between(some, every[::-1]) == pytest.approx(table[some][:, ::-1], abs=1e-12)
    places = prior.valued_by(np.array([4, 4, 4, 4]), np.array([0, 1, 2, 9]))
    assert places.tolist() == [4, SIZE + 4, 2 * SIZE + 4, 4]


def test_who_is_a_machine() -> None:
    judge = np.array([0, 1, 2, 1])
    history = History(judge, judge + 1, np.ones(4), judge_M=judge, machine_M=judge == 1)
    assert machines_of(history).tolist() == [-1, 0, -1]
    alone = History(judge, judge + 1, np.ones(4), machine_M=np.ones(4, bool))
    assert machines_of(alone).tolist() == [-1]


def test_a_machine_of_another_taste_does_not_outvote_a_person() -> None:
    alone, beside, naive = [], [], []
    for seed in range(3):
        alone.append(agreement(told(seed, 80, 0, 0.0)[0], problem(seed)[1]))
        beside.append(agreement(told(seed, 80, 240, 0.0)[0], problem(seed)[1]))
        naive.append(agreement(told(seed, 80, 240, 0.0, name="anna")[0], problem(seed)[1]))
    assert np.mean(beside) > np.mean(alone) - 0.05
    assert np.mean(naive) < np.mean(alone) - 0.2


def test_a_machine_that_agrees_teaches() -> None:
    alone = [agreement(told(seed, 25, 0, 1.0)[0], problem(seed)[1]) for seed in range(3)]
    beside = [agreement(told(seed, 25, 150, 1.0)[0], problem(seed)[1]) for seed in range(3)]
    assert np.mean(beside) > np.mean(alone) + 0.03


def test_the_name_of_one_judge_alone_changes_nothing() -> None:
    beliefs = []
    for judge in ("anna", "judge:m", None):
        feature, utility, _ = problem(0)
        bandit = duel_bandit("palate", feature, seed=0)
        rng = np.random.default_rng(0)
        for _ in range(30):
            i, j = bandit.ask()
            said = rng.random() < sigmoid(np.array(utility[i] - utility[j]))
            bandit.tell(i, j, "left" if said else "right", judge=judge)
        beliefs.append(bandit.posterior())
    for other in beliefs[1:]:
        assert np.array_equal(beliefs[0].mean_N, other.mean_N)
        assert np.array_equal(beliefs[0].std_N, other.std_N)


def test_saving_and_going_on_is_the_same() -> None:
    bandit, _, _ = told(0, 30, 33, 0.7)
    again = type(bandit).from_json(bandit.to_json())
    assert np.array_equal(again.posterior().mean_N, bandit.posterior().mean_N)
    assert again.ask() == bandit.ask()
