"""Where work runs: in this process, or in one beside it."""

from palate.engine._courtesy import rest_after, take_turns
from palate.engine._local import LocalEngine
from palate.engine._worker import Message, Worker, WorkerLostError, answer_forever

__all__ = [
    "LocalEngine",
    "Message",
    "Worker",
    "WorkerLostError",
    "answer_forever",
    "rest_after",
    "take_turns",
]
