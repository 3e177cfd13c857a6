import numpy as np
import pytest

from palate.errors import ConfigError
from palate.strategies import duel_bandit, pdo
from palate.strategies._double_ts import copeland
from palate.strategies._pdo import pruned_rows
from palate.strategies._protocol import History, Pool


def votes(*rows):
    """(winner, loser) or (one, other, outcome)."""
    first, second, outcome = zip(*[(*row, 1.0)[:3] for row in rows], strict=True)
    return History(np.array(first), np.array(second), np.array(outcome))


def slow_pruned(history, size, every, count, keep):
    """The same from whole tables, whose rows and columns are wiped when somebody leaves."""
    wins, gone = np.zeros((size, size)), []
    for number, (i, j) in enumerate(history.pairs, start=1):
        if i not in gone and j not in gone:
            wins[i, j] += history.outcome_M[number - 1]
            wins[j, i] += 1 - history.outcome_M[number - 1]
        if number % every == 0:
            score, rate = copeland(wins)
            met = np.flatnonzero((wins + wins.T).sum(axis=1))
            worst_last = sorted(met.tolist(), key=lambda row: (-score[row], -rate[row], row))
            for row in worst_last[::-1][: max(0, min(count, len(met) - keep))]:
                gone.append(row)
                wins[row] = wins[:, row] = 0
    return gone


@pytest.mark.parametrize("seed", range(30))
def test_pruning_by_whole_tables(seed) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(12, size=60)
    second = (first + rng.integers(1, 12, size=60)) % 12
    history = History(first, second, rng.choice([0.0, 0.5, 1.0], size=60))
    every, count, keep = 1 + seed % 5, 1 + seed % 3, 2 + seed % 4
    assert pruned_rows(history, every, count, keep) == slow_pruned(history, 12, every, count, keep)


def test_pruning_by_hand() -> None:
    # After three votes: 0 beat 1 and 2, 3 beat 1. Scores 2, -2, -1, 1: 1 leaves, with its duels. Then 0 has a
    # win over 2, and 3 has met nobody. The next three: 3 beat 2, 2 beat 0, and a late vote on 1 is ignored.
    # 0 beat 2 once and lost once: even. 2: 1:1 with 0, lost to 3: -1, leaves; 4 never met anybody and stays.
    past = votes((0, 1), (0, 2), (3, 1), (3, 2), (2, 0), (1, 4))
    assert pruned_rows(past.until(2), 3, 1, 2) == []
    assert pruned_rows(past.until(3), 3, 1, 2) == [1]
    assert pruned_rows(past, 3, 1, 2) == [1, 2]
    assert pruned_rows(past, 3, 0, 2) == []
    # Of the four that met, three must stay; then only 0, 2 and 3 have duels.
    assert pruned_rows(past, 3, 2, 3) == [1]


def test_of_equals_the_last_row_leaves() -> None:
    # 1 and 2 both lost their one duel to 0.
    assert pruned_rows(votes((0, 1), (0, 2)), 2, 1, 2) == [2]


def test_more_of_a_history_never_brings_anybody_back() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(9, size=40)
    second = (first + rng.integers(1, 9, size=40)) % 9
    history = History(first, second, rng.choice([0.0, 1.0], size=40))
    whole = pruned_rows(history, 3, 1, 2)
    assert whole
    for number in range(41):
        part = pruned_rows(history.until(number), 3, 1, 2)
        assert part == whole[: len(part)]


def test_candidates_added_later_change_nothing_about_the_pruned() -> None:
    bandit = duel_bandit("pdo", np.eye(6), seed=1)
    for _ in range(12):
        pair = bandit.ask()
        bandit.tell(*pair, "left" if pair[0] < pair[1] else "right")
    strategy = pdo()
    small, large = (strategy.fit(size, bandit.history).pruned_N for size in (6, 8))
    assert small.sum() > 0
    assert large.tolist() == [*small.tolist(), False, False]


def test_the_pruned_are_not_asked_about_nor_reported() -> None:
    bandit = duel_bandit("pdo", np.eye(10), seed=0, duels=2)
    strategy = pdo(duels=2)
    gone = set()
    for _ in range(30):
        pruned = strategy.fit(10, bandit.history).pruned_N
        gone.update(np.flatnonzero(pruned).tolist())
        pair = bandit.ask()
        if pruned.sum() <= 7:
            assert not gone & set(pair)
        bandit.tell(*pair, "left" if pair[0] < pair[1] else "right")
        assert bandit.best() not in np.flatnonzero(strategy.fit(10, bandit.history).pruned_N)
    assert len(gone) >= 5


def test_the_report_counts_only_duels_among_those_left() -> None:
    # 1 beat 3, 4 and 5, which are all pruned; 0 beat 2. In the whole table 1 leads.
    past = votes((1, 3), (1, 4), (1, 5), (0, 2))
    strategy = pdo(duels=3, prune=3)
    assert pruned_rows(past, 3, 3, 2) == [5, 4]
    strategy = pdo(duels=3, prune=3, keep=2)
    fitted = strategy.fit(6, past)
    assert np.flatnonzero(fitted.pruned_N).tolist() == [4, 5]
    # 1 keeps its win over 3 and shares score and rate with 0, the lower row; before, it led by three to one.
    assert strategy.report(past, lambda _: fitted, Pool(np.ones(6, dtype=bool))) == 0
    assert pdo(prune=0).report(past, lambda h: pdo(prune=0).fit(6, h), Pool(np.ones(6, dtype=bool))) == 1


def test_withdrawn_and_pruned_leave_somebody_to_ask_about() -> None:
    past = votes((0, 1), (2, 1), (0, 2))
    strategy = pdo()
    fitted = strategy.fit(4, past)
    assert np.flatnonzero(fitted.pruned_N).tolist() == [1]
    rng = np.random.default_rng(0)
    only_one_left = Pool(np.array([True, True, False, False]))
    assert set(strategy.choose(fitted, past, only_one_left, rng)) == {0, 1}
    assert strategy.report(past, lambda _: fitted, only_one_left) == 0
    # All pairs of the others are open; the pruned comes back rather than a question being put twice.
    waiting = Pool(np.array([True, True, False, True]), ((0, 3),))
    assert 1 in strategy.choose(fitted, past, waiting, rng)
    nobody_left = Pool(np.array([False, True, False, False]))
    assert strategy.report(past, lambda _: fitted, nobody_left) == 1


@pytest.mark.parametrize(
    "options", [{"alpha": 0.5}, {"duels": 0}, {"prune_every": 0}, {"prune": -1}, {"keep": 1}, {"scale": -1.0}]
)
def test_refuses_wrong_options(options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        pdo(**options)
