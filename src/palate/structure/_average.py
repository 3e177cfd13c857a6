"""How sure the graph is: an average over graphs, weighted by their evidence, instead of one chosen graph.

    weight(G) ∝ evidence(G) · ρ^|edges| (1 - ρ)^(pairs - |edges|),   ρ = 1 / max(V - 1, 3)

so that half as many edges as variables are expected, of few variables fewer. The graphs are those that a
climb passes: from the best of the nested graphs of :func:`palate.structure.discover`, to the neighbour, one
edge more or less, of the highest weight, until none is higher; every neighbour that was looked at counts. The
function without structure, all variables acting together, is in the average with a prior of its own. With few
votes many graphs explain the log about equally well, and the average falls back on what they share; the more
votes, the more of the weight is on one graph.

Sources: Madigan and Raftery 1994 (averaging over the graphs near the best, "Occam's window"); Barbieri and
Berger 2004 (the graph of the edges with probability above one half is the best single one for prediction).
This is no part of arXiv 2401.05442, which draws one graph.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from palate.choice import WinRate, win_rate
from palate.structure._discovery import Discovery, EdgeTest, discover
from palate.structure._elimination import Factor
from palate.structure._graph import Clique, Edge, maximal_cliques
from palate.structure._kernel import Form
from palate.structure._model import FactoredModel, Log, Scale, VoteLog, fit_model, probability_above
from palate.types import Array

__all__ = ["AveragedModel", "average_graphs"]

_WINDOW = 10  # graphs kept; the others together weigh little and cost as much
_UNSTRUCTURED = 0.1  # prior probability that everything acts together
_NEIGHBOURS = 45  # pairs whose edge a step may turn: all of ten variables, the likeliest of more
_STEPS = 12
_WIDEST = 12  # variables above which the function without structure has too many terms


@final
@dataclass(frozen=True, eq=False)
class AveragedModel:
    """A belief about a function and its graph.

    Args:
        models: The likeliest graphs, each with what was learnt under it.
        weights: Their posterior probabilities, which sum to 1.
        probability: Of each edge, among the graphs with structure; only the edges that occur.
        unstructured: Posterior probability of the function without structure.
        discovery: The chosen graph of the published rule's order, for comparison.
    """

    models: tuple[FactoredModel, ...]
    weights: tuple[float, ...]
    probability: dict[Edge, float]
    unstructured: float
    discovery: Discovery

    @property
    def levels_V(self) -> tuple[int, ...]:
        """Number of options of each variable, 0 for a number."""
        return self.models[0].form.levels_V

    @property
    def edges(self) -> frozenset[Edge]:
        """The pairs that act together with a probability above one half."""
        return frozenset(edge for edge, share in self.probability.items() if share > 0.5)

    @property
    def cliques(self) -> tuple[Clique, ...]:
        """The maximal cliques of :attr:`edges`."""
        return maximal_cliques(len(self.levels_V), self.edges)

    @property
    def tests(self) -> tuple[EdgeTest, ...]:
        """The test of each pair, by p-value."""
        return self.discovery.tests

    def mean(self, x_PV: Array) -> Array:
        """Expected value at each row: a score, or a utility in log-odds up to a constant."""
        return np.asarray(
            sum(w * model.mean(x_PV) for w, model in zip(self.weights, self.models, strict=True)),
            dtype=np.float64,
        )

    def gradient(self, x_V: Array) -> tuple[float, Array]:
        """The mean at one point, and its derivative by each number; zero for options."""
        value, gradient_V = 0.0, np.zeros(len(x_V))
        for weight, model in zip(self.weights, self.models, strict=True):
            one, slope_V = model.gradient(x_V)
            value, gradient_V = value + weight * one, gradient_V + weight * slope_V
        return value, gradient_V

    def factors(self, grids: list[Array]) -> list[Factor] | None:
        """The mean, less a constant, as tables over the cliques of all graphs; none if one is too large."""
        made: list[Factor] = []
        for weight, model in zip(self.weights, self.models, strict=True):
            tables = model.factors(grids)
            if tables is None:
                return None
            made += [Factor(factor.scope, weight * factor.table) for factor in tables]
        return made

    def compare(self, x_V: Array, other_V: Array) -> WinRate:
        """How often the first beats the second, as :meth:`FactoredModel.compare`.

        The difference is taken for Gaussian with the mean and variance of the mixture over graphs.
        """
        gaps = [model.gap(x_V, other_V) for model in self.models]
        mean = sum(w * gap for w, (gap, _) in zip(self.weights, gaps, strict=True))
        variance = sum(
            w * (spread + (gap - mean) ** 2) for w, (gap, spread) in zip(self.weights, gaps, strict=True)
        )
        if isinstance(self.models[0].log, VoteLog):
            return win_rate(mean, variance)
        return probability_above(mean, variance)


def average_graphs(
    log: Log, levels_V: tuple[int, ...], *, degree: int = 2, unstructured: bool = True
) -> AveragedModel:
    """Learn a function and how likely each graph of it is.

    Args:
        log: Scores or votes. A few hundred fits are made, each of cubic time in the number of rows.
        levels_V: Number of options of each variable, 0 for a number in [0, 1].
        degree: Highest power of a number in the tests that the climb starts from.
        unstructured: Whether the function without structure takes part (with up to 12 variables).

    Returns:
        The belief, over the ten likeliest graphs.

    Raises:
        InputError: As :func:`palate.structure.fit_model`.
    """
    size = len(levels_V)
    first = discover(log, levels_V, degree=degree)
    seen = _climb(log, first)
    pairs = size * (size - 1) // 2
    share = _edge_share(size)
    weigh = {
        edges: model.evidence + len(edges) * math.log(share) + (pairs - len(edges)) * math.log1p(-share)
        for edges, model in seen.items()
    }
    total = float(np.logaddexp.reduce(list(weigh.values())))
    probability: dict[Edge, float] = {}
    for edges, weight in weigh.items():
        for edge in edges:
            probability[edge] = probability.get(edge, 0.0) + math.exp(weight - total)
    ranked = sorted(weigh, key=lambda edges: (-weigh[edges], sorted(edges)))[:_WINDOW]
    models = [seen[edges] for edges in ranked]
    share_G = np.exp([weigh[edges] - total for edges in ranked])
    share_G /= share_G.sum()
    everything = 0.0
    if unstructured and 3 <= size <= _WIDEST:
        joint = fit_model(log, Form(levels_V, _all_pairs(size)), start=models[0].scale)
        # The structured graphs share what is left of the prior; their own normalises to one over all graphs.
        odds = joint.evidence + math.log(_UNSTRUCTURED / (1.0 - _UNSTRUCTURED)) - total
        everything = 1.0 / (1.0 + math.exp(-min(max(odds, -700.0), 700.0)))
        models.append(joint)
        share_G = np.append(share_G * (1.0 - everything), everything)
    return AveragedModel(tuple(models), tuple(share_G.tolist()), probability, everything, first)


def _edge_share(size: int) -> float:
    """ρ, the prior probability of an edge."""
    return 1.0 / max(size - 1, 3)


def _all_pairs(size: int) -> frozenset[Edge]:
    return frozenset((i, j) for i in range(size) for j in range(i + 1, size))


def _climb(log: Log, first: Discovery) -> dict[frozenset[Edge], FactoredModel]:
    """Every graph that was looked at on the way up, with its model."""
    levels_V = first.model.form.levels_V
    share = _edge_share(len(levels_V))
    penalty = math.log(share / (1.0 - share))  # the price of an edge
    seen: dict[frozenset[Edge], FactoredModel] = {}

    def look(edges: frozenset[Edge], start: Scale, *, climb: bool) -> FactoredModel:
        if edges not in seen or climb:
            seen[edges] = fit_model(log, Form(levels_V, edges), start=start, climb=climb)
        return seen[edges]

    def height(model: FactoredModel) -> float:
        return model.evidence + penalty * len(model.form.edges)

    additive = look(frozenset(), first.model.scale, climb=True)
    here = max((additive, first.model), key=height)
    seen[here.form.edges] = here
    likely = [test.edge for test in first.tests[:_NEIGHBOURS]]
    for _ in range(_STEPS):
        # A decay of nearly nothing would hide every first edge, and costs nothing to lift.
        scale = here.scale._replace(decay=max(here.scale.decay, 0.3))
        around = [look(here.form.edges ^ {edge}, scale, climb=False) for edge in likely]
        if not around:
            break
        best = max(around, key=height)
        best = look(best.form.edges, best.scale, climb=True)
        if height(best) <= height(here) + 1e-9:
            break
        here = best
    return seen
