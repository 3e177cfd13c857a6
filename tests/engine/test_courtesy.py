"""Threads of a process that serves and learns hand the interpreter over often."""

import sys

import pytest

from palate.engine import take_turns


@pytest.mark.parametrize(("before", "after"), [(0.005, 0.001), (0.0005, 0.0005)])
def test_turns_become_shorter_and_never_longer(before: float, after: float) -> None:
    usual = sys.getswitchinterval()
    try:
        sys.setswitchinterval(before)
        take_turns()
        assert sys.getswitchinterval() == pytest.approx(after)
    finally:
        sys.setswitchinterval(usual)
