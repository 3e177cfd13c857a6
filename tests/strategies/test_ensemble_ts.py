import numpy as np
import pytest

from palate.errors import ConfigError
from palate.strategies import _adam, duel_bandit, ensemble_ts
from palate.strategies._ensemble_ts import minibatches, train_heads
from palate.strategies._network import forward, initial_weights, layers, loss_gradient
from palate.strategies._protocol import History, Pool
from palate.testing._strategies import toy_problem

N, D, HIDDEN, HEADS = 9, 3, (4, 3), 3


def history(votes, seed=0, size=N):
    rng = np.random.default_rng(seed)
    first = rng.integers(size, size=votes)
    second = (first + rng.integers(1, size, size=votes)) % size
    return History(first, second, rng.choice([0.0, 0.5, 1.0], size=votes))


def score(theta, feature):
    return forward(layers(theta, D, HIDDEN), feature)[-1][:, 0]


def slow_train(start, feature, past, batches, order, decay, epsilon):
    """All heads as one vector under one Adam; the gradient of untouched heads is zero, not missing."""
    theta, m, v = np.tile(start, (HEADS, 1)), np.zeros((HEADS, len(start))), np.zeros((HEADS, len(start)))
    for step, head in enumerate(order.tolist()):
        rows = batches[step % len(batches)]
        pairs = np.concatenate([feature[past.first_M[rows]], feature[past.second_M[rows]]])
        places = np.arange(len(rows))
        gradient = np.zeros_like(theta)
        loss_gradient(
            layers(theta[head], D, HIDDEN),
            layers(gradient[head], D, HIDDEN),
            pairs,
            (places, places + len(rows)),
            past.outcome_M[rows],
        )
        gradient[head] += decay * 2 * (theta[head] - start)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        t = step + 1
        theta = theta - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
    return theta


# Only eps is not carried through the drift exactly: a relative error of eps / |gradient|, of moves of 0.01.
@pytest.mark.parametrize(("epsilon", "error"), [(1e-30, 1e-9), (1e-8, 1e-5)])
def test_training_by_one_optimiser_over_all_heads(monkeypatch, epsilon, error) -> None:
    monkeypatch.setattr(_adam, "_EPSILON", epsilon)
    feature, _ = toy_problem(N, D, seed=0)
    past = history(70)
    start = 0.7 * initial_weights(D, HIDDEN, 5)
    order = np.random.default_rng(2).integers(HEADS, size=60)
    rows = [list(range(32)), list(range(32, 70))]
    theta = train_heads(start, minibatches(feature, past), order, heads=HEADS, hidden=HIDDEN, decay=0.03)
    slow = slow_train(start, feature, past, rows, order, 0.03, epsilon)
    # The last weight, the bias of the score, cancels in every difference: all its gradient is rounding, which
    # Adam blows up.
    assert np.abs(slow - start)[:, :-1].max() > 0.02
    assert theta[:, :-1] == pytest.approx(slow[:, :-1], abs=error)
    assert np.ptp(slow[:, :-1], axis=0).max() > 1e-3


@pytest.mark.parametrize(
    ("votes", "sizes"), [(1, [1]), (31, [31]), (32, [32]), (63, [63]), (64, [32, 32]), (70, [32, 38])]
)
def test_minibatches_in_the_order_of_the_votes(votes, sizes) -> None:
    feature, _ = toy_problem(N, D, seed=0)
    past = history(votes)
    batches = minibatches(feature, past)
    assert [len(batch.outcome_M) for batch in batches] == sizes
    first = np.concatenate([batch.input_UD[batch.sides[0]] for batch in batches])
    second = np.concatenate([batch.input_UD[batch.sides[1]] for batch in batches])
    won = np.concatenate([batch.outcome_M for batch in batches])
    for s in range(votes):
        i, j, y = past.first_M[s], past.second_M[s], past.outcome_M[s]
        if i > j:
            i, j, y = j, i, 1.0 - y
        assert first[s].tolist() == feature[i].tolist()
        assert second[s].tolist() == feature[j].tolist()
        assert won[s] == y


def test_the_penalty_fades_with_the_votes() -> None:
    # The same 32 votes, once and twice: equal minibatches, but half the penalty, so the heads move farther.
    feature, _ = toy_problem(N, D, seed=0)
    once = history(32)
    twice = History(*(np.tile(part, 2) for part in (once.first_M, once.second_M, once.outcome_M)))
    start = initial_weights(D, (8,), 0)
    scores = {}
    for name, past, steps in (("once", once, 4000), ("twice", twice, 2000)):
        strategy = ensemble_ts(heads=1, steps=steps, hidden=(8,), decay=0.5)
        scores[name] = strategy.fit(strategy.prepare(feature), past).score_KN[0]
    before = forward(layers(start, D, (8,)), feature)[-1][:, 0]
    distance = {name: np.abs(value - before).max() for name, value in scores.items()}
    assert distance["twice"] > 1.1 * distance["once"] > 0.0


def test_heads_start_equal_and_part_by_their_minibatches() -> None:
    feature, _ = toy_problem(N, D, seed=0)
    strategy = ensemble_ts(steps=50, hidden=HIDDEN)
    prepared = strategy.prepare(feature)
    none = strategy.fit(prepared, history(0))
    assert np.ptp(none.score_KN, axis=0).tolist() == [0.0] * N
    assert none.score_KN[0] == pytest.approx(score(prepared[1], feature))
    some = strategy.fit(prepared, history(40))
    assert len({tuple(row) for row in some.score_KN.tolist()}) == 10
    mean, covariance = strategy.belief(some)
    centred = some.score_KN - some.score_KN.mean(axis=1, keepdims=True)
    assert mean == pytest.approx(centred.mean(axis=0))
    assert covariance == pytest.approx(np.cov(centred.T, bias=True))


def with_heads(*best):
    """A fitted ensemble whose heads prefer the given candidates."""
    strategy = ensemble_ts(heads=len(best), warm_start=0, hidden=(2,), steps=1)
    fitted = strategy.fit(strategy.prepare(np.eye(5)), history(0, size=5))
    return strategy, fitted._replace(score_KN=np.eye(5)[list(best)])


def test_both_arms_come_from_heads_drawn_anew() -> None:
    strategy, fitted = with_heads(0, 0, 0, 3)
    pool = Pool(np.ones(5, dtype=bool))
    pairs = [strategy.choose(fitted, history(0), pool, np.random.default_rng(s)) for s in range(4000)]
    # First is 3 with probability 1/4. Given 0, six draws miss 3 with probability (3/4)^6 = 0.178, and then
    # one of the four others is drawn; given 3, six draws miss 0 with probability 1/4096.
    share = {pair: pairs.count(pair) / 4000 for pair in {(0, 3), (0, 1), (3, 0)}}
    four_errors = 4 * 0.5 / np.sqrt(4000)
    missed = 0.75**6
    assert share[0, 3] == pytest.approx(0.75 * (1 - missed + missed / 4), abs=four_errors)
    assert share[0, 1] == pytest.approx(0.75 * missed / 4, abs=4 * np.sqrt(0.033 / 4000))
    assert share[3, 0] == pytest.approx(0.25, abs=four_errors)


def test_heads_that_agree_leave_the_second_to_chance() -> None:
    strategy, fitted = with_heads(2, 2)
    pool = Pool(np.array([True, True, True, False, True]), ((2, 4),))
    seconds = set()
    for seed in range(60):
        first, second = strategy.choose(fitted, history(0), pool, np.random.default_rng(seed))
        assert first == 2
        seconds.add(second)
    assert seconds == {0, 1}


def test_the_report_is_a_random_heads_choice_of_those_shown_before_the_latest_vote() -> None:
    feature, _ = toy_problem(N, D, seed=1)
    past = history(12, seed=3)
    strategy = ensemble_ts(steps=40, hidden=HIDDEN)
    prepared = strategy.prepare(feature)
    pool = Pool(np.ones(N, dtype=bool))
    before = strategy.fit(prepared, past.until(11))
    head = int(before.reporting_N[0])
    assert set(before.reporting_N.tolist()) == {head}
    shown = sorted({*past.first_M.tolist(), *past.second_M.tolist()})
    best = max(shown, key=lambda x: before.score_KN[head, x])
    assert strategy.report(past, lambda h: strategy.fit(prepared, h), pool) == best
    drawn = [int(strategy.fit(prepared, past.until(n)).reporting_N[0]) for n in range(12)]
    assert len(set(drawn)) > 3


def test_a_large_pool_is_reported_by_a_head_for_each_block_of_300() -> None:
    strategy = ensemble_ts(steps=1, hidden=(2,))
    fitted = strategy.fit(strategy.prepare(np.ones((700, 1))), history(0))
    blocks = [set(fitted.reporting_N[a:b].tolist()) for a, b in ((0, 300), (300, 600), (600, 700))]
    assert [len(block) for block in blocks] == [1, 1, 1]
    assert len(set.union(*blocks)) > 1


def test_equal_votes_give_equal_bits_and_another_seed_others() -> None:
    feature, _ = toy_problem(N, D, seed=0)
    fits = [
        strategy.fit(strategy.prepare(feature), history(20)).score_KN.tolist()
        for strategy in (ensemble_ts(steps=20, network_seed=seed) for seed in (0, 0, 1))
    ]
    assert fits[0] == fits[1] != fits[2]


def test_it_cannot_say_when_to_stop() -> None:
    assert duel_bandit("ensemble-ts", np.eye(3), seed=0, steps=1).should_stop()[0] is False


@pytest.mark.parametrize(
    "options",
    [{"heads": 0}, {"decay": -0.1}, {"steps": 0}, {"warm_start": -1}, {"hidden": ()}, {"hidden": (0,)}],
)
def test_refuses_wrong_options(options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ensemble_ts(**options)
