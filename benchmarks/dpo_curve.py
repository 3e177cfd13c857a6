"""The loss curve of DPO beside TRL's: the same data in the same order, 50 updates in 32 bits.

``python benchmarks/dpo_curve.py`` makes the table; ``--write`` puts it under ``benchmarks/results``.

SmolLM2-135M-Instruct, 4 pairs of random tokens an update, of unequal lengths, a constant learning rate. Ours
computes each prompt once, without padding, its reference once before; TRL pads rows and computes its
reference in every step. An adapter starts from the same random numbers on both sides.
"""

import argparse
import os
import tempfile
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "dpo_curve.md"
PAIRS = 4


def curves(lora: bool, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    from _dpo_pairs import BETA, LORA, load, random_pairs, train_with_trl

    from palate.policy.objectives import dpo
    from palate.policy.trainer import Lora, Progress, TrainOptions, train
    from palate.policy.trainer._network import adapt
    from palate.policy.trainer._run import data_order

    groups = random_pairs(PAIRS * options.steps, options.prompt, options.answer, ragged=True)
    adapter = Lora(**LORA) if lora else None
    rate = options.lora_rate if lora else options.full_rate
    ours: list[float] = []
    theirs: list[float] = []

    def progress(news: Progress) -> None:
        if news.stage == "train":
            ours.append(news.metrics["loss"])

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainOptions(
            steps=options.steps, batch=PAIRS, learning_rate=rate, schedule="constant", lora=adapter
        )
        train(load(), None, groups, dpo(BETA), settings, folder=Path(folder), progress=progress)
    train_with_trl(
        [groups[place] for place in data_order(0, 0, len(groups))],
        steps=options.steps,
        lora=False,
        model=adapt(load(), adapter, "fp32", 0),
        on_step=lambda step, numbers: theirs.append(float(numbers["loss"])),
        per_device_train_batch_size=PAIRS,
        learning_rate=rate,
        lr_scheduler_type="constant",
        bf16=False,
        gradient_checkpointing=False,
    )
    return ours, theirs


def table(options: argparse.Namespace) -> str:
    found = {kind: curves(kind == "LoRA r 8", options) for kind in ("LoRA r 8", "full")}
    worst = {kind: max(abs(a - b) for a, b in zip(*both, strict=True)) for kind, both in found.items()}
    lines = [
        "# The loss curve of DPO beside TRL's",
        "",
        f"`python benchmarks/dpo_curve.py --write`; {options.steps} updates of {PAIRS} pairs, prompts to "
        f"{options.prompt} tokens, answers to {options.answer}, 32 bits, learning rates {options.lora_rate} "
        f"and {options.full_rate}, OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'unset')}.",
        "",
        "Largest difference: " + "; ".join(f"{kind} {value:.1e}" for kind, value in worst.items()) + ".",
        "",
        "| update | " + " | ".join(f"{kind}: ours | TRL | difference" for kind in found) + " |",
        "|---|" + "---|---|---|" * len(found),
    ]
    for step in range(options.steps):
        cells = [f"{a[step]:.6f} | {b[step]:.6f} | {a[step] - b[step]:+.1e}" for a, b in found.values()]
        lines.append(f"| {step + 1} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--answer", type=int, default=16)
    parser.add_argument("--lora-rate", type=float, default=2e-4)
    parser.add_argument("--full-rate", type=float, default=2e-6)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    text = table(chosen)
    print(text)
    if chosen.write:
        RESULT.write_text(text, encoding="utf-8")
