"""APOHF against a slow, literal reference: explicit P x P matrices, per-sample gradients by loops."""

from itertools import pairwise

import numpy as np
import pytest

from palate.strategies import apohf, duel_bandit
from palate.strategies._apohf import bonus_diagonal, bonus_full, tangent_kernel
from palate.strategies._network import initial_weights, layers, loss_gradient, tangent, train
from palate.strategies._protocol import History

D, HIDDEN, N = 4, (5, 3), 9
ROUNDING = 1e-7  # the inverse of V amplifies float64 rounding by its condition number, about 1e5 here
CENTRAL = 1e-5  # error of central differences with step 1e-6


def unpack(theta, dimension=D, hidden=HIDDEN):
    """Weights of each layer as nested lists, read off in order, one number at a time."""
    numbers, out = iter(theta.tolist()), []
    for into, size in pairwise((dimension, *hidden, 1)):
        weight = [[next(numbers) for _ in range(into)] for _ in range(size)]
        out.append((weight, [next(numbers) for _ in range(size)]))
    assert next(numbers, None) is None
    return out


def score_and_gradient(theta, x):
    """One candidate's score and its gradient for every weight, by the chain rule in loops."""
    network, states, signs = unpack(theta), [x.tolist()], []
    for depth, (weight, bias) in enumerate(network):
        value = [
            sum(w * s for w, s in zip(row, states[-1], strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]
        last = depth == len(network) - 1
        signs.append([1.0 if last or v > 0 else 0.0 for v in value])
        states.append(value if last else [max(v, 0.0) for v in value])
    sensitivity, pieces = [1.0], []
    for depth in range(len(network) - 1, -1, -1):
        pieces.insert(0, [s * a for s in sensitivity for a in states[depth]] + sensitivity)
        weight = network[depth][0]
        if depth:
            sensitivity = [
                sum(s * weight[k][c] for k, s in enumerate(sensitivity)) * signs[depth - 1][c]
                for c in range(len(weight[0]))
            ]
    return states[-1][0], np.array([number for piece in pieces for number in piece])


def reference_train(start, feature, history, steps, decay):
    """Adam with coupled weight decay, vote by vote, as in its paper's algorithm 1."""
    theta, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t in range(1, steps + 1):
        gradient = decay * theta
        for i, j, y in zip(history.first_M, history.second_M, history.outcome_M, strict=True):
            (hi, gi), (hj, gj) = score_and_gradient(theta, feature[i]), score_and_gradient(theta, feature[j])
            gradient = gradient + (1 / (1 + np.exp(hj - hi)) - y) * (gi - gj) / len(history)
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        theta = theta - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return theta


def reference_pair(theta, feature, pairs, decay, nu, diagonal):
    """Both arms with V written out."""
    rows = [score_and_gradient(theta, x) for x in feature]
    score, gradient = np.array([h for h, _ in rows]), [g for _, g in rows]
    big = decay * np.eye(len(theta))
    for i, j in pairs:
        big += np.outer(gradient[i] - gradient[j], gradient[i] - gradient[j])
    first = int(score.argmax())
    value = np.empty(len(feature))
    for x in range(len(feature)):
        psi = gradient[x] - gradient[first]
        if diagonal:
            value[x] = score[x] + np.sqrt(sum(nu * p * p / b for p, b in zip(psi, np.diag(big), strict=True)))
        else:
            value[x] = score[x] + nu * np.sqrt(psi @ np.linalg.inv(big) @ psi)
    ranked = np.argsort(-value)
    second = int(ranked[1] if ranked[0] == first else ranked[0])
    return first, second, score, value - score


def problem(seed, votes=8):
    rng = np.random.default_rng(seed)
    feature = rng.standard_normal((N, D))
    feature /= np.linalg.norm(feature, axis=1, keepdims=True)
    first = rng.integers(N, size=votes)
    second = (first + rng.integers(1, N, size=votes)) % N
    return feature, History(first, second, rng.choice([0.0, 0.5, 1.0], size=votes)), rng


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("form", ["apohf", "apohf-released"])
def test_same_arms_and_same_report(seed, form):
    feature, history, _ = problem(seed)
    diagonal, decay, nu, steps = form == "apohf-released", 0.1, 1.5, 12
    bandit = duel_bandit(form, feature, seed=0, hidden=HIDDEN, steps=steps, nu=nu, decay=decay, warm_start=5)
    for (i, j), y in zip(history.pairs, history.outcome_M, strict=True):
        bandit.tell(i, j, {1.0: "left", 0.5: "tie", 0.0: "right"}[float(y)])
    start = initial_weights(D, HIDDEN, 0)
    theta = reference_train(start, feature, history, steps, decay / (len(history) + 50))
    first, second, score, _ = reference_pair(theta, feature, history.pairs, decay, nu, diagonal)
    assert bandit.ask() == (first, second)
    if diagonal:
        before = history.until(len(history) - 1)
        old = reference_train(start, feature, before, steps, decay / (len(before) + 50))
        shown = sorted({row for pair in history.pairs for row in pair})
        assert bandit.best() == max(shown, key=lambda row: score_and_gradient(old, feature[row])[0])
    else:
        assert bandit.best() == int(score.argmax())


@pytest.mark.parametrize("seed", range(8))
def test_bonus_without_the_matrix(seed):
    feature, history, _ = problem(seed)
    theta = initial_weights(D, HIDDEN, seed)
    gradients = tangent(layers(theta, D, HIDDEN), feature)
    for diagonal, bonus in ((False, bonus_full), (True, bonus_diagonal)):
        first, _, score, literal = reference_pair(theta, feature, history.pairs, 0.1, 1.0, diagonal)
        assert gradients.score_N == pytest.approx(score, abs=ROUNDING)
        assert bonus(gradients, history.pairs, first, 0.1) == pytest.approx(
            literal, abs=ROUNDING, rel=ROUNDING
        )


def test_bonus_before_any_vote_is_the_plain_norm():
    feature, _, _ = problem(0)
    theta = initial_weights(D, HIDDEN, 0)
    gradients = tangent(layers(theta, D, HIDDEN), feature)
    explicit = np.array([score_and_gradient(theta, x)[1] for x in feature])
    norm = np.linalg.norm(explicit - explicit[3], axis=1) / np.sqrt(0.1)
    assert bonus_full(gradients, [], 3, 0.1) == pytest.approx(norm, abs=1e-5)
    assert bonus_diagonal(gradients, [], 3, 0.1) == pytest.approx(norm, abs=1e-5)
    assert tangent_kernel(gradients) == pytest.approx(explicit @ explicit.T, rel=1e-12)


def test_gradient_of_a_score_against_finite_differences():
    feature, _, _ = problem(1)
    theta = initial_weights(D, HIDDEN, 1)
    for x in feature[:3]:
        numeric = np.empty_like(theta)
        for p in range(len(theta)):
            step = np.zeros_like(theta)
            step[p] = 1e-6
            up, down = (score_and_gradient(t, x)[0] for t in (theta + step, theta - step))
            numeric[p] = (up - down) / 2e-6
        assert score_and_gradient(theta, x)[1] == pytest.approx(numeric, abs=CENTRAL)


def test_gradient_of_the_loss_against_finite_differences():
    feature, history, _ = problem(2)
    theta = initial_weights(D, HIDDEN, 2) * 0.3
    ours = np.empty_like(theta)
    sides = (history.first_M, history.second_M)
    loss_gradient(layers(theta, D, HIDDEN), layers(ours, D, HIDDEN), feature, sides, history.outcome_M)

    def loss(t):
        score = np.array([score_and_gradient(t, x)[0] for x in feature])
        gap = score[history.first_M] - score[history.second_M]
        return float(np.mean(np.log1p(np.exp(gap)) - history.outcome_M * gap))

    for p in range(len(theta)):
        step = np.zeros_like(theta)
        step[p] = 1e-6
        assert ours[p] == pytest.approx((loss(theta + step) - loss(theta - step)) / 2e-6, abs=CENTRAL)


def test_adam_against_the_loop():
    feature, history, _ = problem(3)
    start = initial_weights(D, HIDDEN, 3)
    ours = train(start, feature, history, hidden=HIDDEN, steps=40, decay=0.01)
    assert ours == pytest.approx(reference_train(start, feature, history, 40, 0.01), abs=1e-10)


def test_refits_start_over_and_leave_the_start_alone():
    feature, history, _ = problem(4)
    start = initial_weights(D, HIDDEN, 0)
    kept = start.copy()
    once = train(start, feature, history, hidden=HIDDEN, steps=20, decay=0.01)
    assert train(start, feature, history, hidden=HIDDEN, steps=20, decay=0.01).tolist() == once.tolist()
    assert start.tolist() == kept.tolist()
    assert (
        train(start, feature, history.until(0), hidden=HIDDEN, steps=20, decay=0.01).tolist() == kept.tolist()
    )


def test_published_constants():
    # the released scripts: lambda 0.1, nu 1, 1000 steps, 5 random pairs, 32-32, weights of a fixed seed
    options = apohf()
    assert (options.decay, options.nu, options.steps, options.warm_start) == (0.1, 1.0, 1000, 5)
    assert options.hidden == (32, 32)
    assert len(initial_weights(768, options.hidden, 0)) == 25_697  # the paper's P at 768 dimensions


def test_warm_start_asks_random_distinct_pairs():
    feature, _, _ = problem(5)
    bandit = duel_bandit("apohf", feature, seed=1, hidden=HIDDEN, steps=1)
    asked = []
    for _ in range(5):
        pair = bandit.ask()
        asked.append(frozenset(pair))
        bandit.tell(*pair, "tie")
    assert len(set(asked)) == 5
    others = [
        frozenset(duel_bandit("apohf", feature, seed=s, hidden=HIDDEN, steps=1).ask()) for s in range(30)
    ]
    assert len(set(others)) > 10


def test_open_pairs_count_in_the_information_matrix():
    feature, history, _ = problem(6)
    bandit = duel_bandit("apohf", feature, seed=0, hidden=HIDDEN, steps=5)
    for i, j in history.pairs:
        bandit.tell(i, j, "left")
    theta = train(
        initial_weights(D, HIDDEN, 0),
        feature,
        bandit.history,
        hidden=HIDDEN,
        steps=5,
        decay=0.1 / (len(history) + 50),
    )
    pairs = bandit.ask(3)
    assert len({frozenset(pair) for pair in pairs}) == 3
    first, _, score, bonus = reference_pair(theta, feature, [*history.pairs, pairs[0]], 0.1, 1.0, False)
    value = score + bonus
    value[[first, pairs[0][1]]] = -np.inf
    assert pairs[1] == (first, int(value.argmax()))


def test_when_every_rival_of_the_winner_waits_the_next_best_is_asked():
    feature, _, _ = problem(7)
    bandit = duel_bandit("apohf", feature[:3], seed=0, hidden=HIDDEN, steps=5, warm_start=0)
    ranked = np.argsort(-bandit.posterior().mean_N).tolist()
    waiting = [(ranked[0], ranked[1]), (ranked[2], ranked[0])]
    assert bandit.ask(pending=waiting) == (ranked[1], ranked[2])
    everything = [*waiting, (ranked[1], ranked[2])]
    assert bandit.ask(pending=everything)[0] == ranked[0]
