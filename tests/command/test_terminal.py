"""Voting in a terminal: what is shown is what is stored, by the keys of the page, and blind."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from palate.command._keys import LineKeys
from palate.command._terminal import VotingTerminal
from palate.store import EventKind
from palate.study import Study
from palate.types import Verdict

Vote = Callable[..., str]
SECONDS = 60  # how long the slowest machine may take for one step


@pytest.fixture
def opened(study: Path) -> Iterator[Study]:
    with Study.open(study, repeatable=True) as opened:
        yield opened


@pytest.fixture
def vote(opened: Study) -> Vote:
    """Type lines at a terminal of some width beside a learner, and see the screen."""

    def voter(*lines: str, width: int = 120, limit: int | None = None) -> str:
        screen, stop = io.StringIO(), threading.Event()
        learner = threading.Thread(target=opened.learn_forever, args=(stop,))
        learner.start()
        try:
            keys = LineKeys(io.StringIO("".join(f"{line}\n" for line in lines)))
            console = Console(file=screen, width=width, markup=False, highlight=False)
            VotingTerminal(opened.store, console, keys, stop, limit=limit).run()
        finally:
            stop.set()
            learner.join()
        opened.state.follow(opened.store)
        return screen.getvalue()

    return voter


@pytest.mark.parametrize(
    ("key", "verdict"),
    [
        ("1", Verdict.LEFT),
        ("a", Verdict.LEFT),
        ("2", Verdict.RIGHT),
        ("B", Verdict.RIGHT),
        ("3", Verdict.TIE),
        ("e", Verdict.TIE),
        ("4", Verdict.BOTH_BAD),
        ("s", Verdict.SKIP),
    ],
)
def test_each_key_stores_its_verdict(vote: Vote, opened: Study, key: str, verdict: Verdict) -> None:
    vote(key, "q")
    (stored,) = opened.state.votes
    assert stored.verdict is verdict
    assert stored.judge == "me"
    assert stored.seconds is not None


def test_what_stands_on_the_left_is_what_wins(vote: Vote, opened: Study) -> None:
    screen = vote("1", "q")
    (stored,) = opened.state.votes
    pairing, shown = opened.state.pairings[stored.pairing_id], opened.state.duels[stored.duel_id]
    hashes = [pairing.first_response, pairing.second_response]
    left, right = (opened.store.get_response(h).content for h in (hashes[::-1] if shown.swapped else hashes))
    assert stored.left_candidate == (pairing.second if shown.swapped else pairing.first)
    lines = screen.splitlines()
    titles = next(number for number, line in enumerate(lines) if "A  (1)" in line)
    answers = lines[titles + 1]
    middle = lines[titles].index("B  (2)") - 3
    assert left in answers[:middle]
    assert right in answers[middle:]


def test_prompts_are_never_shown(vote: Vote, opened: Study) -> None:
    screen = vote("1", "2", "3", "?", "g", "q")
    for candidate in opened.state.candidates.values():
        assert candidate.id not in screen
        assert candidate.text not in screen


def test_narrow_terminals_stack_the_answers(vote: Vote) -> None:
    wide, narrow = vote("q", width=120), vote("q", width=60)
    assert any("A  (1)" in line and "B  (2)" in line for line in wide.splitlines())
    assert not any("A  (1)" in line and "B  (2)" in line for line in narrow.splitlines())
    assert max(map(len, narrow.splitlines()[1:])) <= 60


def test_undo_goes_back_to_the_same_pair(vote: Vote, opened: Study) -> None:
    screen = vote("1", "2", "u", "u", "4", "q")
    assert screen.count("undone; vote again on this pair") == 2
    (stored,) = opened.state.votes
    assert stored.verdict is Verdict.BOTH_BAD


def test_nothing_to_undo_is_said(vote: Vote, opened: Study) -> None:
    assert "there is nothing to undo" in vote("u", "q")
    assert opened.state.votes == []


def test_skip_with_a_reason_and_a_comment(vote: Vote, opened: Study) -> None:
    vote("c", "both sound\x1b[31m rude", "S", "3", "S", "x", "q")
    first, second = opened.state.votes
    assert (first.verdict, first.reason, first.comment) == (Verdict.SKIP, "harmful", "both sound rude")
    assert (second.verdict, second.reason, second.comment) == (Verdict.SKIP, None, None)


def test_help_and_guidelines(vote: Vote) -> None:
    screen = vote("?", "g", "q")
    assert "undo the last vote" in screen
    assert "This study has no written guidelines." in screen


def test_the_end_of_the_input_quits(vote: Vote, opened: Study) -> None:
    vote("1")
    assert len(opened.state.votes) == 1


def test_the_limit_ends_the_run(vote: Vote, opened: Study) -> None:
    vote("1", "u", "1", "2", "3", "4", limit=2)
    assert len(opened.state.votes) == 2


def test_the_budget_of_votes_ends_the_run_and_says_so(study: Path) -> None:
    study.write_text(study.read_text(encoding="utf-8") + "[budget]\nvotes = 1\n", encoding="utf-8")
    person = _Person("run", study.name, "--terminal", folder=study.parent)
    try:
        person.sees("B  (2)")
        person.presses(b"3")
        assert person.ends() == 0
        assert "All the votes that this study asked for are given." in person.screen
        assert "Votes used: 1." in person.screen
    finally:
        person.leaves()


def test_a_study_that_was_closed_is_opened_again(opened: Study, study: Path) -> None:
    opened.store.append(EventKind.STUDY_CLOSED, {"reason": "page"})
    opened.close()
    person = _Person("run", study.name, "--terminal", folder=study.parent)
    try:
        person.sees("B  (2)")
        person.presses(b"q")
        assert person.ends() == 0
    finally:
        person.leaves()


class _Person:
    """Somebody at a real terminal: waits until something is on the screen, then presses a key."""

    def __init__(self, *arguments: str, folder: Path, columns: int = 100) -> None:
        ours, theirs = pty.openpty()
        self.screen = ""
        self._ours = ours
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from palate.command import main; main()", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**os.environ, "COLUMNS": str(columns), "LINES": "40", "TERM": "xterm", "NO_COLOR": "1"},
            start_new_session=True,
        )
        os.close(theirs)

    def sees(self, text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while text not in self.screen:
            left = deadline - time.monotonic()
            assert left > 0, f"never saw {text!r} in:\n{self.screen}"
            if select.select([self._ours], [], [], left)[0]:
                try:
                    self.screen += os.read(self._ours, 65536).decode("utf-8", "replace")
                except OSError as error:  # how a pseudo-terminal says that the other side is gone
                    raise AssertionError(f"ended before {text!r}:\n{self.screen}") from error

    def presses(self, keys: bytes) -> None:
        self.screen = ""
        os.write(self._ours, keys)

    def ends(self) -> int:
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.05)[0]:
                try:
                    self.screen += os.read(self._ours, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        return self.process.wait(SECONDS)

    def leaves(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(SECONDS)
        os.close(self._ours)


@pytest.fixture
def person(study: Path) -> Iterator[_Person]:
    person = _Person("run", study.name, "--terminal", folder=study.parent)
    yield person
    person.leaves()


def test_a_person_votes_undoes_and_quits(person: _Person, study: Path) -> None:
    person.sees("B  (2)")
    person.presses(b"1")
    person.sees("saved: A is better · 1 vote")
    person.sees("B  (2)")
    person.presses(b"\x1b[C")
    person.sees("saved: B is better · 2 votes")
    person.sees("B  (2)")
    person.presses(b"u")
    person.sees("undone; vote again on this pair")
    person.sees("B  (2)")
    person.presses(b"q")
    assert person.ends() == 0
    assert "Best prompt" in person.screen
    assert "Votes used: 1." in person.screen


def test_ctrl_c_in_the_terminal_keeps_the_votes(person: _Person, study: Path) -> None:
    person.sees("B  (2)")
    person.presses(b"1")
    person.sees("saved: A is better")
    person.sees("B  (2)")
    os.killpg(person.process.pid, signal.SIGINT)
    assert person.ends() == 130
    assert f"nothing is lost; continue with: palate run {study.name} --terminal" in person.screen
    with Study.open(study.with_suffix(".db")) as kept:
        assert len(kept.state.votes) == 1
