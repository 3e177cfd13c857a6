"""The two pools of LEO, and what one round does to them.

With populations of size N, and k points to port, one round does, on pools sorted by loss:

1. append: explore ← explore ∪ new explore, exploit ← exploit ∪ new exploit, 2 N points each;
2. port: the best k of explore overwrite the worst k of exploit;
3. filter: sort both, keep the best N of each.

So the best point of either pool is never lost, and the best of exploit is the best of all.

Source: Brahmachary et al., arXiv 2403.02054, section 2.2 and algorithm 1 (``UpdatePopulation``,
``PortFilter``). The algorithm's listing leaves out the truncation; section 2.2 has it. A ported point stays
in the explore pool as well, and one that is ported in several rounds stands in the exploit pool several
times, as published. Ties keep the older point.
"""

from typing import NamedTuple

import numpy as np

from palate.errors import InputError
from palate.types import Array

__all__ = ["Pool", "Pools", "advance", "best", "make_pool"]


class Pool(NamedTuple):
    """Points ``(N, D)`` with their losses ``(N,)``, the lowest first."""

    x_ND: Array
    loss_N: Array


class Pools(NamedTuple):
    """Where new regions are looked for, and where the best point is improved."""

    explore: Pool
    exploit: Pool


def make_pool(x_ND: Array, loss_N: Array) -> Pool:
    """Sort points by loss.

    Raises:
        InputError: There are not as many losses as points, or one is not a number.
    """
    losses_N = np.asarray(loss_N, dtype=np.float64)
    if losses_N.shape != (len(x_ND),):
        raise InputError(f"{len(x_ND)} points, but losses of shape {losses_N.shape}; give one a point")
    if np.isnan(losses_N).any():
        raise InputError("a loss is not a number; give inf for a point that could not be evaluated")
    order_N = np.argsort(losses_N, kind="stable")
    return Pool(np.asarray(x_ND, dtype=np.float64)[order_N], losses_N[order_N])


def advance(pools: Pools, explored: Pool, exploited: Pool, *, port: int) -> Pools:
    """Append, port, filter.

    Args:
        pools: Before the round, N points each.
        explored: The round's new points of the explore pool.
        exploited: The round's new points of the exploit pool.
        port: How many points move, in [0, N].
    """
    size = len(pools.explore.loss_N)
    explore, exploit = _joined(pools.explore, explored), _joined(pools.exploit, exploited)
    exploit = _ported(explore, exploit, port)
    return Pools(_kept(explore, size), _kept(exploit, size))


def best(pools: Pools) -> tuple[Array, float]:
    """The best point of all, ``(D,)``, and its loss; the exploit pool's own when ``port`` is at least 1."""
    pool = min((pools.exploit, pools.explore), key=lambda pool: pool.loss_N[0])
    return pool.x_ND[0], float(pool.loss_N[0])


def _joined(old: Pool, new: Pool) -> Pool:
    return make_pool(np.concatenate([old.x_ND, new.x_ND]), np.concatenate([old.loss_N, new.loss_N]))


def _ported(explore: Pool, exploit: Pool, port: int) -> Pool:
    left = len(exploit.loss_N) - port
    return make_pool(
        np.concatenate([exploit.x_ND[:left], explore.x_ND[:port]]),
        np.concatenate([exploit.loss_N[:left], explore.loss_N[:port]]),
    )


def _kept(pool: Pool, size: int) -> Pool:
    return Pool(pool.x_ND[:size], pool.loss_N[:size])
