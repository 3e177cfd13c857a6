"""Work that is both told of and traced: preparing a duel, a judge's decision, a vote, a fit."""

import time
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from palate.operations._events import DuelPrepared, Fitted, Judged, VoteStored, heard, kind_of, tell
from palate.operations._histogram import Histogram
from palate.operations._spans import past_span, span, traced
from palate.types import Ballot, Duel, Judge, Judgement, Receipt

__all__ = ["Preparation", "fitted", "judged", "preparing", "watch_vote"]


class Preparation:
    """A duel on its way; ``ready`` once both of its responses are stored."""

    ready = False


@contextmanager
def preparing(pairing: str) -> Generator[Preparation]:
    """Watch the responses of a duel being produced.

    Args:
        pairing: Its identifier.
    """
    began = time.perf_counter()
    duel = Preparation()
    try:
        with span("prepare duel", {"palate.pairing": pairing}) as opened:
            yield duel
            opened.set({"palate.ready": duel.ready})
    finally:
        tell(DuelPrepared(pairing, duel.ready, _milliseconds(began)))


async def judged(judge: Judge, duel: Duel) -> Judgement:
    """Let a judge that is no person decide."""
    began = time.perf_counter()
    said: Judgement | None = None
    failure: BaseException | None = None
    try:
        with span("judge", {"palate.judge": judge.name}) as opened:
            said = await judge.judge(duel)
            opened.set({"palate.verdict": said.verdict.value})
            return said
    except BaseException as error:
        failure = error
        raise
    finally:
        verdict = None if said is None else said.verdict.value
        tell(Judged(judge.name, verdict, _milliseconds(began), kind_of(failure)))


def watch_vote(ballot: Ballot, landing: "Future[Receipt]") -> None:
    """Tell of a vote once it is on the disk, or refused.

    Args:
        ballot: What was handed in; its comment is not looked at.
        landing: Done when the vote is.
    """
    if heard() or traced():
        landing.add_done_callback(partial(_landed, ballot, time.perf_counter()))


def _landed(ballot: Ballot, began: float, landing: "Future[Receipt]") -> None:
    seconds = time.perf_counter() - began
    failure = None if landing.cancelled() else landing.exception()
    receipt = None if failure is not None or landing.cancelled() else landing.result()
    seq, replayed = (None, False) if receipt is None else (receipt.seq, receipt.replayed)
    told = VoteStored(
        seq, ballot.judge, ballot.verdict.value, replayed, round(1e3 * seconds, 3), kind_of(failure)
    )
    tell(told)
    attributes = {
        "palate.seq": seq,
        "palate.judge": ballot.judge,
        "palate.verdict": told.verdict,
        "palate.replayed": replayed,
    }
    past_span("store vote", seconds, attributes, error=told.error)


def fitted(votes: int, seconds: float, fits: Histogram) -> None:
    """Count, tell and trace that the learner has worked its belief out anew.

    Args:
        votes: On how many votes.
        seconds: How long that took, until now.
        fits: Where the seconds are counted.
    """
    fits.add(seconds)
    tell(Fitted(votes, round(seconds, 6)))
    past_span("fit", seconds, {"palate.votes": votes})


def _milliseconds(began: float) -> float:
    return round(1e3 * (time.perf_counter() - began), 3)
