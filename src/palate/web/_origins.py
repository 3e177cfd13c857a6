"""What the owner sees beyond the standings: what the best prompt makes, what failed, and the family tree."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from palate.provenance import lineage_words, members_of
from palate.store import StudyState
from palate.types import Belief
from palate.web._view import StudyView

__all__ = ["Ancestor", "Failure", "Showing", "ancestors", "failures", "showings"]

SHOWINGS = 6  # inputs; a page of pictures, not an album
FAILURES = 50
ANCESTORS = 400


class Showing(NamedTuple):
    """What the best candidate made of an input, beside what the first one made of it."""

    input: str
    best: Markup
    first: Markup | None


class Failure(NamedTuple):
    """A response that could not be had, and why."""

    prompt: str
    input: str
    reason: str
    withdrawn: bool


class Ancestor(NamedTuple):
    """One candidate of the family tree, in words."""

    depth: int
    number: int
    text: str
    made: str
    cost: str
    votes: str
    withdrawn: bool
    is_best: bool


def showings(view: StudyView, state: StudyState, belief: Belief | None, first: str) -> tuple[Showing, ...]:
    """Responses of the best candidate that are no text: pictures, plots, tables and chats.

    Args:
        view: The study.
        state: As of now.
        belief: What is believed of it.
        first: Identifier of the candidate that the study started from.
    """
    if belief is None:
        return ()
    answered = _responses(state, {belief.best, first})
    made: list[Showing] = []
    for (candidate, input_id), address in answered.items():
        if candidate != belief.best or len(made) == SHOWINGS:
            continue
        response = view.store.get_response(address)
        if response.kind == "text":
            return ()
        other = None if first == belief.best else answered.get((first, input_id))
        made.append(
            Showing(
                state.inputs[input_id].text,
                Markup(view.answers.answer(response)["html"]),
                None
                if other is None
                else Markup(view.answers.answer(view.store.get_response(other))["html"]),
            )
        )
    return tuple(made)


def _responses(state: StudyState, candidates: set[str]) -> dict[tuple[str, str], str]:
    """Hashes of the responses of some candidates, by candidate and input."""
    found: dict[tuple[str, str], str] = {}
    for pairing in state.pairings.values():
        for candidate, address in (
            (pairing.first, pairing.first_response),
            (pairing.second, pairing.second_response),
        ):
            if candidate in candidates:
                found.setdefault((candidate, pairing.input_id), address)
    return found


def failures(state: StudyState) -> tuple[Failure, ...]:
    """The responses that failed, the latest first; raters never saw them and nothing was learnt from them."""
    listed = [
        Failure(state.made[candidate].text, state.inputs[place].text, reason, candidate in state.withdrawn)
        for (candidate, place), reason in state.failures.items()
        if candidate in state.made and place in state.inputs
    ]
    return tuple(reversed(listed))


def ancestors(view: StudyView, state: StudyState, best: str | None) -> Sequence[Ancestor]:
    """The family tree, in the order in which it is drawn."""
    members = members_of(state, view.store.response_costs())
    return [
        Ancestor(
            member.depth,
            member.number,
            member.candidate.text,
            lineage_words(member),
            member.bill.words,
            member.tally.words,
            member.withdrawn,
            member.candidate.id == best,
        )
        for member in members
    ]
