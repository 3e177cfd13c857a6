"""The default strategy: its belief against dense references, and what it makes of raters' habits."""

import json

import numpy as np
import pytest

from palate.choice import log_sigmoid, propagate
from palate.errors import ConfigError
from palate.strategies import DuelBandit, History, Pool, duel_bandit, palate
from palate.strategies._habits import SIDE_VARIANCE
from palate.strategies._palate import palate_checkpoint
from palate.strategies._prior import Mixture, Prior, make_prior
from palate.testing._strategies import noisy_judge, play, toy_problem
from palate.types import Array


def votes(size: int, count: int, seed: int = 0) -> History:
    rng = np.random.default_rng(seed)
    first = rng.integers(size, size=count)
    second = (first + 1 + rng.integers(size - 1, size=count)) % size
    return History(first, second, (rng.random(count) < 0.5).astype(float))


def columns_only(prior: Prior) -> Prior:
    return Prior(
        prior.feature_ND, prior.mixture, prior.square_N, prior.width, prior.level, prior.smooth_level
    )


def test_the_prior_against_its_formula() -> None:
    feature = np.random.default_rng(0).standard_normal((7, 3))
    mixture = Mixture(0.3, 0.5, 0.2, 0.8)
    prior = make_prior(feature, mixture)
    square = ((feature[:, None] - feature[None]) ** 2).sum(axis=-1)
    width = np.median(square[~np.eye(7, dtype=bool)]) * 0.8**2
    centre = np.eye(7) - 1.0 / 7.0
    parts = [centre @ part @ centre for part in (feature @ feature.T, np.exp(-square / (2 * width)))]
    linear, smooth = (part * 7 / np.trace(part) for part in parts)
    wanted = 0.3 * linear + 0.5 * smooth + 0.2 * np.eye(7)
    assert prior.rows(np.arange(7)) == pytest.approx(wanted, abs=1e-12)
    assert float(prior.variance_N.mean()) == pytest.approx(1.0)


def test_a_large_pool_has_the_same_prior_without_the_table() -> None:
    feature = np.random.default_rng(1).standard_normal((40, 6))
    prior = make_prior(feature, Mixture())
    sparse = columns_only(prior)
    some, others = np.array([3, 39, 0]), np.array([5, 3, 20, 39])
    assert sparse.rows(some) == pytest.approx(prior.rows(some), abs=1e-12)
    assert sparse.between(some, others) == pytest.approx(prior.between(some, others), abs=1e-12)
    assert sparse.variance_N == pytest.approx(prior.variance_N, abs=1e-12)


def test_a_sampled_centring_is_close_to_the_whole() -> None:
    # 1,500 candidates are more than the landmarks; differences of utilities do not feel the centring.
    feature = np.random.default_rng(2).standard_normal((1500, 5))
    prior = make_prior(feature, Mixture())
    assert prior.table_NN is None
    assert float(prior.variance_N.mean()) == pytest.approx(1.0, abs=1e-9)
    rows = prior.rows(np.array([0, 1]))
    assert float(rows.mean()) == pytest.approx(0.0, abs=0.02)


def test_constant_and_repeated_features() -> None:
    bandit = duel_bandit("palate", np.ones((5, 4)), seed=0)
    for _ in range(6):
        bandit.tell(1, 3, "left")
    assert bandit.best() == 1
    assert np.isfinite(bandit.posterior().std_N).all()


def dense(history: History, prior: Prior, scale: float) -> tuple[Array, Array]:
    """The posterior written out, for votes of one judge without ties."""
    size = len(prior)
    direction = np.zeros((len(history), size + 1))
    direction[np.arange(len(history)), history.first_M] += 1.0
    direction[np.arange(len(history)), history.second_M] -= 1.0
    direction[:, -1] = 1.0
    covariance = np.zeros((size + 1, size + 1))
    covariance[:size, :size] = scale**2 * prior.rows(np.arange(size))
    covariance[-1, -1] = SIDE_VARIANCE
    sign = (2.0 * history.outcome_M - 1.0)[:, None]
    sites, *_ = propagate(direction @ covariance @ direction.T, lambda d: log_sigmoid(sign * d))
    precision = np.linalg.inv(covariance) + direction.T @ (sites.precision_S[:, None] * direction)
    after = np.linalg.inv(precision)
    return after @ (direction.T @ sites.pull_S), after


def test_the_belief_against_dense_algebra() -> None:
    feature = np.random.default_rng(3).standard_normal((9, 4))
    strategy = palate()
    prepared = strategy.prepare(feature)
    history = votes(9, 13)  # a checkpoint, so that every site is at its fixed point
    assert palate_checkpoint(13) == 13
    fitted = strategy.fit(prepared, history)
    mean, covariance = dense(history, prepared.prior, fitted.scale)
    assert fitted.mean_E == pytest.approx(mean, abs=1e-4)
    assert fitted.variance_E == pytest.approx(np.diag(covariance), abs=1e-4)
    rows = np.array([2, 5, 8])
    assert fitted.among(rows).covariance_NN == pytest.approx(covariance[np.ix_(rows, rows)], abs=1e-4)
    assert fitted.side == pytest.approx((mean[-1], np.sqrt(covariance[-1, -1])), abs=1e-4)


def test_votes_between_checkpoints_are_close_to_a_whole_fit() -> None:
    feature = np.random.default_rng(4).standard_normal((30, 5))
    strategy = palate()
    prepared = strategy.prepare(feature)
    history = votes(30, 68)
    assert palate_checkpoint(68) == 55
    fitted = strategy.fit(prepared, history)
    mean, covariance = dense(history, prepared.prior, fitted.scale)
    spread = np.sqrt(np.diag(covariance))
    # Thirteen rank-one steps since the last whole fit: a twentieth of a standard deviation.
    assert np.abs(fitted.mean_E - mean).max() < 0.05 * spread.max()
    assert np.sqrt(fitted.variance_E) == pytest.approx(spread, rel=0.03)


def test_the_belief_is_a_function_of_the_history_alone() -> None:
    feature = np.random.default_rng(5).standard_normal((12, 4))
    strategy, history = palate(), votes(12, 64)
    warm = strategy.prepare(feature)
    for count in range(65):
        grown = strategy.fit(warm, history.until(count))
        cold = strategy.fit(strategy.prepare(feature), history.until(count))
        assert grown.mean_E.tolist() == cold.mean_E.tolist()
        assert grown.variance_E.tolist() == cold.variance_E.tolist()


def test_two_futures_of_one_past_do_not_disturb_each_other() -> None:
    feature = np.random.default_rng(6).standard_normal((10, 4))
    strategy, past = palate(), votes(10, 15)
    prepared = strategy.prepare(feature)
    strategy.fit(prepared, past)

    def future(winner: float) -> History:
        return History(
            np.append(past.first_M, 0), np.append(past.second_M, 9), np.append(past.outcome_M, winner)
        )

    left = strategy.fit(prepared, future(1.0))
    before = left.among(np.arange(10)).covariance_NN
    right = strategy.fit(prepared, future(0.0))
    assert left.among(np.arange(10)).covariance_NN.tolist() == before.tolist()
    assert left.mean_E[0] > right.mean_E[0]


@pytest.mark.parametrize(("slope", "low", "high"), [(0.5, 0.0, 1.6), (2.0, 1.0, 3.5), (10.0, 3.0, 16.0)])
def test_it_learns_how_consistent_the_judge_is(slope: float, low: float, high: float) -> None:
    found = []
    for seed in range(5):
        feature, utility = toy_problem(25, 4, seed=seed)
        strategy = palate()
        rng = np.random.default_rng(seed)
        first, second = rng.integers(25, size=240), rng.integers(25, size=240)
        keep = first != second
        first, second = first[keep], second[keep]
        chance = 1.0 / (1.0 + np.exp(slope * (utility[second] - utility[first])))
        history = History(first, second, (rng.random(len(first)) < chance).astype(float))
        found.append(strategy.fit(strategy.prepare(feature), history).scale)
    assert low < float(np.exp(np.mean(np.log(found)))) < high


def test_a_taste_for_one_side_is_found() -> None:
    found = []
    for seed in range(6):
        feature, utility = toy_problem(20, 4, seed=seed)
        rng = np.random.default_rng(seed)
        strategy = palate()
        first = rng.integers(20, size=200)
        second = (first + 1 + rng.integers(19, size=200)) % 20
        chance = 1.0 / (1.0 + np.exp(-2.0 * (utility[first] - utility[second]) - 1.0))
        history = History(first, second, (rng.random(200) < chance).astype(float))
        mean, deviation = strategy.fit(strategy.prepare(feature), history).side
        assert abs(mean - 1.0) < 3.5 * deviation
        found.append(mean)
    # The prior, N(0, 1/4), pulls a truth of 1 down by about a tenth.
    assert np.mean(found) == pytest.approx(0.9, abs=0.25)


def test_an_unreliable_judge_counts_less() -> None:
    feature, utility = toy_problem(20, 4, seed=1)
    rng = np.random.default_rng(1)
    bandit = duel_bandit("palate", feature, seed=0)
    for _ in range(300):
        i, j = rng.choice(20, size=2, replace=False)
        judge, slope = (("careful", 3.0), ("guessing", 0.0))[int(rng.integers(2))]
        chance = 1.0 / (1.0 + np.exp(-slope * (utility[i] - utility[j])))
        bandit.tell(int(i), int(j), "left" if rng.random() < chance else "right", judge=judge)
    first = next(told["judge"] for told in bandit.to_json()["told"])
    careful, guessing = bandit._belief().habits.slope_J[:: 1 if first == "careful" else -1]
    assert careful > 3.0 * guessing


def test_ties_strength_and_both_bad_teach() -> None:
    feature = np.eye(6)
    tied = duel_bandit("palate", feature, seed=0)
    for _ in range(6):
        tied.tell(0, 1, "tie")
        tied.tell(1, 2, "left")
    mean, std = tied.posterior()
    assert abs(mean[0] - mean[1]) < 0.5 < mean[1] - mean[2]
    assert np.isfinite(std).all()
    bad = duel_bandit("palate", feature, seed=0)
    for _ in range(5):
        bad.tell(4, 5, "both_bad")
    assert bad.posterior().mean_N[[4, 5]].max() < bad.posterior().mean_N[:4].min()
    weak, strong = (duel_bandit("palate", feature, seed=0) for _ in range(2))
    for bandit, word in ((weak, "slightly"), (strong, "much")):
        for _ in range(3):
            bandit.tell(0, 1, "left", strength=word)
    gap = [float(b.posterior().mean_N[0] - b.posterior().mean_N[1]) for b in (weak, strong)]
    assert 0.0 < gap[0] < gap[1]


def test_new_candidates_inherit_belief_from_their_neighbours() -> None:
    feature, utility = toy_problem(20, 3, seed=2)
    bandit = duel_bandit("palate", feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0), slope=4.0), 40)
    best = bandit.best()
    near, far = bandit.add(np.stack([feature[best] + 0.01, -feature[best]]))
    mean = bandit.posterior().mean_N
    assert mean[near] > 0.5 * mean[best] > 0.0 > mean[far]
    assert bandit.votes == 40


def test_the_withdrawn_are_neither_asked_nor_reported_and_still_teach() -> None:
    feature, utility = toy_problem(12, 3, seed=3)
    bandit = duel_bandit("palate", feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0), slope=4.0), 25)
    gone = bandit.best()
    bandit.withdraw(gone)
    assert bandit.best() != gone
    assert bandit.p_best()[gone] == 0.0
    assert all(gone not in pair for pair in bandit.ask(30))
    before = bandit.posterior().mean_N
    bandit.tell(gone, bandit.best(), "right")  # a vote that was on its way
    assert bandit.posterior().mean_N[gone] < before[gone]
    other = DuelBandit.from_json(json.loads(json.dumps(bandit.to_json())))
    assert other.live == bandit.live
    assert other.ask() == bandit.ask()


def test_a_batch_is_of_different_pairs_and_knows_what_is_pending() -> None:
    feature, utility = toy_problem(150, 4, seed=4)
    bandit = duel_bandit("palate", feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0)), 12)
    waiting = bandit.ask(6)
    more = bandit.ask(6, pending=waiting)
    assert len({frozenset(pair) for pair in [*waiting, *more]}) == 12


def test_open_pairs_leave_something_to_ask() -> None:
    bandit = duel_bandit("palate", np.eye(3), seed=0)
    pairs = bandit.ask(3)
    assert {frozenset(pair) for pair in pairs} == {frozenset(p) for p in ((0, 1), (0, 2), (1, 2))}
    assert frozenset(bandit.ask(pending=pairs)) in {frozenset(pair) for pair in pairs}


def test_judges_who_toss_coins_are_noticed() -> None:
    coins, people = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        feature, utility = toy_problem(15, 3, seed=seed)
        coin, person = (duel_bandit("palate", feature, seed=0) for _ in range(2))
        for _ in range(55):
            coin.tell(*coin.ask(), "left" if rng.random() < 0.5 else "right")
        play(person, noisy_judge(utility, rng, slope=4.0), 55)
        for bandit, passed in ((coin, coins), (person, people)):
            told = bandit.held_out()
            assert told is not None
            passed.append(told.carries_signal)
            assert passed[-1] != ("tossing a coin" in bandit.should_stop()[1])
    assert sum(coins) <= 3
    assert sum(people) >= 7


def test_checkpoints_grow_by_a_quarter() -> None:
    marks = sorted({palate_checkpoint(n) for n in range(62)})
    assert marks == [*range(11), 13, 17, 22, 28, 35, 44, 55]
    # From 32 votes on, what is learnt counts an eighth more votes later.
    assert [palate_checkpoint(n) for n in (27, 28, 38, 39, 60, 61)] == [22, 28, 28, 35, 44, 55]


@pytest.mark.parametrize(
    "options",
    [{"own": 0.0}, {"linear": -1.0}, {"scales": []}, {"scales": [0.0]}, {"centre": 0.0}, {"length": np.inf}],
)
def test_options_out_of_range(options: dict) -> None:
    with pytest.raises(ConfigError):
        palate(**options)


def test_a_pool_too_large_for_a_table() -> None:
    feature, utility = toy_problem(1200, 4, seed=6)
    bandit = duel_bandit("palate", feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0), slope=4.0), 40)
    assert utility[bandit.best()] > 1.5
    prob = bandit.p_best()
    assert float(prob.sum()) == pytest.approx(1.0)
    assert int((prob > 0).sum()) <= 512
    assert Pool(np.ones(3, dtype=bool)).best(np.array([0.0, 2.0, 2.0])) == 1


def test_votes_by_somebody_who_passes_on_all_but_one_candidate_change_nothing() -> None:
    rng = np.random.default_rng(3)
    utility = np.array([2.0, 1.0, 0.3, 0.0, -1.0, -1.5])
    feature = rng.standard_normal((6, 4))

    def told(passes: bool) -> DuelBandit:
        bandit, draws = duel_bandit("default", feature, 0), np.random.default_rng(4)
        for rater in [f"rater {k}" for k in range(4)] * 12 + ["cheat"] * 250:
            i, j = (int(k) for k in draws.choice(6, 2, replace=False))
            said = "left" if draws.random() < 1 / (1 + np.exp(utility[j] - utility[i])) else "right"
            if rater == "cheat":
                said = {i: "left", j: "right"}.get(3, "skip")
            if said != "skip" or passes:
                bandit.tell(i, j, said, judge=rater)
        return bandit

    seen, unseen = told(passes=True), told(passes=False)
    assert unseen.best() == 3
    assert seen.best() == 0
    again = DuelBandit.from_json(json.loads(json.dumps(seen.to_json())))
    assert np.allclose(again.p_best(), seen.p_best())
