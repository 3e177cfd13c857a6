"""A target from a plain Python function, for notebooks and tests."""

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from palate.types import Candidate, Input, Response

__all__ = ["FunctionTarget"]


class FunctionTarget:
    """Responds by calling ``function(prompt, input)`` in a thread of its own.

    Args:
        function: Takes the candidate's text and the input's text and returns the answer as markdown. What
            it raises becomes a failed response, which is recorded, shown to nobody and never learnt from.
    """

    def __init__(self, function: Callable[[str, str], str]) -> None:
        # The user's word for the type is not proof of it.
        self._function: Callable[[str, str], object] = function
        # The default pool has a few threads a core; a function that calls a service mostly waits.
        self._pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="palate-function")

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Call the function."""
        started = time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._pool, self._function, candidate.text, input.text)
        except Exception as error:
            return Response("text", "", failed=f"{type(error).__name__}: {error}")
        seconds = time.monotonic() - started
        if not isinstance(answer, str) or not answer.strip():
            return Response("text", "", seconds, failed=f"the function returned {answer!r}, not a text")
        return Response("text", answer, seconds)

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Any text can be given to a function."""

    def features_text(self, candidate: Candidate) -> str:
        """The prompt itself."""
        return candidate.text
