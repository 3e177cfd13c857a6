"""Which variables act together, from scores or votes over options and numbers: the graph of the function.

For each pair ij the products of what is orthonormal in i and in j are held against what an additive function
leaves unexplained:

    U = sum over rows of  residual · φ_a(x_i) φ_b(x_j)        strength = |U| / information
    with no interaction  |U|² ~ sum of λ χ²_1,   λ the eigenvalues of the covariance of U, nuisances off

For numbers with φ_1 = z alone, and scores, the strength is |mean of (y - control) z_i z_j|, the published
estimate with its control variate: 1, z, z² of each variable (:mod:`palate.structure._stein`). Options have
all their contrasts, which is the two-way part of the analysis of variance; so have numbers z² - 1, which sees
interactions whose average mixed derivative is zero. In votes a row is a pair, its features are differences,
and the residual is what Bradley and Terry's model of an additive function leaves: the link would else make
interactions of its own.

Sources: Kuba et al., arXiv 2401.05442; Rao 1948 for score tests; Satterthwaite 1946 for the sum of χ²;
Benjamini and Hochberg 1995 for the share of false edges. Added to the paper: options, votes, the test, and
choosing the number of edges by the evidence of the model that they make.

An interaction of three variables without any of two (parity, say) is not seen.
"""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from palate.choice import fit_utilities, sigmoid
from palate.errors import ConfigError
from palate.structure._graph import Edge
from palate.structure._kernel import Form
from palate.structure._model import FactoredModel, Log, Scale, ScoreLog, fit_model
from palate.structure._stein import normal_scores
from palate.types import Array

__all__ = [
    "Discovery",
    "EdgeRule",
    "EdgeTest",
    "discover",
    "edge_tests",
    "false_discovery_edges",
    "top_edges",
]

EdgeRule: TypeAlias = Literal["evidence", "level", "share"]

_PRIOR_SCALES = (0.1, 0.3, 1.0, 3.0)  # standard deviations of the additive coefficients, in log-odds
_PROMISING = 0.5  # pairs with a larger p-value are never tried as edges
_MOST_EDGES = 15  # tried at most; each is a fit, and a person's votes do not carry more


class EdgeTest(NamedTuple):
    """What the log says of one pair.

    ``strength`` is in units of the outcome (log-odds, or standard deviations of the scores); ``p`` is the
    probability of as much strength if the two did not act together.
    """

    edge: Edge
    strength: float
    p: float


class Discovery(NamedTuple):
    """A graph and the model that it makes.

    ``tests`` are sorted by p-value. ``evidence`` lists, for the graphs that were tried, the number of edges
    and the log evidence in nats; ``gain`` is what the chosen edges add over none.
    """

    model: FactoredModel
    tests: tuple[EdgeTest, ...]
    evidence: tuple[tuple[int, float], ...]

    @property
    def edges(self) -> frozenset[Edge]:
        """The pairs that act together."""
        return self.model.form.edges

    @property
    def gain(self) -> float:
        """Log Bayes factor of the graph against no edges, in nats; 0 when there are none."""
        return self.model.evidence - self.evidence[0][1]


class _Rows(NamedTuple):
    """What an additive fit leaves: residuals and information of each row, and its nuisance columns."""

    residual_R: Array
    weight_R: Array
    nuisance_RF: Array
    precision_F: Array


def edge_tests(
    log: Log, levels_V: tuple[int, ...], *, degree: int = 2, control: bool = True
) -> tuple[EdgeTest, ...]:
    """Test every pair of variables for acting together.

    Args:
        log: Scores or votes.
        levels_V: Number of options of each variable, 0 for a number.
        degree: Highest power of a number; 1 is the published estimate.
        control: Take the additive fit off; without it the main effects are noise in each product.

    Returns:
        One test a pair, the smallest p-value first. A pair one of whose variables does not vary has p = 1.
    """
    basis_VNB = [_basis(log.x_NV[:, v], levels, degree) for v, levels in enumerate(levels_V)]
    # The control variate of the published estimate has the square whatever the degree of the products.
    main_NF = np.concatenate([_basis(log.x_NV[:, v], levels, 2) for v, levels in enumerate(levels_V)], axis=1)
    rows = _additive(log, main_NF if control else main_NF[:, :0])
    found: list[EdgeTest] = []
    for i in range(len(levels_V)):
        for j in range(i + 1, len(levels_V)):
            product_NB = (basis_VNB[i][:, :, None] * basis_VNB[j][:, None, :]).reshape(len(log.x_NV), -1)
            strength, p = _score_test(rows, _contrast(log, product_NB))
            found.append(EdgeTest((i, j), strength, p))
    return tuple(sorted(found, key=lambda test: (test.p, -test.strength, test.edge)))


def false_discovery_edges(tests: tuple[EdgeTest, ...], level: float) -> frozenset[Edge]:
    """The pairs that pass when at most a share ``level`` of those that pass is to be false."""
    passed = 0
    for rank, test in enumerate(tests, start=1):
        if test.p <= level * rank / len(tests):
            passed = rank
    return frozenset(test.edge for test in tests[:passed])


def top_edges(tests: tuple[EdgeTest, ...], share: float) -> frozenset[Edge]:
    """The strongest ``share`` of all pairs, at least one when ``share`` is above zero: the published rule."""
    count = min(len(tests), int(np.ceil(share * len(tests))))
    return frozenset(test.edge for test in sorted(tests, key=lambda test: -test.strength)[:count])


def discover(
    log: Log,
    levels_V: tuple[int, ...],
    *,
    rule: EdgeRule = "evidence",
    level: float = 0.1,
    share: float = 0.2,
    degree: int = 2,
    control: bool = True,
) -> Discovery:
    """Find the graph of a function, and learn the function with it.

    Args:
        log: Scores or votes.
        levels_V: Number of options of each variable, 0 for a number in [0, 1].
        rule: How many of the ranked pairs become edges. ``evidence``: the graph under which the log is
            likeliest, of those that take the pairs in the order of their p-values; ``level``: a bound on the
            share of false edges; ``share``: the strongest ones, as published.
        level: That bound, in (0, 1).
        share: The share of all pairs, in [0, 1].
        degree: Highest power of a number in the tests.
        control: See :func:`edge_tests`.

    Returns:
        The graph, the tests, and the model.

    Raises:
        ConfigError: An unknown rule, or a level or share out of range.
        InputError: As :func:`fit_model`.
    """
    if rule not in ("evidence", "level", "share"):
        raise ConfigError(f"rule is {rule!r}; it is 'evidence', 'level' or 'share'")
    if not 0.0 < level < 1.0 or not 0.0 <= share <= 1.0:
        raise ConfigError(f"level = {level!r} and share = {share!r}; both lie between 0 and 1")
    additive = fit_model(log, Form(levels_V, frozenset()))
    tests = edge_tests(log, levels_V, degree=degree, control=control) if len(levels_V) > 1 else ()
    if rule == "evidence":
        return _by_evidence(log, additive, tests)
    edges = false_discovery_edges(tests, level) if rule == "level" else top_edges(tests, share)
    model = fit_model(log, Form(levels_V, edges), start=additive.scale) if edges else additive
    return Discovery(model, tests, ((0, additive.evidence), (len(edges), model.evidence)))


def _by_evidence(log: Log, additive: FactoredModel, tests: tuple[EdgeTest, ...]) -> Discovery:
    """Add pairs in the order of their p-values and keep the graph of the highest evidence."""
    best, tried = additive, [(0, additive.evidence)]
    scale: Scale = additive.scale
    edges: set[Edge] = set()
    for test in tests[:_MOST_EDGES]:
        if test.p > _PROMISING:
            break
        edges.add(test.edge)
        model = fit_model(log, Form(additive.form.levels_V, frozenset(edges)), start=scale)
        scale = model.scale
        tried.append((len(edges), model.evidence))
        if model.evidence > best.evidence:
            best = model
    return Discovery(best, tests, tuple(tried))


def _basis(column_N: Array, levels: int, degree: int) -> Array:
    """Functions of one variable that are orthonormal over the rows, and to the constant; ``(N, B)``."""
    if levels:
        seen = np.unique(column_N)
        raw_NB = (column_N[:, None] == seen[None, :]).astype(np.float64)
    else:
        raw_NB = normal_scores(column_N[:, None]) ** np.arange(1, degree + 1)
    design_NB = np.concatenate([np.ones((len(column_N), 1)), raw_NB], axis=1)
    orthogonal_NB, triangle_BB = np.linalg.qr(design_NB / np.sqrt(len(column_N)))
    # What follows from the columns before it (the last option, a power of two values) brings nothing new.
    new_B = np.abs(np.diag(triangle_BB)) > 1e-6
    new_B[0] = False
    kept_B = np.flatnonzero(new_B)
    return np.asarray(orthogonal_NB[:, kept_B] * np.sqrt(len(column_N)), dtype=np.float64)


def _contrast(log: Log, feature_NF: Array) -> Array:
    """Features of the rows of the likelihood: of a score itself, of a vote the difference of its sides."""
    if isinstance(log, ScoreLog):
        return feature_NF
    return feature_NF[log.counts.low_M] - feature_NF[log.counts.high_M]


def _additive(log: Log, main_NF: Array) -> _Rows:
    """Fit an additive function, with a weak Gaussian prior where the log is short."""
    width = main_NF.shape[1]
    if isinstance(log, ScoreLog):
        y_N = (log.y_N - log.y_N.mean()) / log.y_N.std()
        gram_FF = main_NF.T @ main_NF + np.eye(width)
        rest_N = y_N - main_NF @ np.linalg.solve(gram_FF, main_NF.T @ y_N)
        used = float(np.trace(np.linalg.solve(gram_FF, main_NF.T @ main_NF)))
        variance = float(rest_N @ rest_N) / max(len(y_N) - 1.0 - used, 1.0)
        constant_N1 = np.ones((len(y_N), 1))
        nuisance_NF = np.concatenate([constant_N1, main_NF], axis=1)
        precision_F = np.concatenate([[0.0], np.ones(width)]) / variance
        return _Rows(rest_N / variance, np.full(len(y_N), 1.0 / variance), nuisance_NF, precision_F)
    counts = log.counts
    scale, value_N = 1.0, np.zeros(len(log.x_NV))
    if width:
        fits = [(spread, *fit_utilities(spread * main_NF, counts)) for spread in _PRIOR_SCALES]
        scale, belief, _ = max(fits, key=lambda fit: fit[2])
        value_N = belief.mean_N
    prob_M = sigmoid(value_N[counts.low_M] - value_N[counts.high_M])
    residual_M = counts.wins_M - counts.count_M * prob_M
    weight_M = counts.count_M * prob_M * (1.0 - prob_M)
    return _Rows(residual_M, weight_M, _contrast(log, main_NF), np.full(width, scale**-2))


def _score_test(rows: _Rows, product_RB: Array) -> tuple[float, float]:
    """Strength and p-value of one pair's products."""
    from scipy.special import gammaincc

    score_B = product_RB.T @ rows.residual_R
    heavy_RB = rows.weight_R[:, None] * product_RB
    covariance_BB = product_RB.T @ heavy_RB
    if rows.nuisance_RF.shape[1]:
        cross_FB = rows.nuisance_RF.T @ heavy_RB
        inner_FF = rows.nuisance_RF.T @ (rows.weight_R[:, None] * rows.nuisance_RF)
        inner_FF[np.diag_indices(len(inner_FF))] += rows.precision_F
        covariance_BB = covariance_BB - cross_FB.T @ np.linalg.solve(inner_FF, cross_FB)
    trace, square = float(np.trace(covariance_BB)), float((covariance_BB**2).sum())
    if trace <= 1e-9 * max(float(rows.weight_R.sum()), 1e-300):
        return 0.0, 1.0
    size = float(score_B @ score_B)
    freedom = trace**2 / square
    p = float(gammaincc(freedom / 2.0, size * trace / (2.0 * square)))
    return float(np.sqrt(size)) * len(score_B) / trace, p
