"""What the pages know of a study: the duels to show, the progress, the advice to stop.

Everything comes from the store. Nothing that could tell two candidates apart leaves this file towards the
voting page: a duel is its opaque identifier, its input and two answers.
"""

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from palate.errors import ConflictError, InputError, NotFoundError
from palate.kinds import Picture, read_picture
from palate.store import EventKind, Store, StudyOutline, StudyState
from palate.types import Belief, Candidate, Duel, Json, digest
from palate.web._answers import AnswerRenderer
from palate.web._render import Renderer
from palate.web._roles import Person, Role
from palate.web._words import Words

__all__ = ["StudyView", "candidate_of"]

Made = TypeVar("Made")

PREFETCH = 3  # the duel on the screen and the next two; they are filled up when only one is left


class StudyView:
    """A reader of one study for everybody who looks at it. Safe to use from several threads.

    Args:
        store: The study.
        words: Texts of the pages.
    """

    def __init__(self, store: Store, words: Words) -> None:
        self.store = store
        self.renderer = Renderer(words)
        self.answers = AnswerRenderer(self.renderer, words)
        self._state = StudyState()
        self._outline = StudyOutline(store)
        self._whole = threading.RLock()
        self._lock = threading.Lock()
        self._pictures: dict[str, set[str]] = {}
        self._duels_seen = 0

    def state(self) -> StudyState:
        """The study as of now, which the next caller moves on; a page reads it within :meth:`whole`."""
        with self._whole:
            self._state.follow(self.store)
            return self._state

    def whole(self, work: Callable[..., Made], *arguments: object) -> Made:
        """Do something with the whole study while it stands still. Votes and duels do not wait for it."""
        with self._whole:
            return work(*arguments)

    def outline(self) -> StudyOutline:
        """The study as of now without lists of pairings, duels and votes, so that no page waits for those."""
        with self._lock:
            self._outline.follow()
            return self._outline

    def study(self, person: Person) -> str:
        """What the votes that wait in a browser are kept under, so that nobody sends another's."""
        return digest([self.store.place, person.judge])[:16]

    @property
    def title(self) -> str:
        """The study's own name, or its file's."""
        study = self.outline().settings.get("study")
        name = study.get("name") if isinstance(study, dict) else None
        return str(name or self.store.title)

    def name_of(self, rater: str) -> str:
        """The display name of a rater, which only the owner and the rater see; empty when there is none."""
        return self.store.rater_names().get(rater, "")

    def duels(self, person: Person) -> dict[str, Json]:
        """Everything that the voting page shows somebody, as JSON.

        A rater learns nothing of what others did: neither how many votes there are nor what they taught.
        """
        state = self.outline()
        owner = person.role is Role.OWNER
        closed = state.closed is not None
        open_duels = [] if closed else self.store.open_duels(person.judge, PREFETCH, least=PREFETCH - 1)
        limit = state.votes_wanted
        finished = closed or (limit is not None and state.taught >= limit and not open_duels)
        given, undo = state.given_by(person.judge)
        progress: dict[str, Json] = {"mine": given, "taught": state.taught, "limit": limit}
        return {
            "state": "done" if finished else "voting" if open_duels else "waiting",
            "closed": closed,
            "duels": [self._duel(duel) for duel in open_duels],
            "undo": undo,
            "progress": progress if owner else {"mine": given, "taught": given, "limit": None},
            "advice": _advice(self.store.belief()) if owner else None,
            "guidelines": self._guidelines(state),
        }

    def undo(self, person: Person, duel_id: str) -> dict[str, Json]:
        """Take somebody's last vote back. A repeat of an undo that was done changes nothing.

        Args:
            person: Whose vote; nobody takes back another's.
            duel_id: The duel whose vote the page believes to be the last one.

        Returns:
            What :meth:`duels` returns, with that duel first.

        Raises:
            ConflictError: That duel is neither the last one voted on nor open again.
        """
        last = self.outline().given_by(person.judge)[1]
        if last == duel_id:
            self.store.undo(person.judge)
        shown = self.duels(person)
        duels = shown["duels"]
        if last == duel_id or any(duel["id"] == duel_id for duel in _objects(duels)):
            return shown
        raise ConflictError("that vote is not the last one, so it cannot be undone; reload the page")

    def close(self, person: Person, *, closed: bool) -> dict[str, Json]:
        """Record that the study is done, or goes on after all."""
        if (self.outline().closed is not None) != closed:
            kind = EventKind.STUDY_CLOSED if closed else EventKind.STUDY_REOPENED
            self.store.append(kind, {"reason": "page"}, actor=person.judge)
        return self.duels(person)

    def picture(self, person: Person, address: str) -> Picture | None:
        """The picture of the response under a hash; ``None`` if there is none, or it is not one.

        For a rater it is one only if a duel with it was assigned to that rater.
        """
        if person.role is Role.RATER and not self._was_shown(person.judge, address):
            return None
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

    def _was_shown(self, judge: str, address: str) -> bool:
        with self._whole:
            state = self.state()
            for duel in islice(state.duels.values(), self._duels_seen, None):
                pairing = state.pairings[duel.pairing_id]
                shown = self._pictures.setdefault(duel.judge, set())
                shown |= {pairing.first_response, pairing.second_response}
                self._duels_seen += 1
            return address in self._pictures.get(judge, ())


def candidate_of(state: StudyState, identifier: str) -> Candidate | None:
    """A candidate by its identifier, withdrawn or not: a belief may be older than the withdrawal."""
    return state.candidates.get(identifier) or state.withdrawn.get(identifier)


def _objects(value: Json) -> list[dict[str, Any]]:
    return [dict(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _advice(belief: Belief | None) -> dict[str, Json] | None:
    if belief is None:
        return None
    return {"stop": belief.stop, "text": belief.reason}
