import numpy as np
import pytest

from palate.choice import Votes, fair_choices, fit_groups, gini_weights, owa, sigmoid, tempered_weights
from palate.choice._groups import GroupFit
from palate.errors import InputError


def cast(seed: int, taste_GN: np.ndarray, each: int) -> tuple[Votes, np.ndarray]:
    rng = np.random.default_rng(seed)
    groups, size = taste_GN.shape
    group = np.repeat(np.arange(groups), each)
    first = rng.integers(size, size=len(group))
    second = (first + rng.integers(1, size, size=len(group))) % size
    chance = sigmoid(taste_GN[group, first] - taste_GN[group, second])
    return Votes(first, second, (rng.random(len(group)) < chance).astype(float)), group


# Two groups: each loves what the other hates; the third candidate is good for both, the fourth for none.
TASTE = np.array([[3.0, -2.0, 1.0, -2.0], [-3.0, 2.8, 1.0, -2.0]])


def test_groups_that_differ_are_told_apart_and_others_are_not() -> None:
    votes, group = cast(0, TASTE, 150)
    apart = fit_groups(np.eye(4), votes, group, np.random.default_rng(0))
    assert apart.together < 1e-6
    assert apart.mean_GN == pytest.approx(TASTE - TASTE.mean(axis=1, keepdims=True), abs=1.0)
    votes, group = cast(1, np.stack([TASTE[0], TASTE[0]]), 150)
    alike = fit_groups(np.eye(4), votes, group, np.random.default_rng(0))
    assert alike.together > 0.7
    assert alike.mean_GN[0] == pytest.approx(alike.mean_GN[1], abs=0.4)


def test_few_votes_keep_groups_together() -> None:
    votes, group = cast(0, TASTE, 2)
    fit = fit_groups(np.eye(4), votes, group, np.random.default_rng(0))
    assert 0.1 < fit.together < 0.9


def test_one_group_is_the_plain_fit() -> None:
    votes, _ = cast(0, TASTE[:1], 60)
    fit = fit_groups(np.eye(4), votes, np.zeros(60, int), np.random.default_rng(0))
    assert fit.together == pytest.approx(1.0)
    assert int(fit.mean_GN[0].argmax()) == 0


def certain(taste_GN: np.ndarray) -> GroupFit:
    return GroupFit(taste_GN, np.stack([taste_GN] * 8), 0.0, 1.0)


def test_what_a_candidate_wins_by_hand() -> None:
    choice = fair_choices(certain(np.array([[np.log(3), 0.0, 0.0]])), np.array([0.0]))[0]
    assert choice.value_G == pytest.approx([0.75])  # three to one against either of the others
    assert choice.average == pytest.approx((0.75, 0.75, 0.75))


def test_fairness_moves_the_choice_from_the_average_to_the_worst_off() -> None:
    # The first wins 97 % or so in one group and next to nothing in the other; the third pleases both.
    curve = fair_choices(certain(TASTE), np.linspace(0, 1, 6))
    assert curve[-1].best == 2
    worst = [choice.worst[0] for choice in curve]
    average = [choice.average[0] for choice in curve]
    assert worst == sorted(worst)
    assert average == sorted(average, reverse=True)
    value_GN = np.array([[sum(sigmoid(row[i] - row[j]) for j in range(4) if j != i) / 3 for i in range(4)]
                         for row in TASTE])  # fmt: skip
    for choice in curve:  # by brute force over the definition
        fair = [owa(value_GN[:, i], tempered_weights(2, choice.fairness)) for i in range(4)]
        assert choice.best == int(np.argmax(fair))
    assert gini_weights(2) == pytest.approx(tempered_weights(2, 2 / 3))


def test_the_order_and_names_of_groups_change_nothing() -> None:
    one = fair_choices(certain(TASTE), np.array([0.3]))[0]
    two = fair_choices(certain(TASTE[::-1].copy()), np.array([0.3]))[0]
    assert one.best == two.best
    assert one.worst == pytest.approx(two.worst)


def test_bad_arguments() -> None:
    votes, group = cast(0, TASTE, 2)
    with pytest.raises(InputError, match="number of a group"):
        fit_groups(np.eye(4), votes, group[:-1], np.random.default_rng(0))
    with pytest.raises(InputError, match="no candidate"):
        fair_choices(certain(TASTE), np.array([0.5]), allowed_N=np.zeros(4, bool))
    with pytest.raises(InputError, match="fairness"):
        fair_choices(certain(TASTE), np.array([1.5]))
    only = fair_choices(certain(TASTE), np.array([1.0]), allowed_N=np.array([True, False, False, False]))
    assert only[0].best == 0
