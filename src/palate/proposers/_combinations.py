"""What a log of votes or scores says of combinations of slots and settings."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from palate.choice import count_duels, outcome
from palate.errors import InputError, NotFoundError, nearest
from palate.structure import AveragedModel, Clique, Domain, Log, ScoreLog, VoteLog, average_graphs, domain_of
from palate.types import Array, Candidate, Json, Verdict

__all__ = [
    "GROUPS",
    "LEAST_TRIED",
    "LEAST_VOTES",
    "Learnt",
    "Said",
    "combination_of",
    "fits",
    "fitting_rows",
    "learn_combinations",
]

Said: TypeAlias = tuple[str, str, Verdict | str]
"""One vote: identifiers of the left and the right candidate, and the verdict as seen."""

GROUPS = ("slots", "settings")
LEAST_VOTES = 10
LEAST_TRIED = 4


@final
@dataclass(frozen=True, eq=False)
class Learnt:
    """What a log says of combinations.

    Args:
        domain: The variables.
        belief: The function and its graph.
        candidates: Those that the log speaks of, in the order of their rows.
        outcomes: How many votes (that teach) or scores were learnt from.
        left_out: Candidates of the log that lack a variable or have a value outside the domain.
    """

    domain: Domain
    belief: AveragedModel
    candidates: tuple[Candidate, ...]
    outcomes: int
    left_out: int

    @property
    def x_NV(self) -> Array:
        """The candidates' combinations."""
        return self.belief.models[0].log.x_NV[: len(self.candidates)]

    def best(self, among: Collection[str] | None = None) -> Candidate:
        """The candidate of the highest expected utility.

        Args:
            among: Identifiers of those that may be it; all, when not given or when none of them is known.
        """
        mean_N = self.belief.mean(self.x_NV)
        rows = [row for row, one in enumerate(self.candidates) if among is None or one.id in among]
        return self.candidates[max(rows or range(len(mean_N)), key=lambda row: float(mean_N[row]))]

    @property
    def cliques(self) -> tuple[tuple[str, ...], ...]:
        """The variables that act together, by name."""
        return tuple(self.named(clique) for clique in self.belief.cliques)

    def named(self, clique: Clique) -> tuple[str, ...]:
        """The names of some variables."""
        return tuple(self.domain.names[v] for v in clique)


def combination_of(candidate: Candidate) -> dict[str, Json]:
    """A candidate's slots and settings as one table; empty when it has neither.

    Raises:
        InputError: A slot and a setting have one name.

    Example:
        >>> combination_of(Candidate.make("x", parts={"slots": {"tone": "warm"}, "settings": {"t": 0.5}}))
        {'tone': 'warm', 't': 0.5}
    """
    values: dict[str, Json] = {}
    for group in GROUPS:
        part = candidate.parts.get(group)
        if isinstance(part, Mapping):
            both = sorted(set(values) & set(part))
            if both:
                raise InputError(f"{both[0]!r} is a slot and a setting of one candidate; rename one of them")
            values |= part
    return values


def learn_combinations(
    candidates: Sequence[Candidate],
    *,
    votes: Sequence[Said] = (),
    scores: Sequence[tuple[str, float]] = (),
    domain: Domain | None = None,
) -> Learnt:
    """Learn from a log which slots and settings act together, and what each combination is worth.

    Args:
        candidates: Those that the log speaks of, each with ``parts["slots"]`` or ``parts["settings"]``.
        votes: The votes; ties and "both bad" count half for each side, skips and failures nothing. Several
            judges count as one.
        scores: Identifier and score, the higher the better, instead of votes; repeats are fine.
        domain: The variables; what occurs in the candidates when not given.

    Returns:
        What was learnt.

    Raises:
        InputError: No candidate has slots or settings, too few votes or candidates, or both kinds of log.
        NotFoundError: The log speaks of a candidate that is not there.
    """
    if bool(votes) and bool(scores):
        raise InputError("there are votes and scores; learn from one kind at a time")
    rows, domain, left_out = fitting_rows(candidates, votes, scores, domain)
    index = {candidate.id: row for row, candidate in enumerate(rows)}
    x_NV = domain.encode([combination_of(candidate) for candidate in rows])
    log: Log
    if scores:
        told = [(index[identifier], score) for identifier, score in scores if identifier in index]
        count = len(told)
        _enough(count, len(rows), "scores")
        # The first rows are the candidates themselves, in their order; a repeat is one more row.
        order = _first_rows([row for row, _ in told])
        log = ScoreLog(x_NV[[told[k][0] for k in order]], np.array([told[k][1] for k in order]))
    else:
        said = [
            (index[left], index[right], share)
            for left, right, verdict in votes
            if (share := outcome(verdict)) is not None and left in index and right in index and left != right
        ]
        count = len(said)
        _enough(count, len(rows), "votes")
        first_M, second_M, share_M = (np.array(column) for column in zip(*said, strict=True))
        log = VoteLog(x_NV, count_duels(first_M, second_M, share_M.astype(np.float64)))
    return Learnt(domain, average_graphs(log, domain.levels_V), tuple(rows), count, left_out)


def fitting_rows(
    candidates: Sequence[Candidate],
    votes: Sequence[Said],
    scores: Sequence[tuple[str, float]],
    domain: Domain | None,
) -> tuple[list[Candidate], Domain, int]:
    """The candidates that the log speaks of and that fit the domain; the domain; how many do not fit."""
    known = {candidate.id: candidate for candidate in candidates}
    teach = [(left, right) for left, right, verdict in votes if outcome(verdict) is not None]
    spoken = dict.fromkeys([c for pair in teach for c in pair] + [identifier for identifier, _ in scores])
    for identifier in spoken:
        if identifier not in known:
            hint = nearest(identifier, known)
            raise NotFoundError(f"the log speaks of a candidate {identifier!r} that is not there; {hint}")
    tables = {identifier: combination_of(known[identifier]) for identifier in known}
    if not any(tables.values()):
        raise InputError(
            "none of the candidates has slots or settings, so there is nothing to recombine. Plain prompts "
            "have no parts that can be told apart; write the prompt with slots (role, tone, format, …), each "
            "with options, or tune settings, and vote on those"
        )
    if domain is None:
        shapes = Counter(tuple(sorted(tables[c])) for c in (spoken or tables) if tables[c])
        names = set(shapes.most_common(1)[0][0]) if shapes else set[str]()
        domain = domain_of([table for table in tables.values() if set(table) == names])
    fitting = [known[c] for c in spoken if fits(domain, tables[c])]
    return fitting, domain, len(spoken) - len(fitting)


def fits(domain: Domain, table: Mapping[str, Json]) -> bool:
    try:
        domain.encode([table])
    except InputError:
        return False
    return True


def _first_rows(row_M: Sequence[int]) -> list[int]:
    """Positions at which a number occurs first, in the order of the numbers; then all others."""
    first = {row: place for place, row in reversed(list(enumerate(row_M)))}
    head = [first[row] for row in sorted(first)]
    return head + [place for place in range(len(row_M)) if place not in set(head)]


def _enough(outcomes: int, tried: int, kind: str) -> None:
    if outcomes < LEAST_VOTES or tried < LEAST_TRIED:
        raise InputError(
            f"there are {outcomes} {kind} on {tried} combinations of slots and settings; at least "
            f"{LEAST_VOTES} {kind} on {LEAST_TRIED} combinations are needed, and some hundred tell more"
        )
