"""A reward model on human preferences, against the longer answer and a bag of words.

    python benchmarks/reward_model.py --data harmless.jsonl.gz [--model FOLDER] [--rows 1618]
    python benchmarks/reward_model.py --data harmless.jsonl.gz --model FOLDER --only-lora [--rates 1e-4 1e-3]

Data: 1,618 pairs of Anthropic's HH-RLHF (harmless), full dialogues (see data/README.md for where they come
from). The first 1,300 in an order drawn with seed 0 are trained on, the other 318 are the test, which is
looked at once. Everything that is chosen (l2) is chosen by five folds of the training part.

    longer / shorter   the answer with more (fewer) characters
    words              logistic regression on 1- and 2-grams
    frozen head        logistic regression on the last hidden state of the embedded 135M model, weights frozen
    LoRA               with --only-lora, which adds this row to the table that is there: scalar head and
                       LoRA r 8 on all linear layers of the upper half of the model, one epoch of updates of
                       16 pairs. Of --rates the one with the smaller loss on the 80 shortest pairs of the
                       first fold, after 80 updates of 2 on the 160 shortest of the other folds; with --pairs
                       only so many of the shortest training pairs

The hidden states are kept in --keep and taken up again: 30 minutes on one core for all rows; LoRA takes
about as long (on the whole model over twice as long). Without --model, only the first three rows.
"""

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from palate.choice import log_sigmoid, sigmoid
from palate.policy.data import Loaded, read_groups, read_rows
from palate.policy.rewards import (
    Accuracy,
    NgramOptions,
    accuracy,
    calibrate,
    fit_pairs,
    length_bias,
)

RESULT = Path(__file__).parent / "results" / "reward_model.md"
TEST = 318
L2 = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5
LINEAR = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)


def split(loaded: Loaded, rows: int) -> tuple[Loaded, Loaded]:
    groups = list(loaded.groups)
    random.Random(0).shuffle(groups)
    groups = groups[:rows]
    test = min(TEST, len(groups) // 4)
    return replace(loaded, groups=tuple(groups[test:])), replace(loaded, groups=tuple(groups[:test]))


def lengths(loaded: Loaded) -> Any:
    return np.array([float(len(g.completions[0]) - len(g.completions[1])) for g in loaded.groups])


def columns(loaded: Loaded) -> tuple[list[str], list[str]]:
    return [g.completions[0] for g in loaded.groups], [g.completions[1] for g in loaded.groups]


def words(train: Loaded, test: Loaded) -> tuple[Any, float]:
    """Gaps on the test, and the l2 that the folds of the training part like best."""

    def gaps(fitted: Loaded, asked: Loaded, l2: float) -> Any:
        reward = fit_pairs(*columns(fitted), NgramOptions(l2=l2))
        chosen, rejected = columns(asked)
        return reward.score((), chosen) - reward.score((), rejected)

    def folded(l2: float) -> float:
        found = [accuracy(gaps(*fold(train, k), l2)).share for k in range(FOLDS)]
        return float(np.mean(found))

    best = max(L2, key=folded)
    return gaps(train, test, best), best


def fold(loaded: Loaded, k: int) -> tuple[Loaded, Loaded]:
    groups = loaded.groups
    return (
        replace(loaded, groups=tuple(g for n, g in enumerate(groups) if n % FOLDS != k)),
        replace(loaded, groups=groups[k::FOLDS]),
    )


def features(model: Path, loaded: Loaded, keep: Path) -> Any:
    """Last hidden states of chosen and rejected, M by 2 by D; read from the file as far as they are there."""
    import torch
    from safetensors.numpy import load_file, save_file

    from palate.policy.data import encode_texts
    from palate.policy.trainer import Network, Speed, keep_usable, load_policy, make_batch

    kept = load_file(keep)["hidden"] if keep.is_file() else np.zeros((0, 2, 0))
    if len(kept) >= len(loaded.groups):
        return kept[: len(loaded.groups)]
    policy = load_policy(model)
    network = Network(policy.model, "fp32", Speed())
    found = list(kept)
    for n, group in enumerate(loaded.groups[len(kept) :], start=len(kept) + 1):
        tokens = keep_usable([encode_texts(group, policy.tokenizer)], 10**6).groups
        with torch.no_grad(), network.computing():
            states = network.states(make_batch(tokens, network.speed, network.device))
        found.append(states.last_CD().float().numpy())
        if n % 50 == 0 or n == len(loaded.groups):
            part = keep.with_suffix(".part")
            save_file({"hidden": np.stack(found).astype(np.float32)}, part)
            part.replace(keep)
            print(f"{n} of {len(loaded.groups)} pairs read", flush=True)
    return np.stack(found)


def linear(gap_MD: Any, l2: float) -> Any:
    def loss(weight_D: Any) -> tuple[float, Any]:
        margin_M = gap_MD @ weight_D
        slope_D = gap_MD.T @ (sigmoid(margin_M) - 1) / len(gap_MD) + l2 * weight_D
        return -float(np.mean(log_sigmoid(margin_M))) + 0.5 * l2 * float(weight_D @ weight_D), slope_D

    return minimize(loss, np.zeros(gap_MD.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x


def frozen_head(hidden_M2D: Any, cut: int) -> tuple[Any, float]:
    gap_MD = hidden_M2D[:, 0].astype(np.float64) - hidden_M2D[:, 1]
    gap_MD = gap_MD / gap_MD[cut:].std(axis=0)
    test_MD, train_MD = gap_MD[:cut], gap_MD[cut:]

    def folded(l2: float) -> float:
        rows = np.arange(len(train_MD)) % FOLDS
        found = [accuracy(train_MD[rows == k] @ linear(train_MD[rows != k], l2)).share for k in range(FOLDS)]
        return float(np.mean(found))

    best = max((*L2, 10.0), key=folded)
    return test_MD @ linear(train_MD, best), best


def lora(model: Path, train: Loaded, test: Loaded, given: argparse.Namespace) -> tuple[Any, str]:
    """Gaps on the test, and the rate that a fold of the training part likes best."""
    out = given.keep.with_suffix(".run")
    losses = {rate: folded_loss(model, train, rate, out / f"rate-{rate:g}") for rate in given.rates}
    best = min(losses, key=lambda rate: losses[rate])
    print(losses, flush=True)
    some = shortest(train, given.pairs or len(train.groups))
    told = f"rate {best:g}" + (f"; the {given.pairs} shortest pairs" if given.pairs else "")
    return adapted(model, some, test, out / f"of-{len(some.groups)}", rate=best, batch=16), told


def folded_loss(model: Path, train: Loaded, rate: float, out: Path) -> float:
    others, held = fold(train, 0)
    gap_M = adapted(model, shortest(others, 160), shortest(held, 80), out, rate=rate, batch=2)
    return -float(np.mean(log_sigmoid(gap_M)))


def shortest(loaded: Loaded, most: int) -> Loaded:
    def length(group: Any) -> int:
        said = sum(len(message.content) for message in group.prompt)
        return said + sum(map(len, group.completions))

    return replace(loaded, groups=tuple(sorted(loaded.groups, key=length)[:most]))


def adapted(model: Path, train: Loaded, test: Loaded, out: Path, *, rate: float, batch: int) -> Any:
    """Gaps of a scalar model that learnt one epoch of the training part."""
    from transformers import AutoConfig

    from palate.policy.rewards import load_reward
    from palate.policy.trainer import Lora, TrainOptions, Watch
    from palate.recipes import Job, pair_gaps, reward

    kept = out / "gaps.json"
    if not kept.is_file():
        layers = AutoConfig.from_pretrained(model).num_hidden_layers
        targets = tuple(f"layers.{n}.{name}" for n in range(layers // 2, layers) for name in LINEAR)
        options = TrainOptions(
            batch=min(batch, 4),
            accumulate=max(batch // 4, 1),
            learning_rate=rate,
            warmup=5,
            save_every=10,
            lora=Lora(r=8, targets=targets),
            watch=Watch(prompts=0),
        )
        reward(Job(model, out, train, options=options), kind="scalar")
        kept.write_text(json.dumps(pair_gaps(load_reward(out / "reward"), test).tolist()), encoding="utf-8")
    return np.array(json.loads(kept.read_text(encoding="utf-8")))


def with_row(text: str, line: str) -> str:
    """A table with a row more, or with that row anew."""
    name = line.split("|")[1]
    kept = [old for old in text.rstrip().splitlines() if not old.startswith(f"|{name}|")]
    last = max(n for n, old in enumerate(kept) if old.startswith("|"))
    return "\n".join([*kept[: last + 1], line, *kept[last + 1 :]]) + "\n"


def row(name: str, gap_M: Any, length_M: Any, note: str = "") -> str:
    found: Accuracy = accuracy(gap_M)
    bias = length_bias(gap_M, length_M)
    try:
        fitted = f"{calibrate(gap_M).temperature:.2g}"
    except ValueError:
        fitted = "–"
    return (
        f"| {name} | {found} | {bias.chosen_longer.share:.2f} | {bias.chosen_shorter.share:.2f} | "
        f"{fitted} | {note} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=int, default=1618)
    parser.add_argument("--only-lora", action="store_true")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-4, 1e-3])
    parser.add_argument("--keep", type=Path, default=Path("reward_model_hidden.safetensors"))
    given = parser.parse_args()
    loaded = read_groups(read_rows(given.data))
    train, test = split(loaded, given.rows)
    length_M = lengths(test)
    if given.only_lora:
        gap_M, note = lora(given.model, train, test, given)
        line = row("LoRA r 8 on the upper half, 135M", gap_M, length_M, note)
        RESULT.write_text(with_row(RESULT.read_text(encoding="utf-8"), line), encoding="utf-8")
        print(line)
        return
    lines = [
        "# A reward model on human preferences (HH-RLHF, harmless)",
        "",
        f"`python benchmarks/reward_model.py --data {given.data.name}"
        f"{' --model FOLDER' if given.model else ''}`",
        "",
        f"{loaded.describe()}. {len(train.groups)} pairs trained on, {len(test.groups)} tested.",
        "",
        "| reward | accuracy [95 %] | where the chosen is longer | shorter | T | chosen by folds |",
        "|---|---|---|---|---|---|",
        row("longer", length_M, length_M),
        row("shorter", -length_M, length_M),
    ]
    gap_M, l2 = words(train, test)
    lines.append(row("words", gap_M, length_M, f"l2 {l2:g}"))
    if given.model is not None:
        both = replace(loaded, groups=(*test.groups, *train.groups))
        hidden = features(given.model, both, given.keep)
        gap_M, l2 = frozen_head(hidden, len(test.groups))
        lines.append(row("frozen head, 135M", gap_M, length_M, f"l2 {l2:g}"))
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
