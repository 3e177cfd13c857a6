"""Gradients against central differences, and the identities that make policy gradients of squares."""

import pytest
import torch
from policy_kit import by_differences, every_preset, random_completions, with_policy
from torch import Tensor

from palate.errors import ConfigError
from palate.policy.objectives import (
    Completions,
    advantages,
    kto,
    nll,
    odds_ratio,
    orpo,
    policy_gradient,
    preset,
)

DIFFERENCES = 1e-6  # central differences with steps of 1e-6 in 64 bits, relative to gradients near 1
IDENTITY = 1e-10


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", every_preset())
def test_gradients_are_those_of_differences(name: str, size: int) -> None:
    objective = every_preset()[name]
    completions = random_completions(11, groups=3, size=size, masked=size > 2)

    def loss(policy_GK: Tensor) -> Tensor:
        return objective(with_policy(completions, policy_GK)).mean

    (gradient,) = torch.autograd.grad(loss(completions.policy_GK), completions.policy_GK)
    slow = by_differences(loss, completions.policy_GK.detach())
    assert float(slow.abs().max()) > 1e-3
    assert torch.allclose(gradient, slow, rtol=DIFFERENCES, atol=DIFFERENCES * float(slow.abs().max()))


@pytest.mark.parametrize("name", ["kto", "orpo", "odds", "sum", "mean", "tokens"])
def test_gradients_of_the_other_losses(name: str) -> None:
    completions = random_completions(12, groups=4)
    reference = completions.reference_GK
    assert reference is not None
    wanted = torch.tensor([True, False, False, True])

    def loss(policy_GK: Tensor) -> Tensor:
        moved = with_policy(completions, policy_GK)
        if name == "kto":
            return kto(policy_GK[:, 0], reference[:, 0], wanted, 0.2, beta=0.7).mean
        if name == "orpo":
            return orpo(moved, weight=0.4).mean
        if name == "odds":
            return odds_ratio(moved).mean
        return nll(moved, average=name).mean  # pyright: ignore[reportArgumentType]

    (gradient,) = torch.autograd.grad(loss(completions.policy_GK), completions.policy_GK)
    slow = by_differences(loss, completions.policy_GK.detach())
    assert float(slow.abs().max()) > 1e-3
    assert torch.allclose(gradient, slow, rtol=1e-5, atol=DIFFERENCES)


def shaped(completions: Completions, beta: float, eta: float) -> Tensor:
    assert completions.reference_GK is not None
    assert completions.reward_GK is not None
    return (eta * completions.reward_GK - beta * (completions.policy_GK - completions.reference_GK)).detach()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [2, 3, 6])
@pytest.mark.parametrize(("name", "baseline"), [("rloo", "leave_one_out"), ("reinforce", "group_mean")])
def test_the_squares_are_policy_gradients(name: str, baseline: str, size: int, masked: bool) -> None:
    """With the divergence in the reward, at any policy: gradient of -mean_i A_i log pi(y_i)."""
    completions = random_completions(13, size=size, masked=masked and size > 2)
    policy = completions.policy_GK
    (square,) = torch.autograd.grad(preset(name, beta=0.3, eta=1.5)(completions).total, policy)
    advantage = advantages(shaped(completions, 0.3, 1.5), completions.mask_GK, baseline)  # pyright: ignore
    (surrogate,) = torch.autograd.grad(policy_gradient(completions, advantage).total, policy)
    assert float(square.abs().max()) > 1e-2
    assert torch.allclose(square, surrogate, atol=IDENTITY)


def test_at_the_reference_policy_first_divergence_is_reinforce_over_beta() -> None:
    """At s = 0 the gradient of KL(softmax s || softmax b) in s is -(R_i - mean R) / K."""
    completions = random_completions(14, size=5)
    assert completions.reward_GK is not None
    start = torch.zeros(5, 5, dtype=torch.float64, requires_grad=True)
    at_start = Completions(start, start.detach(), completions.length_GK, completions.reward_GK)
    objective = preset("reward_aware", distance="policy_target", beta=1.0)
    (gradient,) = torch.autograd.grad(objective(at_start).total, start)
    centred = completions.reward_GK - completions.reward_GK.mean(dim=1, keepdim=True)
    assert torch.allclose(gradient, -centred / 5, atol=IDENTITY)


def test_advantages_by_a_loop() -> None:
    reward = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[0, 2] = mask[1, 1:] = False
    for g in range(4):
        kept = [k for k in range(5) if mask[g, k]]
        one_out = advantages(reward, mask)[g]
        standard = advantages(reward, mask, "standardised")[g]
        values = reward[g, kept]
        for k in range(5):
            others = [float(reward[g, j]) for j in kept if j != k]
            alone = k not in kept or not others
            expected = 0.0 if alone else float(reward[g, k]) - sum(others) / len(others)
            assert one_out[k].item() == pytest.approx(expected, abs=IDENTITY)
            scaled = 0.0 if alone else float((reward[g, k] - values.mean()) / (values.std() + 1e-4))
            assert standard[k].item() == pytest.approx(scaled, abs=IDENTITY)


def test_a_mean_over_a_batch_is_another_baseline() -> None:
    """Two prompts of different difficulty: one baseline for both rewards the easy one for being easy."""
    reward = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert advantages(reward, torch.ones(2, 2, dtype=torch.bool)).abs().sum() == 0


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(ConfigError, match="baseline must be"):
        advantages(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), "value")  # pyright: ignore
