"""How many votes each strategy needs: true quality of the reported prompt after so many simulated votes.

    python benchmarks/votes_needed.py --quick                     under five minutes
    python benchmarks/votes_needed.py --split develop             the whole grid on the tasks for development
    python benchmarks/votes_needed.py --split confirm --reason "…"   on the others; each time is recorded

Problems are real prompts of 15 tasks, with their accuracy on 11 to 16 models; raters are simulated (see
_prompt_tables.py). Every strategy gets the same features. A seed fixes the rater's coin and, one after the
other, the model whose accuracies are the truth. The figure is never a running best: at each checkpoint it is
the true score of what the strategy would then report, as a share of the way from the average to the best
candidate. Intervals are 95 % bootstrap intervals over problems (task and model), those of differences paired.
Finished studies are kept in --cache, so that an interrupted run goes on; --fresh forgets a strategy's.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
from _prompt_tables import (
    CONDITIONS,
    SLOPES,
    Rater,
    Unit,
    features,
    load_tables,
    pool_rows,
    split,
    usable_models,
)

from palate.strategies import duel_bandit

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CHECKPOINTS = (5, 10, 25, 50, 100, 150)
STRATEGIES: dict[str, tuple[str, dict]] = {
    "default": ("default", {}),
    "gp-eubo": ("gp-eubo", {}),
    "preferential-gp": ("preferential-gp", {}),
    "preferential-gp-qeubo": ("preferential-gp-qeubo", {}),
    "preferential-gp-thompson": ("preferential-gp-thompson", {}),
    "preferential-gp-bald": ("preferential-gp-bald", {}),
    "apohf": ("apohf", {}),
    "apohf-released": ("apohf-released", {}),
    "linear-ucb": ("linear-ucb", {}),
    "linear-released": ("linear-released", {}),
    "ndb-ucb": ("ndb-ucb", {}),
    "ndb-ts": ("ndb-ts", {}),
    "ndb-ucb-last-layer": ("ndb-ucb", {"phi": "last-layer"}),
    "double-ts": ("double-ts", {}),
    "pdo": ("pdo", {}),
    "ensemble-ts": ("ensemble-ts", {}),
    "random": ("random", {}),
    "random-memoryless": ("random-memoryless", {}),
}
QUICK = ("default", "gp-eubo", "linear-ucb", "random", "random-memoryless")


@cache
def _problem(task: str, kind: str) -> tuple[dict, np.ndarray]:
    table = load_tables()[task]
    return table, features(table["templates"], kind)


def play(unit: Unit) -> dict:
    """Run one study; returns the true score of the report after every vote, and what P(best) said."""
    table, feature_ND = _problem(unit.task, unit.kind)
    rows = pool_rows(table, unit.pool)
    truth_N = np.array(table["accuracy"][unit.model])[rows]
    name, options = STRATEGIES[unit.strategy]
    bandit = duel_bandit(name, feature_ND[rows], unit.seed, **options)
    rater = Rater(unit, truth_N)
    sides = np.random.default_rng([unit.seed, 1])
    width = float(truth_N.max() - truth_N.mean())
    curve, sure, taken = [], [], 0.0
    for votes in range(1, unit.votes + 1):
        started = time.perf_counter()
        i, j = bandit.ask()
        taken += time.perf_counter() - started
        left, right = (i, j) if sides.random() < 0.5 else (j, i)
        verdict, judge = rater(left, right)
        bandit.tell(left, right, verdict, judge=judge)
        best = bandit.best()
        curve.append(round(float(truth_N[best] - truth_N.mean()) / width, 5))
        if votes in CHECKPOINTS:
            sure.append([round(float(bandit.p_best()[best]), 4), bool(truth_N[best] == truth_N.max())])
    return {"key": unit.key, "curve": curve, "sure": sure, "ms": round(1e3 * taken / unit.votes, 3)}


def units(options: argparse.Namespace) -> list[Unit]:
    """Everything that was asked for, the cheap seeds of all strategies first."""
    tables = load_tables()
    found = []
    for seed in range(options.seeds):
        for task in split(list(tables), options.split)[: options.tasks]:
            models = usable_models(tables[task], options.pool)
            chosen = models if options.models == "all" else [models[seed % len(models)]]
            found += [
                Unit(
                    strategy,
                    task,
                    model,
                    slope,
                    condition,
                    seed,
                    options.votes,
                    options.features,
                    options.pool,
                )
                for model in chosen
                for slope in options.slopes
                for condition in options.conditions
                for strategy in options.strategies
            ]
    return found


def run(wanted: list[Unit], cache_file: Path, jobs: int, fresh: list[str]) -> dict[str, dict]:
    """Play what is not yet in the cache; appends every finished study to it at once."""
    done: dict[str, dict] = {}
    if cache_file.is_file():
        for line in cache_file.read_text().splitlines():
            row = json.loads(line)
            if row["key"].split("|")[0] not in fresh:
                done[row["key"]] = row
    missing = [unit for unit in wanted if unit.key not in done]
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        cache_file.write_text("".join(json.dumps(row) + "\n" for row in done.values()))
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(jobs) as pool, cache_file.open("a") as file:
        for count, row in enumerate(pool.imap_unordered(play, missing, chunksize=1), 1):
            done[row["key"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            if sys.stderr.isatty() and count % 20 == 0:
                left = (time.monotonic() - started) / count * (len(missing) - count)
                print(f"\r{count}/{len(missing)} studies, {left / 60:.0f} min left ", end="", file=sys.stderr)
    return {unit.key: done[unit.key] for unit in wanted}


def by_problem(rows: dict[str, dict], wanted: list[Unit]) -> dict:
    """Mean curve of each (strategy, slope, condition) on each problem: ``{cell: {problem: curve}}``."""
    curves: dict = defaultdict(lambda: defaultdict(list))
    for unit in wanted:
        cell = (unit.strategy, unit.slope, unit.condition)
        curves[cell][unit.task, unit.model].append(rows[unit.key]["curve"])
    return {
        cell: {problem: np.mean(runs, axis=0) for problem, runs in found.items()}
        for cell, found in curves.items()
    }


def interval(value_P: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean over problems and its 95 % bootstrap interval."""
    draw_BP = rng.integers(len(value_P), size=(2000, len(value_P)))
    low, high = np.quantile(value_P[draw_BP].mean(axis=1), [0.025, 0.975])
    return float(value_P.mean()), float(low), float(high)


def summarise(rows: dict[str, dict], wanted: list[Unit], votes: int) -> dict:
    """All figures, as plain values."""
    rng = np.random.default_rng(0)
    points = [c for c in CHECKPOINTS if c <= votes]
    means = by_problem(rows, wanted)
    cells = []
    for (strategy, slope, condition), found in means.items():
        problems = sorted(found)
        curve_PV = np.stack([found[p] for p in problems])
        base = means.get(("default", slope, condition))
        mine = [u for u in wanted if (u.strategy, u.slope, u.condition) == (strategy, slope, condition)]
        reached = [_first_at(rows[u.key]["curve"], 0.95) for u in mine]
        cell = {
            "strategy": strategy, "slope": slope, "condition": condition,
            "problems": len(problems), "studies": len(mine),
            "closed": {c: interval(curve_PV[:, c - 1], rng) for c in points},
            "votes_to_95": float(np.median(reached)),
            "never_reached_95": float(np.mean(np.isinf(reached))),
            "ms_per_question": float(np.median([rows[u.key]["ms"] for u in mine])),
            "calibration": _calibration([s for u in mine for s in rows[u.key]["sure"]]),
        }  # fmt: skip
        if base is not None and strategy != "default":
            ahead_PV = np.stack([base[p] for p in problems]) - curve_PV
            cell["default_ahead"] = {c: interval(ahead_PV[:, c - 1], rng) for c in points}
        cells.append(cell)
    return {"points": points, "cells": cells}


def _first_at(curve: list[float], share: float) -> float:
    at = np.flatnonzero(np.array(curve) >= share)
    return float(at[0] + 1) if len(at) else float("inf")


def _calibration(sure: list) -> list[dict]:
    """In bins of the stated probability: how often the report was the best."""
    said = np.array([s for s, _ in sure])
    right = np.array([r for _, r in sure], dtype=float)
    bins = []
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = (said >= low) & (said < high)
        if inside.any():
            bins.append({
                "from": low, "to": min(high, 1.0), "cases": int(inside.sum()),
                "said": float(said[inside].mean()), "was": float(right[inside].mean()),
            })  # fmt: skip
    return bins


def markdown(summary: dict, command: str) -> str:
    """The tables."""
    points = summary["points"]
    lines = [
        "# Votes needed", "", f"`{command}`", "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}. Share of the way "
        "from the average to the best candidate that the report has come, mean over problems with its 95 % "
        "interval; *votes to 95 %* is the median study's first report at 0.95 of the way.", "",
    ]  # fmt: skip
    groups = dict.fromkeys((c["slope"], c["condition"]) for c in summary["cells"])
    for slope, condition in groups:
        cells = [c for c in summary["cells"] if (c["slope"], c["condition"]) == (slope, condition)]
        lines += [
            f"## Slope {slope}, {condition}", "",
            "| strategy | " + " | ".join(f"{p}" for p in points) + " | votes to 95 % | studies | ms |",
            "|---|" + "--:|" * (len(points) + 3),
        ]  # fmt: skip
        for cell in sorted(cells, key=lambda c: -c["closed"][points[-1]][0]):
            shown = " | ".join("{:.3f} ({:.2f}–{:.2f})".format(*cell["closed"][p]) for p in points)
            reach = f"{cell['votes_to_95']:.0f}" if np.isfinite(cell["votes_to_95"]) else f"> {points[-1]}"
            lines.append(
                f"| {cell['strategy']} | {shown} | {reach} | {cell['studies']} "
                f"| {cell['ms_per_question']:.1f} |"
            )
        rivals = [c for c in cells if "default_ahead" in c]
        if rivals:
            lines += [
                "", "How far the default is ahead, paired over problems:", "",
                "| of | " + " | ".join(f"{p}" for p in points) + " |", "|---|" + "--:|" * len(points),
            ]  # fmt: skip
            for cell in rivals:
                shown = " | ".join(
                    "{:+.3f} ({:+.2f} – {:+.2f})".format(*cell["default_ahead"][p]) for p in points
                )
                lines.append(f"| {cell['strategy']} | {shown} |")
        lines.append("")
    return "\n".join(lines + _calibration_lines(summary))


def _calibration_lines(summary: dict) -> list[str]:
    lines = [
        "## Calibration of P(best), default",
        "",
        "| slope | raters | said | was | cases |",
        "|---|---|--:|--:|--:|",
    ]
    for cell in summary["cells"]:
        if cell["strategy"] == "default":
            lines += [
                f"| {cell['slope']} | {cell['condition']} | {b['said']:.3f} | {b['was']:.3f} | {b['cases']} |"
                for b in cell["calibration"]
            ]
    return [*lines, ""]


def plot(summary: dict, rows: dict[str, dict], wanted: list[Unit], path: Path) -> None:
    """One panel for each slope and kind of rater."""
    from matplotlib.figure import Figure

    means = by_problem(rows, wanted)
    groups = list(dict.fromkeys((slope, condition) for _, slope, condition in means))
    across = min(3, len(groups))
    down = -(-len(groups) // across)
    figure = Figure(figsize=(5.2 * across, 3.8 * down + 0.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(down, across, sharey=True, squeeze=False)).ravel()
    names = list(dict.fromkeys(name for name, _, _ in means))
    for panel, (slope, condition) in zip(panels, groups, strict=False):
        for place, name in enumerate(names):
            if (name, slope, condition) in means:
                curve_V = np.mean(list(means[name, slope, condition].values()), axis=0)
                strong = name == "default"
                panel.plot(
                    np.arange(1, len(curve_V) + 1), curve_V, label=name, color=f"C{place % 10}",
                    linewidth=2.6 if strong else 1.1, linestyle="-" if place < 10 else "--",
                    zorder=3 if strong else 2,
                )  # fmt: skip
        panel.set(title=f"slope {slope}, {condition}", xlabel="votes", ylim=(0, 1), xscale="log")
        panel.set_xticks(summary["points"], [str(p) for p in summary["points"]])
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    for panel in panels[len(groups) :]:
        panel.set_visible(False)
    panels[0].set_ylabel("share of the way from the average to the best")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def shown_command(arguments: list[str]) -> str:
    """The command as anybody would give it: without where studies are kept and how many run at once."""
    kept = [a for k, a in enumerate(arguments) if a not in ("--cache", "--jobs")
            and arguments[max(k, 1) - 1] not in ("--cache", "--jobs")]  # fmt: skip
    return "python benchmarks/votes_needed.py " + shlex.join(kept)


def record_confirm(reason: str, command: str) -> None:
    """Each look at the confirm tasks is written down."""
    if not reason:
        raise SystemExit("the confirm tasks are touched rarely: say why with --reason")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    path = RESULTS / "votes_needed_confirm_log.md"
    if not path.is_file():
        path.write_text(
            "# Looks at the confirm tasks\n\n| date | commit | command | why |\n|---|---|---|---|\n"
        )
    with path.open("a") as file:
        file.write(f"| {time.strftime('%Y-%m-%d')} | {commit.stdout.strip()} | `{command}` | {reason} |\n")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--split", choices=("develop", "confirm", "all"), default="develop")
    parser.add_argument("--reason", default="", help="why the confirm tasks are looked at")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    parser.add_argument("--slopes", nargs="+", default=list(SLOPES), choices=SLOPES)
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=None, help="only the first so many tasks")
    parser.add_argument("--models", choices=("one", "all"), default="one", help="one a seed, in turn, or all")
    parser.add_argument("--votes", type=int, default=150)
    parser.add_argument("--features", choices=("wording", "embedding"), default="wording")
    parser.add_argument(
        "--pool", choices=("all", "correct"), default="all", help="only paraphrases that mean it"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "palate" / "votes_needed.jsonl"
    )
    parser.add_argument("--fresh", nargs="*", default=[], help="strategies whose kept studies are forgotten")
    parser.add_argument("--quick", action="store_true", help="a small subset")
    parser.add_argument("--name", default="votes_needed", help="of the files under --write")
    parser.add_argument("--write", action="store_true", help="write Markdown, JSON and plot to results/")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.strategies, chosen.slopes, chosen.conditions = list(QUICK), ["2", "10"], ["clean"]
        chosen.seeds, chosen.tasks, chosen.votes = 5, 4, 50
    return chosen


def main() -> None:
    """Play, print, and write if asked."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(
            name, "1"
        )  # inherited by the workers: two threads on tables this small only wait
    chosen = options()
    command = shown_command(sys.argv[1:])
    if chosen.split != "develop":
        record_confirm(chosen.reason, command)
    wanted = units(chosen)
    rows = run(wanted, chosen.cache, chosen.jobs, chosen.fresh)
    summary = summarise(rows, wanted, chosen.votes)
    text = markdown(summary, command)
    print(text)
    if chosen.write:
        (RESULTS / f"{chosen.name}.md").write_text(text)
        (RESULTS / f"{chosen.name}.json").write_text(json.dumps(summary, indent=1) + "\n")
        plot(summary, rows, wanted, RESULTS / f"{chosen.name}.png")


if __name__ == "__main__":
    main()
