"""FGM: which slots or settings act together, learnt from a log, and the best combination nobody tried yet.

    f(x) = sum over cliques C of f_C(x_C)      learnt from votes or scores (:mod:`palate.structure`)
    propose  argmax f(x)  over the combinations that were not tried

A function that falls into cliques can be maximised by combining pieces that were each tried somewhere, though
never together. Every proposal says how good it is expected to be, against which candidate, and how often each
of its pieces was tried.

Source: Kuba, Uehara, Abbeel and Levine, "Functional graphical models: structure enables offline data-driven
optimization", arXiv 2401.05442. Changed: see :mod:`palate.structure`; in short, options beside numbers, votes
beside scores, Gaussian processes instead of networks, and an average over graphs while the log is short.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias, final, runtime_checkable

import numpy as np

from palate.choice import WinRate, outcome
from palate.errors import ConfigError
from palate.proposers._combinations import (
    GROUPS,
    LEAST_TRIED,
    LEAST_VOTES,
    Learnt,
    Said,
    combination_of,
    fits,
    fitting_rows,
    learn_combinations,
)
from palate.structure import Clique, Domain, best_rows, variable_of
from palate.types import Array, Candidate, Json, Known, Lineage, canonical_json

__all__ = ["Fgm", "Proposal", "fgm_from_scores", "fgm_from_votes", "propose_combinations"]

Maker: TypeAlias = Callable[[Mapping[str, Json], Lineage], Candidate]
_NEAR = 0.1  # a number this close, in shares of its range, counts as tried


class Proposal(NamedTuple):
    """A combination nobody tried.

    ``win`` is the predicted win rate against the best one that was tried, with a 95 % credible interval (for
    scores the probability of being better); ``tried`` counts, for each clique, the candidates with its piece.
    """

    candidate: Candidate
    values: Mapping[str, Json]
    utility: float
    win: WinRate
    tried: Mapping[tuple[str, ...], int]
    exact: bool


def propose_combinations(
    learnt: Learnt,
    n: int,
    rng: np.random.Generator,
    *,
    existing: Sequence[Candidate] = (),
    among: Collection[str] | None = None,
    combine: Maker | None = None,
) -> list[Proposal]:
    """Find the combinations of the highest expected utility that nobody tried.

    Args:
        learnt: What the log says.
        n: How many at most.
        rng: Of the search's starting points, where the cliques are too large for an exact search.
        existing: Further candidates that count as tried.
        among: Identifiers of the candidates of which the best is the one to beat; all when not given.
        combine: Makes a candidate of values and a lineage, as ``SlotsTarget.combination`` and
            ``SettingsTarget.combination`` do; when not given, its text has a line for each variable.

    Returns:
        Proposals, the highest expected utility first; fewer than ``n`` when everything was tried.

    Raises:
        ConfigError: ``n`` is below one.
    """
    if n < 1:
        raise ConfigError(f"n is {n!r}; ask for at least one combination")
    more = [table for candidate in existing if fits(learnt.domain, table := combination_of(candidate))]
    tried_NV = np.concatenate([learnt.x_NV, learnt.domain.encode(more)])
    order_N = np.argsort(-learnt.belief.mean(learnt.x_NV), kind="stable")
    tried_NV[: len(order_N)] = learnt.x_NV[order_N]  # the search starts from the best
    tops = best_rows(learnt.belief, learnt.domain, n, tried_NV=tried_NV, rng=rng)
    best = learnt.best(among)
    return [_proposal(learnt, x_V, best, tops.exact, combine or _like(best)) for x_V in tops.x_PV]


def _like(best: Candidate) -> Maker:
    """Makes candidates whose parts are those of another one, but for the slots and settings."""

    def combine(values: Mapping[str, Json], lineage: Lineage) -> Candidate:
        text = "\n".join(f"{name}: {value}" for name, value in values.items())
        return Candidate.make(text, parts={**best.parts, **_grouped(values, best)}, lineage=lineage)

    return combine


def _proposal(learnt: Learnt, x_V: Array, best: Candidate, exact: bool, combine: Maker) -> Proposal:
    values = learnt.domain.decode(x_V)
    x_V = learnt.domain.encode([values])[0]
    best_V = learnt.domain.encode([combination_of(best)])[0]
    win = learnt.belief.compare(x_V, best_V)
    mean_2 = learnt.belief.mean(np.stack([x_V, best_V]))
    utility = float(mean_2[0] - mean_2[1])
    holders = {clique: _holders(learnt, clique, x_V) for clique in learnt.belief.cliques}
    parents = dict.fromkeys(learnt.candidates[rows[0]].id for rows in holders.values() if rows)
    tried = {learnt.named(clique): len(rows) for clique, rows in holders.items()}
    detail: dict[str, Json] = {
        "against": best.id,
        "utility": utility,
        "win_rate": win.mean,
        "interval": [win.low, win.high],
        "cliques": [{"variables": list(names), "tried": count} for names, count in tried.items()],
        "outcomes": learnt.outcomes,
        "exact": exact,
    }
    lineage = Lineage("fgm", parents=tuple(parents) or (best.id,), detail=detail)
    return Proposal(combine(values, lineage), values, utility, win, tried, exact)


def _grouped(values: Mapping[str, Json], like: Candidate) -> dict[str, Json]:
    """The values as parts, each in the group in which another candidate has it."""
    grouped: dict[str, Json] = {}
    for group in GROUPS:
        part = like.parts.get(group)
        if isinstance(part, Mapping):
            grouped[group] = {name: values[name] for name in part}
    return grouped


def _holders(learnt: Learnt, clique: Clique, x_V: Array) -> list[int]:
    """Rows of the candidates that have the piece, the best first."""
    near_V = np.array([1e-9 if levels else _NEAR for levels in learnt.domain.levels_V])
    held_N = (np.abs(learnt.x_NV - x_V) <= near_V)[:, list(clique)].all(axis=1)
    mean_N = learnt.belief.mean(learnt.x_NV)
    return sorted(np.flatnonzero(held_N).tolist(), key=lambda row: -float(mean_N[row]))


def fgm_from_votes(
    candidates: Sequence[Candidate],
    votes: Sequence[Said],
    domain: Domain | None,
    n: int,
    rng: np.random.Generator,
    *,
    combine: Maker | None = None,
) -> list[Candidate]:
    """Propose combinations from votes: :func:`learn_combinations`, then :func:`propose_combinations`.

    Args:
        candidates: Those that were voted on, with slots or settings.
        votes: ``(left, right, verdict)`` by identifier.
        domain: The variables, or ``None`` for what occurs in the candidates.
        n: How many at most.
        rng: Of the search.
        combine: See :func:`propose_combinations`.

    Returns:
        New candidates of origin ``fgm``; the detail of their lineage holds the predicted utility (log-odds
        above the best that was tried), win rate and cliques.

    Raises:
        InputError: As :func:`learn_combinations`.
    """
    learnt = learn_combinations(candidates, votes=votes, domain=domain)
    made = propose_combinations(learnt, n, rng, existing=candidates, combine=combine)
    return [one.candidate for one in made]


def fgm_from_scores(
    candidates: Sequence[Candidate],
    scores: Sequence[tuple[str, float]],
    domain: Domain | None,
    n: int,
    rng: np.random.Generator,
    *,
    combine: Maker | None = None,
) -> list[Candidate]:
    """Propose combinations from scores, as :func:`fgm_from_votes`; utility is in units of the score."""
    learnt = learn_combinations(candidates, scores=scores, domain=domain)
    made = propose_combinations(learnt, n, rng, existing=candidates, combine=combine)
    return [one.candidate for one in made]


@runtime_checkable
class Combines(Protocol):
    """A target of slots or settings: it makes candidates of values, and of points of the unit cube."""

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """How many values each variable has; ``None`` for too many to count."""
        ...

    def at(self, point_D: Sequence[float]) -> Candidate:
        """The combination at a point of the unit cube."""
        ...

    def combination(self, values: Mapping[str, Json], lineage: Lineage | None = None, /) -> Candidate:
        """The candidate with these values."""
        ...


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fgm:
    """Proposes combinations of slots and settings while votes come in.

    Until there are ten votes on four combinations, combinations are drawn at random: nothing is known yet.

    Args:
        target: The study's target. One of slots or settings makes the candidates and draws the first ones.
        variables: What may be combined, such as ``{"tone": ["warm", "plain"], "t": {"low": 0, "high": 1}}``.
            What occurs in the candidates when empty.

    Raises:
        ConfigError: A variable is neither a list of options nor a range.
    """

    target: object = None
    variables: Mapping[str, Json] = field(default_factory=dict[str, Json])

    def __post_init__(self) -> None:
        self._domain()

    def _domain(self) -> Domain | None:
        if not self.variables:
            return None
        return Domain(tuple(variable_of(name, wanted) for name, wanted in self.variables.items()))

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            InputError: No candidate has slots or settings.
        """
        votes: list[Said] = [(one.left.id, one.right.id, one.verdict) for one in known.comparisons]
        everybody = {c.id: c for one in known.comparisons for c in (one.left, one.right)}
        everybody |= {candidate.id: candidate for candidate in known.existing}
        candidates = list(everybody.values())
        rows, domain, _ = fitting_rows(candidates, votes, (), self._domain())
        heard = sum(outcome(verdict) is not None for _, _, verdict in votes)
        target = self.target if isinstance(self.target, Combines) else None
        if heard < LEAST_VOTES or len(rows) < LEAST_TRIED:
            return _drawn(candidates, domain, n, rng, target)
        among = None if not known.standings else set(known.standings)
        learnt = learn_combinations(candidates, votes=votes, domain=domain)
        combine = None if target is None else target.combination
        made = propose_combinations(learnt, n, rng, existing=candidates, among=among, combine=combine)
        return [one.candidate for one in made]


def _drawn(
    candidates: Sequence[Candidate],
    domain: Domain,
    n: int,
    rng: np.random.Generator,
    target: Combines | None,
) -> list[Candidate]:
    """Combinations drawn at random among those that nobody made yet."""
    like = next(candidate for candidate in candidates if fits(domain, combination_of(candidate)))
    lineage = Lineage("fgm", parents=(like.id,), detail={"outcomes": 0, "drawn": True})
    seen = {canonical_json(combination_of(candidate)) for candidate in candidates}
    made: list[Candidate] = []
    for _ in range(50 * n):  # enough where most combinations are new, and an end where few are left
        if len(made) == n:
            break
        if target is not None:
            drawn = target.at(rng.random(len(target.sizes)).tolist())
            candidate = target.combination(combination_of(drawn), lineage)
        else:
            draw_V = [rng.integers(one.levels) if one.levels else rng.random() for one in domain.variables]
            candidate = _like(like)(domain.decode(np.array(draw_V, dtype=np.float64)), lineage)
        mark = canonical_json(combination_of(candidate))
        if mark not in seen:
            seen.add(mark)
            made.append(candidate)
    return made
