"""The learner in a process of its own, so that a page never waits for what is worked out beside it.

A study of few votes is learnt here: that takes milliseconds, and a process of its own would cost a second and
a hundred megabytes. From :data:`MANY_VOTES` votes on the same learner runs in another process, which is told
candidates, features and the columns of votes, and says which pairs to ask about and what is believed. It
knows no database and no model. The belief is a function of what it is told, so a process that dies is started
again and told everything anew; one that keeps dying is given up, and learning goes on here.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias, TypeVar

import numpy as np

from palate.engine import Message, Worker, WorkerLostError, answer_forever
from palate.learner import NOTHING, Learner, Learnt
from palate.operations import FIT_SECONDS, Histogram, fitted
from palate.store import StudyState, VoteColumns, belief_json, belief_of, candidate_json, candidate_of
from palate.strategies import Exploring
from palate.types import Array, Belief, Input, Pairing, Standing

__all__ = ["MANY_VOTES", "LearnerApart", "serve"]

MANY_VOTES = 1000
LOSSES = 3  # so many within
LOSS_SECONDS = 600.0  # are too many

Answers: TypeAlias = Mapping[tuple[str, str], Array]
Name = TypeVar("Name")


class LearnerApart:
    """Stands in for a learner, and lets another process do its work once it is much.

    The methods are those of :class:`palate.learner.Learner`.

    Args:
        here: The learner of this process.
        on_notice: Told in a line when learning comes back here for good.
        many: Votes from which on another process learns.
    """

    def __init__(self, here: Learner, on_notice: Callable[[str], None], *, many: int = MANY_VOTES) -> None:
        self._here = here
        self._on_notice = on_notice
        self._many = many
        self._there: _Told | None = None
        self._latest: tuple[StudyState, Mapping[str, Array], Answers, VoteColumns] | None = None
        self._losses: deque[float] = deque(maxlen=LOSSES)
        self._given_up = False
        self._fits = Histogram(FIT_SECONDS)
        self._telling: float | None = None
        self._lock = threading.RLock()

    @property
    def pid(self) -> int | None:
        """The number of the process that learns; ``None`` for this one."""
        return None if self._there is None else self._there.worker.pid

    @property
    def votes(self) -> int:
        """Votes told so far, those that do not teach left out."""
        there = self._there
        return self._here.votes if there is None else there.taught

    @property
    def learnt(self) -> Learnt:
        """How far it has come, and how long that took as seen from here."""
        there = self._there
        return self._here.learnt if there is None else Learnt(there.count, self._fits.counted())

    def check(self) -> None:
        """Make sure that there is something to compare."""
        if self._ask("check") is None:
            self._here.check()

    def follow(
        self,
        state: StudyState,
        features: Mapping[str, Array],
        answers: Answers = NOTHING,
        *,
        votes: VoteColumns | None = None,
    ) -> bool:
        """Catch up with the store."""
        votes = (VoteColumns.of(state) if votes is None else votes).upto(state.seq)
        with self._lock:
            self._latest = state, features, answers, votes
            while not self._given_up and (self._there is not None or len(votes) >= self._many):
                began = time.perf_counter()
                try:
                    if self._there is None:
                        self._there = _Told(Worker(__name__), self._here.made_with)
                        self._here = Learner(**self._here.made_with)  # lets go of what it knew
                    changed = self._there.tell(state, features, answers, votes)
                except WorkerLostError as lost:
                    self._lose(lost)
                    continue
                if changed:
                    self._telling = (self._telling or 0.0) + time.perf_counter() - began
                return changed
            return self._here.follow(state, features, answers, votes=votes)

    def choose(self, n: int, pending: Sequence[Pairing]) -> list[tuple[str, str]]:
        """Choose pairs of candidates worth asking about at once."""
        found = self._ask("choose", n=n, pending=[asdict(pairing) for pairing in pending])
        return self._here.choose(n, pending) if found is None else [(one, two) for one, two in found["pairs"]]

    def belief(self, state: StudyState) -> Belief:
        """What is believed now."""
        began = time.perf_counter()
        found, there = self._ask("belief"), self._there
        if found is None or there is None:
            return self._here.belief(state)
        if self._telling is not None:
            fitted(there.count, self._telling + time.perf_counter() - began, self._fits)
            self._telling = None
        return belief_of(found)

    def standings(self, state: StudyState) -> dict[str, Standing]:
        """What is believed of every candidate that takes part."""
        found = self._ask("standings")
        if found is None:
            return self._here.standings(state)
        return {identifier: Standing(**row) for identifier, row in found.items()}

    def should_stop(self) -> tuple[bool, str]:
        """Whether more votes are worth a person's time, and why."""
        found = self._ask("should_stop")
        return self._here.should_stop() if found is None else (found["stop"], found["reason"])

    def decided(self, first: str, second: str) -> bool:
        """Whether it is clear which of two is better."""
        found = self._ask("decided", first=first, second=second)
        return self._here.decided(first, second) if found is None else found["decided"]

    def worth_of_growing(self, state: StudyState, children: int, clicks: int) -> Exploring | None:
        """What new candidates are worth against further questions about the present ones."""
        found = self._ask("worth_of_growing", children=children, clicks=clicks)
        if found is None:
            return self._here.worth_of_growing(state, children, clicks)
        return None if found["worth"] is None else Exploring(*found["worth"])

    def close(self) -> None:
        """End the other process. Idempotent."""
        with self._lock:
            self._given_up = True
            if self._there is not None:
                self._there.worker.close()
                self._there = None

    def _ask(self, task: str, **given: object) -> dict[str, Any] | None:
        """Have the other process do something; ``None`` if it is to be done here."""
        with self._lock:
            while self._there is not None:
                try:
                    return self._there.worker.ask(task, given)
                except WorkerLostError as lost:
                    self._lose(lost)
                    assert self._latest
                    state, features, answers, votes = self._latest
                    self.follow(state, features, answers, votes=votes)
            return None

    def _lose(self, lost: WorkerLostError) -> None:
        if self._there is not None:
            self._there.worker.close()
            self._there = None
        self._losses.append(time.monotonic())
        if len(self._losses) == LOSSES and self._losses[-1] - self._losses[0] < LOSS_SECONDS:
            self._given_up = True
            self._on_notice(f"learning goes on beside the page, which may be slower for it: {lost}")


class _Told:
    """A process that learns, and what it has been told."""

    def __init__(self, worker: Worker, made_with: Mapping[str, Any]) -> None:
        self.worker = worker
        self.taught = 0
        self.count = 0
        self._made_with: Mapping[str, Any] | None = made_with
        self._setup: object = None
        self._names: object = None
        self._features = 0
        self._answers = 0
        self._votes: VoteColumns | None = None

    def tell(
        self, state: StudyState, features: Mapping[str, Array], answers: Answers, votes: VoteColumns
    ) -> bool:
        """Tell what is new; returns whether anything was learnt or forgotten."""
        given: dict[str, Any] = {"seq": state.seq, "made_with": self._made_with}
        setup = tuple(state.candidates), tuple(state.withdrawn), tuple(state.inputs)
        if setup != self._setup:
            given |= {
                "candidates": [candidate_json(each) for each in state.candidates.values()],
                "withdrawn": [candidate_json(each) for each in state.withdrawn.values()],
                "inputs": list(state.inputs),
            }
        lists = votes.candidates, votes.inputs, votes.judges
        names = [len(each) for each in lists]  # which grow, and never change
        if names != self._names:
            given["names"] = lists
        before = self._votes is not None and votes.begin_with(self._votes)
        given["known"] = self.count if before else 0
        rows, places = list(features.items())[self._features :], list(answers.items())[self._answers :]
        given |= {"features": [name for name, _ in rows], "answers": [place for place, _ in places]}
        raw = (np.array([row for _, row in each], np.float64).tobytes() for each in (rows, places))
        found = self.worker.ask("follow", given, (votes.after(given["known"]).raw, *raw))
        self._made_with, self._setup, self._names = None, setup, names
        self._features, self._answers, self._votes = len(features), len(answers), votes
        self.taught, self.count = found["taught"], len(votes)
        return found["changed"]


class _There:
    """In the other process: the learner, and what it was told of the study."""

    def __init__(self) -> None:
        self._learner: Learner
        self._state = StudyState()  # as much of one as a learner looks at
        self._features: dict[str, Array] = {}
        self._answers: dict[tuple[str, str], Array] = {}
        self._votes = VoteColumns.of(self._state)
        self._tasks: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            "check": self._check,
            "choose": self._choose,
            "belief": lambda given: belief_json(self._learner.belief(self._state)),
            "standings": self._standings,
            "should_stop": lambda given: dict(
                zip(("stop", "reason"), self._learner.should_stop(), strict=True)
            ),
            "decided": lambda given: {"decided": self._learner.decided(**given)},
            "worth_of_growing": lambda given: {"worth": self._learner.worth_of_growing(self._state, **given)},
        }

    def answer(self, asked: Message) -> Mapping[str, Any]:
        """Do what is asked."""
        if asked.task == "follow":
            return self._follow(asked.given, asked.blobs)
        return self._tasks[asked.task](asked.given)

    def _follow(self, given: Mapping[str, Any], blobs: Sequence[bytes]) -> Mapping[str, Any]:
        if given["made_with"] is not None:
            self._learner = Learner(**given["made_with"])
        state, votes, (new, *rows) = self._state, self._votes, blobs
        state.seq = given["seq"]
        if "inputs" in given:
            state.candidates = {each["id"]: candidate_of(each) for each in given["candidates"]}
            state.withdrawn = {each["id"]: candidate_of(each) for each in given["withdrawn"]}
            state.inputs = {identifier: Input(identifier, "") for identifier in given["inputs"]}
        names = given.get("names", (votes.candidates, votes.inputs, votes.judges))
        self._votes = VoteColumns.read(b"".join((votes.first(given["known"]).raw, new)), *names)
        places = [(candidate, place) for candidate, place in given["answers"]]
        self._features.update(_rows(given["features"], rows[0]))
        self._answers.update(_rows(places, rows[1]))
        changed = self._learner.follow(state, self._features, self._answers, votes=self._votes)
        return {"changed": changed, "taught": self._learner.votes}

    def _check(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        self._learner.check()
        return given

    def _choose(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        pending = [Pairing(**pairing) for pairing in given["pending"]]
        return {"pairs": self._learner.choose(given["n"], pending)}

    def _standings(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: asdict(standing) for name, standing in self._learner.standings(self._state).items()}


def _rows(names: Sequence[Name], raw: bytes) -> Iterable[tuple[Name, Array]]:
    """Names with their rows of numbers, which lie in memory one behind the other."""
    if not names:
        return ()
    return zip(names, np.frombuffer(raw, np.float64).reshape(len(names), -1), strict=True)


def serve() -> None:
    """Be the process that learns."""
    answer_forever(_There().answer)
