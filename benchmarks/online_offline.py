"""Online against offline preference training with equally many pairs.

    python benchmarks/online_offline.py --data prompts.jsonl --out runs/online [--reward reading-level]

All begin with the embedded SmolLM2-135M-Instruct (or --model) and get one pair for each of the same prompts,
the best against the worst of K answers by the reward: offline from the first model's answers at once; online
in three rounds of a third of the prompts each, from the model as it then is, compared with the first model
(fixed) or with the iterate before (moving). Reward, KL from the first model, length and METEOR similarity of
one answer to each of 32 held-out prompts: mean and range over seeds, and curves. With 60 prompts, K = 4 and
32 tokens a run takes 4 to 6 minutes on one core; nine runs. What is done is kept.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from superhf import cells, first, prompts

from palate.models import convert_gguf, fetch_weights
from palate.policy.objectives import dpo
from palate.policy.rollouts import RolloutOptions
from palate.policy.trainer import Lora, TrainOptions, Watch
from palate.policy.updates import UpdateRule, iterative_fixed, iterative_moving, offline
from palate.recipes import Job, Rounds, reward_named, run_rounds

RESULT = Path(__file__).parent / "results" / "online_offline.md"
WAYS: dict[str, tuple[UpdateRule, int]] = {
    "offline, one round": (offline(), 1),
    "online, fixed reference": (iterative_fixed(window=1), 3),
    "online, moving reference": (iterative_moving(), 3),
}


def one(job: Job, plan: Rounds) -> list[dict[str, float]]:
    """The measures of each round, from its folder if it is done."""
    file = job.out / "measured.json"
    if not file.is_file():
        job.out.mkdir(parents=True, exist_ok=True)
        rounds = [dict(row) for row in run_rounds(job, plan).rounds]
        file.write_text(json.dumps(rounds), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def plot(before: list[dict[str, float]], curves: dict[str, list[list[dict[str, float]]]]) -> None:
    """Reward, length and similarity against KL: each seed thin, their mean bold, from the first model on."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for axes, measure in zip(panels, ("reward", "length", "similarity"), strict=True):
        for colour, (name, runs) in zip(("#555555", "#8a3057", "#2a7f8e"), curves.items(), strict=True):
            all_STF = np.array(
                [
                    [[row["kl"], row[measure]] for row in (start, *run)]
                    for start, run in zip(before, runs, strict=True)
                ]
            )
            for run_TF in all_STF:
                axes.plot(*run_TF.T, color=colour, alpha=0.3, linewidth=1)
            axes.plot(*all_STF.mean(axis=0).T, "o-", color=colour, linewidth=2, label=name)
        axes.set_xlabel("KL from the first model, nats an answer")
        axes.set_title(measure)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=9)
    figure.savefig(RESULT.with_suffix(".png"), dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--reward", default="reading-level")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--beta", type=float, default=0.1)
    given = parser.parse_args()
    train, held = prompts(given.data, given.prompts)
    options = TrainOptions(batch=4, learning_rate=given.rate, lora=Lora(), watch=Watch(prompts=0), epochs=2)
    model = given.model or convert_gguf(fetch_weights())
    job = Job(model, given.out / "first", train, held, options, judge=reward_named(given.reward))
    seeds = range(given.seeds)
    before = [first(replace(job, options=replace(options, seed=seed)), given.tokens) for seed in seeds]
    lines = [
        "# Online against offline at equally many pairs",
        "",
        f"`python benchmarks/online_offline.py --data {given.data.name} --out runs/online "
        f"--seeds {given.seeds} --rate {given.rate:g}`",
        "",
        f"{model.name}, reward {given.reward}, {len(train.groups)} prompts, K = {given.samples}, at most "
        f"{given.tokens} tokens, beta {given.beta:g}, {options.epochs} epochs of each round's pairs; "
        f"{len(held.groups)} held-out prompts; mean (least to largest) of {given.seeds} seeds. "
        "[Curves](online_offline.png).",
        "",
        "| way | after | reward | KL, nats an answer | length, tokens | similarity |",
        "|---|---|---|---|---|---|",
        f"| before | | {cells(before)} |",
    ]
    curves: dict[str, list[list[dict[str, float]]]] = {}
    for name, (rule, count) in WAYS.items():
        runs = curves[name] = []
        for seed in seeds:
            drawing = RolloutOptions(given.samples, max_tokens=given.tokens, seed=seed)
            work = replace(job, out=given.out / f"{rule.name}-{seed}", options=replace(options, seed=seed))
            runs.append(one(work, Rounds(rule, dpo(given.beta), drawing, count)))
        for t in range(count):
            lines.append(f"| {name} | round {t + 1} | {cells([run[t] for run in runs])} |")
            print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot(before, curves)


if __name__ == "__main__":
    main()
