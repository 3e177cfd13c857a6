"""A command decides: by its status or by a line with the nonce, on what an answer is or does."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palate.errors import ConfigError, InputError
from palate.judges import ExecutedCheck, executed_judge
from palate.judges._sandbox import Limits, check_folder, why_not
from palate.types import Duel, Grade, Input, Response, Runs, Verdict

PYTHON = next((p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(p).exists()), "")
needs_sandbox = pytest.mark.skipif(bool(why_not()) or not PYTHON, reason=why_not() or "no system Python")
ONE = Input("i", "3 4", ("7",), {"hard": "10 20"})
QUICK = Limits(seconds=20.0, memory=200_000_000)
READ = "import json, sys; told = json.load(sys.stdin)\n"


def graded(check: ExecutedCheck, answer: str, input: Input = ONE) -> Grade:
    return asyncio.run(check.grade(input, Response("text", answer)))


def looked(code: str, **options: Any) -> ExecutedCheck:
    """A check that is one line of Python."""
    return ExecutedCheck([PYTHON, "-c", READ + code], limits=QUICK, **options)


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "satisfied", "unknown"),
    [
        ("sys.exit(0 if 'seven' in told['answer'] else 1)", True, False),
        ("sys.exit(1)", False, False),
        ("sys.exit(2)", None, True),
        ("print('PASS'); sys.exit(3)", None, True),
        ("import os; os.kill(os.getpid(), 9)", None, True),
        ("import time; time.sleep(60)", None, True),
        ("while True: print('x' * 1000)", None, True),
    ],
)
def test_the_status_decides_and_anything_else_is_no_verdict(
    code: str, satisfied: bool | None, unknown: bool
) -> None:
    limits = Limits(seconds=1.0 if "sleep" in code else 20.0, memory=QUICK.memory)
    grade = graded(ExecutedCheck([PYTHON, "-c", READ + code], limits=limits), "It is seven.")
    assert grade.satisfied is satisfied
    assert (grade.unknown is not None) is unknown


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('noise'); print(told['nonce'], 'kept')", Grade(satisfied=True, reason="kept")),
        ("print(told['nonce'], 'broken')", Grade(satisfied=False, reason="broken")),
        ("print(told['nonce'], len(told['answer']))", Grade(reward=5.0, reason="reward 5")),
    ],
)
def test_a_line_with_the_nonce_decides(code: str, expected: Grade) -> None:
    assert graded(looked(code, says="line"), "seven") == expected


@needs_sandbox
@pytest.mark.parametrize(
    "code",
    [
        "print('kept')",
        "print('0' * 32, 'kept')",
        "print(told['nonce'], 'kept'); sys.exit(1)",
        "print(told['nonce'], 'kept'); print(told['answer'])",
        "print(told['nonce'], 'nan')",
        "print(told['nonce'], 'superb')",
        "pass",
    ],
)
def test_a_line_without_its_nonce_or_status_is_no_verdict(code: str) -> None:
    grade = graded(looked(code, says="line"), "kept")
    assert grade.unknown is not None
    assert grade.satisfied is None
    assert grade.reward is None


@needs_sandbox
def test_the_nonce_is_new_each_time() -> None:
    seen = looked("print(told['nonce'], int(told['nonce'], 16) % 10**6)", says="line")
    assert len({graded(seen, "x").reward for _ in range(4)}) > 1


@needs_sandbox
def test_an_answer_is_run_and_its_output_compared_with_the_references() -> None:
    check = ExecutedCheck(run=[PYTHON, "{answer}"], limits=QUICK)
    adds = "print(sum(map(int, input().split())))"
    assert graded(check, adds).satisfied is True
    assert graded(check, f"Here it is:\n```python\n{adds}\n```\nEnjoy.").satisfied is True
    assert graded(check, "print(8)") == Grade(satisfied=False, reason="the output is '8'")
    assert "status 1" in graded(check, "raise SystemExit(1)").reason
    assert graded(check, adds, Input("i", "3 4")).unknown is not None


@needs_sandbox
def test_a_check_sees_what_the_answer_did_in_another_sandbox() -> None:
    code = "sys.exit(0 if (told['output'], told['status'], told['ended']) == ('30\\n', 4, 'ended') else 1)"
    check = ExecutedCheck(
        [PYTHON, "-c", READ + code], [PYTHON, "{answer}"], stdin="hard", limits=QUICK, answer_file="main.py"
    )
    assert graded(check, "import sys; print(sum(map(int, input().split()))); sys.exit(4)").satisfied is True
    assert graded(check, "print(30)").satisfied is False


@needs_sandbox
def test_a_check_finds_its_files_and_cannot_change_them() -> None:
    code = (
        "import pathlib\n"
        "assert pathlib.Path('wanted.txt').read_text() == 'seven'\n"
        "try: open('wanted.txt', 'w')\n"
        "except OSError: sys.exit(0)\n"
        "sys.exit(1)"
    )
    assert graded(looked(code, files={"wanted.txt": b"seven"}), "x").satisfied is True


@needs_sandbox
def test_a_program_that_is_not_there_is_no_verdict() -> None:
    grade = graded(ExecutedCheck(["no-such-program"], limits=QUICK), "x")
    assert "127" in str(grade.unknown)
    assert grade.satisfied is None


def made(tmp_path: Path, **options: Any) -> Any:
    return executed_judge(**{"check": ["true"], "allow_execution": True, "folder": str(tmp_path), **options})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"allow_execution": False}, "allow_execution = true"),
        ({"allow_execution": "yes"}, "allow_execution = true"),
        ({"check": None}, "give run"),
        ({"check": "rm -rf /"}, "does not go through a shell"),
        ({"check": []}, "does not go through a shell"),
        ({"check": ["a", 3]}, "does not go through a shell"),
        ({"run": ["python3"]}, "{answer}"),
        ({"options": {"says": "loudly"}}, "'status' or 'line'"),
        ({"options": {"answer_file": "../x"}}, "cannot be the name of a file"),
        ({"options": {"colour": 1}}, "options has no 'colour'"),
        ({"options": {"folders": ["/"]}}, "cannot be shown to a sandbox"),
        ({"limits": {"seconds": 0}}, "seconds is 0"),
        ({"limits": {"memory": 1}}, "memory is 1"),
        ({"limits": {"time": 1}}, "limits has no 'time'"),
        ({"files": "check.py"}, "give a list of names"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(
    tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text.replace("{", r"\{")):
        made(tmp_path, **options)


@pytest.mark.parametrize("name", ["../outside.txt", "link.txt", "absent.txt", "/etc/passwd", "."])
def test_files_of_a_check_lie_with_the_study(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.txt").write_text("private")
    home = tmp_path / "study"
    home.mkdir()
    (home / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(InputError, match="beside the study file"):
        made(home, files=[name])


@pytest.mark.parametrize("folder", ["/", "/home", "/root", "/etc", "/tmp", "relative", str(Path.home())])
def test_private_folders_are_never_shown(folder: str) -> None:
    with pytest.raises(ConfigError, match="cannot be shown"):
        check_folder(folder)


@needs_sandbox
def test_the_judge_asks_to_be_allowed_and_says_what_it_runs(tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(READ + "sys.exit('seven' not in told['answer'])")
    options = {"check": [PYTHON, "check.py"], "files": ["check.py"]}
    sides = Response("text", "It is seven."), Response("text", "It is eight.")
    duel = Duel("d", "p", "j", ONE, *sides, "a", "b", False)
    judge = made(tmp_path, **options)
    assert isinstance(judge, Runs)
    assert judge.runs == f"{PYTHON} check.py (shut in, on each answer)"
    with pytest.raises(ConfigError, match="nobody has agreed"):
        asyncio.run(judge.judge(duel))
    said = asyncio.run(made(tmp_path, **options, allowed=True).judge(duel))
    assert said.verdict is Verdict.LEFT


def test_without_the_program_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    why: Callable[[], str] = getattr(why_not, "__wrapped__")  # noqa: B009 - past the cache
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get install bubblewrap" in why()
    monkeypatch.setattr("palate.judges._executed.why_not", why)
    with pytest.raises(ConfigError, match="nothing can be run safely here"):
        made(tmp_path)
