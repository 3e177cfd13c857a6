"""Who may be asked about, and who may be reported: what the published rules leave to the programmer."""

import numpy as np
from numpy.typing import NDArray

from palate.strategies._protocol import History, Pair, Pool, allowed_pairs, random_pair
from palate.types import Array

__all__ = ["best_shown", "challenger", "free_pairs", "leader", "warm_pair"]

Table = NDArray[np.bool_]


def free_pairs(pool: Pool) -> Table:
    """Which pairs may be asked, ``(N, N)``, both ways round."""
    free_NN = allowed_pairs(pool)
    return free_NN | free_NN.T


def leader(score_N: Array, free_NN: Table) -> int:
    """The largest score among those that still have someone to meet, the first one of equals."""
    return int(np.where(free_NN.any(axis=1), score_N, -np.inf).argmax())


def challenger(score_N: Array, free_NN: Table, first: int) -> int:
    """The largest score among those that ``first`` may meet, the first one of equals."""
    return int(np.where(free_NN[first], score_N, -np.inf).argmax())


def warm_pair(history: History, pool: Pool, votes: int, rng: np.random.Generator) -> Pair | None:
    """A random pair that was not asked before, while fewer than ``votes`` were; nothing later."""
    asked = (*history.pairs[:votes], *pool.open_pairs)
    return random_pair(Pool(pool.live_N, asked), rng) if len(asked) < votes else None


def best_shown(score_N: Array, history: History, pool: Pool) -> int:
    """The largest score among the live candidates of the history, or among all live if there are none."""
    shown_N = np.zeros_like(pool.live_N)
    shown_N[history.first_M] = shown_N[history.second_M] = True
    shown_N &= pool.live_N
    return Pool(shown_N if shown_N.any() else pool.live_N).best(score_N)
