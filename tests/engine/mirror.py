"""What a worker of the tests does: repeats, prints, fails, sleeps, dies."""

import os
import time
from collections.abc import Mapping
from typing import Any

from palate.engine import Message, answer_forever
from palate.errors import InputError


def answer(asked: Message) -> Mapping[str, Any]:
    given = asked.given
    if asked.task == "print":
        print("this is no reply", flush=True)
        os.write(1, b"nor is this\n")
    if asked.task == "refuse":
        raise InputError(given["why"])
    if asked.task == "fail":
        raise ZeroDivisionError(given["why"])
    if asked.task == "die":
        os._exit(7)
    if asked.task == "sleep":
        time.sleep(given["seconds"])
    niceness = os.nice(0) if hasattr(os, "nice") else 0
    return {"given": given, "sizes": [len(blob) for blob in asked.blobs], "nice": niceness}


def serve() -> None:
    answer_forever(answer)
