"""A deed done by two processes that have joined, as under torchrun; forked, so that it takes no second."""

import json
import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palate.policy.trainer import leave

PATIENCE = 240  # seconds; they need a few

NEEDS_FORK = [
    pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    # Another test may have brought JAX along, which warns of its own threads; they do nothing here.
    pytest.mark.filterwarnings("ignore:os.fork.*JAX:RuntimeWarning"),
]


def in_two(deed: Callable[[int], Any], folder: Path) -> list[Any]:
    """What a deed returns, or the error that it raises, in each of two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_one, args=(deed, rank, port, folder)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(PATIENCE)
        assert process.exitcode is not None, "a process waits for ever"
    return [json.loads((folder / f"said-{rank}").read_text()) for rank in (0, 1)]


def _one(deed: Callable[[int], Any], rank: int, port: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        said = deed(rank)
        leave()
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    (folder / f"said-{rank}").write_text(json.dumps(said))
    os._exit(0)  # the tests' own endings are not for this process
