"""Tabular policies: each member of the family ends where its equation says; where members part company."""

import math
from collections.abc import Callable

import pytest
import torch
from policy_kit import minimise
from torch import Tensor

from palate.policy import exact_kl
from palate.policy.objectives import (
    Completions,
    ImplicitReward,
    Loss,
    RewardAware,
    Target,
    cdpo,
    dpo,
    exo_pref,
    exo_rw,
    hinge,
    ipo_mean,
    ipo_sum,
    reward_aware,
    reward_distillation,
    reward_softmax,
    rloo,
    simpo,
)

SEARCH = 1e-5  # of L-BFGS on flat minima
ANSWERS = 6
BETA = 0.4


def task(seed: int, answers: int = ANSWERS) -> tuple[Tensor, Tensor]:
    """Logits of a reference policy, and rewards."""
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn(answers, generator=draw, dtype=torch.float64),
        torch.randn(answers, generator=draw, dtype=torch.float64),
    )


def logp(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1)


@pytest.mark.parametrize(
    ("objective", "sharpness"),
    [
        (reward_aware("squared", BETA), 1 / BETA),
        (reward_aware("target_policy", BETA), 1 / BETA),
        (reward_aware("policy_target", BETA), 1 / BETA),
        (reward_aware("policy_target", BETA, eta=2.0), 2 / BETA),
        (reward_distillation(BETA), 1 / BETA),
        (rloo(BETA), 1 / BETA),
        (RewardAware("", ImplicitReward(BETA), Target("reward"), "centred"), 1 / BETA),
        (exo_rw(BETA, reward_beta=0.5), 1 / (0.5 * BETA)),  # both temperatures act
        (reward_softmax(BETA, reward_beta=0.5), 1 / (0.5 * BETA)),
    ],
    ids=lambda value: value.name if isinstance(value, RewardAware) else "",
)
def test_rewards_end_at_the_tilted_reference(objective: RewardAware, sharpness: float) -> None:
    """pi = pi_ref exp(r eta / beta) / Z, from a start that is not the reference."""
    base, reward = task(1)
    start = torch.zeros(ANSWERS, dtype=torch.float64)

    def loss(logits: Tensor) -> Loss:
        return objective(Completions(logp(logits)[None], logp(base)[None], reward_GK=reward[None]))

    found = minimise(loss, start)
    assert torch.allclose(logp(found), logp(base + sharpness * reward), atol=SEARCH)


def test_dpo_on_bradley_terry_labels_ends_at_the_same_policy() -> None:
    base, reward = task(2)
    first, second = (
        grid.flatten() for grid in torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")
    )
    share = torch.sigmoid(reward[first] - reward[second])

    def loss(logits: Tensor) -> Tensor:
        policy = torch.stack([logp(logits)[first], logp(logits)[second]], dim=1)
        reference = torch.stack([logp(base)[first], logp(base)[second]], dim=1)
        return (share * dpo(BETA)(Completions(policy, reference)).each_G).mean()

    found = minimise(loss, torch.zeros(ANSWERS, dtype=torch.float64))
    assert torch.allclose(logp(found), logp(base + reward / BETA), atol=SEARCH)


def final_gap(objective: RewardAware, length: tuple[int, int] = (1, 1)) -> float:
    """log pi(chosen) - log pi(rejected) after training on one pair, whose reference gap is 0.7."""
    base = torch.tensor([0.7, 0.0], dtype=torch.float64)

    def loss(logits: Tensor) -> Loss:
        return objective(Completions(logp(logits)[None], logp(base)[None], torch.tensor([length])))

    found = minimise(loss, torch.zeros(2, dtype=torch.float64))
    return float(found[0] - found[1])


@pytest.mark.parametrize(
    ("objective", "gap"),
    [
        (cdpo(BETA, 0.1), 0.7 + math.log(9) / BETA),
        (exo_pref(BETA, 0.1), 0.7 + math.log(9) / BETA),
        (ipo_sum(BETA), 0.7 + 1 / (2 * BETA)),
        # beta gap - margin = ln 4, whatever the reference says
        (simpo(BETA, 0.3, smoothing=0.2), (math.log(4) + 0.3) / BETA),
        # the reference's gap counts 1 + alpha times, and the margin is in log-probability, times beta
        (
            RewardAware(
                "", ImplicitReward(BETA, reference=1.5), Target("best", smoothing=0.1, margin=BETA * 0.2)
            ),
            1.5 * 0.7 + 0.2 + math.log(9) / BETA,
        ),
    ],
    ids=["cdpo", "exo_pref", "ipo_sum", "simpo", "agreement_aware"],
)
def test_pairs_end_at_the_wanted_gap(objective: RewardAware, gap: float) -> None:
    assert final_gap(objective) == pytest.approx(gap, abs=SEARCH)


def test_means_over_tokens_want_a_gap_a_token() -> None:
    assert final_gap(ipo_mean(BETA), (5, 5)) == pytest.approx(0.7 + 5 / (2 * BETA), abs=SEARCH)


def test_certain_labels_have_no_end_but_the_hinge_has() -> None:
    base = torch.zeros(2, dtype=torch.float64)
    gaps = torch.linspace(0, 60, 7, dtype=torch.float64)
    policy = torch.stack([torch.stack([gap, base[0]]).log_softmax(0) for gap in gaps])
    groups = Completions(policy, logp(base).expand(7, 2))
    assert bool((dpo(BETA)(groups).each_G.diff() < 0).all())
    assert hinge(BETA)(groups).each_G.tolist() == pytest.approx([1.0] + [0.0] * 6, abs=1e-12)


# Policies that cannot reach the optimum: 60 answers, three features, a reward that is not linear in them.
# Groups of answers come from the reference, 2,400 answers in all however they are divided.
OUTCOMES, FEATURES, BUDGET, PRIOR_WEIGHT = 60, 3, 2400, 0.5


class Misspecified:
    def __init__(self, seed: int) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.features = torch.randn(OUTCOMES, FEATURES, generator=self.draw, dtype=torch.float64)
        bend = torch.randn(OUTCOMES, generator=self.draw, dtype=torch.float64)
        self.reward = self.features @ torch.tensor([0.6, -0.4, 0.3], dtype=torch.float64) + 1.5 * bend
        self.base = logp(0.5 * torch.randn(OUTCOMES, generator=self.draw, dtype=torch.float64))

    def policy(self, theta: Tensor) -> Tensor:
        return logp(self.base + self.features @ theta)

    def value(self, theta: Tensor) -> Tensor:
        """E[r] - beta KL(pi || pi_ref), exactly."""
        policy = self.policy(theta)
        return (policy.exp() * self.reward).sum() - PRIOR_WEIGHT * exact_kl(policy, self.base)

    def trained(self, size: int, loss: Callable[[Completions], Loss], *, extremes: bool = False) -> Tensor:
        drawn = torch.multinomial(
            self.base.exp().expand(BUDGET // size, -1), size, replacement=True, generator=self.draw
        )
        if extremes:
            reward = self.reward[drawn]
            best, worst = reward.argmax(1, keepdim=True), reward.argmin(1, keepdim=True)
            drawn = torch.cat([drawn.gather(1, best), drawn.gather(1, worst)], dim=1)
            drawn = drawn[drawn[:, 0] != drawn[:, 1]]

        def of(theta: Tensor) -> Loss:
            return loss(
                Completions(self.policy(theta)[drawn], self.base[drawn], reward_GK=self.reward[drawn])
            )

        return minimise(of, torch.zeros(FEATURES, dtype=torch.float64), 60)

    def best(self) -> Tensor:
        return minimise(lambda theta: -self.value(theta), torch.zeros(FEATURES, dtype=torch.float64))


def test_where_the_distances_part_company() -> None:
    """KL(policy || target) nears the best policy of a poor family as K grows, the square does not; and best
    against worst with certain labels walks away from the reference as K grows, with the same beta.
    """
    sizes, seeds = (2, 6, 30), range(4)
    short = {name: torch.zeros(len(sizes)) for name in ("policy_target", "target_policy", "squared")}
    far = torch.zeros(len(sizes))
    for seed in seeds:
        for k, size in enumerate(sizes):
            family = Misspecified(seed)
            top = family.value(family.best())
            for name, short_K in short.items():
                theta = family.trained(size, reward_aware(name, PRIOR_WEIGHT))  # pyright: ignore
                short_K[k] += (top - family.value(theta)) / len(seeds)
            theta = family.trained(size, dpo(PRIOR_WEIGHT), extremes=True)
            far[k] += exact_kl(family.policy(theta), family.base) / len(seeds)
    assert short["policy_target"][0] > short["policy_target"][1] > short["policy_target"][2] >= 0
    assert short["policy_target"][2] < min(short["target_policy"][2], short["squared"][2])
    assert short["squared"][2] > 0.9 * short["squared"][0]
    assert far[0] < far[1] < far[2]
    assert far[2] > 2 * far[0]
