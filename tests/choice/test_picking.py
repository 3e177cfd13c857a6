"""Who answers only what a certain candidate is in."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from palate.choice import Shown, picked_weights, picking
from palate.errors import InputError


def by_integration(shown: int, answered: int, others: int, said: int) -> float:
    """Bayes' rule with both integrals on a grid ten times as fine, and scipy's densities."""
    b_B, d_D = np.linspace(-9, 9, 721), np.linspace(-18, 18, 1441)
    chance_BD = 1 / (1 + np.exp(-(b_B[:, None] + d_D)))
    other_B = 1 / (1 + np.exp(-b_B))
    told_B = norm.pdf(b_B, 2.0, 3.0) * binom.pmf(said, others, other_B)
    told_D = told_B @ binom.pmf(answered, shown, chance_BD)
    honest = 0.99 * (told_D @ norm.pdf(d_D))
    picks = 0.01 * (told_D @ np.where(d_D > 0, 2 * norm.pdf(d_D, 0, 5), 0.0))
    return float(picks / (picks + honest))


def shown_to_one(shown: int, answered: int, others: int, said: int) -> Shown:
    """Candidate 0 was shown so often with candidates 1 … 4; the others are pairs among these."""
    first = np.concatenate([np.zeros(shown, int), 1 + np.arange(others) % 4])
    second = np.concatenate([1 + np.arange(shown) % 4, 1 + (np.arange(others) + 1) % 4])
    answer = np.concatenate([np.arange(shown) < answered, np.arange(others) < said])
    return Shown(first, second, np.zeros(shown + others, int), answer)


@pytest.mark.parametrize("counts", [(12, 12, 40, 8), (10, 9, 30, 20), (8, 8, 60, 1)])
def test_the_probability_is_that_of_bayes_rule(counts: tuple[int, int, int, int]) -> None:
    found = picking(shown_to_one(*counts), 1, 5)[0, 0]
    assert found == pytest.approx(by_integration(*counts), abs=0.02)


def test_whoever_passes_evenly_or_tires_or_finds_one_hard_is_honest() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(8, size=400)
    second = (first + rng.integers(1, 8, size=400)) % 8
    judge = np.zeros(400, int)
    ways = {
        "answers all": np.ones(400, bool),
        "passes evenly": rng.random(400) < 0.6,
        "tires": rng.random(400) < np.linspace(1.0, 0.5, 400),
        "never judges the third": (first != 2) & (second != 2),
    }
    for way, answered in ways.items():
        chance = picking(Shown(first, second, judge, answered), 1, 8)
        assert chance.max() < 0.2, way


def test_votes_on_a_picked_candidate_count_nothing_and_others_stay() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(10, size=600)
    second = (first + rng.integers(1, 10, size=600)) % 10
    judge = np.repeat([0, 1], 300)
    has = (first == 4) | (second == 4)
    answered = np.where(judge == 0, True, has | (rng.random(600) < 0.1))
    chance = picking(Shown(first, second, judge, answered), 2, 10)
    assert chance[1, 4] > 0.9
    assert np.delete(chance.ravel(), 14).max() < 0.5
    weights = picked_weights(chance, judge[answered], first[answered], second[answered])
    assert (weights == np.where((judge == 1) & has, 0.0, 1.0)[answered]).all()


def test_nothing_is_concluded_where_picking_and_avoiding_are_the_same() -> None:
    first, second = np.array([0, 0, 1] * 30), np.array([1, 2, 2] * 30)
    only_one_pair = (first == 0) & (second == 1)
    shown = Shown(first, second, np.zeros(90, int), only_one_pair)
    assert picking(shown, 1, 3).max() == 0.0


def test_numbers_out_of_range_are_refused() -> None:
    one = np.array([0])
    with pytest.raises(InputError, match="candidates 0 … 3"):
        picking(Shown(one, one + 4, one, one == 0), 1, 4)
    with pytest.raises(InputError, match="shown to 0 … 0"):
        picking(Shown(one, one + 1, one + 1, one == 0), 1, 4)
