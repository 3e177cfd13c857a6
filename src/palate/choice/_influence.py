"""How much one rater may count, and who votes in concert.

The cap. In a crowd, that is where at least five raters have cast ten votes or more, nobody's votes count for
more than three times the median of those raters' counts; beyond that each vote counts less, by the same
factor. With fewer raters there is no crowd to measure anybody by, and everything counts: one owner and two
passers-by are no attack. Source: clipped weights are the usual answer to a bounded share of false votes
(Huber's contamination); how few of those it takes: "Improving your model ranking on Chatbot Arena by vote
rigging", ICML 2025.

Concert. Given what each rater's votes leave unexplained by all others', e = y - p, the score of rater r is

    g_r = sum over its votes of e (e_i - e_j),        V_r = sum of p (1 - p) (e_i - e_j)(e_i - e_j)^T
    z_rs = g_r · g_s / sqrt(g_s^T (V_r + V_r S V_r) g_s)

with S the covariance of what is not yet known of the utilities: an error of the belief is common to all, and
must not look like an arrangement. z_rs asks whether r pushes unusually far into the direction of s, whatever
s did, and a pair is as far apart from chance as the lesser of z_rs and z_sr: both must do it.

Raters who vote by themselves have independent scores of mean zero, and z is standard normal. Pairs beyond
the normal quantile of 1 - 0.05 / (number of pairs) are joined, and connected raters form a group. Scores
are those of Rao's test. In a crowd such a group counts together for no more than the median rater does by
himself: whether it is one person with five names or five with one plan, it is one opinion.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice._numeric import sigmoid
from palate.choice._verdicts import Votes
from palate.errors import InputError
from palate.types import Array

__all__ = ["Concert", "capped_weights", "concert_weights", "concerted", "decisive_raters"]

CROWD = 5
ENOUGH = 10
TIMES = 3.0
_ALARM = 0.05
_MUCH = 5.0  # unusual votes alike that a pair must have in common, in votes; less may be luck

Rows = NDArray[np.int64]


def capped_weights(judge_M: Rows, person_J: NDArray[np.bool_]) -> Array:
    """What one vote of each judge counts for, in (0, 1].

    Machines are left alone: what they can add is bounded by the model itself.

    Args:
        judge_M: Who cast each vote.
        person_J: Which judges are people.

    Raises:
        InputError: A vote by a judge of whom nothing is said.

    Example:
        >>> votes = np.repeat(np.arange(6), [100, 20, 20, 20, 20, 20])
        >>> capped_weights(votes, np.ones(6, bool)).tolist()  # 60 of 100 count
        [0.6, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    if int(judge_M.max(initial=-1)) >= len(person_J):
        raise InputError(f"votes name judge {int(judge_M.max())}, and there are {len(person_J)}")
    count_J = np.bincount(judge_M, minlength=len(person_J)).astype(np.float64)
    crowd_J = count_J[person_J & (count_J >= ENOUGH)]
    factor_J = np.ones(len(person_J))
    if len(crowd_J) < CROWD:
        return factor_J
    most = TIMES * float(np.median(crowd_J))
    over_J = person_J & (count_J > most)
    factor_J[over_J] = most / count_J[over_J]
    return factor_J


class Concert(NamedTuple):
    """Raters who push the same way.

    ``raters`` are their numbers; ``favours`` and ``against`` the rows of the candidates that their common,
    unexplained votes raise and lower most; ``z`` the least certain link.
    """

    raters: tuple[int, ...]
    favours: int
    against: int
    z: float


def concerted(votes: Votes, mean_JN: Array, covariance_NN: Array | None = None) -> tuple[Concert, ...]:
    """Find groups of raters whose unexplained votes agree.

    Args:
        votes: All votes; at least two judges, or nothing is found.
        mean_JN: For each judge, utilities as all the others see them.
        covariance_NN: What is not known of them; nothing when left out.

    Returns:
        The groups, the largest first.
    """
    judges, size = mean_JN.shape
    rows_M = np.arange(len(votes))
    gap_M = (mean_JN[votes.judge_M, votes.first_M] - mean_JN[votes.judge_M, votes.second_M]).astype(float)
    prob_M = sigmoid(gap_M)
    left_M = votes.outcome_M - prob_M
    score_JN = np.zeros((judges, size))
    np.add.at(score_JN, (votes.judge_M, votes.first_M), left_M)
    np.add.at(score_JN, (votes.judge_M, votes.second_M), -left_M)
    noise_JNN = np.zeros((judges, size, size))
    told_M = prob_M * (1.0 - prob_M)
    for one_M, other_M, sign in (
        (votes.first_M, votes.first_M, 1.0),
        (votes.second_M, votes.second_M, 1.0),
        (votes.first_M, votes.second_M, -1.0),
        (votes.second_M, votes.first_M, -1.0),
    ):
        np.add.at(noise_JNN, (votes.judge_M, one_M, other_M), sign * told_M[rows_M])
    if covariance_NN is not None:
        noise_JNN += noise_JNN @ covariance_NN @ noise_JNN
    along_JJ = np.stack([((score_JN @ noise_NN) * score_JN).sum(axis=1) for noise_NN in noise_JNN])
    product_JJ = score_JN @ score_JN.T
    z_JJ = np.where(product_JJ >= _MUCH, product_JJ / np.sqrt(np.maximum(along_JJ, 1e-12)), 0.0)
    z_JJ = np.minimum(z_JJ, z_JJ.T)
    np.fill_diagonal(z_JJ, 0.0)
    pairs = judges * (judges - 1) / 2.0
    least = NormalDist().inv_cdf(1.0 - _ALARM / max(pairs, 1.0))
    return _groups(z_JJ, least, score_JN)


def concert_weights(judge_M: Rows, person_J: NDArray[np.bool_], concerts: tuple[Concert, ...]) -> Array:
    """What one vote of each judge counts for, in (0, 1], if a group in concert counts as one.

    Args:
        judge_M: Who cast each vote.
        person_J: Which judges are people.
        concerts: The groups.
    """
    count_J = np.bincount(judge_M, minlength=len(person_J)).astype(np.float64)
    factor_J, inside_J = np.ones(len(person_J)), np.zeros(len(person_J), dtype=np.bool_)
    for group in concerts:
        inside_J[list(group.raters)] = True
    crowd_J = count_J[person_J & ~inside_J & (count_J >= ENOUGH)]
    if len(crowd_J) < CROWD:
        return factor_J
    for group in concerts:
        member_K = list(group.raters)
        factor_J[member_K] = min(1.0, float(np.median(crowd_J)) / float(count_J[member_K].sum()))
    return factor_J


def _groups(z_JJ: Array, least: float, score_JN: Array) -> tuple[Concert, ...]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    linked_JJ = z_JJ > least
    label_J = connected_components(csr_array(linked_JJ), directed=False)[1]
    found: list[Concert] = []
    for label in np.unique(label_J):
        member_K = np.flatnonzero(label_J == label)
        if len(member_K) < 2:
            continue
        push_N = score_JN[member_K].sum(axis=0)
        inside_KK = z_JJ[np.ix_(member_K, member_K)]
        found.append(
            Concert(
                tuple(member_K.tolist()),
                int(push_N.argmax()),
                int(push_N.argmin()),
                float(inside_KK[inside_KK > least].min()),
            )
        )
    return tuple(sorted(found, key=lambda group: -len(group.raters)))


def decisive_raters(pull_JN: Array, precision_JNN: Array, prior_NN: Array, most: int) -> tuple[int, ...]:
    """The fewest raters whose votes, left out together, let another candidate lead; found greedily.

    Args:
        pull_JN: Of each rater's message about the utilities.
        precision_JNN: Likewise.
        prior_NN: Covariance of the utilities before any vote.
        most: How many raters to leave out at most.

    Returns:
        Their numbers, the weightiest first; empty if so few do not decide.
    """
    judges, size = pull_JN.shape
    kept = list(range(judges))
    gone: list[int] = []

    def mean(members: list[int]) -> Array:
        precision_NN = precision_JNN[members].sum(axis=0)
        return np.linalg.solve(
            np.eye(size) + prior_NN @ precision_NN, prior_NN @ pull_JN[members].sum(axis=0)
        )

    leader = int(mean(kept).argmax())
    while len(kept) > 1 and len(gone) < most:
        leads = []
        for j in kept:
            mean_N = mean([k for k in kept if k != j])
            leads.append(float(mean_N[leader] - np.delete(mean_N, leader).max()))
        least = int(np.argmin(leads))
        gone.append(kept.pop(least))
        if leads[least] < 0.0:
            return tuple(gone)
    return ()
