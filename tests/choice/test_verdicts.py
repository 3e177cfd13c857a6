from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.choice import VerdictModel, Votes, gather_votes, log_sigmoid, sigmoid
from palate.errors import ConfigError, InputError
from palate.strategies import History

SLOPE = 1e-7  # central differences of step 1e-5: truncation 1e-10, rounding 1e-16 / 1e-5
CURVATURE = 1e-7  # the same, of the slope
STEP = 1e-5

MODELS = [
    VerdictModel(),
    VerdictModel(side=0.4),
    VerdictModel(tie=0.7),
    VerdictModel(tie=0.0),
    VerdictModel(tie=1.8, tie_kind="rao-kupper"),
    VerdictModel(tie=0.7, cuts=(0.5, 1.5)),
    VerdictModel(tie=1.8, tie_kind="rao-kupper", cuts=(1.5, -0.5), side=-0.3),
    VerdictModel(tie=0.7, cuts=(0.5, 1.5), bad=-1.0),
    VerdictModel(bad=0.5),
]


def said(*each: tuple[float, bool, int]) -> Votes:
    size = len(each)
    outcome, bad, strength = zip(*each, strict=True)
    return Votes(
        np.zeros(size, dtype=int),
        np.ones(size, dtype=int),
        np.array(outcome),
        np.array(bad),
        np.array(strength),
    )


def everything(model: VerdictModel) -> Votes:
    """One vote of every kind that the model gives a chance of its own."""
    strengths = [0] if model.cuts is None else [1, 2, 3]
    kinds = [(won, False, k) for won, k in product((1.0, 0.0), strengths)]
    if model.tie:
        kinds.append((0.5, False, 0))
    if model.bad is not None:
        kinds.append((0.5, True, 0))
    return said(*kinds)


def spread(votes: Votes, d: float) -> np.ndarray:
    return np.full(len(votes), d)


@pytest.mark.parametrize("lapse", [0.0, 0.1])
@pytest.mark.parametrize("model", MODELS)
def test_likelihoods_at_many_differences_are_those_of_the_terms(model: VerdictModel, lapse: float) -> None:
    model = VerdictModel(model.side, model.tie, model.tie_kind, model.cuts, model.bad, lapse)
    votes, d_Q = everything(model), np.array([-800.0, -30.0, -0.3, 0.0, 2.0, 30.0, 800.0])
    found_MQ = model.log_likelihood(np.tile(d_Q, (len(votes), 1)), votes)
    for d, found_M in zip(d_Q, found_MQ.T, strict=True):
        assert found_M == pytest.approx(model.terms(spread(votes, d), votes).log_likelihood_M, rel=1e-12)


def test_likelihoods_refuse_ties_that_are_ruled_out() -> None:
    with pytest.raises(InputError, match="rules out"):
        VerdictModel(tie=0.0).log_likelihood(np.zeros((1, 2)), said((0.5, False, 0)))


@pytest.mark.parametrize("model", [m for m in MODELS if m.tie is not None or m.bad is None])
@pytest.mark.parametrize("lapse", [0.0, 0.1])
@pytest.mark.parametrize("d", [-30.0, -2.0, 0.0, 0.3, 5.0])
def test_chances_sum_to_one(model: VerdictModel, lapse: float, d: float) -> None:
    model = VerdictModel(model.side, model.tie, model.tie_kind, model.cuts, model.bad, lapse)
    votes = everything(model)
    level = 0.7
    log_chance = model.terms(spread(votes, d), votes)[0] + model.level_terms(spread(votes, level), votes)[0]
    assert np.exp(log_chance).sum() == pytest.approx(1.0, abs=1e-12)


def test_davidson_by_hand() -> None:
    # d = 2 ln 2: left : right : tie = 2 : 1/2 : 1.5, so 1/2, 1/8, 3/8
    model = VerdictModel(tie=1.5)
    votes = said((1.0, False, 0), (0.0, False, 0), (0.5, False, 0))
    value, slope, curvature = model.terms(spread(votes, 2 * np.log(2)), votes)
    assert np.exp(value) == pytest.approx([1 / 2, 1 / 8, 3 / 8])
    # slope = score - mean score with scores 1/2, -1/2, 0: mean = 3/16; variance = 5/32 - 9/256 = 31/256
    assert slope == pytest.approx([5 / 16, -11 / 16, -3 / 16])
    assert curvature == pytest.approx([31 / 256] * 3)


def test_rao_kupper_by_hand() -> None:
    # theta = 2, e^d = 3: left 3/(3+2) = 3/5, right 1/(1+6) = 1/7, tie 1 - 3/5 - 1/7 = 9/35
    votes = said((1.0, False, 0), (0.0, False, 0), (0.5, False, 0))
    model = VerdictModel(tie=2.0, tie_kind="rao-kupper")
    value, slope, _ = model.terms(spread(votes, np.log(3)), votes)
    assert np.exp(value) == pytest.approx([3 / 5, 1 / 7, 9 / 35])
    # slopes: of ln sigmoid(d - c): 2/5; of ln sigmoid(-d - c): -6/7; of the tie: 1/7 - 3/5
    assert slope == pytest.approx([2 / 5, -6 / 7, 1 / 7 - 3 / 5])


def test_strength_by_hand() -> None:
    # d = 0 and cuts (0, ln 3): at least clearly 1/2, much given that 1/4; each side wins half of the time
    model = VerdictModel(cuts=(0.0, np.log(3)))
    votes = said((1.0, False, 1), (1.0, False, 2), (1.0, False, 3), (0.0, False, 2))
    assert np.exp(model.terms(spread(votes, 0.0), votes)[0]) == pytest.approx([1 / 4, 3 / 16, 1 / 16, 3 / 16])


def test_both_bad_by_hand() -> None:
    # the mean lies ln(3)/2 above the threshold: both bad has odds 1 : 3
    model = VerdictModel(bad=1.0, tie=1.0)
    votes = said((0.5, True, 0), (0.5, False, 0))
    value, slope, curvature = model.level_terms(spread(votes, 1.0 + np.log(3) / 2), votes)
    assert np.exp(value) == pytest.approx([1 / 4, 3 / 4])
    assert slope == pytest.approx([-2 * 3 / 4, 2 / 4])
    assert curvature == pytest.approx([4 * 3 / 16] * 2)
    # and says nothing of the difference
    assert [part[0] for part in model.terms(spread(votes, 3.0), votes)] == [0.0, 0.0, 0.0]


def test_without_a_threshold_both_bad_is_a_tie() -> None:
    for model in (VerdictModel(), VerdictModel(tie=0.4), VerdictModel(tie=1.4, tie_kind="rao-kupper")):
        one, two = said((0.5, True, 0)), said((0.5, False, 0))
        for d in (-3.0, 0.2):
            for here, there in zip(
                model.terms(spread(one, d), one), model.terms(spread(two, d), two), strict=True
            ):
                assert here.tolist() == there.tolist()
        assert [part.tolist() for part in model.level_terms(np.ones(1), one)] == [[0.0]] * 3


def test_half_a_win_is_the_cross_entropy() -> None:
    votes = said((1.0, False, 0), (0.0, False, 0), (0.5, False, 0))
    for d in (-4.0, 0.0, 1.3):
        value, slope, curvature = VerdictModel().terms(spread(votes, d), votes)
        x = np.array(d)
        half = 0.5 * (log_sigmoid(x) + log_sigmoid(-x))
        assert value == pytest.approx([float(log_sigmoid(x)), float(log_sigmoid(-x)), float(half)], abs=1e-13)
        assert slope == pytest.approx(votes.outcome_M - sigmoid(x), abs=1e-13)
        assert curvature == pytest.approx([float(sigmoid(x) * sigmoid(-x))] * 3, abs=1e-13)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("lapse", [0.0, 0.2])
@pytest.mark.parametrize("d", [-6.0, -1.0, 0.0, 0.4, 8.0])
def test_derivatives_against_finite_differences(model: VerdictModel, lapse: float, d: float) -> None:
    model = VerdictModel(model.side, model.tie, model.tie_kind, model.cuts, model.bad, lapse)
    votes = everything(model)
    low, here, high = (model.joint(spread(votes, d + step), votes) for step in (-STEP, 0.0, STEP))
    slope = (high.log_likelihood_M - low.log_likelihood_M) / (2 * STEP)
    assert here.gradient_MQ[:, 0] == pytest.approx(slope, abs=SLOPE)
    curvature = (low.gradient_MQ - high.gradient_MQ) / (2 * STEP)
    assert here.curvature_MQQ[:, 0] == pytest.approx(curvature, abs=CURVATURE)
    one, two, three = (model.level_terms(spread(votes, d + step), votes) for step in (-STEP, 0.0, STEP))
    level_slope = (three.log_likelihood_M - one.log_likelihood_M) / (2 * STEP)
    assert two.slope_M == pytest.approx(level_slope, abs=SLOPE)
    assert two.curvature_M == pytest.approx((one.slope_M - three.slope_M) / (2 * STEP), abs=CURVATURE)


def moved(model: VerdictModel, place: int, step: float) -> VerdictModel:
    """The model a step along ln nu or ln theta, or along a cut point."""
    tie, cuts = model.tie, model.cuts
    if place == 1:
        assert tie is not None
        tie = float(np.exp(np.log(tie) + step))
    else:
        assert cuts is not None
        cuts = (cuts[0] + step * (place == 2), cuts[1] + step * (place == 3))
    return VerdictModel(model.side, tie, model.tie_kind, cuts, model.bad, model.lapse)


@pytest.mark.parametrize("lapse", [0.0, 0.2])
@pytest.mark.parametrize("model", [m for m in MODELS if m.tie and m.cuts])
def test_derivatives_in_the_parameters(model: VerdictModel, lapse: float) -> None:
    model = VerdictModel(model.side, model.tie, model.tie_kind, model.cuts, model.bad, lapse)
    votes = everything(model)
    for d, place in product((-2.0, 0.1, 3.0), (1, 2, 3)):
        low, here, high = (
            moved(model, place, step).joint(spread(votes, d), votes) for step in (-STEP, 0.0, STEP)
        )
        slope = (high.log_likelihood_M - low.log_likelihood_M) / (2 * STEP)
        assert here.gradient_MQ[:, place] == pytest.approx(slope, abs=SLOPE)
        curvature = (low.gradient_MQ - high.gradient_MQ) / (2 * STEP)
        assert here.curvature_MQQ[:, place] == pytest.approx(curvature, abs=CURVATURE)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([m for m in MODELS if m.tie != 0.0]),
    st.floats(-40, 40),
    st.floats(-3, 3),
)
def test_jointly_log_concave(model: VerdictModel, d: float, shift: float) -> None:
    model = VerdictModel(model.side + shift, model.tie, model.tie_kind, model.cuts, model.bad)
    votes = everything(model)
    curvature = model.joint(spread(votes, d), votes).curvature_MQQ
    assert np.linalg.eigvalsh(curvature).min() >= -1e-12


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([m for m in MODELS if m.side == 0.0]), st.floats(-40, 40), st.sampled_from([0.0, 0.1]))
def test_exchanging_the_sides(model: VerdictModel, d: float, lapse: float) -> None:
    here = VerdictModel(0.3, model.tie, model.tie_kind, model.cuts, model.bad, lapse)
    there = VerdictModel(-0.3, model.tie, model.tie_kind, model.cuts, model.bad, lapse)
    votes = everything(model)
    swapped = Votes(votes.second_M, votes.first_M, 1 - votes.outcome_M, votes.bad_M, votes.strength_M)
    one, two = here.terms(spread(votes, d), votes), there.terms(spread(votes, -d), swapped)
    assert one.log_likelihood_M == pytest.approx(two.log_likelihood_M, abs=1e-12)
    assert one.slope_M == pytest.approx(-two.slope_M, abs=1e-12)
    assert one.curvature_M == pytest.approx(two.curvature_M, abs=1e-12)


@pytest.mark.parametrize(
    "model",
    [VerdictModel(tie=0.0), VerdictModel(tie=1e-12), VerdictModel(tie=1.0, tie_kind="rao-kupper")],
)
def test_without_room_for_ties_both_are_bradley_terry(model: VerdictModel) -> None:
    votes = said((1.0, False, 0), (0.0, False, 0))
    for d in (-20.0, -1.0, 0.0, 2.5):
        plain = VerdictModel().terms(spread(votes, d), votes)
        for one, two in zip(model.terms(spread(votes, d), votes), plain, strict=True):
            assert one == pytest.approx(two, rel=1e-6)  # nu e^(d/2) at d = 20 is 2e-8


@pytest.mark.parametrize("lapse", [0.0, 0.3])
@pytest.mark.parametrize("model", MODELS)
def test_probabilities_are_those_of_the_terms(model: VerdictModel, lapse: float) -> None:
    model = VerdictModel(model.side, model.tie, model.tie_kind, None, None, lapse)
    votes = said((1.0, False, 0), (0.0, False, 0))
    tied = said((0.5, False, 0))
    for d in (-9.0, 0.0, 1.1):
        chance = model.probabilities(np.array([d]))[0]
        assert chance.sum() == pytest.approx(1.0, abs=1e-14)
        assert np.exp(model.terms(spread(votes, d), votes)[0]) == pytest.approx(chance[:2], abs=1e-14)
        if model.tie:
            assert np.exp(model.terms(np.array([d]), tied)[0]) == pytest.approx(chance[2:], abs=1e-14)
        else:
            assert chance[2] == 0.0


@pytest.mark.parametrize("d", [-800.0, 800.0])
@pytest.mark.parametrize("lapse", [0.0, 0.05])
@pytest.mark.parametrize("model", MODELS)
def test_far_away_everything_is_finite(model: VerdictModel, lapse: float, d: float) -> None:
    model = VerdictModel(model.side, model.tie, model.tie_kind, model.cuts, model.bad, lapse)
    votes = everything(model)
    for part in (*model.joint(spread(votes, d), votes), *model.level_terms(spread(votes, d), votes)):
        assert np.isfinite(part).all()


def test_a_lapse_bounds_the_surprise() -> None:
    # However bad it was: half of the lapses name it.
    votes = said((1.0, False, 0))
    value, slope, curvature = VerdictModel(lapse=0.1).terms(np.array([-50.0]), votes)
    assert np.exp(value) == pytest.approx([0.05])
    assert 0 <= slope[0] < 1e-18
    assert curvature.tolist() == [0.0]
    joint = VerdictModel(lapse=0.1).joint(np.array([-4.0]), votes)
    assert joint.curvature_MQQ[0, 0, 0] < 0.0  # not concave there, which terms() does not hand on


def test_strength_is_not_heard_without_cuts() -> None:
    one, two = said((1.0, False, 3), (0.0, False, 1)), said((1.0, False, 0), (0.0, False, 0))
    model = VerdictModel(tie=0.5, lapse=0.1)
    for here, there in zip(
        model.terms(spread(one, 0.7), one), model.terms(spread(two, 0.7), two), strict=True
    ):
        assert here.tolist() == there.tolist()


def test_a_vote_without_strength_is_the_sum_over_strengths() -> None:
    model = VerdictModel(tie=0.5, cuts=(0.4, 1.1), side=0.2, lapse=0.1)
    each, none = said(*((0.0, False, k) for k in (1, 2, 3))), said((0.0, False, 0))
    for d in (-2.0, 0.5):
        total = np.exp(model.terms(spread(each, d), each)[0]).sum()
        assert total == pytest.approx(float(np.exp(model.terms(np.array([d]), none)[0][0])), abs=1e-14)


@pytest.mark.parametrize(
    "bad",
    [
        {"tie": -0.1},
        {"tie": 0.5, "tie_kind": "rao-kupper"},
        {"tie": np.nan},
        {"tie_kind": "thurstone"},
        {"lapse": 1.0},
        {"lapse": -0.1},
        {"side": np.inf},
        {"bad": np.nan},
        {"cuts": (0.0, np.inf)},
        {"cuts": (0.0,)},
    ],
)
def test_bad_models(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        VerdictModel(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [VerdictModel(tie=0.0), VerdictModel(tie=1.0, tie_kind="rao-kupper")])
def test_ties_that_the_model_rules_out(model: VerdictModel) -> None:
    votes = said((0.5, False, 0))
    with pytest.raises(InputError, match="rules out"):
        model.terms(np.zeros(1), votes)


@pytest.mark.parametrize(
    "column",
    [
        {"outcome_M": np.array([0.3])},
        {"outcome_M": np.array([np.nan])},
        {"second_M": np.array([0])},
        {"first_M": np.array([-1])},
        {"bad_M": np.array([True])},
        {"strength_M": np.array([4])},
        {"strength_M": np.array([1]), "outcome_M": np.array([0.5])},
        {"judge_M": np.array([-1])},
        {"time_M": np.array([np.inf])},
        {"weight_M": np.array([-1.0])},
        {"weight_M": np.ones(2)},
        {"first_M": np.zeros(0, dtype=int)},
    ],
)
def test_bad_votes(column: dict[str, np.ndarray]) -> None:
    good = {"first_M": np.array([0]), "second_M": np.array([1]), "outcome_M": np.array([1.0])}
    Votes(**good)
    with pytest.raises(InputError):
        Votes(**{**good, **column})


def test_no_votes() -> None:
    none = gather_votes([], [], [])
    assert len(none) == 0
    for model in MODELS:
        assert [len(part) for part in model.terms(np.zeros(0), none)] == [0, 0, 0]


def test_skips_and_failures_are_left_out() -> None:
    votes = gather_votes(
        [0, 1, 2, 3, 4],
        [1, 2, 3, 4, 5],
        ["right", "skip", "tie", "failed", "left"],
        strength=[2, 0, 0, 0, 1],
        judge=[0, 1, 2, 3, 4],
    )
    assert votes.first_M.tolist() == [0, 2, 4]
    assert votes.second_M.tolist() == [1, 3, 5]
    assert votes.outcome_M.tolist() == [0.0, 0.5, 1.0]
    assert votes.strength_M.tolist() == [2, 0, 1]
    assert votes.judge_M.tolist() == [0, 2, 4]
    assert votes.time_M.tolist() == [0.0, 2.0, 4.0]


def test_gathering_refuses_what_it_cannot_read() -> None:
    with pytest.raises(InputError, match="say one of"):
        gather_votes([0], [1], ["maybe"])
    with pytest.raises(InputError, match="one entry"):
        gather_votes([0, 1], [1], ["left"])


def test_a_strategys_history_will_do() -> None:
    votes = said((1.0, False, 3), (0.5, True, 0), (0.0, False, 0))
    history = History(votes.first_M, votes.second_M, votes.outcome_M, votes.bad_M, votes.strength_M)
    model = VerdictModel(side=0.1, tie=0.5, cuts=(0.3, 1.0), bad=-0.5, lapse=0.05)
    for d in (-1.0, 2.0):
        for name in ("terms", "level_terms"):
            one, two = (getattr(model, name)(spread(votes, d), told) for told in (votes, history))
            assert [part.tolist() for part in one] == [part.tolist() for part in two]
