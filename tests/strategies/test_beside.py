"""Learning anew beside the votes."""

import copy
import threading
from dataclasses import dataclass

import numpy as np

from palate.strategies._beside import Beside
from palate.strategies._protocol import History

_PATIENCE = 20.0


@dataclass(frozen=True)
class Fit:
    """Which votes it has, and by which steps."""

    history: History
    steps: tuple[int, ...]


def learn(history: History) -> Fit:
    """From the votes alone."""
    return Fit(history, (len(history),))


def go_on(fit: Fit, history: History) -> Fit:
    """With the newest votes."""
    return Fit(history, (*fit.steps, len(history)))


def told(size: int, first: int = 0) -> History:
    """So many votes, of which the first is for a candidate."""
    first_M = np.arange(size)
    first_M[:1] = first
    return History(first_M, first_M + 1, np.ones(size))


def test_what_was_learnt_beside_is_there_when_it_counts() -> None:
    beside = Beside[Fit]()
    begun, may_go_on = threading.Event(), threading.Event()

    def slowly(history: History) -> Fit:
        begun.set()
        assert may_go_on.wait(_PATIENCE)
        return learn(history)

    beside.follow(4, told(4), slowly, go_on)
    assert begun.wait(_PATIENCE)
    beside.follow(4, told(5), slowly, go_on)  # returns at once: the work is under way
    may_go_on.set()
    found = beside.claim(4, told(6))
    assert found is not None
    assert found.steps == (4,)
    assert beside.claim(4, told(6)) is None


def test_votes_that_come_meanwhile_are_taken_in() -> None:
    beside = Beside[Fit]()
    beside.follow(4, told(4), learn, go_on)
    seen: list[tuple[int, ...]] = []

    def and_tell(fit: Fit, history: History) -> Fit:
        seen.append(fit.steps)
        return go_on(fit, history)

    for _ in range(1000):
        beside.follow(4, told(6), learn, and_tell)
        if seen:
            break
        threading.Event().wait(0.01)
    found = beside.claim(4, told(7))
    assert found is not None
    assert found.steps == (4, 6)


def test_other_votes_are_not_mistaken_for_those_learnt_from() -> None:
    beside = Beside[Fit]()
    beside.follow(4, told(4), learn, go_on)
    assert beside.claim(4, told(5, first=7)) is None  # a vote was undone meanwhile
    assert beside.claim(3, told(5)) is None
    assert beside.claim(4, told(5)) is not None


def test_work_that_fails_is_left_to_who_needs_it() -> None:
    beside = Beside[Fit]()

    def fail(history: History) -> Fit:
        raise ZeroDivisionError

    beside.follow(2, told(2), fail, go_on)
    assert beside.claim(2, told(2)) is None


def test_a_copy_has_nothing_under_way() -> None:
    beside = Beside[Fit]()
    beside.follow(2, told(2), learn, go_on)
    other = copy.deepcopy(beside)
    assert other.claim(2, told(2)) is None
    assert beside.claim(2, told(2)) is not None
