"""Answers of a small model to train on: K to each prompt, beside transformers' own generate.

    python benchmarks/rollouts.py --data prompts.jsonl [--answers 16] [--tokens 32] [--threads 2]

The embedded SmolLM2-135M-Instruct (or --model) draws K answers to each of two prompts at temperature 1 and a
nucleus of 0.95, as a superbatch of SuperHF does. Peer: ``model.generate`` of transformers on the same weights
and prompts, padded on the left, with num_return_sequences=K; its answers are decoded, as Palate's are. Both
draw at most --tokens tokens; a token counts until its answer ends. The two take turns, and the ratio is that
of the medians.
"""

import argparse
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from superhf import prompts as read_prompts

from palate.models import convert_gguf, fetch_weights
from palate.models._causal import CausalLM, Row, load_causal_lm

RESULT = Path(__file__).parent / "results" / "rollouts.md"
TOP_P = 0.95
LOAD = os.getloadavg()[0]


def ours(model: CausalLM, asked: list[list[int]], answers: int, tokens: int, seed: int) -> int:
    """Draw; returns how many tokens."""
    rows = [
        Row(tuple(prompt), temperature=1.0, top_p=TOP_P, max_tokens=tokens, seed=1000 * seed + k)
        for prompt in asked
        for k in range(answers)
    ]
    return sum(answer.tokens for answer in model.generate(rows))


def theirs(
    model: Any,
    tokenizer: Any,
    asked: list[list[int]],
    answers: int,
    tokens: int,
    seed: int,
) -> int:
    """The same by transformers."""
    torch.manual_seed(seed)
    batch = tokenizer.pad({"input_ids": asked}, padding_side="left", return_tensors="pt")
    with torch.inference_mode():
        drawn = model.generate(
            **batch,
            do_sample=True,
            temperature=1.0,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=tokens,
            num_return_sequences=answers,
            pad_token_id=tokenizer.pad_token_id,
        )
    said = drawn[:, batch["input_ids"].shape[1] :]
    tokenizer.batch_decode(said, skip_special_tokens=True)
    ended = (said == tokenizer.eos_token_id).int().cumsum(dim=1)
    return int((ended == 0).sum() + (ended > 0).any(dim=1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--answers", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    folder = given.model or convert_gguf(fetch_weights())
    loaded = load_causal_lm(folder, "float32", "cpu", given.threads)
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    groups = read_prompts(given.data, 2 * (given.rounds + 1))[0].groups
    asked = [loaded.encode_turns(group.prompt) for group in groups if not isinstance(group.prompt, str)]
    rates: dict[str, list[float]] = {"Palate": [], "transformers": []}
    for number in range(given.rounds + 1):
        pair = asked[2 * number : 2 * number + 2]
        for name, found in rates.items():
            began = time.perf_counter()
            if name == "Palate":
                count = ours(loaded, pair, given.answers, given.tokens, number)
            else:
                count = theirs(peer, tokenizer, pair, given.answers, given.tokens, number)
            if number:  # the first round warms up
                found.append(count / (time.perf_counter() - began))
    middle = {name: statistics.median(found) for name, found in rates.items()}
    lines = [
        "# Rollouts",
        "",
        f"`python benchmarks/rollouts.py --data {given.data.name} --answers {given.answers} --tokens "
        f"{given.tokens} --threads {given.threads} --rounds {given.rounds}`",
        "",
        f"{folder.name} in float32, transformers {transformers.__version__}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; load average "
        f"before: {LOAD:.1f}.",
        "",
        "| | tokens/s, median | least to largest |",
        "|---|--:|--:|",
        *(
            f"| {name} | {middle[name]:.0f} | {min(found):.0f} to {max(found):.0f} |"
            for name, found in rates.items()
        ),
        "",
        f"Palate draws {middle['Palate'] / middle['transformers']:.2f} times as many tokens a second.",
        "",
    ]
    RESULT.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
