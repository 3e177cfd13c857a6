"""Memory and time of log-probabilities in slices and from whole logits.

``python benchmarks/log_probabilities.py``; ``--write`` puts the table under ``benchmarks/results``.

The head of SmolLM2-135M (49,152 by 576, random weights), 32 bits, one process a row: forward and backward
through the head alone. Time is the processor's, the better of two runs. Memory is the peak above what the
process held before, with the gradients; Linux only.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

VOCABULARY, WIDTH = 49_152, 576
RESULT = Path(__file__).parent / "results" / "log_probabilities.md"
WAYS = ("whole", "slices")
TOKENS = (256, 1024)


def held(which: str) -> int:
    """Kilobytes of memory that the process holds (VmRSS) or held at most (VmHWM)."""
    told = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in told.splitlines() if line.startswith(which)))


def measure(way: str, head: str, tokens: int) -> str:
    """One row: extra peak memory, time, and the numbers that must agree."""
    import torch

    from palate.policy import linear_log_probs

    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, WIDTH, generator=draw).requires_grad_()
    weight = (0.05 * torch.randn(VOCABULARY, WIDTH, generator=draw)).requires_grad_(head == "trained")
    target = torch.randint(VOCABULARY, (tokens,), generator=draw)

    def step() -> torch.Tensor:
        if way == "slices":
            logp = linear_log_probs(hidden, weight, target)
        else:
            logp = torch.log_softmax(hidden @ weight.T, dim=1).gather(1, target[:, None])[:, 0]
        hidden.grad = weight.grad = None
        loss = -logp.mean()
        loss.backward()
        return loss.detach()

    linear_log_probs(hidden[:2].detach(), weight.detach(), target[:2])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew at what is held now
    before = held("VmRSS")
    times = []
    for _ in range(2):
        started = time.process_time()
        loss = step()
        times.append(time.process_time() - started)
    extra = (held("VmHWM") - before) / 1024
    assert hidden.grad is not None
    norm = float(hidden.grad.norm())
    return (
        f"| {tokens:,} | {head} | {way} | {extra:,.0f} | {min(times):.2f} | {float(loss):.6f} | {norm:.6f} |"
    )


def table() -> str:
    rows = []
    for tokens in TOKENS:
        for head in ("frozen", "trained"):
            for way in WAYS:
                command = [sys.executable, __file__, "--row", way, head, str(tokens)]
                told = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append(told.stdout.strip().splitlines()[-1])
    return "\n".join(
        [
            "# Log-probabilities: slices against whole logits",
            "",
            f"`python benchmarks/log_probabilities.py --write`; {platform.machine()}, "
            f"{os.cpu_count()} cores, "
            f"OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'unset')}.",
            "",
            "| tokens | head | way | peak memory, MB | processor seconds | loss | norm of the gradient |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", nargs=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.row:
        print(measure(options.row[0], options.row[1], int(options.row[2])))
    else:
        text = table()
        print(text)
        if options.write:
            RESULT.write_text(text, encoding="utf-8")
