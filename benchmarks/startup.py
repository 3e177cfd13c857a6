"""How long Palate takes to start: ``python benchmarks/startup.py [repeats]`` prints a Markdown table.

Each figure is the wall time of a fresh process, the median and the least of the repeats. Python's own start
is in the table, since it is part of what a person waits for.
"""

import statistics
import subprocess
import sys
import time

HEAVY = ("torch", "transformers", "openai", "wordllama", "matplotlib", "datasets", "xllamacpp")
LOADED = f"import palate.command._app, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
CASES = (
    ("python -c pass", ("-c", "pass"), None),
    ("import palate", ("-c", "import palate"), 0.3),
    ("palate --help", ("-c", "from palate.command import main; main()", "--help"), 0.5),
    ("palate list", ("-c", "from palate.command import main; main()", "list"), None),
)


def seconds(arguments: tuple[str, ...]) -> float:
    """Wall time of one fresh process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print("| command | median, ms | least, ms | allowed, ms | within |\n|---|--:|--:|--:|---|")
    for name, arguments, allowed in CASES:
        seconds(arguments)  # the first call also writes the byte code
        taken = [seconds(arguments) for _ in range(repeats)]
        median, least = statistics.median(taken), min(taken)
        limit = "–" if allowed is None else f"{1000 * allowed:.0f}"
        within = "–" if allowed is None else ("yes" if median <= allowed else "NO")
        print(f"| `{name}` | {1000 * median:.0f} | {1000 * least:.0f} | {limit} | {within} |")
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"\nHeavy modules loaded by the command line itself, of {', '.join(HEAVY)}: {loaded}")


if __name__ == "__main__":
    main()
