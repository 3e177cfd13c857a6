"""LEO on functions whose minima are known, against random search, CMA-ES and TPE at the same budget.

    python benchmarks/leo.py --write                                       the cheap methods
    python benchmarks/leo.py --methods embedded --seeds 1 --write          the embedded model

Every method may evaluate N (1 + 2 R) points: population N = 10, R = 30 rounds in two dimensions and 100 in
ten, as published. What counts is the best value so far less the minimum. With two losses (ZDT1) it is NSGA-II
with LEO's operators, N (1 + R) points with R = 40, and what counts is the area that they dominate.

- stand-in: LEO, its prompts answered by operators of variation that read them (benchmarks/_leo_stand_in.py)
- stand-in, no context: the same without showing it any point, the paper's ablation LEO-Rnd
- random: uniform
- CMA-ES: cma, started at a uniform point with a step of 0.3 ranges, restarted at another when it stops
- TPE: optuna's TPESampler with its defaults (for two losses too); NSGA-II: optuna's, population 10
- embedded: LEO with SmolLM2-135M-Instruct, for a few rounds: a round in two dimensions takes it 20 seconds

Runs are kept in leo.json by method, problem and seed, so that they can be made bit by bit; delete it to begin
anew. Those of the embedded model that are kept are not made again.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import shlex
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _leo_stand_in import stand_in
from _test_functions import REFERENCE, ZDT1_AREA, Problem, problems, zdt1

from palate.proposers import Box, LeoModular, LeoSearch, hypervolume

POPULATION, PAIR_ROUNDS = 10, 40
RESULTS = Path(__file__).parent / "results"
SINGLE = ("stand-in", "stand-in, no context", "random", "CMA-ES", "TPE")
DOUBLE = ("stand-in", "random", "NSGA-II", "TPE")
PAIR = "ZDT1"
SAVE_SECONDS = 60
KEPT = (0, 1, 2, 3, 5, 10, 20, 30, 40, 60, 80, 100)  # rounds after which the best is kept


class Recorder:
    """Remembers every value of a function, in the order of asking."""

    def __init__(self, function):
        self.function, self.seen = function, []

    def __call__(self, x_MD):
        values = self.function(np.atleast_2d(x_MD))
        self.seen.extend(values)
        return values


def leo(problem: Problem, seed: int, rounds: int, *, context: bool, model=None):
    recorder = Recorder(problem.gap)
    search = LeoSearch(Box(problem.low, problem.high), population=POPULATION, context=context)
    run = search.run(recorder, model or stand_in(), rounds=rounds, rng=np.random.default_rng(seed))
    return run, recorder


def random_search(problem, seed, budget):
    recorder = Recorder(problem.gap)
    recorder(np.random.default_rng(seed).uniform(problem.low, problem.high, size=(budget, len(problem.low))))
    return recorder


def cma_es(problem, seed, budget):
    import cma

    recorder, rng = Recorder(problem.gap), np.random.default_rng(seed)
    low, width = np.array(problem.low), np.array(problem.high) - np.array(problem.low)
    while len(recorder.seen) < budget:
        options = {"bounds": [0, 1], "seed": int(rng.integers(1, 2**31)), "verbose": -9}
        strategy = cma.CMAEvolutionStrategy(rng.random(len(low)), 0.3, options)
        while not strategy.stop() and len(recorder.seen) < budget:
            points = strategy.ask()
            strategy.tell(points, list(recorder(low + width * np.array(points))))
    return recorder


def optuna_study(sampler, function, low, high, losses, budget):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recorder = Recorder(function)

    def objective(trial):
        point = [trial.suggest_float(f"x{k}", a, b) for k, (a, b) in enumerate(zip(low, high, strict=True))]
        value = recorder([point])[0]
        return tuple(value) if losses > 1 else float(value)

    study = optuna.create_study(sampler=sampler(optuna), directions=["minimize"] * losses)
    study.optimize(objective, n_trials=budget)
    return recorder


def single(task):
    """One run of one method on one problem."""
    method, index, seed = task
    problem = problems()[index]
    budget = POPULATION * (1 + 2 * problem.rounds)
    if method.startswith("stand-in"):
        run, recorder = leo(problem, seed, problem.rounds, context=method == "stand-in")
        asyncio.run(run)
    elif method == "TPE":
        recorder = optuna_study(
            lambda o: o.samplers.TPESampler(seed=seed), problem.gap, problem.low, problem.high, 1, budget
        )
    else:
        recorder = {"random": random_search, "CMA-ES": cma_es}[method](problem, seed, budget)
    return method, problem.name, seed, gaps(recorder.seen[:budget])


def double(task):
    """One run of one method on ZDT1."""
    method, _, seed = task
    budget = POPULATION * (1 + PAIR_ROUNDS)
    low, high = (0, 0), (1, 1)
    recorder = Recorder(zdt1)
    if method == "stand-in":
        search = LeoModular(Box(low, high), population=POPULATION)
        run = search.run(recorder, stand_in(), rounds=PAIR_ROUNDS, rng=np.random.default_rng(seed))
        asyncio.run(run)
    elif method == "random":
        recorder(np.random.default_rng(seed).random((budget, 2)))
    else:
        recorder = optuna_study(
            lambda o: (
                o.samplers.TPESampler(seed=seed)
                if method == "TPE"
                else o.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
            ),
            zdt1, low, high, 2, budget,
        )  # fmt: skip
    return method, PAIR, seed, areas(recorder.seen[:budget])


def gaps(seen):
    """The best so far, by the number of evaluations."""
    # Rounding may undercut the minimum.
    best = np.maximum(np.minimum.accumulate(np.array(seen, dtype=float)), 0.0)
    ends = [POPULATION * (1 + 2 * rounds) for rounds in KEPT]
    return {end: float(best[end - 1]) for end in ends if end <= len(best)}


def areas(seen):
    """The share of the greatest area that is not dominated yet, by the number of evaluations."""
    points = np.array(seen)
    ends = [POPULATION * (1 + rounds) for rounds in KEPT]
    return {end: 1 - hypervolume(points[:end], REFERENCE) / ZDT1_AREA for end in ends if end <= len(points)}


async def embedded(seeds: int, rounds: int, kept):
    """Runs of the embedded model, one by one; one round of ten numbers a row costs as much as five of two."""
    from palate.models import embedded_model

    model = embedded_model(threads=1)
    few = [p for p in problems() if len(p.low) == 2]
    many = [p for p in problems() if len(p.low) > 2]
    for problem in (*few, None, *many):
        for seed in range(seeds):
            started, rng = time.process_time(), np.random.default_rng(seed)
            if str(seed) in kept.get(PAIR if problem is None else problem.name, {}):
                continue
            if problem is None:
                recorder, search = Recorder(zdt1), LeoModular(Box((0, 0), (1, 1)), population=POPULATION)
                tally = (await search.run(recorder, model, rounds=rounds, rng=rng)).tally
                row = ("embedded", PAIR, seed, areas(recorder.seen))
            else:
                own = rounds if problem in few else 1
                run, recorder = leo(problem, seed, own, context=True, model=model)
                tally = (await run).state.tally
                row = ("embedded", problem.name, seed, gaps(recorder.seen))
            yield row, {"seconds": time.process_time() - started, "rounds": rounds, **tally._asdict()}
    await model.close()


def interval(values):
    """Median with a 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(values, size=(2000, len(values))), axis=1)
    return np.median(values), *np.quantile(drawn, [0.025, 0.975])


def cell(values):
    middle, low, high = interval(values)
    return f"{middle:.2g} ({low:.2g}–{high:.2g})" if len(values) > 1 else f"{middle:.2g}"


def table(kept, methods, names, ends):
    """A row a problem: the runs of each method after ``ends[name]`` evaluations."""
    lines = ["| problem | evaluations | " + " | ".join(methods) + " |", "|---|--:|" + "--:|" * len(methods)]
    for name in names:
        runs = [kept.get(method, {}).get(name, {}).values() for method in methods]
        cells = [cell([run[str(ends[name])] for run in found]) if found else "–" for found in runs]
        lines.append(f"| {name} | {ends[name]} | " + " | ".join(cells) + " |")
    return lines


def page(data):
    kept, note = data["runs"], data.get("embedded")
    names = [problem.name for problem in problems()]
    ends = {problem.name: POPULATION * (1 + 2 * problem.rounds) for problem in problems()}
    ends[PAIR] = POPULATION * (1 + PAIR_ROUNDS)
    seeds = {m: sorted({len(runs) for runs in kept[m].values()}) for m in kept}
    runs = [
        f"{m} {min(counts)}" + ("" if len(counts) == 1 else f" to {max(counts)}")
        for m, counts in seeds.items()
    ]
    lines = [
        "# LEO on functions whose minima are known", "",
        *[f"`{command}`  " for command in data["commands"]], "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}. Median over runs "
        "of the best value less the minimum (95 % bootstrap interval); lower is better. Runs: "
        f"{'; '.join(runs)}.", "",
        *table(kept, SINGLE, names, ends), "",
        "## Two losses: ZDT1 in two variables", "",
        "Share of the greatest area (up to the point 1.1, 1.1) that all points so far leave undominated; "
        "lower is better.", "",
        *table(kept, DOUBLE, [PAIR], ends),
    ]  # fmt: skip
    return "\n".join([*lines, *(embedded_part(kept, note, names) if note else [])]) + "\n"


def embedded_part(kept, note, names):
    ends = {name: max(map(int, runs["0"])) for name, runs in kept["embedded"].items()}
    first = {
        name: {s: {str(ends[name]): run["10"]} for s, run in runs.items()}
        for name, runs in kept["embedded"].items()
    }
    kept = {**kept, "embedded, first 10": first}
    own = ("embedded, first 10", "embedded")
    share = note["fell_back"] / note["rows"]
    return [
        "", "## With the embedded model", "",
        f"SmolLM2-135M-Instruct, rounds: {note['rounds']}, requests: {note['calls']}; "
        f"{note['seconds']:.0f} s of processor time. Of {note['rows']} rows asked for, {note['fell_back']} "
        f"({share:.0%}) could not be read or were missing and fell back to the pool, and {note['clipped']} "
        "were moved to a bound. *First 10* is the best of the uniform points that the model's runs began "
        "with; a run that ends there gained nothing from it. The others after as many evaluations:", "",
        *table(kept, (*SINGLE[:1], *SINGLE[2:], *own), [n for n in names if n in ends], ends),
        *(["", *table(kept, (*DOUBLE, *own), [PAIR], ends)] if PAIR in ends else []),
    ]  # fmt: skip


def plot(data, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [*(problem.name for problem in problems()), PAIR]
    figure, axes = plt.subplots(3, 3, figsize=(11, 9), constrained_layout=True)
    for axis, name in zip(axes.flat, names, strict=True):
        for number, (method, runs) in enumerate(data["runs"].items()):
            if runs.get(name):
                found = list(runs[name].values())
                middle = np.median([list(run.values()) for run in found], axis=0)
                axis.plot(
                    [int(end) for end in found[0]],
                    np.maximum(middle, 1e-9),
                    ".-",
                    label=method,
                    color=f"C{number}",
                )
        axis.set(title=name, xscale="log", yscale="log", xlabel="evaluations")
    figure.legend(*all_labels(axes), loc="outside lower center", ncols=7)
    figure.savefig(path, dpi=110)


def all_labels(axes):
    """Every method's line once, from whichever panels have it."""
    found = {}
    for axis in axes.flat:
        found.update({label: line for line, label in zip(*axis.get_legend_handles_labels(), strict=True)})
    return list(found.values()), list(found)


def gather(chosen, methods):
    tasks = [(m, k, seed) for seed in range(chosen.seeds) for k in range(8) for m in methods if m in SINGLE]
    if "TPE" in methods:
        # optuna's time a trial grows with the trials; ten dimensions have 2010 of them.
        tasks = [t for t in tasks if t[0] != "TPE" or t[1] < 6 or t[2] < chosen.tpe_seeds]
        tasks.sort(key=lambda t: t[1] >= 6)
    pairs = [(m, None, seed) for m in methods if m in DOUBLE for seed in range(chosen.seeds)]
    with multiprocessing.get_context("spawn").Pool(chosen.jobs) as pool:
        yield from pool.imap_unordered(double, pairs)
        yield from pool.imap_unordered(single, tasks)


def main() -> None:
    """Run, print, and write if asked."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=[*dict.fromkeys((*SINGLE, *DOUBLE))])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--tpe-seeds", type=int, default=10, help="runs of TPE in ten dimensions")
    parser.add_argument("--rounds", type=int, default=5, help="of the embedded model in two dimensions")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if "embedded" in chosen.methods:
        asyncio.run(keep_embedded(chosen))
    else:
        keep_others(chosen)


def keep_others(chosen):
    """Keep the runs every now and then, so that a benchmark that is stopped is not lost."""
    rows, kept_at = [], time.monotonic()
    for row in gather(chosen, chosen.methods):
        rows.append(row)
        if time.monotonic() - kept_at > SAVE_SECONDS:
            keep(rows, chosen, drawn=False)
            kept_at = time.monotonic()
    keep(rows, chosen)


async def keep_embedded(chosen):
    """Keep each run as soon as it is there, since they take long."""
    path = RESULTS / "leo.json"
    kept = json.loads(path.read_text())["runs"].get("embedded", {}) if path.exists() else {}
    async for row, cost in embedded(chosen.seeds, chosen.rounds, kept):
        keep([row], chosen, cost)


def keep(rows, chosen, cost=None, *, drawn=True):
    """Join the runs to those that are kept, print the page, and write it if asked."""
    # Read only now: another run of this script may have written meanwhile.
    path = RESULTS / "leo.json"
    data = json.loads(path.read_text()) if path.exists() else {"runs": {}, "commands": []}
    command = shlex.join(["python", "benchmarks/leo.py", *sys.argv[1:]])
    data["commands"] = [*(known for known in data["commands"] if known != command), command]
    if cost is not None:
        before = data.get("embedded", {})
        data["embedded"] = {key: value + before.get(key, 0) for key, value in cost.items()}
        data["embedded"]["rounds"] = chosen.rounds
    for method, name, seed, best in rows:
        rounded = {str(end): float(f"{value:.4g}") for end, value in best.items()}
        data["runs"].setdefault(method, {}).setdefault(name, {})[str(seed)] = rounded
    text = page(data)
    print(text, flush=True)
    if chosen.write:
        path.write_text(json.dumps(data, separators=(",", ":")) + "\n")
        (RESULTS / "leo.md").write_text(text)
        if drawn:
            plot(data, RESULTS / "leo.png")


if __name__ == "__main__":
    main()
