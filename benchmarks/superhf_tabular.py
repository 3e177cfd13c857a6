"""SuperHF on a tabular policy: with and without the divergence from the first policy, where its answers go.

    python benchmarks/superhf_tabular.py [--seeds 20]

32 prompts, 60 answers made of phrases, a table of logits. The first policy favours other answers at each
prompt; the reward mostly favours the same ones everywhere, which is what a reward that can be exploited does.
A superbatch draws 16 answers to each prompt, takes the best, and makes one step on the objectives of the
recipe: the likelihood of the best and prior_kl KL(first || policy). The loop is held against its own limit,
the policy that best-of-16 of itself and the first policy, mixed 1 to prior_kl, leave as it is:

    policy = (best_16(policy) + prior_kl first) / (1 + prior_kl)

Reward in standard deviations; KL(policy || first) in nats; similarity (METEOR) of one answer to each prompt,
as the recipe measures it, five times over. Mean and 95 % interval over seeds.
"""

import argparse
import itertools
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from palate.policy import completion_similarity, linear_prior_kl
from palate.policy.objectives import Completions, nll

RESULT = Path(__file__).parent / "results" / "superhf_tabular.md"
PROMPTS, SAMPLES, SUPERBATCHES, RATE, LAST, LOOKS = 32, 16, 1000, 0.05, 200, 5
PRIORS = (0.0, 0.1, 0.2, 0.35, 0.5)
PHRASES = (
    ("thanks for writing", "good question", "we are sorry", "let me see", "here is what I know"),
    ("the parcel left on Monday", "your refund is under way", "nobody was at home", "it is out of stock"),
    ("please reply", "have a nice day", "call us any time"),
)
ANSWERS = [", ".join(parts) for parts in itertools.product(*PHRASES)]


def problem(draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the first policy and rewards, prompts by answers."""
    first = 2.0 * torch.randn(PROMPTS, len(ANSWERS), generator=draw)
    common = torch.randn(len(ANSWERS), generator=draw)
    reward = math.sqrt(0.8) * common + math.sqrt(0.2) * torch.randn(first.shape, generator=draw)
    return torch.log_softmax(first, 1), reward


def learnt(first: Tensor, reward: Tensor, prior_kl: float, draw: torch.Generator) -> Tensor:
    """Mean policy of the last superbatches of the loop."""
    logits = first.clone().requires_grad_()
    search = torch.optim.Adam([logits], RATE)
    eye, total = torch.eye(len(ANSWERS)), torch.zeros_like(first)
    for step in range(SUPERBATCHES):
        with torch.no_grad():
            drawn = torch.multinomial(logits.softmax(1), SAMPLES, replacement=True, generator=draw)
            best = drawn.gather(1, reward.gather(1, drawn).argmax(1, keepdim=True))
        one = torch.ones_like(best)
        loss = nll(Completions(torch.log_softmax(logits, 1).gather(1, best), length_GK=one), average="tokens")
        away = linear_prior_kl(logits, eye, first).mean() if prior_kl else torch.zeros(())
        search.zero_grad()
        (loss.mean + prior_kl * away).backward()
        search.step()
        if step >= SUPERBATCHES - LAST:
            total += logits.detach().softmax(1) / LAST
    return total


def limit(first: Tensor, reward: Tensor, prior_kl: float) -> Tensor:
    """The policy that the loop leaves as it is, by repeating the mixture."""
    order = reward.argsort(1)
    start = first.exp().gather(1, order).double()
    policy = start
    for _ in range(5000):
        best = torch.diff(policy.cumsum(1).clamp(max=1) ** SAMPLES, dim=1, prepend=torch.zeros(PROMPTS, 1))
        policy = (best + prior_kl * start) / (1 + prior_kl)
        policy = policy / policy.sum(1, keepdim=True)
    return torch.empty_like(policy).scatter_(1, order, policy)


def measures(policy: Tensor, first: Tensor, reward: Tensor, seed: int) -> list[float]:
    draw = torch.Generator().manual_seed(seed)
    kl = (policy * (policy.clamp(min=1e-30).log() - first)).sum(1).mean()
    alike: list[float] = []
    for said in torch.multinomial(policy, LOOKS, replacement=True, generator=draw).T.tolist():
        texts = [ANSWERS[m] for m in said]
        alike.append(completion_similarity(texts, np.random.default_rng(seed), resamples=1).mean)
    return [float((policy * reward).sum(1).mean()), abs(float(kl)), float(np.mean(alike))]


def cells(rows: list[list[float]]) -> str:
    column = np.array(rows)
    half = 1.96 * column.std(axis=0, ddof=1) / math.sqrt(len(rows))
    return " | ".join(f"{m:.2f} ± {h:.2f}" for m, h in zip(column.mean(axis=0), half, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    problems = [problem(torch.Generator().manual_seed(seed)) for seed in range(seeds)]
    before = [measures(first.exp(), first, reward, seed) for seed, (first, reward) in enumerate(problems)]
    lines = [
        "# SuperHF on a tabular policy",
        "",
        f"`python benchmarks/superhf_tabular.py --seeds {seeds}`: {PROMPTS} prompts, {len(ANSWERS)} answers, "
        f"{SUPERBATCHES} superbatches of {SAMPLES} answers a prompt, Adam at {RATE:g}; the mean policy of "
        f"the last {LAST}.",
        "",
        "| prior_kl | reward | KL | similarity | reward at the limit | KL | similarity |",
        "|--:|--:|--:|--:|--:|--:|--:|",
        f"| before | {cells(before)} | | | |",
    ]
    for prior_kl in PRIORS:
        found: list[list[float]] = []
        for seed, (first, reward) in enumerate(problems):
            draw = torch.Generator().manual_seed(1000 + seed)
            ways = learnt(first, reward, prior_kl, draw), limit(first, reward, prior_kl)
            found.append([number for way in ways for number in measures(way, first, reward, seed)])
        lines.append(f"| {prior_kl:g} | {cells(found)} |")
        print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
