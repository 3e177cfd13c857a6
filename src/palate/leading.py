"""One process leads, the others follow: who proposes, asks the model and learns where several serve a study.

On a server any number of processes show duels and take votes. Proposals, answers and the belief are the work
of one of them, so that nothing is paid for twice; when it dies, another takes over within a second or two.
"""

import contextlib
import math
import time
from collections.abc import Generator

from palate.models import Ledger, Spent
from palate.store import Store, is_postgres

__all__ = ["FOLLOW_SECONDS", "Lead"]

FOLLOW_SECONDS = 1.0  # how often a process that follows looks whether it is to lead
_COUNT_SECONDS = 60.0  # and how old what it says of the cost may be


class Lead:
    """Whether this process leads. In a study that is a file it does, always.

    Args:
        store: Of the study.
        ledger: Is told what other processes have spent.
    """

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._shared = is_postgres(store.place)
        self._leads = not self._shared
        self._believed = 0
        self._counted = -math.inf

    def taken(self) -> bool:
        """Take the lead if nobody has it; returns whether it is here."""
        if not self._shared:
            return True
        led, self._leads = self._leads, self._store.lead()
        if self._leads and not led:
            self._count()
        elif not self._leads:
            self._look_on()
        return self._leads

    def give_back(self) -> None:
        """Let another process lead."""
        if self._shared:
            self._leads = False
            self._store.give_way()

    @contextlib.contextmanager
    def for_now(self) -> Generator[bool]:
        """Take the lead, if nobody has it, for one piece of work; it stays where it was before."""
        led = self._leads
        try:
            yield self.taken()
        finally:
            if self._leads and not led:
                self.give_back()

    def _look_on(self) -> None:
        """Take notice of what the leading process learns and spends, for the pages that show it."""
        belief = self._store.belief()
        if belief is not None and belief.seq != self._believed:
            self._believed = belief.seq
            self._store.learnt = time.monotonic()
        if time.monotonic() - self._counted > _COUNT_SECONDS:
            self._count()

    def _count(self) -> None:
        self._counted = time.monotonic()
        self._ledger.spent = Spent.on(self._store.completions())
