"""What the pages know of a study: the duels to show, the progress, the advice to stop.

Everything comes from the store. Nothing that could tell two candidates apart leaves this file towards the
voting page: a duel is its opaque identifier, its input and two answers.
"""

import threading
from typing import Any, NamedTuple

from palate.errors import ConflictError, InputError, NotFoundError
from palate.kinds import Picture, read_picture
from palate.store import EventKind, Store, StudyState
from palate.types import Belief, Candidate, Duel, Json, Vote, digest
from palate.web._answers import AnswerRenderer
from palate.web._render import Renderer
from palate.web._words import Words

__all__ = ["StudyView", "Undo", "candidate_of"]

PREFETCH = 3  # the duel on the screen and the next two


class Undo(NamedTuple):
    """The vote that would be undone, and how many votes this judge has given."""

    duel_id: str | None
    given: int


class StudyView:
    """A reader of one study for one judge. Safe to use from several threads.

    Args:
        store: The study.
        judge: Whose duels are shown.
        words: Texts of the pages.
    """

    def __init__(self, store: Store, judge: str, words: Words) -> None:
        self.store = store
        self.judge = judge
        self.renderer = Renderer(words)
        self.answers = AnswerRenderer(self.renderer, words)
        self.study = digest(str(store.place))[:16]
        self._state = StudyState()
        self._lock = threading.Lock()

    def state(self) -> StudyState:
        """The study as of now."""
        with self._lock:
            self._state.follow(self.store)
            return self._state

    @property
    def title(self) -> str:
        """The study's own name, or its file's."""
        study = self.state().settings.get("study")
        name = study.get("name") if isinstance(study, dict) else None
        return str(name or self.store.title)

    def duels(self) -> dict[str, Json]:
        """Everything that the voting page shows, as JSON."""
        state = self.state()
        belief = self.store.belief()
        closed = state.closed is not None
        open_duels = [] if closed else self.store.open_duels(self.judge, PREFETCH)
        limit = _limit(state)
        taught = sum(vote.verdict.teaches for vote in state.votes)
        finished = closed or (limit is not None and taught >= limit and not open_duels)
        undo = self._undo(state.votes)
        return {
            "state": "done" if finished else "voting" if open_duels else "waiting",
            "closed": closed,
            "duels": [self._duel(duel) for duel in open_duels],
            "undo": undo.duel_id,
            "progress": {"mine": undo.given, "taught": taught, "limit": limit},
            "advice": _advice(belief),
            "guidelines": self._guidelines(state),
        }

    def undo(self, duel_id: str) -> dict[str, Json]:
        """Take the judge's last vote back. A repeat of an undo that was done changes nothing.

        Args:
            duel_id: The duel whose vote the page believes to be the last one.

        Returns:
            What :meth:`duels` returns, with that duel first.

        Raises:
            ConflictError: That duel is neither the last one voted on nor open again.
        """
        last = self._undo(self.state().votes).duel_id
        if last == duel_id:
            self.store.undo(self.judge)
        shown = self.duels()
        duels = shown["duels"]
        if last == duel_id or any(duel["id"] == duel_id for duel in _objects(duels)):
            return shown
        raise ConflictError("that vote is not the last one, so it cannot be undone; reload the page")

    def close(self, *, closed: bool) -> dict[str, Json]:
        """Record that the person is done, or goes on after all."""
        if (self.state().closed is not None) != closed:
            kind = EventKind.STUDY_CLOSED if closed else EventKind.STUDY_REOPENED
            self.store.append(kind, {"reason": "page"}, actor=self.judge)
        return self.duels()

    def picture(self, address: str) -> Picture | None:
        """The picture of the response under a hash; ``None`` if there is none, or it is not one."""
        try:
            found = self.store.get_response(address)
            return read_picture(found.content) if found.kind in ("image", "plot") else None
        except (NotFoundError, InputError):
            return None

    def _duel(self, duel: Duel) -> dict[str, Json]:
        return {
            "id": duel.id,
            "input": duel.input.text,
            "left": self.answers.answer(duel.left),
            "right": self.answers.answer(duel.right),
        }

    def _guidelines(self, state: StudyState) -> dict[str, Json]:
        html = self.renderer.html(state.guidelines) if state.guidelines.strip() else ""
        return {"version": state.guideline_version, "html": html}

    def _undo(self, votes: list[Vote]) -> Undo:
        mine = [vote.duel_id for vote in votes if vote.judge == self.judge]
        return Undo(mine[-1] if mine else None, len(mine))


def candidate_of(state: StudyState, identifier: str) -> Candidate | None:
    """A candidate by its identifier, withdrawn or not: a belief may be older than the withdrawal."""
    return state.candidates.get(identifier) or state.withdrawn.get(identifier)


def _objects(value: Json) -> list[dict[str, Any]]:
    return [dict(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _advice(belief: Belief | None) -> dict[str, Json] | None:
    if belief is None:
        return None
    return {"stop": belief.stop, "text": belief.reason}


def _limit(state: StudyState) -> int | None:
    """The votes that the study asks for: ``[budget] votes`` of its file, or ``max_votes`` in Python."""
    budget = state.settings.get("budget")
    votes = budget.get("votes") if isinstance(budget, dict) else state.settings.get("votes")
    return votes if isinstance(votes, int) else None
