"""One step of DPO: time and memory beside TRL's trainer, at its defaults and at its best settings.

``python benchmarks/dpo_step.py`` makes the table; ``--write`` puts it under ``benchmarks/results``.

SmolLM2-135M-Instruct, 4 pairs an update, random tokens. Each way is a process of its own that runs its real
training loop and waits before every update for its turn; the ways take turns, so that whatever else the
machine does meets all alike. With ``--apart`` they follow each other, which needs less memory. Seconds are
those of the wall and of the processor, medians of the updates after the first two; ratios are of the wall. A
token is one of prompt + answer, counted once for each answer, for everybody. Memory is the process's peak
after the first two updates, libraries and all; Linux only.

TRL's defaults compute activations again in the backward pass, and the reference in every step. At its best
settings here it keeps activations and computes the reference once before. Its default number format,
bfloat16, is used for everybody where the processor multiplies it, below an adapter for the weights too (ours
and TRL's best); where the processor would only imitate it, many times slower, everybody uses 32 bits.
``padding_free`` is switched off in this version of TRL whatever is asked for. Ours, pair by pair, makes the
same update from four batches of one pair; with least memory it computes activations again as well.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 4
RESULT = Path(__file__).parent / "results" / "dpo_step.md"
TOLD = '{"times"'  # how a worker's figures begin; TRL prints dictionaries too
WAYS = ("palate", "palate, pair by pair", "palate, least memory", "TRL defaults", "TRL best")


def worker(way: str, lora: bool, threads: int, prompt: int, answer: int, steps: int) -> None:
    """Train, one update for each line of input, and tell time and memory at the end."""
    import torch
    from _dpo_pairs import BETA, LORA, load, random_pairs, train_with_trl

    torch.set_num_threads(threads)
    groups = random_pairs(PAIRS * steps, prompt, answer)
    times: list[float] = []
    processor: list[float] = []
    started = [0.0, 0.0]
    losses: list[float] = []

    def wait() -> None:
        if len(times) == 2:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        print("waiting", flush=True)
        if not sys.stdin.readline():
            raise SystemExit("nobody is waiting any more")
        started[:] = time.perf_counter(), time.process_time()

    def ended(step: int, numbers: dict[str, float]) -> None:
        times.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
        losses.append(float(numbers["loss"]))

    if way.startswith("palate"):
        from palate.policy.objectives import dpo
        from palate.policy.trainer import Lora, Progress, TrainOptions, train

        def progress(news: Progress) -> None:
            if news.stage == "train":
                ended(news.done, news.metrics)
                if news.done < news.total:
                    wait()
            elif news.stage == "reference" and news.done == news.total:
                wait()

        one = way != "palate"
        options = TrainOptions(
            steps=steps,
            batch=1 if one else PAIRS,
            accumulate=PAIRS if one else 1,
            learning_rate=1e-6,
            schedule="constant",
            dtype=fast_dtype(),
            gradient_checkpointing=way.endswith("least memory"),
            lora=Lora(**LORA) if lora else None,
        )
        with tempfile.TemporaryDirectory() as folder:
            train(load(), None, groups, dpo(BETA), options, folder=Path(folder), progress=progress)
            told = memory()
    else:
        half = fast_dtype() == "bf16"
        settings = {"gradient_checkpointing": True, "bf16": half}
        if way == "TRL best":
            settings |= {"gradient_checkpointing": False, "precompute_ref_log_probs": True}
            settings["model_dtype"] = "bfloat16" if lora and half else "float32"
        train_with_trl(
            groups,
            steps=steps,
            lora=lora,
            on_step=ended,
            before_step=wait,
            per_device_train_batch_size=PAIRS,
            learning_rate=1e-6,
            **settings,
        )
        told = memory()
    print(json.dumps({"times": times, "processor": processor, "memory": told, "losses": losses}), flush=True)


def fast_dtype() -> str:
    """16 bits where the processor multiplies them, 32 where it would have to imitate that."""
    import torch

    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


def memory() -> float:
    """Peak of the process in MB since the peak was reset."""
    told = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in told.splitlines() if line.startswith("VmHWM"))) / 1024


def alternate(
    ways: list[str], lora: bool, threads: int, prompt: int, answer: int, steps: int
) -> dict[str, dict]:
    """Let the ways take turns; each waits while another computes."""
    children = {}
    for way in ways:
        command = [sys.executable, __file__, "--worker", way, str(int(lora)), str(threads)]
        command += [str(prompt), str(answer), str(steps)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        until(child, "waiting")  # loaded, and its reference computed, before the next one starts
        children[way] = child
    told = {}
    for step in range(steps):
        for way, child in children.items():
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
            line = until(child, "waiting" if step < steps - 1 else TOLD)
            if line.startswith(TOLD):
                told[way] = json.loads(line)
                child.wait()
    return told


def until(child: subprocess.Popen, start: str) -> str:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(start):
            return line
    raise SystemExit(f"a worker ended early ({child.wait()})")


def rows(lora: bool, threads: int, options: argparse.Namespace) -> list[str]:
    prompt, answer = options.prompt, options.answer
    told: dict[str, dict] = {}
    for ways in [[way] for way in options.ways] if options.apart else [options.ways]:
        told |= alternate(ways, lora, threads, prompt, answer, options.steps)
    seconds = {way: statistics.median(values["times"][2:]) for way, values in told.items()}
    tokens = 2 * PAIRS * (prompt + answer)
    most = told.get("TRL defaults", {"memory": float("nan")})["memory"]

    def ratio(base: str, way: str) -> str:
        return f"{seconds[base] / seconds[way]:.2f}" if base in seconds else ""

    return [
        f"| {'LoRA r 8' if lora else 'full'} | {threads} | {way} | {seconds[way]:.2f} | "
        f"{statistics.median(told[way]['processor'][2:]):.2f} | {tokens / seconds[way]:,.0f} | "
        f"{ratio('TRL defaults', way)} | "
        f"{ratio('TRL best', way)} | {told[way]['memory']:,.0f} | "
        f"{told[way]['memory'] / most:.2f} | {told[way]['losses'][0]:.4f} |"
        for way in options.ways
    ]


def table(options: argparse.Namespace) -> str:
    import torch
    import transformers
    import trl

    lines = [
        "# One step of DPO beside TRL",
        "",
        f"`python {shlex.join(['benchmarks/dpo_step.py', *sys.argv[1:]])}`; {platform.machine()}, "
        f"{os.cpu_count()} cores, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"TRL {trl.__version__}; "
        f"SmolLM2-135M-Instruct, {PAIRS} pairs, prompts of {options.prompt} tokens, answers of "
        f"{options.answer}, {options.steps} updates {'apart' if options.apart else 'in turns'}, median of "
        f"all but two. Load before: {os.getloadavg()[0]:.1f}; {fast_dtype()}.",
        "",
        "| weights | threads | way | seconds a step | of the processor | tokens/s | times defaults "
        "| times best | peak memory, MB | of defaults | first loss |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for threads in options.threads:
        for kind in options.kinds:
            lines += rows(kind == "lora", threads, options)
            print(*lines[-len(options.ways) :], sep="\n", flush=True)
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=6)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--answer", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kinds", nargs="+", default=["lora", "full"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--apart", action="store_true", help="one way after another, for want of memory")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.worker:
        way, *numbers = chosen.worker
        lora, threads, prompt, answer, steps = map(int, numbers)
        worker(way, bool(lora), threads, prompt, answer, steps)
    else:
        text = table(chosen)
        print(text)
        if chosen.write:
            RESULT.write_text(text, encoding="utf-8")
