"""Threads of a process that serves and learns hand the interpreter over often."""

import gc
import sys

import pytest

from palate.engine import take_turns


@pytest.mark.parametrize(("before", "after"), [(0.005, 0.0002), (0.00005, 0.00005)])
def test_turns_become_shorter_and_never_longer(before: float, after: float) -> None:
    usual = sys.getswitchinterval()
    try:
        sys.setswitchinterval(before)
        take_turns()
        assert sys.getswitchinterval() == pytest.approx(after, abs=2e-6)  # whole microseconds
    finally:
        sys.setswitchinterval(usual)


@pytest.mark.parametrize(
    ("before", "after"), [((700, 10, 10), (700, 10, 1000)), ((0, 5, 2000), (0, 5, 2000))]
)
def test_the_collector_walks_everything_rarely(
    before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    usual, interval = gc.get_threshold(), sys.getswitchinterval()
    try:
        gc.set_threshold(*before)
        take_turns()
        assert gc.get_threshold() == after
    finally:
        gc.set_threshold(*usual)
        sys.setswitchinterval(interval)
