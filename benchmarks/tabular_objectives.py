"""Tabular policies with a known optimum: where each objective ends, against its own closed form.

    python benchmarks/tabular_objectives.py [--seeds 20]

Part 1 minimises every objective on one prompt with six answers (or one pair) and compares the log-policy with
the closed form. Part 2 is the ablation of the reward-aware family: groups of K answers drawn from the
reference, a policy that cannot reach the optimum (60 answers, 3 features), 2,400 answers in all; the gap is
J(best of the class) - J(trained), J = E[r] - 1/2 KL(pi || pi_ref), mean and 95 % interval over seeds.
About 40 s a seed on one core.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from palate.policy import exact_kl
from palate.policy.objectives import (
    Completions,
    Loss,
    RewardAware,
    cdpo,
    dpo,
    exo_pref,
    exo_rw,
    ipo_sum,
    reinforce,
    reward_aware,
    reward_distillation,
    reward_softmax,
    rloo,
    simpo,
)

BETA = 0.4
MILD = 0.4  # so that no optimum has answers too rare for their gradients to be told from rounding
RESULT = Path(__file__).parent / "results" / "tabular_objectives.md"
OUTCOMES, FEATURES, BUDGET, WEIGHT = 60, 3, 2400, 0.5
SIZES = (2, 4, 8, 30)


def minimise(loss: Callable[[Tensor], Loss], start: Tensor, steps: int = 400) -> Tensor:
    at = start.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [at], max_iter=steps, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(at).mean
        value.backward()
        return value.detach()

    search.step(closure)
    return at.detach()


def normal(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1)


def from_rewards(seeds: int) -> list[tuple[str, str, float]]:
    """Largest error of log pi against log pi_ref + sharpness r + constant."""
    members = [
        (reward_aware("squared", BETA), 1 / BETA),
        (reward_aware("target_policy", BETA), 1 / BETA),
        (reward_aware("policy_target", BETA), 1 / BETA),
        (reward_distillation(BETA), 1 / BETA),
        (rloo(BETA), 1 / BETA),
        (reinforce(BETA), 1 / BETA),
        (exo_rw(BETA, 0.5), 1 / (0.5 * BETA)),
        (reward_softmax(BETA, 0.5), 1 / (0.5 * BETA)),
    ]
    rows = []
    for member, sharpness in members:
        worst = 0.0
        for seed in range(seeds):
            draw = torch.Generator().manual_seed(seed)
            base, reward = torch.randn(2, 6, generator=draw, dtype=torch.float64)
            reward = MILD * reward

            def loss(
                z: Tensor, member: RewardAware = member, base: Tensor = base, r: Tensor = reward
            ) -> Loss:
                return member(Completions(normal(z)[None], normal(base)[None], reward_GK=r[None]))

            found = minimise(loss, torch.zeros(6, dtype=torch.float64))
            worst = max(worst, float((normal(found) - normal(base + sharpness * reward)).abs().max()))
        rows.append((member.name, f"log pi_ref + {sharpness:g} r", worst))
    return rows


def from_pairs() -> list[tuple[str, str, float]]:
    """Error of the gap log pi(chosen) - log pi(rejected) on one pair whose reference gap is 0.7."""
    wanted = [
        (cdpo(BETA, 0.1), "0.7 + ln 9 / beta", 0.7 + math.log(9) / BETA),
        (exo_pref(BETA, 0.1), "0.7 + ln 9 / beta", 0.7 + math.log(9) / BETA),
        (ipo_sum(BETA), "0.7 + 1 / (2 beta)", 0.7 + 1 / (2 * BETA)),
        (simpo(BETA, 0.3, smoothing=0.2), "(ln 4 + 0.3) / beta", (math.log(4) + 0.3) / BETA),
    ]
    base = torch.tensor([0.7, 0.0], dtype=torch.float64)
    rows = []
    for member, text, gap in wanted:

        def loss(z: Tensor, member: RewardAware = member) -> Loss:
            return member(Completions(normal(z)[None], normal(base)[None], torch.ones(1, 2)))

        found = minimise(loss, torch.zeros(2, dtype=torch.float64))
        rows.append((member.name, text, abs(float(found[0] - found[1]) - gap)))
    return rows


class Misspecified:
    """As in the tests of objectives: a softmax family that cannot reach the optimum."""

    def __init__(self, seed: int) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.features = torch.randn(OUTCOMES, FEATURES, generator=self.draw, dtype=torch.float64)
        bend = torch.randn(OUTCOMES, generator=self.draw, dtype=torch.float64)
        self.reward = self.features @ torch.tensor([0.6, -0.4, 0.3], dtype=torch.float64) + 1.5 * bend
        self.base = normal(0.5 * torch.randn(OUTCOMES, generator=self.draw, dtype=torch.float64))

    def policy(self, theta: Tensor) -> Tensor:
        return normal(self.base + self.features @ theta)

    def value(self, theta: Tensor) -> Tensor:
        policy = self.policy(theta)
        return (policy.exp() * self.reward).sum() - WEIGHT * exact_kl(policy, self.base)

    def best(self) -> Tensor:
        def loss(theta: Tensor) -> Loss:
            return Loss(-self.value(theta)[None], torch.ones(1, dtype=torch.bool))

        return minimise(loss, torch.zeros(FEATURES, dtype=torch.float64))

    def trained(self, size: int, member: RewardAware, *, extremes: bool) -> Tensor:
        drawn = torch.multinomial(
            self.base.exp().expand(BUDGET // size, -1), size, replacement=True, generator=self.draw
        )
        if extremes:
            reward = self.reward[drawn]
            best, worst = reward.argmax(1, keepdim=True), reward.argmin(1, keepdim=True)
            drawn = torch.cat([drawn.gather(1, best), drawn.gather(1, worst)], dim=1)
            drawn = drawn[drawn[:, 0] != drawn[:, 1]]

        def loss(theta: Tensor) -> Loss:
            logp = self.policy(theta)[drawn]
            return member(Completions(logp, self.base[drawn], reward_GK=self.reward[drawn]))

        return minimise(loss, torch.zeros(FEATURES, dtype=torch.float64), 60)


def interval(values: list[float]) -> str:
    numbers = torch.tensor(values)
    half = 1.96 * float(numbers.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{float(numbers.mean()):.3f} ± {half:.3f}"


def ablation(seeds: int) -> list[str]:
    members = {
        "KL(policy ‖ target), all K": (reward_aware("policy_target", WEIGHT), False),
        "KL(target ‖ policy), all K": (reward_aware("target_policy", WEIGHT), False),
        "squared, all K": (reward_aware("squared", WEIGHT), False),
        "centred (RLOO's square), all K": (reinforce(WEIGHT), False),
        "dpo, best against worst": (dpo(WEIGHT), True),
        "cdpo 0.1, best against worst": (cdpo(WEIGHT, 0.1), True),
        "squared, best against worst": (reward_aware("squared", WEIGHT), True),
    }
    lines = ["| objective | " + " | ".join(f"K = {k}: gap | KL" for k in SIZES) + " |"]
    lines.append("|---" * (1 + 2 * len(SIZES)) + "|")
    for name, (member, extremes) in members.items():
        cells = []
        for size in SIZES:
            gaps, far = [], []
            for seed in range(seeds):
                family = Misspecified(seed)
                theta = family.trained(size, member, extremes=extremes)
                gaps.append(float(family.value(family.best()) - family.value(theta)))
                far.append(float(exact_kl(family.policy(theta), family.base)))
            cells += [interval(gaps), f"{sum(far) / seeds:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    lines = [
        "# Tabular policies with a known optimum",
        "",
        f"`python benchmarks/tabular_objectives.py --seeds {seeds}`",
        "",
    ]
    lines += ["| objective | ends at | largest error |", "|---|---|---|"]
    lines += [
        f"| {name} | {text} | {error:.1e} |" for name, text, error in (*from_rewards(seeds), *from_pairs())
    ]
    lines += [
        "",
        f"Gap to the best policy of a poor family, and KL from the reference; {seeds} seeds, 95 % intervals.",
        "",
    ]
    lines += ablation(seeds)
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
