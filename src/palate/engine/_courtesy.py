"""How threads that compute for seconds live beside those for whom somebody waits."""

import gc
import sys

__all__ = ["rest_after", "take_turns"]

# A vote passes several threads. Each of them may have to wait for the interpreter, and by default a thread
# that computes lets go of it only every 5 ms. (A low priority of that thread would make it worse: it would be
# stopped while it holds the interpreter, and everybody with it.)
SWITCH_SECONDS = 0.0002

# The collector holds everybody up while it walks all objects: a quarter of a second with 50,000 votes in
# memory. Whatever is in no circle is freed without it, so it may come rarely: after this many collections
# of the generation before, which by default are ten.
OLD_COLLECTIONS = 1000

MANY_EVENTS = 50  # some ten votes, with the questions that they answer and that come after them


def take_turns() -> None:
    """Let this process's threads hand the interpreter over soon; walk all objects rarely."""
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, max(old, OLD_COLLECTIONS))


def rest_after(seconds: float, news: int) -> float:
    """How long a thread that learns should rest, in seconds, where others wait for the same interpreter.

    Twice as long as it worked when many write at once, so that it takes a third at most; but no longer than
    half a second, and not at all when there was so little news that it is one person who waits for it.

    Args:
        seconds: That it worked.
        news: Events that had come since it worked before.

    Example:
        >>> rest_after(0.02, 500), rest_after(4.0, 500), rest_after(4.0, 3)
        (0.04, 0.5, 0.0)
    """
    return min(2.0 * seconds, 0.5) if news >= MANY_EVENTS else 0.0
