"""Whether everything works, and figures for a monitoring program: numbers only, no text and no name."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from palate.errors import PalateError
from palate.models import Spent
from palate.operations import AlarmChanged, tell
from palate.types import Json, Verdict
from palate.web._meter import Meter, gauge, histogram
from palate.web._view import StudyView

if TYPE_CHECKING:
    from palate.learner import Learnt  # with the strategies, which the page never needs

__all__ = ["Figures", "Learning"]

LATELY = 1.0  # seconds for which one look at the disk is good enough
VERSION = "text/plain; version=0.0.4; charset=utf-8"


class Learning(NamedTuple):
    """How the learner beside the page is doing.

    Args:
        running: Whether it is alive.
        since: Seconds since it last worked a belief out; ``None`` when it has not yet.
        learnt: How far it has come; ``None`` where that is not known.
    """

    running: bool
    since: float | None = None
    learnt: "Learnt | None" = None


class Figures:
    """The views of health and metrics.

    Args:
        view: The study.
        meter: What the page itself counted.
        judge: The name under which the owner votes.
        spent: What the study has cost, or ``None`` when nobody says.
        learning: How the learner is doing, or ``None`` when none runs beside this page.
    """

    def __init__(
        self,
        view: StudyView,
        meter: Meter,
        *,
        judge: str,
        spent: Callable[[], Spent] | None,
        learning: Callable[[], Learning] | None,
    ) -> None:
        self._view = view
        self._meter = meter
        self._judge = judge
        self._spent = spent
        self._learning = learning
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._fault: str | None = None
        self._alarms: frozenset[str] = frozenset()

    def fault(self) -> str | None:
        """Why the study cannot be written to, or ``None``. Blocks while it tries."""
        with self._lock:
            if time.monotonic() - self._looked >= LATELY:
                try:
                    self._view.store.check_writable()
                except PalateError as error:
                    self._fault = str(error)
                else:
                    self._fault = None
                self._looked = time.monotonic()
                self.alarm({"store"}, {"store"} if self._fault else set())
            return self._fault

    def learning(self) -> Learning | None:
        """How the learner is doing; ``None`` where that is not known here."""
        found = self._learning() if self._learning else None
        self.alarm({"learner"}, set() if found is None or found.running else {"learner"})
        return found

    def alarm(self, looked: Collection[str], on: Collection[str]) -> None:
        """Tell those who listen of what became amiss, or is well again.

        Args:
            looked: The alarms that were looked at.
            on: Those of them that are on.
        """
        before = self._alarms
        self._alarms = (before - frozenset(looked)) | frozenset(on)
        for name in sorted(before ^ self._alarms):
            tell(AlarmChanged(name, name in self._alarms))

    async def health(self, request: Request) -> Response:
        """200 when votes can be taken, 503 with the reason when they cannot."""
        from palate.web._pages import as_json

        del request
        fault = await run_in_threadpool(self.fault)
        learner = self.learning()
        told: dict[str, Json] = {
            "status": "ok" if fault is None else "failing",
            "store": "writable" if fault is None else "read-only",
            "learner": "unknown" if learner is None else "running" if learner.running else "stopped",
            "seconds_since_fit": None
            if learner is None or learner.since is None
            else round(learner.since, 1),
        }
        if fault is None:
            return as_json(told)
        # The reason may name a place on this machine, which is told to those who were let in only.
        return as_json({**told, "reason": "the study cannot be written to; the owner's page says why"}, 503)

    async def metrics(self, request: Request) -> Response:
        """Everything that can be counted, in the text format of Prometheus."""
        del request
        lines = await run_in_threadpool(self._lines)
        return Response("\n".join([*self._meter.lines(), *lines, ""]), media_type=VERSION)

    def _lines(self) -> list[str]:
        state = self._view.outline()
        tally = self._view.store.tally()
        fault = self.fault()
        learner = self.learning()
        spent = self._spent() if self._spent else None
        stages = state.stages
        lines = [
            *gauge("palate_store_writable", "Whether votes can be stored.", float(fault is None)),
            *gauge("palate_study_votes", "Votes of the study that stand.", sum(tally.values())),
            *gauge("palate_ready_duels", "Pairings that wait for a first look.", stages["ready"]),
            *gauge("palate_open_leases", "Pairings on somebody's screen.", stages["shown"]),
            *gauge("palate_judge_failures", "Duels that a judge could not decide.", self._undecided(tally)),
        ]
        if learner is not None:
            lines += gauge("palate_learner_running", "Whether the learner is alive.", float(learner.running))
            lines += gauge("palate_seconds_since_fit", "Since the belief was last worked out.", learner.since)
        if learner is not None and learner.learnt is not None:
            votes, seconds = learner.learnt
            behind = max(0, sum(tally.values()) - votes)
            lines += gauge("palate_votes_behind", "Votes that the belief does not know of yet.", behind)
            lines += histogram("palate_fit_seconds", "Time in which the belief was worked out.", seconds)
        if spent is not None:
            lines += gauge("palate_cost_dollars", "US dollars of the calls with a known price.", spent.priced)
            lines += gauge("palate_unpriced_calls", "Calls without a known price.", spent.unpriced_calls)
            lines += gauge("palate_model_calls", "Calls to models.", spent.calls)
        return lines

    def _undecided(self, tally: Mapping[tuple[str, Verdict], int]) -> int:
        """Skips and failures of judges that are no people, who may skip as they like."""
        people = {self._judge, *(each.rater for each in self._view.outline().invitations.by_id.values())}
        undecided = (Verdict.SKIP, Verdict.FAILED)
        return sum(n for (who, said), n in tally.items() if who not in people and said in undecided)
