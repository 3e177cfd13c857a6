"""The prior of a function with a given graph: a Gaussian process, a term for each complete set of the graph.

    f(x) = sum over complete sets S of g_S(x_S),   g_S ~ GP(0, variance · decay^(|S| - 1) · prod_{i in S} k_i)

where k_i is centred, so that each g_S is zero on average over any of its variables and the terms do not
repeat each other (the ANOVA decomposition). For K options, all alike, k(a, b) = (K [a = b] - 1) / (K - 1);
for a number in [0, 1], the squared exponential less its averages, divided by its mean on the diagonal:

    k(x, y) = (e(x, y) - m(x) - m(y) + c) / (1 - c),   e = exp(-(x - y)² / 2 l²), m(x) = ∫ e(x, t) dt, c = ∫ m

Every set belongs to at least one maximal clique, so that f is a sum over maximal cliques. With all edges the
terms of s variables sum to the elementary symmetric polynomial e_s(k_1, …, k_V), which needs no list.

Sources: Kuba et al., "Functional graphical models", arXiv 2401.05442, for the sum over cliques; Durrande et
al. 2013 for centred kernels; Duvenaud et al. 2011, "Additive Gaussian processes", for the symmetric
polynomials. Changed: arXiv 2401.05442 fits a small network a clique (:mod:`palate.structure._networks`); a
Gaussian process has an evidence, by which scales and graphs can be chosen, and shrinks what was never seen.
"""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from palate.structure._elimination import Factor
from palate.structure._graph import Clique, Edge, complete_sets, maximal_cliques
from palate.types import Array

__all__ = ["Form", "axis_kernel", "axis_slope", "clique_factors", "mean_gradient", "order_sums"]


class _Form(NamedTuple):
    levels_V: tuple[int, ...]
    edges: frozenset[Edge]


class Form(_Form):
    """What a function may look like: the kinds of its variables, and which of them act together.

    ``levels_V`` holds the number of options of each variable, 0 for a number in [0, 1]; ``edges`` the pairs
    ``(i, j)``, ``i < j``, that may act together.

    Example:
        >>> Form((2, 3, 0), frozenset({(0, 1)})).cliques
        ((0, 1), (2,))
    """

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.levels_V)

    @property
    def complete(self) -> bool:
        """Whether every pair is joined: the function without structure."""
        return 2 * len(self.edges) == self.size * (self.size - 1)

    @cached_property
    def cliques(self) -> tuple[Clique, ...]:
        """The maximal cliques."""
        return maximal_cliques(self.size, self.edges)

    @cached_property
    def sets(self) -> tuple[Clique, ...]:
        """The complete sets, in lexicographic order, so that a set follows the one that it extends."""
        return tuple(sorted(complete_sets(self.size, self.edges)))

    @property
    def orders(self) -> int:
        """Most variables that act together."""
        return max((len(clique) for clique in self.cliques), default=0)


def axis_kernel(levels: int, a_N: Array, b_P: Array, length: float) -> Array:
    """The centred kernel of one variable, ``(N, P)``, 1 on average on its diagonal.

    Args:
        levels: Number of options, or 0 for a number.
        a_N: Options as 0, 1, …, or numbers in [0, 1].
        b_P: The same, of the other side.
        length: How far a number may move before the function changes, in shares of its range; > 0.
    """
    if levels:
        if levels == 1:
            return np.zeros((len(a_N), len(b_P)))
        return (levels * (a_N[:, None] == b_P[None, :]) - 1.0) / (levels - 1.0)
    raw_NP = np.exp(-0.5 * ((a_N[:, None] - b_P[None, :]) / length) ** 2)
    mean = _mean_of(length)
    return (raw_NP - _average(a_N, length)[:, None] - _average(b_P, length)[None, :] + mean) / (1.0 - mean)


def axis_slope(levels: int, a: float, b_P: Array, length: float) -> Array:
    """Derivative of :func:`axis_kernel` by its first argument, ``(P,)``; zero for options."""
    if levels:
        return np.zeros(len(b_P))
    gap_P = a - b_P
    slope = math.exp(-0.5 * (a / length) ** 2) - math.exp(-0.5 * ((1.0 - a) / length) ** 2)
    raw_P = -gap_P / length**2 * np.exp(-0.5 * (gap_P / length) ** 2)
    return (raw_P - slope) / (1.0 - _mean_of(length))


def _average(a_N: Array, length: float) -> Array:
    """``m(x)``, the average of the squared exponential over [0, 1]."""
    from scipy.special import erf

    scale = length * math.sqrt(2.0)
    return length * math.sqrt(math.pi / 2.0) * (erf((1.0 - a_N) / scale) + erf(a_N / scale))


def _mean_of(length: float) -> float:
    """``c``, the average of ``m``."""
    inner = length * math.sqrt(math.pi / 2.0) * math.erf(1.0 / (length * math.sqrt(2.0)))
    return 2.0 * (inner - length**2 * -math.expm1(-0.5 / length**2))


def order_sums(form: Form, x_NV: Array, y_PV: Array, length: float) -> Array:
    """Add up the products of kernels over the complete sets of each size.

    Args:
        form: The graph.
        x_NV: Rows on one side: options as 0, 1, …; numbers in [0, 1].
        y_PV: Rows on the other side.
        length: Of the numbers' kernels.

    Returns:
        ``(S, N, P)``; entry ``s - 1`` is the sum over sets of ``s`` variables. A prior is their weighted sum.
    """
    kernel_VNP = [
        axis_kernel(levels, x_NV[:, v], y_PV[:, v], length) for v, levels in enumerate(form.levels_V)
    ]
    if form.complete:
        return _symmetric(kernel_VNP)[1:]
    sum_SNP = np.zeros((form.orders, len(x_NV), len(y_PV)))
    stack: list[Array] = []
    for members in form.sets:
        del stack[len(members) - 1 :]
        last_NP = kernel_VNP[members[-1]]
        stack.append(stack[-1] * last_NP if stack else last_NP)
        sum_SNP[len(members) - 1] += stack[-1]
    return sum_SNP


def _symmetric(value_V: list[Array]) -> Array:
    """Elementary symmetric polynomials e_0, …, e_V of arrays of one shape."""
    sum_S = np.zeros((len(value_V) + 1, *value_V[0].shape))
    sum_S[0] = 1.0
    for count, value in enumerate(value_V, start=1):
        for order in range(count, 0, -1):  # from above, so that each variable enters a product once
            sum_S[order] += value * sum_S[order - 1]
    return sum_S


def clique_factors(
    form: Form, weight_S: Array, x_NV: Array, alpha_N: Array, grids: list[Array], length: float
) -> list[Factor]:
    """Write the mean as a sum of tables, one a maximal clique.

    Args:
        form: The graph.
        weight_S: Prior variance of the terms of each size.
        x_NV: The rows that were learnt from.
        alpha_N: Their weights: the mean at x is ``sum_n alpha_n K(x, x_n)``.
        grids: The values of each variable at which the tables are wanted.
        length: Of the numbers' kernels.

    Returns:
        A factor for each clique, in order. A term that belongs to several cliques enters the first of them.
    """
    kernel_VLN = [axis_kernel(levels, grids[v], x_NV[:, v], length) for v, levels in enumerate(form.levels_V)]
    table_C = [np.zeros([len(grids[v]) for v in clique]) for clique in form.cliques]
    for members in form.sets:
        place = next(c for c, clique in enumerate(form.cliques) if set(members) <= set(clique))
        acc_AN = weight_S[len(members) - 1] * alpha_N[None, :]
        for variable in members[:-1]:
            acc_AN = (acc_AN[:, None, :] * kernel_VLN[variable][None, :, :]).reshape(-1, len(alpha_N))
        flat = acc_AN @ kernel_VLN[members[-1]].T
        table_C[place] += flat.reshape([len(grids[v]) if v in members else 1 for v in form.cliques[place]])
    return [Factor(clique, table) for clique, table in zip(form.cliques, table_C, strict=True)]


def mean_gradient(
    form: Form, weight_S: Array, x_NV: Array, alpha_N: Array, at_V: Array, length: float
) -> tuple[float, Array]:
    """The mean at one point, and its derivative by each number; zero for options."""
    kernel_VN = np.stack(
        [
            axis_kernel(levels, at_V[v : v + 1], x_NV[:, v], length)[0]
            for v, levels in enumerate(form.levels_V)
        ]
    )
    slope_VN = np.stack(
        [axis_slope(levels, float(at_V[v]), x_NV[:, v], length) for v, levels in enumerate(form.levels_V)]
    )
    if form.complete:
        return _joint_gradient(form, weight_S, alpha_N, kernel_VN, slope_VN)
    value, gradient_V = 0.0, np.zeros(form.size)
    for members in form.sets:
        weight_N = weight_S[len(members) - 1] * alpha_N
        value += float(weight_N @ np.prod(kernel_VN[list(members)], axis=0))
        for variable in members:
            if not form.levels_V[variable]:
                others = [other for other in members if other != variable]
                gradient_V[variable] += float(
                    weight_N @ (slope_VN[variable] * np.prod(kernel_VN[others], axis=0))
                )
    return value, gradient_V


def _joint_gradient(
    form: Form, weight_S: Array, alpha_N: Array, kernel_VN: Array, slope_VN: Array
) -> tuple[float, Array]:
    """The same with all edges, by d e_s / d k_i = e_(s-1) of the others."""
    value = float(weight_S @ (_symmetric(list(kernel_VN))[1:] @ alpha_N))
    gradient_V = np.zeros(form.size)
    for variable, levels in enumerate(form.levels_V):
        if not levels:
            others = [kernel_VN[v] for v in range(form.size) if v != variable]
            others_SN = _symmetric(others) if others else np.ones((1, len(alpha_N)))
            gradient_V[variable] = float(weight_S @ (others_SN @ (alpha_N * slope_VN[variable])))
    return value, gradient_V
