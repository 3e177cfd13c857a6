import numpy as np
import pytest

from palate.choice import bradley_terry
from palate.errors import ConfigError
from palate.strategies import double_ts, duel_bandit
from palate.strategies._double_ts import (
    candidate_set,
    copeland,
    copeland_best,
    double_thompson,
    pair_bounds,
    sample_table,
    win_table,
)
from palate.strategies._protocol import History, Pool
from palate.types import Verdict

THIRD = 1e-3  # the hand-worked figures are rounded to three places


class FixedDraws:
    """A generator whose draws were written down before, and which remembers what it was asked for."""

    def __init__(self, table, betas):
        self.table, self.betas = np.array(table, dtype=float), [np.array(b, dtype=float) for b in betas]
        self.asked, self.ties = [], []

    def random(self, shape):
        assert shape == self.table.shape
        return self.table.copy()

    def beta(self, a, b):
        self.asked.append((np.asarray(a).tolist(), np.asarray(b).tolist()))
        return self.betas.pop(0)

    def choice(self, rows):
        self.ties.append(np.asarray(rows).tolist())
        return rows[-1]


def everyone(size, *open_pairs):
    return Pool(np.ones(size, dtype=bool), open_pairs)


# 0 beat 1 nine times of nine; 0 and 2 are at 1:1, 1 and 2 at 2:2; nobody met 3. With alpha = 1 and t = 3,
# alpha log t = 1.0986: widths 0.349 for nine duels, 0.741 for two and 0.524 for four.
WINS = np.array([[0, 9, 1, 0], [0, 0, 2, 0], [1, 2, 0, 0], [0, 0, 0, 0]], dtype=float)
UPPER = np.array([[0.5, 1, 1, 1], [0.349, 0.5, 1, 1], [1, 1, 0.5, 1], [1, 1, 1, 0.5]])
LOWER = np.array([[0.5, 0.651, 0, 0], [0, 0.5, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 0.5]])


def test_bounds_and_candidate_set_by_hand() -> None:
    upper, lower = pair_bounds(WINS, 1.0, 3)
    assert upper == pytest.approx(UPPER, abs=THIRD)
    assert lower == pytest.approx(LOWER, abs=THIRD)
    # 0, 2 and 3 may beat three others, 1 only two.
    assert candidate_set(upper).tolist() == [True, False, True, True]


def test_a_choice_by_hand() -> None:
    # Pairs that met, in order: 01, 02, 12; their draws 0.9, 0.4, 0.2. Pairs that did not: 03 0.7, 13 0.45,
    # 23 0.6. So 0 beats 1 and 3; 1 nobody; 2 beats 0, 1 and 3; 3 beats 1. First is 2. Draws against 2 are
    # 0.3, 0.8, 0.9 (itself, forbidden) and 0.7, and nobody surely loses to it, so second is 1.
    table = np.zeros((4, 4))
    table[0, 3], table[1, 3], table[2, 3] = 0.7, 0.45, 0.6
    rng = FixedDraws(table, [[0.9, 0.4, 0.2], [0.3, 0.8, 0.9, 0.7]])
    assert double_thompson(WINS, 1.0, 3, everyone(4), rng) == (2, 1)
    assert rng.asked == [([10, 2, 3], [1, 2, 3]), ([2, 3, 1, 1], [2, 3, 1, 1])]
    assert rng.ties == [[2]]


def test_only_candidates_of_the_set_come_first_and_ties_are_drawn() -> None:
    # 1 beats all in the draw but cannot hope to; 0, 2 and 3 beat one each: 3 is drawn of the three.
    table = np.zeros((4, 4))
    table[0, 3], table[1, 3], table[2, 3] = 0.2, 0.9, 0.7
    rng = FixedDraws(table, [[0.4, 0.7, 0.8], [0.3, 0.8, 0.1, 0.7]])
    assert double_thompson(WINS, 1.0, 3, everyone(4), rng) == (3, 1)
    assert rng.ties == [[0, 2, 3]]


def test_who_surely_beats_the_first_is_not_asked_to() -> None:
    # A circle: each beat the next nine times of nine. First is 0; 2 surely beats it, l = 0.651, whatever is
    # drawn, so that 1 is left; with 01 open there is no one else, and 2 it is.
    wins = np.array([[0, 9, 0], [0, 0, 9], [9, 0, 0]], dtype=float)
    for open_pairs, second in (((), 1), (((1, 0),), 2)):
        rng = FixedDraws(np.zeros((3, 3)), [[0.9, 0.8, 0.1], [0.5, 0.2, 0.95]])
        assert double_thompson(wins, 1.0, 3, everyone(3, *open_pairs), rng) == (0, second)


def test_one_who_has_nobody_left_to_meet_does_not_come_first() -> None:
    table = np.full((3, 3), 0.9)
    rng = FixedDraws(table, [[], [0.1, 0.5, 0.2]])
    pair = double_thompson(np.zeros((3, 3)), 1.0, 1, everyone(3, (0, 1), (2, 0)), rng)
    assert pair == (1, 2)


def test_bounds_in_loops() -> None:
    rng = np.random.default_rng(0)
    wins = rng.integers(0, 4, (7, 7)) * (rng.random((7, 7)) < 0.4) * (1 - np.eye(7))
    upper, lower = pair_bounds(wins, 0.51, 31)
    for i in range(7):
        for j in range(7):
            n = wins[i, j] + wins[j, i]
            wide = np.sqrt(0.51 * np.log(31) / n) if n else 1.0
            mean = wins[i, j] / n if n else 0.5
            high, low = (min(1.0, mean + wide), max(0.0, mean - wide)) if i != j else (0.5, 0.5)
            assert (upper[i, j], lower[i, j]) == pytest.approx((high, low), abs=1e-12)


def test_draws_have_the_moments_of_their_betas() -> None:
    # Beta(a, b) has mean a / (a + b) and variance a b / ((a + b)^2 (a + b + 1)).
    rng = np.random.default_rng(0)
    draws = np.array([sample_table(WINS, rng) for _ in range(20_000)])
    assert draws + draws.transpose(0, 2, 1) == pytest.approx(np.ones_like(draws))
    for i, j, a, b in ((0, 1, 10, 1), (0, 2, 2, 2), (2, 1, 3, 3), (3, 1, 1, 1)):
        sample = draws[:, i, j]
        variance = a * b / ((a + b) ** 2 * (a + b + 1))
        # Four standard errors or more: at most sqrt(1 / 12 / 20000) = 0.002 for the mean, less for the other.
        assert sample.mean() == pytest.approx(a / (a + b), abs=0.008)
        assert sample.var() == pytest.approx(variance, abs=0.004)


def test_wins_are_counted_with_halves_for_ties() -> None:
    past = History(np.array([0, 1, 0, 2]), np.array([1, 0, 1, 0]), np.array([1.0, 1.0, 0.5, 0.0]))
    assert win_table(past, 3).tolist() == [[0, 1.5, 1], [1.5, 0, 0], [0, 0, 0]]


def test_the_report_by_hand() -> None:
    # 0 beat 1 and lost to 2: score 0, rate 1/2. 1 lost to 0, beat 3 2:1: score 0, rate 1/3. 2 beat 0: 1, 1.
    # 3 lost to 1: -1, 1/3. 4 met nobody: 0, 0. 5 and 0 are even, one each: 5 has score 0 and rate 1/2.
    wins = np.zeros((6, 6))
    wins[0, 1], wins[2, 0], wins[1, 3], wins[3, 1], wins[0, 5], wins[5, 0] = 1, 1, 2, 1, 1, 1
    score, rate = copeland(wins)
    assert score.tolist() == [0, 0, 1, -1, 0, 0]
    assert rate == pytest.approx([0.5, 1 / 3, 1, 1 / 3, 0, 0.5])
    live = np.ones(6, dtype=bool)
    order = []
    while live.any():
        order.append(copeland_best(wins, live))
        live[order[-1]] = False
    assert order == [2, 0, 5, 1, 4, 3]


def test_it_settles_on_the_best_of_a_total_order() -> None:
    # The lower number wins four times in five; Copeland's winner is 0.
    rng = np.random.default_rng(0)
    bandit = duel_bandit("double-ts", np.eye(5), seed=0)
    asked = []
    for _ in range(500):
        i, j = bandit.ask()
        bandit.tell(i, j, Verdict.LEFT if (rng.random() < 0.8) == (i < j) else Verdict.RIGHT)
        asked.append((i, j))
    assert bandit.best() == 0
    assert np.mean([0 in pair for pair in asked[-200:]]) > 0.9
    assert {row for pair in asked[:20] for row in pair} == set(range(5))


def test_features_do_not_matter() -> None:
    runs = []
    for feature in (np.eye(6), np.ones((6, 2))):
        bandit = duel_bandit("double-ts", feature, seed=3)
        runs.append([])
        for _ in range(20):
            pair = bandit.ask()
            bandit.tell(*pair, "left" if pair[0] < pair[1] else "right")
            runs[-1].append(pair)
    assert runs[0] == runs[1]


def test_the_belief_is_bradley_terry() -> None:
    strategy = double_ts(scale=1.5)
    mean = strategy.belief(WINS).mean_N
    # The ridge of the scores is the precision of their prior; centring both removes the common shift.
    assert mean == pytest.approx(bradley_terry(WINS, ridge=1 / 1.5**2), abs=1e-6)
    prior = strategy.belief(np.zeros((4, 4)))
    assert prior.covariance_NN == pytest.approx(1.5**2 * (np.eye(4) - 0.25), abs=1e-12)
    assert not strategy.calibrated


@pytest.mark.parametrize("options", [{"alpha": 0.5}, {"alpha": float("inf")}, {"scale": 0.0}])
def test_refuses_wrong_options(options) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} must be above"):
        double_ts(**options)
