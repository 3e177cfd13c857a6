"""Online against offline preference training with equally many pairs.

    python benchmarks/online_offline.py --data prompts.jsonl --out runs/online [--reward reading-level]

All begin with the embedded SmolLM2-135M-Instruct (or --model) and get one pair for each of the same prompts,
the best against the worst of K answers by the reward: offline from the first model's answers at once; online
in three rounds of a third of the prompts each, from the model as it then is, compared with the first model
(fixed) or with the iterate before (moving). Reward, KL from the first model, length and METEOR similarity of
one answer to each of 32 held-out prompts: mean and range over seeds. Estimated, not measured: with 60
prompts, K = 4 and 32 tokens 6 minutes a run on two quiet cores; nine runs. What is done is kept.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

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
        f"{model.name}, reward {given.reward}, {len(train.groups)} prompts, K = {given.samples}, at most "
        f"{given.tokens} tokens, beta {given.beta:g}; mean (least to largest) of {given.seeds} seeds.",
        "",
        "| way | after | reward | KL, nats an answer | length, tokens | similarity |",
        "|---|---|---|---|---|---|",
        f"| before | | {cells(before)} |",
    ]
    for name, (rule, count) in WAYS.items():
        runs = []
        for seed in seeds:
            drawing = RolloutOptions(given.samples, max_tokens=given.tokens, seed=seed)
            work = replace(job, out=given.out / f"{rule.name}-{seed}", options=replace(options, seed=seed))
            runs.append(one(work, Rounds(rule, dpo(given.beta), drawing, count)))
        for t in range(count):
            lines.append(f"| {name} | round {t + 1} | {cells([run[t] for run in runs])} |")
            print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
