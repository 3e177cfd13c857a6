"""Known responses: the prior that they give, what votes on them teach, and on which input to ask."""

import json

import numpy as np
import pytest

from palate.choice import log_sigmoid, observe_pair, propagate
from palate.errors import InputError
from palate.strategies import DuelBandit, History, duel_bandit, palate
from palate.strategies._answers import AnsweredPrior, Answers, answered_prior
from palate.strategies._habits import SIDE_VARIANCE
from palate.strategies._prior import Mixture, Prior, make_prior
from palate.types import Array


def some_answers(size: int, inputs: int, seed: int = 0, kinds: int = 5) -> tuple[Prior, Answers]:
    rng = np.random.default_rng(seed)
    prior = make_prior(rng.standard_normal((size, 3)), Mixture())
    kind = rng.standard_normal((kinds, 4))
    row, place = (part.ravel() for part in np.indices((size, inputs)))
    return prior, Answers(row, place, kind[rng.integers(kinds, size=size * inputs)])


def joined(prior: Prior, answers: Answers) -> AnsweredPrior:
    found = answered_prior(prior, answers)
    assert isinstance(found, AnsweredPrior)
    return found


def test_the_prior_against_its_formula() -> None:
    prior, answers = some_answers(4, 3)
    answers = answers.first(10)  # the last candidate has one response only
    e, size, count = answers.feature_RF, 4, 10
    square = np.array([[((a - b) ** 2).sum() for b in e] for a in e])
    width = np.median(square[square > 1e-9]) * 0.7**2
    like = np.where(square < 1e-9, 1.0, 0.8 * np.exp(-square / (2 * width)))
    like *= np.where(answers.input_R[:, None] == answers.input_R[None], 1.0, 0.4)
    centre = np.eye(count) - 1.0 / count
    like = centre @ like @ centre
    mine = [np.flatnonzero(answers.row_R == c) for c in range(size)]
    spread = [np.sqrt(like[np.ix_(m, m)].mean()) for m in mine]
    weight = [0.5 * len(m) / (len(m) + 1) for m in mine]
    # Everything as a sum over (candidate, its responses with their shares).
    parts = [(c, mine[c]) for c in range(size)] + [
        (int(answers.row_R[r]), np.array([r])) for r in range(count)
    ]
    wanted = np.empty((size + count, size + count))
    for i, (c, own) in enumerate(parts):
        for j, (d, other) in enumerate(parts):
            g = prior.rows(np.array([c]))[0, d] * np.sqrt((1 - weight[c]) * (1 - weight[d]))
            h = like[np.ix_(own, other)].mean() / spread[c] / spread[d] * np.sqrt(weight[c] * weight[d])
            wanted[i, j] = g + h
    wanted /= max(np.diag(wanted)[size:].mean(), 1.0)
    found = joined(prior, answers)
    assert found.table_EE == pytest.approx(wanted, abs=1e-10)
    assert np.linalg.eigvalsh(found.table_EE).min() > -1e-10


def test_an_oddity_is_no_more_promising_than_others() -> None:
    # Candidate 0 says the same to everything, which nobody else says; the others vary.
    prior, answers = some_answers(12, 6, seed=1)
    feature = answers.feature_RF.copy()
    feature[answers.row_R == 0] = 9.0
    found = joined(prior, Answers(answers.row_R, answers.input_R, feature))
    weight = 0.5 * 6 / 7
    wanted = (1 - weight) * prior.variance_N + weight  # the same share from responses for all
    assert found.variance_N[:12] / wanted == pytest.approx(found.variance_N[0] / wanted[0], rel=1e-9)


def test_too_little_known_changes_nothing() -> None:
    prior, answers = some_answers(4, 3)
    assert answered_prior(prior, answers.first(9)) is prior  # one candidate of four has answered nothing
    assert answered_prior(prior, answers.first(10)) is not prior
    large = make_prior(np.random.default_rng(0).standard_normal((1100, 3)), Mixture())
    assert answered_prior(large, answers) is large


def test_equal_responses_of_all_are_neutral() -> None:
    prior, answers = some_answers(4, 3, kinds=1)
    found = joined(prior, answers)
    assert found.table_EE[:4, :4] == pytest.approx(np.asarray(prior.table_NN) / max(
        np.diag(np.asarray(prior.table_NN))[answers.row_R].mean(), 1.0), abs=1e-12)  # fmt: skip


def test_the_belief_and_the_value_of_inputs_against_dense_algebra() -> None:
    rng = np.random.default_rng(2)
    feature = rng.standard_normal((6, 3))
    _, answers = some_answers(6, 4, seed=3)
    strategy = palate()
    prepared = strategy.prepare_answers(feature, answers)
    first, step, place = rng.integers(6, size=9), rng.integers(1, 6, size=9), rng.integers(4, size=9)
    second = (first + step) % 6
    won = (rng.random(9) < 0.5).astype(float)
    known = np.array([True] * 6 + [False] * 3)  # the last three votes are on responses that nobody told
    answer = [np.where(known, row * 4 + place, -1) for row in (first, second)]
    history = History(first, second, won, first_answer_M=answer[0], second_answer_M=answer[1])
    fitted = strategy.fit(prepared, history)
    ends = [np.where(known, 6 + a, row) for a, row in zip(answer, (first, second), strict=True)]
    size = len(fitted.prior)
    assert size == 30
    direction = np.zeros((9, size + 1))
    direction[np.arange(9), ends[0]] += 1.0
    direction[np.arange(9), ends[1]] -= 1.0
    direction[:, -1] = 1.0
    covariance = np.zeros((size + 1, size + 1))
    covariance[:size, :size] = fitted.scale**2 * fitted.prior.rows(np.arange(size))
    covariance[-1, -1] = SIDE_VARIANCE
    sign = (2.0 * won - 1.0)[:, None]
    sites, *_ = propagate(direction @ covariance @ direction.T, lambda d: log_sigmoid(sign * d))
    gain = (
        covariance
        @ direction.T
        @ np.linalg.inv(direction @ covariance @ direction.T + np.diag(1.0 / sites.precision_S))
    )
    mean, after = gain @ (sites.pull_S / sites.precision_S), covariance - gain @ direction @ covariance
    assert fitted.mean_E == pytest.approx(mean, abs=1e-4)
    assert len(fitted.mean_N) == len(fitted.variance_N) == 6
    assert fitted.variance_E == pytest.approx(np.diag(after), abs=1e-4)

    told = strategy.told_by(fitted, 1, 4, np.array([[4, 5, -1, 7], [16, 17, 18, -1]]))
    assert np.isnan(told[2:]).all()
    for x in (0, 1):
        later = observe_pair(mean[:size], after[:size, :size], 6 + 4 + x, 6 + 16 + x)
        fall = [c[1, 1] + c[4, 4] - 2 * c[1, 4] for c in (after, later)]
        assert told[x] == pytest.approx(fall[0] - fall[1], rel=1e-3, abs=1e-6)


def test_a_vote_teaches_about_those_that_answer_alike() -> None:
    bandit = duel_bandit("default", np.eye(4), seed=0)  # the prompts themselves say nothing
    for name in ("x", "y"):
        for row in range(4):
            bandit.responded(row, name, [1.0, 0.0] if row % 2 else [0.0, 1.0])
    for _ in range(4):
        bandit.tell(0, 1, "left", input_id="x")
    mean = bandit.posterior().mean_N
    assert mean[2] - mean[3] > 0.4 * (mean[0] - mean[1]) > 0.2


def test_responses_that_come_with_votes_teach_too() -> None:
    feature = np.random.default_rng(0).standard_normal((5, 3))
    before, with_votes = duel_bandit("default", feature, seed=0), duel_bandit("default", feature, seed=0)
    said = {0: [1.0, 0.0], 1: [0.0, 1.0], 2: [1.0, 0.1], 3: [0.1, 1.0], 4: [0.5, 0.5]}
    duels = [(0, 1, "left"), (2, 3, "left"), (1, 4, "right"), (3, 0, "right"), (4, 2, "right")]
    for row in (0, 1, 2, 3, 4):
        before.responded(row, "x", said[row])
    for i, j, verdict in duels:
        before.tell(i, j, verdict, input_id="x")
        with_votes.tell(i, j, verdict, input_id="x", response_features=[said[i], said[j]])
    assert with_votes.posterior().mean_N == pytest.approx(before.posterior().mean_N, abs=1e-6)


def test_without_an_input_or_with_another_strategy_responses_are_only_recorded() -> None:
    feature = np.random.default_rng(0).standard_normal((5, 3))
    for name, place in (("default", None), ("gp-eubo", "x")):
        plain, told = duel_bandit(name, feature, seed=0), duel_bandit(name, feature, seed=0)
        for i, j in ((0, 1), (2, 3), (1, 4)):
            plain.tell(i, j, "left", input_id=place)
            told.tell(i, j, "left", input_id=place, response_features=[[1.0, i], [0.0, j]])
        assert told.posterior().mean_N.tolist() == plain.posterior().mean_N.tolist()


def test_the_input_where_responses_differ() -> None:
    bandit = duel_bandit("default", np.random.default_rng(1).standard_normal((6, 3)), seed=0)
    for row in range(6):
        bandit.responded(row, "same", [1.0, 1.0])
        bandit.responded(row, "other", [float(row), 0.0])
        bandit.responded(row, "another", [0.0, float(row)])
    met: set[tuple[int, int, str]] = set()
    for _ in range(8):
        i, j, name = bandit.ask_where(["same", "other", "another"])
        assert name != "same"
        if {(i, j, "other"), (i, j, "another")} - met:
            assert (i, j, name) not in met
        met |= {(i, j, name), (j, i, name)}
        bandit.tell(i, j, "left", input_id=name)
    assert bandit.where(0, 1, ["same", "other"], pending=[(1, 0, "other")]) in ("same", "other")


def test_unknown_inputs_are_taken_in_turn() -> None:
    bandit = duel_bandit("default", np.eye(6), seed=0)
    names = ["a", "b", "c"]
    asked: list[tuple[frozenset[int], str]] = []
    for _ in range(6):
        i, j, name = bandit.ask_where(names)
        # Never again on the same input, as long as there is another; of those left, the least used.
        new = [other for other in names if (frozenset((i, j)), other) not in asked]
        used = [other for _, other in asked]
        assert used.count(name) == min(used.count(other) for other in new)
        assert name in new
        asked.append((frozenset((i, j)), name))
        bandit.tell(i, j, "left", input_id=name)
    assert {name for _, name in asked[:3]} == set(names)
    fresh = duel_bandit("default", np.eye(6), seed=0)
    assert fresh.where(0, 1, names, pending=[(2, 3, "a"), (2, 4, "b")]) == "c"
    assert fresh.where(0, 1, names, pending=[(2, 3, "a"), (2, 4, "b"), (3, 4, "b"), (1, 0, "c")]) == "a"


def test_a_saved_study_with_responses_continues_bit_for_bit() -> None:
    feature = np.random.default_rng(0).standard_normal((6, 3))
    rng = np.random.default_rng(5)
    bandit = duel_bandit("default", feature, seed=3)

    def go_on(one: DuelBandit, draw: np.random.Generator, votes: int) -> list[tuple[int, int, str]]:
        found = []
        for _ in range(votes):
            i, j, name = one.ask_where(["x", "y"])
            rows: Array = draw.standard_normal((2, 3))
            verdict = "left" if draw.random() < 0.5 else "right"
            one.tell(i, j, verdict, input_id=name, response_features=rows)
            one.responded(int(draw.integers(6)), "y", draw.standard_normal(3))
            found.append((i, j, name))
        return found

    go_on(bandit, rng, 13)
    other = DuelBandit.from_json(json.loads(json.dumps(bandit.to_json(), allow_nan=False)))
    assert other.to_json() == bandit.to_json()
    runs = [go_on(one, np.random.default_rng(8), 5) for one in (bandit, other)]
    assert runs[0] == runs[1]
    assert bandit.posterior().mean_N.tolist() == other.posterior().mean_N.tolist()


def test_knowing_responses_pays_where_they_decide() -> None:
    # What a response is worth depends on its kind alone, and prompts are told apart by nothing else.
    gains = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        kind = rng.standard_normal((6, 3))
        worth = rng.standard_normal(6)
        says = np.array([rng.choice(6, size=4, p=rng.dirichlet(np.full(6, 0.3))) for _ in range(40)])
        utility = worth[says].mean(axis=1)
        found = []
        for aware in (True, False):
            draw = np.random.default_rng([seed, 1])
            bandit = duel_bandit("default", np.eye(40), seed)
            for row, x in np.ndindex(says.shape) if aware else ():
                bandit.responded(row, str(x), kind[says[row, x]])
            for _ in range(15):
                i, j, name = bandit.ask_where(["0", "1", "2", "3"])
                gap = 3.0 * (worth[says[i, int(name)]] - worth[says[j, int(name)]])
                verdict = "left" if draw.random() < 1.0 / (1.0 + np.exp(-gap)) else "right"
                bandit.tell(i, j, verdict, input_id=name)
            found.append((utility[bandit.best()] - utility.mean()) / (utility.max() - utility.mean()))
        gains.append(found[0] - found[1])
    assert np.mean(gains) > 0.2


@pytest.mark.parametrize("feature", [[np.nan], [], [[1.0]], [1.0, 2.0, 3.0]])
def test_wrong_features(feature: list[float]) -> None:
    bandit = duel_bandit("default", np.eye(3), seed=0)
    bandit.responded(0, "x", [1.0, 2.0])
    with pytest.raises(InputError, match="features must be"):
        bandit.responded(1, "x", feature)
    with pytest.raises(InputError, match="at least one"):
        bandit.ask_where([])
    with pytest.raises(InputError, match="not a candidate"):
        bandit.responded(7, "x", [1.0, 2.0])
