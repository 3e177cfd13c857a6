"""Does structure pay? Planted functions with a known graph, at growing amounts of data.

python benchmarks/fgm.py run PART        graph | numbers | scores | networks | votes; resumes from the JSON
python benchmarks/fgm.py write           benchmarks/results/fgm.md from benchmarks/results/fgm.json

graph    11 Gaussian variables, five triangles in a chain (15 of 55 edges), a mixture of radial functions on
         each triangle: Stein's estimate of the edges, with and without the control variate.
numbers  The same function on a box, scores with noise: the best combination proposed.
scores   Six slots of four options, cliques {0,1}, {1,2}, {3,4}, {5}, a random table on each; scores with
         noise.
votes    The same slots: votes on a pool of combinations drawn at random.

Regret is the optimum less the value of the proposal, in standard deviations of the function (of votes: in
log-odds). All methods see the same log, and propose the best combination that is not in it.
"""

import argparse
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from palate.choice import count_duels
from palate.structure import (
    Domain,
    Edge,
    Factor,
    Form,
    Log,
    Range,
    ScoreLog,
    VoteLog,
    average_graphs,
    best_choice,
    best_rows,
    discover,
    edge_tests,
    false_discovery_edges,
    fit_model,
    fit_networks,
    mean_hessian,
)
from palate.types import Array

RESULTS = Path(__file__).parent / "results"
STORE = RESULTS / "fgm.json"
SEEDS = 24
LEAST = 20  # a row of fewer is not shown

CHAIN = tuple((k, k + 1, k + 2) for k in range(0, 10, 2))
CHAIN_EDGES = frozenset(pair for triangle in CHAIN for pair in itertools.combinations(triangle, 2))
SIDE = 2.0  # the box is [-2, 2] in each variable
GRAPH_SIZES = (500, 2_000, 10_000, 50_000)
NUMBER_SIZES = (200,)

SLOTS = (4,) * 6
CLIQUES = ((0, 1), (1, 2), (3, 4), (5,))
SLOT_EDGES = frozenset({(0, 1), (1, 2), (3, 4)})
SPREAD = 1.5  # of the slots' utilities, in log-odds
NOISE = 0.5  # of the scores, in standard deviations of the function
SCORE_SIZES = (40, 80, 160, 320)
NETWORK_SIZES = (160,)
VOTE_SIZES = ((40, 30), (40, 60), (40, 120), (40, 250), (150, 500))
EVERY = np.array(list(itertools.product(*(range(k) for k in SLOTS))), dtype=np.float64)


class Radial(NamedTuple):
    """A mixture of radial functions on each triangle."""

    centre_CK3: Array
    weight_CK: Array

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Radial":
        return cls(rng.standard_normal((len(CHAIN), 5, 3)), rng.standard_normal((len(CHAIN), 5)))

    def part(self, c: int, z_N3: Array) -> Array:
        gap_NK = ((z_N3[:, None, :] - self.centre_CK3[c]) ** 2).sum(axis=2)
        return np.exp(-0.5 * gap_NK) @ self.weight_CK[c]

    def __call__(self, z_NV: Array) -> Array:
        return np.sum([self.part(c, z_NV[:, list(t)]) for c, t in enumerate(CHAIN)], axis=0)

    def top(self, points: int = 31) -> float:
        """The optimum over the box, on a grid, by elimination."""
        line = np.linspace(-SIDE, SIDE, points)
        cube = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
        tables = [Factor(t, self.part(c, cube).reshape([points] * 3)) for c, t in enumerate(CHAIN)]
        return best_choice(tables, [points] * 11)[0]


def slot_function(rng: np.random.Generator) -> Array:
    """The value of every combination of slots: a random table on each clique."""
    total = np.zeros(len(EVERY))
    for clique in CLIQUES:
        table = rng.standard_normal([SLOTS[v] for v in clique])
        total += table[tuple(EVERY[:, v].astype(int) for v in clique)]
    return total / total.std()


def found(edges: frozenset[Edge], truth: frozenset[Edge]) -> dict[str, float]:
    """Precision (1 where nothing is claimed) and recall of a graph."""
    right = len(edges & truth)
    return {"precision": right / len(edges) if edges else 1.0, "recall": right / len(truth)}


def area(strength: Array, truth: frozenset[Edge], size: int) -> float:
    """Chance that a true edge is ranked above a missing one."""
    pairs = list(itertools.combinations(range(size), 2))
    yes = np.array([strength[p] for p in pairs if p in truth])
    no = np.array([strength[p] for p in pairs if p not in truth])
    return float((yes[:, None] > no[None, :]).mean() + 0.5 * (yes[:, None] == no[None, :]).mean())


def graph_unit(seed: int, size: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, size, 1])
    function = Radial.draw(rng)
    z = rng.standard_normal((size, 11))
    y = function(z)
    told: dict[str, float] = {}
    pairs = list(itertools.combinations(range(11), 2))
    for control in (False, True):
        estimate = mean_hessian(z, y, control=control)
        name = "control" if control else "plain"
        told[f"{name} area"] = area(np.abs(estimate.value_VV), CHAIN_EDGES, 11)
        ranked = sorted(pairs, key=lambda p, e=estimate: -abs(float(e.value_VV[p])))
        told[f"{name} top 15"] = len(set(ranked[:15]) & CHAIN_EDGES) / 15
        p = {
            q: math.erfc(abs(float(estimate.value_VV[q] / estimate.error_VV[q])) / math.sqrt(2))
            for q in pairs
        }
        passed = 0
        order = sorted(pairs, key=lambda q, p=p: p[q])
        for rank, pair in enumerate(order, start=1):
            if p[pair] <= 0.1 * rank / len(pairs):
                passed = rank
        graph = found(frozenset(order[:passed]), CHAIN_EDGES)
        told |= {f"{name} {key}": value for key, value in graph.items()}
    unit = np.clip((z + 4.0) / 8.0, 0, 1)
    if size <= 10_000:
        tests = edge_tests(ScoreLog(unit, y), (0,) * 11)
        strength = np.zeros((11, 11))
        for test in tests:
            strength[test.edge] = -test.p if test.p > 0 else test.strength
        told["anova area"] = area(strength, CHAIN_EDGES, 11)
        graph = found(false_discovery_edges(tests, 0.1), CHAIN_EDGES)
        told |= {f"anova {key}": value for key, value in graph.items()}
    return told


def numbers_unit(seed: int, size: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, size, 2])
    function = Radial.draw(rng)
    spread = float(function(rng.uniform(-SIDE, SIDE, (20_000, 11))).std())
    x = rng.random((size, 11))
    value = function((2 * x - 1) * SIDE)
    log = ScoreLog(x, value + 0.1 * spread * rng.standard_normal(size))
    domain = Domain(tuple(Range(f"x{k}", 0.0, 1.0) for k in range(11)))
    every = frozenset(itertools.combinations(range(11), 2))
    levels = (0,) * 11
    chosen = discover(log, levels)
    models = {
        "chosen": chosen.model,
        "true graph": fit_model(log, Form(levels, CHAIN_EDGES)),
        "additive": fit_model(log, Form(levels, frozenset())),
        "no structure": fit_model(log, Form(levels, every)),
    }
    top = function.top()
    told = {"best in data": (top - float(value.max())) / spread}
    for name, model in models.items():
        tops = best_rows(model, domain, 1, tried_NV=x, rng=rng, points=9)
        told[name] = (top - float(function((2 * tops.x_PV - 1) * SIDE)[0])) / spread
    return told | {f"chosen {key}": v for key, v in found(chosen.edges, CHAIN_EDGES).items()}


def slots_unit(rng: np.random.Generator, log: Log, value: Array, tried: Array) -> dict[str, float]:
    """Every way to learn from one log of slots."""
    every = frozenset(itertools.combinations(range(6), 2))
    averaged = average_graphs(log, SLOTS)
    models = {
        "averaged": averaged,
        "chosen": averaged.discovery.model,
        "true graph": fit_model(log, Form(SLOTS, SLOT_EDGES)),
        "additive": fit_model(log, Form(SLOTS, frozenset())),
        "no structure": fit_model(log, Form(SLOTS, every)),
    }
    told: dict[str, float] = {}
    for name, model in models.items():
        mean = model.mean(EVERY)
        told[f"{name} fit"] = float(np.corrcoef(mean, value)[0, 1]) if mean.std() > 0 else 0.0
        mean[tried] = -np.inf
        told[name] = float(value.max() - value[mean.argmax()])
    mean = averaged.mean(EVERY[tried])
    told["best by the log"] = float(value.max() - value[tried[mean.argmax()]])
    told["best in data"] = float(value.max() - value[tried].max())
    graphs = {"averaged": averaged.edges, "chosen": averaged.discovery.edges}
    for control in (True, False):
        tests = edge_tests(log, SLOTS, control=control)
        name = "control" if control else "plain"
        graphs[name] = false_discovery_edges(tests, 0.1)
        strength = np.zeros((6, 6))
        for test in tests:
            strength[test.edge] = -test.p
        told[f"{name} area"] = area(strength, SLOT_EDGES, 6)
    for name, edges in graphs.items():
        told |= {f"{name} {key}": v for key, v in found(edges, SLOT_EDGES).items()}
    return told | {"unstructured": averaged.unstructured}


def scores_unit(seed: int, size: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, size, 3])
    value = slot_function(rng)
    tried = rng.choice(len(EVERY), size=size, replace=False)
    log = ScoreLog(EVERY[tried], value[tried] + NOISE * rng.standard_normal(size))
    return slots_unit(rng, log, value, tried)


def networks_unit(seed: int, size: int) -> dict[str, float]:
    """The same scores as in ``scores``, learnt by the networks of the paper instead of Gaussian processes."""
    rng = np.random.default_rng([seed, size, 3])
    value = slot_function(rng)
    tried = rng.choice(len(EVERY), size=size, replace=False)
    log = ScoreLog(EVERY[tried], value[tried] + NOISE * rng.standard_normal(size))
    edges = false_discovery_edges(edge_tests(log, SLOTS), 0.1)
    graphs = {
        "additive": frozenset[Edge](),
        "no structure": frozenset(itertools.combinations(range(6), 2)),
        "chosen": edges,
        "true graph": SLOT_EDGES,
    }
    told: dict[str, float] = {}
    for name, graph in graphs.items():
        mean = fit_networks(log, Form(SLOTS, graph), rng=np.random.default_rng(seed), decay=3e-3).mean(EVERY)
        mean[tried] = -np.inf
        told[name] = float(value.max() - value[mean.argmax()])
    return told


def votes_unit(seed: int, pool: int, count: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, pool, count, 4])
    value = SPREAD * slot_function(rng)
    tried = rng.choice(len(EVERY), size=pool, replace=False)
    first = rng.integers(pool, size=count)
    second = (first + rng.integers(1, pool, size=count)) % pool
    gap = value[tried[first]] - value[tried[second]]
    won = rng.random(count) < 1 / (1 + np.exp(-gap))
    log = VoteLog(EVERY[tried], count_duels(first, second, won.astype(np.float64)))
    return slots_unit(rng, log, value, tried)


PARTS: dict[str, tuple[Callable[..., dict[str, float]], tuple[tuple[int, ...], ...]]] = {
    "graph": (graph_unit, tuple((n,) for n in GRAPH_SIZES)),
    "numbers": (numbers_unit, tuple((n,) for n in NUMBER_SIZES)),
    "scores": (scores_unit, tuple((n,) for n in SCORE_SIZES)),
    "votes": (votes_unit, VOTE_SIZES),
    "networks": (networks_unit, tuple((n,) for n in NETWORK_SIZES)),
}


def run(part: str, store: Path, seeds: int) -> None:
    """Compute what the store lacks, a unit at a time."""
    unit, sizes = PARTS[part]
    for size in sizes:
        for seed in range(seeds):
            key = "|".join(map(str, (part, *size, seed)))
            known = json.loads(store.read_text()) if store.is_file() else {}
            if key not in known:
                told = unit(seed, *size)
                known[key] = {name: round(value, 5) for name, value in told.items()}
                store.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", encoding="utf-8")
        print(part, size, "done", flush=True)


def cells(known: dict, part: str, size: tuple[int, ...], name: str) -> np.ndarray:
    prefix = "|".join(map(str, (part, *size))) + "|"
    rows = [told[name] for key, told in known.items() if key.startswith(prefix) and name in told]
    return np.array(rows)


def shown(values: np.ndarray, digits: int = 2) -> str:
    """Mean and half the width of its 95 % interval."""
    if not len(values):
        return ""
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():.{digits}f} ± {half:.{digits}f}"


def table(known: dict, part: str, names: tuple[str, ...], *, gain: str = "") -> list[str]:
    """One table; ``gain`` is the method whose regret is taken off that of no structure, log by log."""
    head = ["combinations", "votes"] if part == "votes" else ["rows"]
    last = [f"no structure less {gain}"] if gain else []
    columns = [*head, *names, *last]
    lines = ["| " + " | ".join(columns) + " |", "|" + "--:|" * len(columns)]
    for size in PARTS[part][1]:
        if len(cells(known, part, size, names[0])) < LEAST:
            continue
        row = [f"{n:,}" for n in size] + [shown(cells(known, part, size, name)) for name in names]
        if gain:
            row.append(shown(cells(known, part, size, "no structure") - cells(known, part, size, gain)))
        lines.append("| " + " | ".join(row) + " |")
    return [*lines, ""]


METHODS = ("best in data", "additive", "no structure", "chosen", "true graph")
SLOT_METHODS = ("best by the log", "additive", "no structure", "chosen", "averaged", "true graph")
GRAPH = (
    "plain area",
    "control area",
    "plain top 15",
    "control top 15",
    "plain precision",
    "plain recall",
    "control precision",
    "control recall",
    "anova precision",
    "anova recall",
)
SLOT_GRAPH = (
    "plain area",
    "control area",
    "plain precision",
    "plain recall",
    "control precision",
    "control recall",
    "averaged precision",
    "averaged recall",
    "unstructured",
)


def write(store: Path, path: Path) -> None:
    known = json.loads(store.read_text())
    lines = [
        "# Does structure pay?",
        "",
        "`python benchmarks/fgm.py run PART`, then `python benchmarks/fgm.py write`",
        "",
        f"Planted functions with a known graph, {LEAST} to {SEEDS} of a kind; ± is half of a 95 % interval",
        "of the mean. Regret is the optimum less the true value of what is proposed, in standard deviations",
        "of the function (of votes: in log-odds, where the deviation is 1.5). Methods see the same logs and",
        "propose the best combination that is not in them. *True graph* is told the graph; *no structure* is",
        "the same Gaussian process with all variables in one clique; *chosen* is the one graph of highest",
        "evidence, *averaged* what `palate propose` uses, *best by the log* the best that was tried, as the",
        "average believes. *Plain* and *control* are without and with the control variate; *area* is the",
        "chance that an edge is ranked above a pair that is none; precision (1 where nothing is claimed) and",
        "recall are of the graph with at most 10 % false edges, or of that of *averaged* and *chosen*.",
        "The last column is a paired difference: above zero, structure is ahead.",
        "",
        "## Numbers: the graph",
        "",
        "Eleven Gaussian variables, five triangles in a chain (15 of 55 pairs), radial functions, no noise.",
        "*Top 15* is the share of true edges among the 15 strongest. *Anova* adds the squares.",
        "",
        *table(known, "graph", GRAPH),
        "## Numbers: the proposal",
        "",
        "The same functions on a box of ±2, rows drawn evenly, noise of a tenth of the deviation. Regret:",
        "",
        *table(known, "numbers", METHODS, gain="chosen"),
        *table(known, "numbers", ("chosen precision", "chosen recall")),
        "## Slots: scores",
        "",
        "Six slots of four options (4,096 combinations), cliques {0,1}, {1,2}, {3,4}, {5}; noise of half the",
        "deviation. Regret:",
        "",
        *table(known, "scores", SLOT_METHODS, gain="averaged"),
        "The graph, and the weight of *no structure* in the average:",
        "",
        *table(known, "scores", SLOT_GRAPH),
        "The same logs learnt by networks of one hidden layer, one a clique, as published;",
        "*chosen* are the edges with at most 10 % false ones. Regret:",
        "",
        *table(known, "networks", ("additive", "no structure", "chosen", "true graph"), gain="chosen"),
        "## Slots: votes",
        "",
        "The same, pairs drawn at random from a pool of combinations drawn at random. Regret in log-odds:",
        "",
        *table(known, "votes", SLOT_METHODS, gain="averaged"),
        "The graph:",
        "",
        *table(known, "votes", SLOT_GRAPH),
    ]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("run", "write"))
    parser.add_argument("part", nargs="?", choices=tuple(PARTS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--store", type=Path, default=STORE)
    options = parser.parse_args()
    if options.verb == "write":
        write(options.store, RESULTS / "fgm.md")
    else:
        for part in (options.part,) if options.part else tuple(PARTS):
            run(part, options.store, options.seeds)


if __name__ == "__main__":
    main()
