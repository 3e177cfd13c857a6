"""A process of our own that computes, and everything that can happen to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from palate.engine import Worker, WorkerLostError
from palate.errors import InputError

HERE = Path(__file__).parent
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.syspath_prepend(HERE)
    started = Worker("mirror")
    yield started
    started.close()


def is_there(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


def gone(pid: int, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_there(pid)


def test_what_is_asked_arrives_whole(worker: Worker) -> None:
    given = {"text": "ünicode\n\u2028", "number": 0.1, "list": [1, None]}
    blobs = [b"", b"\n\x00" * 1000, bytes(range(256)) * 20_000]
    reply = worker.ask("repeat", given, blobs)
    assert (reply["given"], reply["sizes"]) == (given, [0, 2000, 5_120_000])
    assert worker.ask("repeat", {})["sizes"] == []


@posix
def test_others_come_first(worker: Worker) -> None:
    assert worker.ask("repeat", {})["nice"] > os.nice(0)


def test_what_is_printed_is_no_reply(worker: Worker) -> None:
    assert worker.ask("print", {"a": 1})["given"] == {"a": 1}
    assert worker.ask("repeat", {"a": 2})["given"] == {"a": 2}


def test_our_errors_come_back_as_themselves(worker: Worker) -> None:
    with pytest.raises(InputError, match="too few") as caught:
        worker.ask("refuse", {"why": "too few"})
    assert "mirror.py" in "".join(caught.value.__notes__)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: by nought"):
        worker.ask("fail", {"why": "by nought"})
    assert worker.ask("repeat", {"a": 1})["given"] == {"a": 1}


def test_a_worker_that_dies_is_lost(worker: Worker) -> None:
    with pytest.raises(WorkerLostError, match="has ended: 7"):
        worker.ask("die", {})
    with pytest.raises(WorkerLostError):
        worker.ask("repeat", {}, [b"x" * 1_000_000])


def test_a_module_that_is_not_there_is_a_lost_worker(capfd: pytest.CaptureFixture[str]) -> None:
    worker = Worker("no_such_module")
    with pytest.raises(WorkerLostError):
        worker.ask("repeat", {})
    worker.close()
    assert "no_such_module" in capfd.readouterr().err


def test_without_a_python_there_is_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerLostError, match="no process can be started"):
        Worker("mirror")


@posix
def test_closing_ends_it_and_can_be_repeated(worker: Worker) -> None:
    worker.ask("repeat", {})
    worker.close()
    worker.close()
    assert not is_there(worker.pid)


@posix
def test_ctrl_c_is_left_to_the_one_who_asks(worker: Worker) -> None:
    worker.ask("repeat", {})
    os.kill(worker.pid, signal.SIGINT)
    assert worker.ask("repeat", {"a": 1})["given"] == {"a": 1}


@posix
def test_it_does_not_outlive_the_process_that_asked(tmp_path: Path) -> None:
    asker = tmp_path / "asker.py"
    asker.write_text(
        f"import sys; sys.path[:0] = {json.dumps([str(HERE), *sys.path])}\n"
        "from palate.engine import Worker\n"
        "worker = Worker('mirror')\n"
        "worker.ask('repeat', {})\n"
        "print(worker.pid, flush=True)\n"
        "worker.ask('sleep', {'seconds': 600})\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, asker], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert is_there(pid)
        process.kill()
    assert gone(pid)
