"""Estimates of divergence, margins, and the numbers that tell a policy that has gone wrong."""

import math

import pytest
import torch

from palate.errors import ConfigError, InputError
from palate.policy import (
    distinct_n,
    effective_samples,
    estimate_kl,
    exact_kl,
    length_correlation,
    reward_margin,
)


def test_estimators_by_hand() -> None:
    policy, reference = torch.tensor([-1.0, -2.0]), torch.tensor([-2.0, -1.5])  # log r = -1, 0.5
    assert estimate_kl(policy, reference).mean == pytest.approx(0.25)
    assert estimate_kl(policy, reference).error == pytest.approx(1.5 / math.sqrt(2) / math.sqrt(2))
    assert estimate_kl(policy, reference, "k2").mean == pytest.approx((0.5 + 0.125) / 2)
    k3 = (math.exp(-1) - 1 + 1 + math.exp(0.5) - 1 - 0.5) / 2
    assert estimate_kl(policy, reference, "k3").mean == pytest.approx(k3)
    assert math.isnan(estimate_kl(policy[:1], reference[:1]).error)


@pytest.mark.parametrize(("kind", "bias"), [("k1", 0.0), ("k3", 0.0), ("k2", 0.02)])
def test_estimators_on_samples(kind: str, bias: float) -> None:
    draw = torch.Generator().manual_seed(0)
    p = torch.log_softmax(torch.randn(8, generator=draw, dtype=torch.float64), dim=0)
    q = torch.log_softmax(p + 0.4 * torch.randn(8, generator=draw, dtype=torch.float64), dim=0)
    drawn = torch.multinomial(p.exp(), 40_000, replacement=True, generator=draw)
    estimate = estimate_kl(p[drawn], q[drawn], kind)  # pyright: ignore[reportArgumentType]
    assert abs(estimate.mean - float(exact_kl(p, q))) < 4 * estimate.error + bias
    if kind == "k3":
        assert estimate.error < 0.5 * estimate_kl(p[drawn], q[drawn]).error  # near policies: far steadier


def test_the_third_estimator_is_never_negative() -> None:
    policy = torch.tensor([-3.0])
    for shift in (-2.0, -0.1, 0.0, 0.1, 2.0):
        assert estimate_kl(policy, policy + shift, "k3").mean >= 0
    assert estimate_kl(policy, policy + 0.1, "k1").mean < 0


def test_exact_divergence() -> None:
    p = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64).log()
    q = torch.tensor([[0.25, 0.5, 0.25]], dtype=torch.float64).log()
    assert exact_kl(p, q).item() == pytest.approx(0.5 * math.log(2))
    assert exact_kl(q, p).item() == math.inf
    assert exact_kl(p, p).item() == 0.0


def test_margins() -> None:
    score = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 1.0], [9.0, 0.0]])
    mask = torch.tensor([[True, True], [True, True], [True, True], [True, False]])
    found = reward_margin(score, mask)
    assert found == pytest.approx((-2 / 3, 0.5, 1.0, 5 / 3, 3))
    assert reward_margin(score).pairs == 4
    assert math.isnan(reward_margin(score, torch.zeros_like(mask)).margin)
    with pytest.raises(InputError, match="must be pairs"):
        reward_margin(score.T)


def test_effective_samples() -> None:
    target = torch.tensor([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0]])
    assert effective_samples(target).tolist() == pytest.approx([4.0, 1.0])
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    assert effective_samples(target, mask).tolist() == pytest.approx([2.0, 1.0])
    # masses 1/4 and 3/4: 1 / (1/16 + 9/16)
    assert effective_samples(torch.tensor([[0.0, math.log(3)]])).item() == pytest.approx(1.6)


def test_length_and_reward() -> None:
    length = torch.tensor([1, 2, 3, 4])
    assert length_correlation(torch.tensor([2.0, 4.0, 6.0, 8.0]), length) == pytest.approx(1.0)
    assert length_correlation(torch.tensor([1.0, -1.0, -1.0, 1.0]), length) == pytest.approx(0.0)
    # deviations -1, 0, 0, 1 and -1.5 ... 1.5: 3 / sqrt(2 x 5)
    assert length_correlation(torch.tensor([0.0, 1.0, 1.0, 2.0]), length) == pytest.approx(3 / math.sqrt(10))
    assert math.isnan(length_correlation(torch.ones(4), length))
    with pytest.raises(InputError, match="two or more"):
        length_correlation(torch.ones(1), length[:1])


def test_distinct_sequences() -> None:
    assert distinct_n(["a b c", "a b d"], 2) == 0.75
    assert distinct_n(["one two"] * 4, 1) == 0.25
    assert math.isnan(distinct_n(["short"], 2))
    with pytest.raises(ConfigError, match="n must be"):
        distinct_n(["a"], 0)


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ConfigError, match="kind must be"):
        estimate_kl(torch.zeros(2), torch.zeros(2), "k4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="one or more"):
        estimate_kl(torch.zeros(0), torch.zeros(0))
