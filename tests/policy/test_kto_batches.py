"""KTO's batch: whose answer stands beside whom, the reference point that comes of it, and the weights."""

import math

import pytest
import torch

from palate.errors import ConfigError, InputError
from palate.policy.objectives import Completions, Kto, kto_weights
from palate.policy.trainer import Group, beside_others


def group(prompt: int, *tokens: int, wanted: float = 1.0) -> Group:
    return Group((prompt,), (tokens,), {"reward": (wanted,), "weight": (0.5,)})


def test_the_next_answer_to_another_prompt_stands_beside() -> None:
    batch = [group(3, 10), group(3, 11), group(4, 12, wanted=0.0), group(5, 10)]
    arranged = beside_others(batch, 8)
    others = [one.completions[1] for one in arranged]
    assert others == [(12,), (12,), (10,), (11,)]  # the last goes round past its own answer
    assert [one.completions[0] for one in arranged] == [(10,), (11,), (12,), (10,)]
    assert arranged[2].columns == {"reward": (0.0, 0.0), "weight": (0.5, 0.5)}
    assert all(one.reference is None for one in arranged)


def test_an_answer_that_does_not_fit_is_passed_over() -> None:
    batch = [group(3, 10), group(4, 11, 12, 13), group(5, 14)]
    assert [one.completions[1] for one in beside_others(batch, 3)] == [(14,), (14,), (10,)]
    alone = beside_others([group(3, 10), group(3, 11)], 8)
    assert [len(one.completions) for one in alone] == [1, 1]


def test_the_loss_by_hand() -> None:
    # D = 1, -2; of the others 0.6 and 0.2, so z = 0.4; beta = 0.5
    policy = torch.tensor([[-3.0, -4.4], [-6.0, -1.8]], requires_grad=True)
    reference = torch.tensor([[-4.0, -5.0], [-4.0, -2.0]])
    reward = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    completions = Completions(policy, reference, reward_GK=reward)
    loss = Kto(0.5, 2.0, 3.0)(completions)
    wanted = 2 * (1 - 1 / (1 + math.exp(-0.5 * (1 - 0.4))))
    unwanted = 3 * (1 - 1 / (1 + math.exp(-0.5 * (0.4 + 2))))
    assert loss.each_G.tolist() == pytest.approx([wanted, unwanted])
    loss.total.backward()
    assert policy.grad is not None
    assert policy.grad[:, 1].tolist() == [0, 0]  # z is a number to the gradient
    # d/dD of 2 (1 - sigmoid(u)), u = 0.3, is -2 * 0.5 sigmoid(u) sigmoid(-u); unwanted, the sign turns
    first, second = (1 / (1 + math.exp(-u)) for u in (0.3, 1.2))
    expected = [-first * (1 - first), 1.5 * second * (1 - second)]
    assert policy.grad[:, 0].tolist() == pytest.approx(expected)
    numbers = {name: float(total / count) for name, (total, count) in Kto(0.5).numbers(completions).items()}
    assert numbers == pytest.approx({"reward_wanted": 0.5, "reward_unwanted": -1.0, "reference_point": 0.4})


def test_masked_answers_stand_in_no_mean() -> None:
    policy = torch.tensor([[-3.0, -4.4], [-6.0, math.nan], [math.nan, -2.0]])
    reference = torch.tensor([[-4.0, -5.0], [-4.0, -2.0], [-1.0, -2.1]])
    valid = torch.tensor([[True, True], [True, False], [False, True]])
    completions = Completions(policy, reference, reward_GK=torch.ones(3, 2), valid_GK=valid)
    assert float(Kto().reference_point(completions)) == pytest.approx((0.6 + 0.1) / 2)
    assert Kto()(completions).counted_G.tolist() == [True, True, False]
    alone = Completions(policy[:1, :1], reference[:1, :1], reward_GK=torch.ones(1, 1))
    assert float(Kto().reference_point(alone)) == 0
    below = Completions(reference[:1], policy[:1], reward_GK=torch.ones(1, 2))
    assert float(Kto().reference_point(below)) == 0  # a negative estimate is none


@pytest.mark.parametrize("wanted", [1, 3, 10, 40, 41, 1000])
@pytest.mark.parametrize("unwanted", [1, 30, 31, 500])
def test_weights_keep_the_rule(wanted: int, unwanted: int) -> None:
    w_wanted, w_unwanted = kto_weights(wanted, unwanted)
    assert 1 - 1e-12 <= w_wanted * wanted / (w_unwanted * unwanted) <= 4 / 3 + 1e-12
    assert min(w_wanted, w_unwanted) == 1
    if 1 <= wanted / unwanted <= 4 / 3:
        assert max(w_wanted, w_unwanted) == 1


def test_one_sided_and_bad_numbers() -> None:
    assert kto_weights(5, 0) == kto_weights(0, 5) == (1, 1)
    with pytest.raises(InputError, match="one or more answers"):
        kto_weights(0, 0)
    with pytest.raises(ConfigError, match="unwanted_weight must be above 0"):
        Kto(unwanted_weight=math.inf)
