"""Learning anew beside the votes, so that nobody waits for it.

What is learnt from all votes up to a checkpoint counts from a later vote on, whose number is fixed. In
between a thread does the work, and then takes in the votes that came meanwhile. Nothing depends on how fast
the thread is: who needs the result waits for it or, if nothing was begun, does the same work itself.
"""

from collections.abc import Callable
from threading import Thread
from typing import Generic, Protocol, TypeVar

from palate.strategies._protocol import History

__all__ = ["Beside"]


class _Fitted(Protocol):
    @property
    def history(self) -> History:
        """The votes it rests on."""
        ...


_F = TypeVar("_F", bound=_Fitted)


class Beside(Generic[_F]):
    """One fit that is under way. A copy of it, or what is read back from a pickle, has nothing under way."""

    def __init__(self) -> None:
        self._found: _F | None = None
        self._begun: History | None = None
        self._thread: Thread | None = None

    def __reduce__(self) -> tuple[type["Beside[_F]"], tuple[()]]:
        return Beside, ()

    def follow(
        self,
        checkpoint: int,
        history: History,
        learn: Callable[[History], _F],
        go_on: Callable[[_F, History], _F],
    ) -> None:
        """Begin to learn from the votes up to a checkpoint, or take in the newest votes; returns at once.

        Args:
            checkpoint: How many of the votes are learnt from anew.
            history: All votes so far.
            learn: The work.
            go_on: Takes in the votes that a fit does not have yet.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        if not self._is_of(checkpoint, history):
            self._begun, self._found = history.until(checkpoint), None
            self._start(lambda begun=self._begun: learn(begun))
        elif (found := self._found) is not None and len(found.history) < len(history):
            self._start(lambda: go_on(found, history))

    def claim(self, checkpoint: int, history: History) -> _F | None:
        """The fit from a checkpoint on, with all votes or fewer, waiting for it if it is under way."""
        if not self._is_of(checkpoint, history):
            return None
        if self._thread is not None:
            self._thread.join()
        found, self._begun, self._found, self._thread = self._found, None, None, None
        if found is None or not found.history.same_as(history.until(len(found.history))):
            return None
        return found

    def _is_of(self, checkpoint: int, history: History) -> bool:
        begun = self._begun
        return begun is not None and len(begun) == checkpoint and begun.same_as(history.until(checkpoint))

    def _start(self, work: Callable[[], _F]) -> None:
        begun = self._begun

        def keep() -> None:
            try:
                found = work()
            except Exception:  # who needs the fit does the work again, and then it is raised
                return
            if self._begun is begun:
                self._found = found

        self._thread = Thread(target=keep, name="palate-learns-beside", daemon=True)
        self._thread.start()
