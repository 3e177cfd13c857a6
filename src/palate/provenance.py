"""How each candidate came to be, what it cost, and what was said of it: the family tree of a study.

Everything here is a pure function of what the study recorded. A candidate hangs under the first of its
parents; further parents are named by their numbers. Candidates are numbered from 1 in the order of their
making, and a parent always comes before its children, so the tree has no rings whatever a file claims.

Costs are US dollars. What is unknown stays unknown: it is never counted as nothing.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from palate.report import label
from palate.store import StudyState
from palate.types import Candidate, Json, Lineage, Pairing, Verdict, Vote

__all__ = [
    "Bill",
    "Member",
    "Tally",
    "bills",
    "family",
    "lineage_words",
    "markdown_family",
    "members_json",
    "members_of",
]

FREE = frozenset({"seed", "user", "combine"})
"""Origins that need no model: prompts that a person wrote, and combinations of a person's own choices."""

_DEEPEST = 12  # levels that are indented; a longer line of descent says its parent by number alone
_DETAIL = 40  # characters of one remark on how a candidate was made
_REMARKS = 6
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~])")


class Tally(NamedTuple):
    """The votes on a candidate: duels won, lost, tied, and both called bad. Skips are left out."""

    won: int = 0
    lost: int = 0
    tied: int = 0
    both_bad: int = 0

    @property
    def votes(self) -> int:
        """How many there are."""
        return sum(self)

    @property
    def words(self) -> str:
        """All of it in a few words."""
        if not self.votes:
            return "no votes yet"
        said = f"{self.won} won, {self.lost} lost"
        said += f", {self.tied} tied" if self.tied else ""
        return said + (f", {self.both_bad} both bad" if self.both_bad else "")


class Bill(NamedTuple):
    """What something cost.

    Args:
        known: Sum of the known prices, in US dollars.
        unknown: How many items have no known price.
    """

    known: float = 0.0
    unknown: int = 0

    def plus(self, cost: float | None) -> "Bill":
        """With one more item."""
        return Bill(self.known, self.unknown + 1) if cost is None else Bill(self.known + cost, self.unknown)

    @property
    def words(self) -> str:
        """The sum in words; with unknown items it is a least, or unknown altogether.

        Example:
            >>> Bill(0.0125, 0).words, Bill(0.5, 2).words, Bill(0.0, 3).words, Bill().words
            ('$0.0125', 'at least $0.5', 'unknown', '$0')
        """
        places = 4 if self.known >= 0.001 or not self.known else 8
        dollars = f"${self.known:.{places}f}".rstrip("0").rstrip(".")
        if not self.unknown:
            return dollars
        return f"at least {dollars}" if self.known else "unknown"


@dataclass(frozen=True, slots=True)
class Member:
    """One candidate in the tree.

    Args:
        number: From 1, in the order of making.
        depth: 0 for a root; how far to indent.
        candidate: The candidate itself.
        withdrawn: Whether it takes part no more.
        parents: Numbers of its parents; a root has none, or only ones from another study.
        strangers: How many of its parents are not of this study.
        tally: What was said of it.
        bill: What it cost to propose it and to have it answer.
    """

    number: int
    depth: int
    candidate: Candidate
    withdrawn: bool
    parents: tuple[int, ...]
    strangers: int
    tally: Tally
    bill: Bill


def bills(
    candidates: Iterable[Candidate], pairings: Iterable[Pairing], costs: Mapping[str, float | None]
) -> dict[str, Bill]:
    """Add up what each candidate cost.

    Args:
        candidates: All of them.
        pairings: Everything that was ever asked; a candidate answers an input once, however often it is
            shown. Answers that never came to a pairing, as when the other one failed, are not in it.
        costs: What producing a response cost, by its hash; ``None`` where that is unknown.

    Returns:
        By candidate: the cost of proposing it, which is unknown unless the proposer noted it
        (``lineage.detail["cost"]``) or it needed no model, and of its responses.
    """
    answered: dict[str, dict[str, str]] = {}
    for pairing in pairings:
        answered.setdefault(pairing.first, {})[pairing.input_id] = pairing.first_response
        answered.setdefault(pairing.second, {})[pairing.input_id] = pairing.second_response
    found: dict[str, Bill] = {}
    for candidate in candidates:
        bill = Bill().plus(_proposal_cost(candidate.lineage))
        for response in answered.get(candidate.id, {}).values():
            bill = bill.plus(costs.get(response))
        found[candidate.id] = bill
    return found


def family(
    candidates: Sequence[Candidate],
    *,
    withdrawn: Collection[str] = (),
    votes: Iterable[Vote] = (),
    bills: Mapping[str, Bill] | None = None,
) -> list[Member]:
    """Put the candidates of a study into their family tree.

    Args:
        candidates: All of them, the withdrawn among them, in the order of their making.
        withdrawn: Identifiers of those that take part no more.
        votes: The votes that stand.
        bills: What each cost; see :func:`bills`.

    Returns:
        Every candidate once: each root followed by all that descends from it, so that indenting by
        ``depth`` draws the tree.
    """
    numbers = {candidate.id: number for number, candidate in enumerate(candidates, 1)}
    tallies, paid = _tallies(votes), bills or {}
    children: dict[int, list[int]] = {}
    for number, candidate in enumerate(candidates, 1):
        children.setdefault(next(iter(_parents(candidate, numbers)), 0), []).append(number)
    members: list[Member] = []
    waiting = [(number, 0) for number in reversed(children.get(0, []))]
    while waiting:
        number, depth = waiting.pop()
        candidate = candidates[number - 1]
        parents = _parents(candidate, numbers)
        members.append(
            Member(
                number=number,
                depth=depth,
                candidate=candidate,
                withdrawn=candidate.id in withdrawn,
                parents=parents,
                strangers=len(set(candidate.lineage.parents)) - len(parents),
                tally=tallies.get(candidate.id, Tally()),
                bill=paid.get(candidate.id, Bill(0.0, 1)),
            )
        )
        below = min(depth + 1, _DEEPEST)
        waiting.extend((child, below) for child in reversed(children.get(number, [])))
    return members


def members_of(state: StudyState, costs: Mapping[str, float | None]) -> list[Member]:
    """The family tree of a study as it is now.

    Args:
        state: The study.
        costs: What each response cost, by hash, from ``Store.response_costs``.
    """
    made = list(state.made.values())
    return family(
        made,
        withdrawn=state.withdrawn,
        votes=state.votes,
        bills=bills(made, state.pairings.values(), costs),
    )


def members_json(members: Sequence[Member]) -> list[Json]:
    """The family tree as data, in the order of the tree."""
    return [
        {
            "number": member.number,
            "candidate": member.candidate.id,
            "prompt": member.candidate.text,
            "origin": member.candidate.lineage.origin,
            "model": member.candidate.lineage.model,
            "parents": list(member.parents),
            "detail": dict(member.candidate.lineage.detail),
            "withdrawn": member.withdrawn,
            "cost": {"known": member.bill.known, "items_of_unknown_price": member.bill.unknown},
            "votes": member.tally._asdict(),
        }
        for member in members
    ]


def lineage_words(member: Member) -> str:
    """How a candidate was made, in one line: the proposer, its model, its parents and what it noted.

    Example:
        >>> made = Candidate.make("Hi.", lineage=Lineage("rephrase", ("x",), "gpt", {"temperature": 1.0}))
        >>> lineage_words(family([made])[0])
        'rephrase, by gpt, from a prompt of another study, temperature 1.0'
    """
    lineage = member.candidate.lineage
    words = [" ".join(lineage.origin.split()) or "unknown"]
    if lineage.model:
        words.append(f"by {label(lineage.model, _DETAIL)}")
    if member.parents:
        words.append(f"from {' and '.join(f'#{number}' for number in member.parents)}")
    if member.strangers:
        some = "a prompt" if member.strangers == 1 else f"{member.strangers} prompts"
        words.append(f"from {some} of another study")
    return ", ".join([*words, *_remarks(lineage.detail)])


def markdown_family(members: Sequence[Member], *, most: int = 300) -> str:
    """Write the family tree as a nested Markdown list.

    Args:
        members: The tree, from :func:`family`.
        most: How many candidates to list; what is left out is counted.
    """
    if not members:
        return ""
    lines = ["## Where the prompts come from", ""]
    for member in members[:most]:
        gone = " (withdrawn)" if member.withdrawn else ""
        lines.append(
            f"{'  ' * member.depth}- \\#{member.number}{gone} “{_plain(label(member.candidate.text))}”: "
            f"{_plain(lineage_words(member))}; cost {member.bill.words}; {member.tally.words}"
        )
    if len(members) > most:
        lines.append(f"- and {len(members) - most:,} more")
    return "\n".join(lines) + "\n"


def _proposal_cost(lineage: Lineage) -> float | None:
    if lineage.origin in FREE:
        return 0.0
    cost = lineage.detail.get("cost")
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None


def _parents(candidate: Candidate, numbers: Mapping[str, int]) -> tuple[int, ...]:
    """Numbers of the parents that are of this study and came before."""
    own = numbers[candidate.id]
    known = (numbers.get(parent, own) for parent in dict.fromkeys(candidate.lineage.parents))
    return tuple(number for number in known if number < own)


def _tallies(votes: Iterable[Vote]) -> dict[str, Tally]:
    counts: dict[str, list[int]] = {}
    places = {Verdict.LEFT: (0, 1), Verdict.RIGHT: (1, 0), Verdict.TIE: (2, 2), Verdict.BOTH_BAD: (3, 3)}
    for vote in votes:
        if vote.verdict in places:
            sides = (vote.left_candidate, vote.right_candidate)
            for candidate, place in zip(sides, places[vote.verdict], strict=True):
                counts.setdefault(candidate, [0, 0, 0, 0])[place] += 1
    return {candidate: Tally(*counted) for candidate, counted in counts.items()}


def _remarks(detail: Mapping[str, Json]) -> Iterator[str]:
    for key, value in list(detail.items())[:_REMARKS]:
        if key != "cost" and value is not None:
            said = value if isinstance(value, str) else _scalar(value)
            yield f"{key.replace('_', ' ')} {label(said, _DETAIL)}"


def _scalar(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(str, value))
    return str(value)


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)
