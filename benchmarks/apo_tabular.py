"""Accelerated preference optimisation against iterative DPO on a tabular policy: rounds to equal objective.

    python benchmarks/apo_tabular.py [--seeds 20]

20 answers with known rewards in [0, 3]; the policy is a table of logits. A round draws pairs from the present
policy, labels them by Bradley–Terry, and minimises DPO against the rule's reference; "exact" takes the
closed form of infinitely many pairs instead. The figure is the number of rounds until E[r] is within 0.3 of
the best answer's, at most 40; mean and 95 % interval over seeds. As beta (1 - alpha) is the fair opponent of
alpha, plain iterative DPO is shown with that beta too.
"""

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from palate.policy.objectives import Completions, dpo
from palate.policy.updates import (
    Iterates,
    UpdateRule,
    accelerated_preference,
    advance,
    begin,
    iterative_moving,
)

RESULT = Path(__file__).parent / "results" / "apo_tabular.md"
ANSWERS, BETA, PAIRS, ROUNDS, NEAR = 20, 10.0, 512, 40, 0.3
RIDGE = 1e-4  # answers that no pair shows stay where they were


def fit(start: Tensor, reference: Tensor, pair_M2: Tensor, beta: float) -> Tensor:
    logits = start.clone().requires_grad_()
    search = torch.optim.LBFGS([logits], max_iter=80, line_search_fn="strong_wolfe")
    loss = dpo(beta)

    def closure() -> Tensor:
        search.zero_grad()
        logp, base = torch.log_softmax(logits, 0), torch.log_softmax(reference, 0)
        value = loss(Completions(logp[pair_M2], base[pair_M2])).mean
        value = value + RIDGE * (logits - reference).square().sum()
        value.backward()
        return value.detach()

    search.step(closure)
    return logits.detach()


def labelled(policy: Tensor, reward: Tensor, draw: torch.Generator) -> Tensor:
    pair = torch.multinomial(policy.exp().expand(PAIRS, -1), 2, replacement=True, generator=draw)
    pair = pair[pair[:, 0] != pair[:, 1]]
    first = torch.rand(len(pair), generator=draw, dtype=torch.float64) < torch.sigmoid(
        reward[pair[:, 0]] - reward[pair[:, 1]]
    )
    return torch.where(first[:, None], pair, pair.flip(1))


def rounds_needed(rule: UpdateRule, beta: float, seed: int, *, exact: bool) -> int:
    draw = torch.Generator().manual_seed(seed)
    reward = 3 * torch.rand(ANSWERS, generator=draw, dtype=torch.float64)
    iterates: Iterates = begin({"logits": torch.zeros(ANSWERS, dtype=torch.float64)})
    for t in range(1, ROUNDS + 1):
        reference, start = iterates.reference["logits"], iterates.start["logits"]
        if exact:
            trained = reference + reward / beta
        else:
            now = torch.log_softmax(iterates.current["logits"], 0)
            trained = fit(start, reference, labelled(now, reward, draw), beta)
        iterates = advance(rule, iterates, {"logits": trained})
        policy = torch.softmax(iterates.current["logits"], 0)
        if float(reward.max() - policy @ reward) < NEAR:
            return t
    return ROUNDS


def interval(values: list[int]) -> str:
    numbers = torch.tensor(values, dtype=torch.float64)
    half = 1.96 * float(numbers.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{float(numbers.mean()):.1f} ± {half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    lines = [
        "# Accelerated preference optimisation on a tabular policy",
        "",
        f"`python benchmarks/apo_tabular.py --seeds {seeds}`: rounds to E[r] within {NEAR} of the best; "
        f"{ANSWERS} answers, beta {BETA:g}, {PAIRS} labelled pairs a round, at most {ROUNDS} rounds.",
        "",
        "| rule | exact steps | sampled pairs |",
        "|---|---|---|",
    ]
    for alpha in (0.0, 0.3, 0.5, 0.8):
        cases = {f"APO, alpha {alpha}": (accelerated_preference(alpha), BETA)}
        if alpha:
            cases[f"iterative DPO, beta {BETA * (1 - alpha):g} = beta (1 - {alpha})"] = (
                iterative_moving(),
                BETA * (1 - alpha),
            )
        else:
            cases = {f"iterative DPO, beta {BETA:g}": (iterative_moving(), BETA)}
        for name, (rule, beta) in cases.items():
            cells = [
                interval([rounds_needed(rule, beta, seed, exact=exact) for seed in range(seeds)])
                for exact in (True, False)
            ]
            lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
            print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
