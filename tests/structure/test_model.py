"""Learning from scores and votes, against slow references and the other way of computing the same."""

import numpy as np
import pytest

from palate.choice import count_duels, fit_utilities, square_root, win_rate
from palate.errors import InputError
from palate.structure import Form, Scale, ScoreLog, VoteLog, fit_model, order_sums

LEVELS = (3, 2, 0)
FORM = Form(LEVELS, frozenset({(0, 2)}))
SCALE = Scale(0.8, 0.5, 0.3, 0.1)


def rows(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(3, size=count), rng.integers(2, size=count), rng.random(count)], axis=1)


def votes(seed: int, size: int, count: int) -> VoteLog:
    rng = np.random.default_rng(seed)
    first = rng.integers(size, size=count)
    second = (first + rng.integers(1, size, size=count)) % size
    return VoteLog(rows(seed, size), count_duels(first, second, rng.choice([0.0, 0.5, 1.0], size=count)))


def prior(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    one, two = order_sums(FORM, x, y, SCALE.length)
    return SCALE.variance * (one + SCALE.decay * two)


def test_scores_against_the_textbook() -> None:
    x, y, new = rows(0, 9), np.random.default_rng(1).standard_normal(9), rows(2, 4)
    model = fit_model(ScoreLog(x, y), FORM, start=SCALE, climb=False)
    inverse = np.linalg.inv(prior(x, x) + 0.1 * np.eye(9))
    mean = y.mean() + prior(new, x) @ inverse @ (y - y.mean())
    covariance = y.var() * (prior(new, new) - prior(new, x) @ inverse @ prior(x, new))
    z = (y - y.mean()) / y.std()
    evidence = -0.5 * z @ inverse @ z + 0.5 * np.linalg.slogdet(inverse / (2 * np.pi))[1]
    assert model.mean(new) == pytest.approx(mean)
    assert model.covariance(new) == pytest.approx(covariance)
    assert model.evidence == pytest.approx(evidence)


@pytest.mark.parametrize(("size", "count"), [(12, 8), (5, 40)])  # fewer pairs than rows, and more
def test_votes_against_the_belief_about_the_candidates(size: int, count: int) -> None:
    log = votes(3, size, count)
    model = fit_model(log, FORM, start=SCALE, climb=False)
    belief, evidence = fit_utilities(square_root(prior(log.x_NV, log.x_NV)), log.counts)
    assert model.mean(log.x_NV) == pytest.approx(belief.mean_N, abs=1e-6)
    assert model.covariance(log.x_NV) == pytest.approx(belief.covariance_NN, abs=1e-6)
    assert model.evidence == pytest.approx(evidence, abs=1e-6)


def test_a_new_row_is_learnt_as_if_it_had_been_there() -> None:
    log, new = votes(3, 8, 30), rows(9, 3)
    model = fit_model(log, FORM, start=SCALE, climb=False)
    everybody = np.concatenate([log.x_NV, new])
    belief, _ = fit_utilities(square_root(prior(everybody, everybody)), log.counts)
    assert model.mean(new) == pytest.approx(belief.mean_N[8:], abs=1e-6)
    assert model.covariance(new) == pytest.approx(belief.covariance_NN[8:, 8:], abs=1e-6)


def test_comparisons_are_of_the_difference() -> None:
    log = votes(3, 8, 30)
    model = fit_model(log, FORM, start=SCALE, climb=False)
    pair = log.x_NV[:2]
    mean, c = model.mean(pair), model.covariance(pair)
    assert model.compare(*pair) == pytest.approx(win_rate(mean[0] - mean[1], c[0, 0] + c[1, 1] - 2 * c[0, 1]))
    there, back = model.compare(*pair), model.compare(*pair[::-1])
    assert there.mean + back.mean == pytest.approx(1)
    assert model.compare(pair[0], pair[0]).mean == pytest.approx(0.5)


def test_scores_compare_by_the_probability_of_being_better() -> None:
    x, y = rows(0, 9), np.random.default_rng(1).standard_normal(9)
    model = fit_model(ScoreLog(x, y), FORM, start=SCALE, climb=False)
    mean, variance = model.gap(x[0], x[1])
    draws = mean + np.sqrt(variance) * np.random.default_rng(0).standard_normal(200_000)
    assert model.compare(x[0], x[1]).mean == pytest.approx((draws > 0).mean(), abs=0.005)
    assert model.compare(x[0], x[0]) == (0.5, 0.5, 0.5)


def test_climbing_finds_more_evidence_and_the_right_size_of_noise() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.random(60), rng.integers(3, size=60)], axis=1)
    y = np.sin(6 * x[:, 0]) + (x[:, 1] == 1) + 0.02 * rng.standard_normal(60)
    log, form = ScoreLog(x, y), Form((0, 3), frozenset())
    still, climbed = fit_model(log, form, climb=False), fit_model(log, form)
    assert climbed.evidence > still.evidence
    assert climbed.scale.noise == 0.001  # 0.02² is 0.0006 of the variance; the grid starts at 0.001
    noisy = fit_model(ScoreLog(x, y + 0.5 * rng.standard_normal(60)), form)
    assert noisy.scale.noise in (0.1, 0.3)  # 0.25 of a variance of about 1 before it was added


def test_gradient_and_tables_are_in_units_of_the_scores() -> None:
    x, y = rows(0, 9), 50 + 10 * np.random.default_rng(1).standard_normal(9)
    model = fit_model(ScoreLog(x, y), FORM, start=SCALE, climb=False)
    value, slope = model.gradient(x[0])
    step = np.array([0.0, 0.0, 1e-5])
    assert value == pytest.approx(model.mean(x[:1])[0])
    up, down = model.mean(np.stack([x[0] + step, x[0] - step]))
    assert slope[2] == pytest.approx((up - down) / 2e-5, rel=1e-4)
    factors = model.factors([np.arange(3.0), np.arange(2.0), x[:1, 2]])
    assert factors is not None
    place = [int(x[0, 0]), int(x[0, 1]), 0]
    told = sum(f.table[tuple(place[v] for v in f.scope)] for f in factors)
    assert told + y.mean() == pytest.approx(value)


def test_too_large_a_clique_has_no_table() -> None:
    x = np.random.default_rng(0).random((4, 6))
    every = frozenset((i, j) for i in range(6) for j in range(i + 1, 6))
    model = fit_model(ScoreLog(x, x[:, 0]), Form((0,) * 6, every), climb=False)
    assert model.factors([np.linspace(0, 1, 11)] * 6) is None
    assert model.factors([np.linspace(0, 1, 3)] * 6) is not None


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (ScoreLog(np.zeros((2, 2)), np.array([0.0, 1.0])), r"do not fit 3 variables"),
        (ScoreLog(np.zeros((0, 3)), np.zeros(0)), "N ≥ 1"),
        (ScoreLog(np.array([[3.0, 0, 0], [0, 0, 0]]), np.array([0.0, 1.0])), "out of range"),
        (ScoreLog(np.array([[0.0, 0, 1.5], [0, 0, 0]]), np.array([0.0, 1.0])), "out of range"),
        (ScoreLog(np.zeros((2, 3)), np.array([np.nan, 1.0])), "finite"),
        (ScoreLog(np.zeros((2, 3)), np.ones(2)), "all scores are equal"),
        (VoteLog(np.zeros((2, 3)), count_duels(*(np.zeros(0, int),) * 2, np.zeros(0))), "no votes"),
    ],
)
def test_bad_logs_are_refused(log: ScoreLog | VoteLog, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_model(log, FORM)
