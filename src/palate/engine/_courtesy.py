"""How threads that compute for seconds live beside those for whom somebody waits."""

import sys

__all__ = ["take_turns"]

# A vote passes several threads. Each of them may have to wait for the interpreter, and by default a thread
# that computes lets go of it only every 5 ms. (A low priority of that thread would make it worse: it would be
# stopped while it holds the interpreter, and everybody with it.)
SWITCH_SECONDS = 0.001


def take_turns() -> None:
    """Let this process's threads hand the interpreter over every millisecond."""
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
