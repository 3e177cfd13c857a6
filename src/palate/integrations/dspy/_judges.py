"""Who decides while a program is tuned: a person on the page or at the terminal, or a function."""

import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import dspy

from palate.errors import BudgetError, ConfigError
from palate.store import EventKind, StudyState
from palate.study import Study
from palate.types import Duel, Judgement, Verdict
from palate.web import serve

__all__ = ["Decide", "Page", "StoppedError", "announce", "at_terminal", "by_function", "decided", "taught"]

Decide = Callable[[dspy.Example, str, str], str]
"""A judge as a function: of an example and of the left and right answer as shown, to a verdict."""

_KEYS: Mapping[str, Verdict] = {
    "1": Verdict.LEFT,
    "a": Verdict.LEFT,
    "2": Verdict.RIGHT,
    "b": Verdict.RIGHT,
    "3": Verdict.TIE,
    "e": Verdict.TIE,
    "4": Verdict.BOTH_BAD,
    "s": Verdict.SKIP,
}
_ASK = "Which is better? 1 A, 2 B, 3 equal, 4 both bad, s skip, q stop: "


class StoppedError(Exception):
    """The person at the terminal wants to stop; what was said so far counts."""


def announce(link: str) -> None:
    """Print where to vote."""
    sys.stdout.write(f"Vote here (the link works once): {link}\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Page:
    """The page in the browser, on this machine only.

    Args:
        port: Where; 0 takes a free port.
        on_ready: Gets the link that lets one browser in; by default it is printed.
    """

    port: int = 0
    on_ready: Callable[[str], None] = announce

    def collect(self, study: Study, votes: int) -> None:
        """Serve the page until a study has so many votes that teach, or the person is done.

        The page and the learner each have a thread, so that it works in a notebook too; ctrl-C ends the
        voting and keeps what was said.

        Raises:
            ConfigError: The port cannot be used.
            PalateError: What the learner could not do.
        """
        if study.state.closed is not None:
            study.store.append(EventKind.STUDY_REOPENED, {"reason": "tuned on"}, actor="me")
        stop = threading.Event()
        failures: list[BaseException] = []
        tasks: Mapping[str, Callable[[], None]] = {
            "palate-learner": lambda: study.learn_forever(stop, on_notice=_notice),
            "palate-page": lambda: serve(study.store, port=self.port, on_ready=self.on_ready, stop=stop),
        }
        threads = [
            threading.Thread(target=_beside, args=(work, stop, failures), name=name, daemon=True)
            for name, work in tasks.items()
        ]
        for thread in threads:
            thread.start()
        try:
            _wait(study, votes, stop)
        except KeyboardInterrupt:
            sys.stdout.write("\n")
        stop.set()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


def _notice(text: str) -> None:
    sys.stdout.write(f"{_printable(text)}\n")


def _beside(work: Callable[[], None], stop: threading.Event, failures: list[BaseException]) -> None:
    """Do a thread's work; its end, good or bad, ends the other's."""
    try:
        work()
    except BaseException as error:
        failures.append(error)
    finally:
        stop.set()


def taught(state: StudyState) -> int:
    """Votes of a study that teach."""
    return sum(vote.verdict.teaches for vote in state.votes)


def decided(study: Study, judge: str, decide: Callable[[Duel], Judgement], votes: int) -> None:
    """Ask ``decide``, in this thread, until a study has so many votes that teach.

    A judge that says nothing usable for as many duels as were wanted ends it too.
    """
    unhelpful = 0
    while taught(study.state) < votes and unhelpful < votes:
        try:
            duel = study.ask(judge)
            said = decide(duel)
        except (BudgetError, StoppedError):
            return
        study.tell(duel, said.verdict, seconds=said.seconds, reason=said.reason, comment=said.comment)
        unhelpful = 0 if said.verdict.teaches else unhelpful + 1
        study.state.follow(study.store)


def by_function(function: Decide, examples: Mapping[str, dspy.Example]) -> Callable[[Duel], Judgement]:
    """Decide by a function of the user's; it sees what a rater would see, in the order of the screen.

    Raises:
        ConfigError: When called: the function returned something else than a verdict.
    """

    def decide(duel: Duel) -> Judgement:
        said = function(examples[duel.input.id], duel.left.content, duel.right.content)
        try:
            return Judgement(Verdict(said))
        except ValueError:
            allowed = ", ".join(Verdict)
            raise ConfigError(
                f"the judge returned {said!r}, which is not a verdict; allowed: {allowed}"
            ) from None

    return decide


def at_terminal() -> Callable[[Duel], Judgement]:
    """Decide by asking the person at the terminal, or in the cell of a notebook."""

    def decide(duel: Duel) -> Judgement:
        parts = [duel.input.text, "── A ──", duel.left.content, "── B ──", duel.right.content]
        sys.stdout.write("\n" + "\n\n".join(map(_printable, parts)) + "\n\n")
        sys.stdout.flush()
        while True:
            try:
                said = input(_ASK).strip().lower()
            except EOFError:
                raise StoppedError from None
            if said == "q":
                raise StoppedError
            if said in _KEYS:
                return Judgement(_KEYS[said])

    return decide


def _printable(text: str) -> str:
    # A terminal would obey control characters, and turn lines around at others.
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _wait(study: Study, votes: int, stop: threading.Event) -> None:
    # A state of its own: the learner's thread follows the store with the study's.
    seen = StudyState()
    while not stop.is_set():
        seen.follow(study.store)
        if taught(seen) >= votes or seen.closed is not None:
            return
        study.store.wait(seen.seq, 0.25)
