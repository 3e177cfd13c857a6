import asyncio
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palate.errors import ConfigError, InputError
from palate.kinds import read_picture, read_table
from palate.targets import SettingsTarget
from palate.testing import TargetContract
from palate.types import Candidate, Input, Response

PARAMETERS: dict[str, Any] = {
    "size": {"low": 1, "high": 100, "log": True},
    "count": {"low": 2, "high": 6, "integer": True, "start": 3},
    "colour": ["red", "blue", "green"],
    "fine": [False, True],
}
ASKED = Input("1", "a house; $(rm -rf /)", fields={"topic": "art"})
ECHO = "import sys; print('|'.join(sys.argv[1:]), sys.stdin.read(), sep='|', end='')"


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def script(code: str, **options: Any) -> SettingsTarget:
    """A command whose only parameter is handed over and not used."""
    return SettingsTarget({"n": [1, 2]}, python(code, "{n}"), **options)


def respond(target: SettingsTarget, candidate: Candidate | None = None, asked: Input = ASKED) -> Response:
    return asyncio.run(target.respond(candidate or target.origin([])[0], asked))


def failed(target: SettingsTarget) -> str:
    response = respond(target)
    assert response.failed
    assert response.content == ""
    assert "\n" not in response.failed
    return response.failed


class TestCommand(TargetContract):
    @pytest.fixture
    def target(self) -> SettingsTarget:
        return script("print('hello')")

    @pytest.fixture
    def failing_target(self) -> SettingsTarget:
        return script("raise SystemExit('out of\\nink')")

    @pytest.fixture
    def candidate(self, target: SettingsTarget) -> Candidate:
        return target.origin([])[0]


class TestCallable(TargetContract):
    @pytest.fixture
    def target(self) -> SettingsTarget:
        return SettingsTarget({"n": [1, 2]}, function=lambda settings, text: f"{settings['n']} {text}")

    @pytest.fixture
    def failing_target(self) -> SettingsTarget:
        return SettingsTarget({"n": [1, 2]}, function=lambda settings, text: settings["m"])

    @pytest.fixture
    def candidate(self, target: SettingsTarget) -> Candidate:
        return target.origin([])[0]


def test_the_seed_is_the_start_or_the_middle() -> None:
    target = SettingsTarget(PARAMETERS, python(ECHO), stdin="json")
    [seed] = target.origin([])
    assert seed.parts == {"settings": {"size": 10.0, "count": 3, "colour": "red", "fine": False}}
    assert seed.text == "size = 10.0, count = 3, colour = red, fine = False"
    assert seed.lineage.origin == "seed"


def test_features_are_scaled_to_the_unit_interval() -> None:
    target = SettingsTarget(PARAMETERS, python(ECHO), stdin="json")
    settings = {"size": 100, "count": 4, "colour": "blue", "fine": True}
    row = target.features(target.combination(settings))
    np.testing.assert_allclose(row, np.array([1, 0.5, 0, 1, 0, 0, 1]) / 2)
    np.testing.assert_allclose(
        target.features(target.origin([])[0]), np.array([0.5, 0.25, 1, 0, 0, 1, 0]) / 2
    )


def test_arguments_arrive_as_they_are_and_meet_no_shell() -> None:
    command = python(ECHO, "--size={size}", "{count}{colour}", "{fine}", "{{input}} on {{topic}}", "{other}")
    target = SettingsTarget(PARAMETERS, command)
    assert respond(target).content == "|".join(
        ["--size=10.0", "3red", "false", "a house; $(rm -rf /) on art", "{other}", ASKED.text]
    )
    inner = Input("1", "{size} {{topic}}", fields={"topic": "art"})
    assert respond(target, asked=inner).content.split("|")[3] == "{size} {{topic}} on art"


def test_json_on_the_standard_input() -> None:
    target = SettingsTarget(PARAMETERS, python(ECHO), stdin="json")
    told = json.loads(respond(target).content.lstrip("|"))
    assert told == {
        "settings": {"size": 10.0, "count": 3, "colour": "red", "fine": False},
        "input": ASKED.text,
        "fields": {"topic": "art"},
    }
    assert respond(script("import sys; print(len(sys.stdin.read()))", stdin="nothing")).content == "0\n"


def test_a_command_runs_in_the_folder_of_the_study(tmp_path: Path) -> None:
    target = script("import os; print(os.getcwd())", folder=str(tmp_path))
    assert respond(target).content.strip() == os.path.realpath(tmp_path)


def test_a_command_may_write_a_file() -> None:
    code = "import sys, pathlib; print('noise'); pathlib.Path(sys.argv[2]).write_text('a,b\\n1,x\\n')"
    target = SettingsTarget({"n": [1, 2]}, python(code, "{n}", "{output}"), outcome="table")
    table = read_table(respond(target).content)
    assert table.columns == ("a", "b")
    assert table.rows == (("1", "x"),)
    assert "did not write" in failed(SettingsTarget({"n": [1, 2]}, python("0", "{n}", "{output}")))


@pytest.mark.parametrize(
    ("printed", "columns", "rows"),
    [
        ('a,b\n1,"x, y"\n', ("a", "b"), (("1", "x, y"),)),
        (
            '[{"a": 1, "b": null}, {"b": [2], "c": true}]',
            ("a", "b", "c"),
            ((1, None, None), (None, "[2]", True)),
        ),
        ('{"columns": ["a"], "rows": [[1.5], ["x"]]}', ("a",), ((1.5,), ("x",))),
    ],
)
def test_tables(printed: str, columns: tuple[str, ...], rows: tuple[Any, ...]) -> None:
    response = respond(script(f"print({printed!r}, end='')", outcome="table"))
    assert response.kind == "table"
    assert read_table(response.content) == (columns, rows)


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        ("a,b\n1\n", "row 1 has 1 cells"),
        ("a,b\n", "no rows"),
        ('[{"a": 1}, 2]', "list of objects"),
        ('{"columns": ["a"]}', "list of objects"),
        ("[1, 2", "no JSON"),
        ("a\n" * 2_002, "2,001 rows"),
        ('{"columns": ["a"], "rows": [[NaN]]}', "JSON compliant"),
    ],
)
def test_what_is_no_table_fails(printed: str, why: str) -> None:
    assert why in failed(script(f"print({printed!r}, end='')", outcome="table"))


def _png() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(file, "png")
    return file.getvalue()


def test_pictures_and_plots() -> None:
    pytest.importorskip("PIL")
    code = f"import sys; sys.stdout.buffer.write({_png()!r})"
    for kind in ("image", "plot"):
        response = respond(script(code, outcome=kind))
        assert response.kind == kind
        picture = read_picture(response.content)
        assert (picture.width, picture.height) == (4, 3)
    assert "SVG" in failed(script("print('<svg onload=\"x\"/>')", outcome="image"))
    assert failed(script(code.replace("PNG", "PNX"), outcome="plot"))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("import sys; sys.stderr.write('one\\nno ink\\n'); sys.exit(1)", "status 1: no ink"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("print(end='')", "nothing came back"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)))", "no text in UTF-8"),
        ("print('a\\0b')", "binary data"),
        ("print('x' * 200_001)", "200,002 bytes of text"),
        ("print('x' * 2_000_000)", "more than 1,000,000 bytes"),
    ],
)
def test_what_goes_wrong_is_a_failed_response(code: str, why: str) -> None:
    assert why in failed(script(code, most_bytes=1_000_000))


def test_what_cannot_be_started_fails() -> None:
    assert "cannot be started" in failed(SettingsTarget({"n": [1, 2]}, ["/no/such/program", "{n}"]))
    target = SettingsTarget({"n": [1, 2]}, python(ECHO, "{n}", "{{input}}"))
    response = respond(target, asked=Input("1", "a\0b"))
    assert response.failed
    assert "cannot be started" in response.failed


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "ending", ["time.sleep(60)", "pass", "print('x' * 9_000_000, flush=True); time.sleep(60)"]
)
def test_nothing_is_left_running(tmp_path: Path, ending: str) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time, pathlib; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid)); print('done', flush=True); {ending}"
    )
    started = time.monotonic()
    response = respond(script(code, seconds=4.0, most_bytes=1_000_000))
    assert time.monotonic() - started < 30
    assert bool(response.failed) == (ending != "pass")
    if "9_000_000" not in ending and ending != "pass":
        assert "longer than 4 seconds" in str(response.failed)
    deadline = time.monotonic() + 10
    while alive(int(note.read_text())) and time.monotonic() < deadline:
        pass
    assert not alive(int(note.read_text()))


def test_a_function_by_name_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import os\n"
        "def text(settings, input):\n    print('noise')\n"
        "    return f'{settings[\"n\"]} {input} {os.getpid()}'\n"
        "def rows(settings, input):\n    return [{'n': settings['n']}]\n"
        "def raw(settings, input):\n    return b'caf\\xc3\\xa9'\n"
        "def ill(settings, input):\n    raise ValueError('no ink')\n"
        "def odd(settings, input):\n    return 7\n"
    )

    def of(name: str, **options: Any) -> SettingsTarget:
        return SettingsTarget({"n": [1, 2]}, function=f"mine:{name}", folder=str(tmp_path), **options)

    content = respond(of("text")).content
    assert content.startswith(f"1 {ASKED.text} ")
    assert content.split()[-1] != str(os.getpid())
    assert read_table(respond(of("rows", outcome="table")).content) == (("n",), ((1,),))
    assert respond(of("raw")).content == "café"
    assert "no ink" in failed(of("ill"))
    assert "returned int" in failed(of("odd"))
    assert "no attribute" in failed(of("missing"))


def test_a_callable_that_takes_too_long_fails() -> None:
    target = SettingsTarget({"n": [1, 2]}, function=lambda *_: time.sleep(0.5), seconds=0.05)
    assert "longer than 0.05 seconds" in failed(target)
    assert "returned NoneType" in failed(SettingsTarget({"n": [1, 2]}, function=lambda *_: None))


def test_no_more_at_once_than_allowed(tmp_path: Path) -> None:
    running, most = 0, 0

    def work(settings: Any, text: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return "x"

    target = SettingsTarget({"n": [1, 2]}, function=work, at_once=3)

    async def ask() -> None:
        await asyncio.gather(*(target.respond(target.origin([])[0], ASKED) for _ in range(9)))

    asyncio.run(ask())
    assert most == 3


def test_what_is_run_can_be_told() -> None:
    assert script("0").runs == f"{sys.executable} -c 0 '{{n}}'"
    assert SettingsTarget({"n": [1, 2]}, function="a.b:c").runs == "the Python function a.b:c"
    assert SettingsTarget({"n": [1, 2]}, function=lambda *_: "x").runs == ""


@pytest.mark.parametrize(
    ("parameters", "options", "message"),
    [
        ({}, {}, "give a table by name"),
        ({"n": [1]}, {}, "1 option"),
        ({"n": 3}, {}, "give a list of options"),
        ({"n": {"low": 1}}, {}, "goes from 1 to None"),
        ({"n": {"low": 2, "high": 2}}, {}, "low below high"),
        ({"n": {"low": 0, "high": 2, "log": True}}, {}, "above 0"),
        ({"n": {"low": 0.5, "high": 2, "integer": True}}, {}, "whole numbers"),
        ({"n": {"low": 1, "high": 2, "step": 1}}, {}, "'step'"),
        ({"n": {"low": 1, "high": 2, "start": 3}}, {}, "lies between 1 and 2"),
        ({"n": {"options": ["a", "b"], "start": "c"}}, {}, "one of 'a', 'b'"),
        ({"n": {"low": 1, "high": float("inf")}}, {}, "two numbers"),
        ({"n": {"low": True, "high": 2}}, {}, "two numbers"),
        ({"output": [1, 2]}, {}, "not 'output'"),
        ({"n n": [1, 2]}, {}, "cannot be called"),
        ({"n": [1, 2]}, {"command": None}, "exactly one of command and function"),
        ({"n": [1, 2]}, {"function": "a:b"}, "exactly one of command and function"),
        ({"n": [1, 2]}, {"command": "rm -rf"}, "does not go through a shell"),
        ({"n": [1, 2]}, {"command": ["x", 3]}, "each is a text"),
        ({"n": [1, 2]}, {"command": ["{n}"]}, "write out which program"),
        ({"n": [1, 2]}, {"command": ["x"]}, "does not use the parameter 'n'"),
        ({"n": [1, 2]}, {"command": None, "function": "a b"}, "module:function"),
        ({"n": [1, 2]}, {"stdin": "text"}, "'input', 'json' or 'nothing'"),
        ({"n": [1, 2]}, {"outcome": "movie"}, "outcome is 'movie'"),
        ({"n": [1, 2]}, {"seconds": 0}, "seconds"),
        ({"n": [1, 2]}, {"at_once": 0}, "at_once"),
    ],
)
def test_what_cannot_work_is_refused(parameters: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SettingsTarget(parameters, **{"command": ["x", "{n}"], **options})


def test_an_unknown_column_is_refused_before_any_work() -> None:
    target = SettingsTarget({"n": [1, 2]}, ["x", "{n}", "{{topik}}"])
    with pytest.raises(ConfigError, match="did you mean 'topic'"):
        target.check(target.origin([])[0], ["topic"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "has no settings"),
        ({"size": 1.0}, "no value"),
        ({"size": 200, "count": 3, "colour": "red", "fine": True}, "between 1 and 100"),
        ({"size": 2, "count": 3.5, "colour": "red", "fine": True}, "whole number"),
        ({"size": 2, "count": 3, "colour": "pink", "fine": True}, "one of 'red'"),
        ({"size": 2, "count": 3, "colour": "red", "fine": 1}, "one of False"),
        ({"size": "2", "count": 3, "colour": "red", "fine": True}, "a number"),
    ],
)
def test_settings_that_do_not_fit_fail_and_say_so(settings: Any, message: str) -> None:
    target = SettingsTarget(PARAMETERS, function=lambda *_: "x")
    candidate = Candidate.make("by hand", parts={} if settings is None else {"settings": settings})
    with pytest.raises(InputError, match=message):
        target.check(candidate)
    assert respond(target, candidate).failed
