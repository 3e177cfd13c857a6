"""``palate run`` and ``palate demo`` from the first call to the summary, with models that are scripts."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from typer.testing import Result

from palate.apart import MANY_VOTES
from palate.command._demo import lay_out
from palate.config import load_inputs, load_prompts, read_config
from palate.errors import ConfigError
from palate.store import EventKind, StudyState, open_store, pairing_payload
from palate.study import Study
from palate.types import Ballot, Verdict

Call = Callable[..., Result]
SIMULATED = ("--judge", "simulated", "--votes", "6", "--no-browser")


def test_a_simulated_run_ends_with_a_summary(call: Call, study: Path) -> None:
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 0, shown.output
    assert "sure that it is the best of 4):" in shown.stdout
    assert "Votes used: 6." in shown.stdout
    assert "Cost of the study so far: $0 (" in shown.stdout
    assert "Seed prompt: Reply." in shown.stdout or "It is the seed prompt itself" in shown.stdout


def test_a_second_run_continues(call: Call, study: Path) -> None:
    call("run", study, *SIMULATED)
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 0
    assert "Continuing the study in" in shown.stderr
    assert "Votes used: 12." in shown.stdout


def test_the_same_seed_gives_the_same_end(call: Call, study: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin" / "study.toml"
    twin.parent.mkdir()
    twin.write_text(study.read_text(encoding="utf-8"), encoding="utf-8")
    first, second = call("run", study, *SIMULATED), call("run", twin, *SIMULATED)
    assert first.stdout == second.stdout


def test_a_judge_of_the_study_file(call: Call, study: Path) -> None:
    source = study.read_text(encoding="utf-8")
    table = '\n[judges.strict]\nkind = "language-model"\nrubric = "Be strict."\n'
    model = '[judges.strict.model]\nkind = "scripted"\nanswers = "TIE"\nrepeat = true\n'
    study.write_text(source + table + model, encoding="utf-8")
    shown = call("run", study, "--judge", "strict", "--votes", "3", "--no-browser")
    assert shown.exit_code == 0, shown.output
    assert "Of 20 answers that only talk to the judge, 0 won, and 20 were left undecided." in shown.stderr
    status = json.loads(call("status", study, "--json").stdout)
    assert status["verdicts"] == {"tie": 3}
    wrong = call("run", study, "--judge", "strict", "--judge-option", "rubric=x", "--no-browser")
    assert (wrong.exit_code, "stand in its own table or file" in wrong.stderr) == (2, True)
    wrong = call("run", study, "--judge", "llm:stirct", "--no-browser")
    assert (wrong.exit_code, "did you mean 'strict'?" in wrong.stderr) == (2, True)


def test_a_judge_by_rules(call: Call, study: Path) -> None:
    rules = study.parent / "house.toml"
    rules.write_text('[[rule]]\nkind = "length"\nmost = 1\n', encoding="utf-8")
    shown = call("run", study, "--judge", f"rules:{rules}", "--votes", "4", "--no-browser")
    assert shown.exit_code == 0, shown.output
    assert json.loads(call("status", study, "--json").stdout)["judges"] == {"rules:house": 4}


def test_an_unknown_judge_names_the_nearest(call: Call, study: Path) -> None:
    shown = call("run", study, "--judge", "simluated")
    assert (shown.exit_code, "did you mean 'simulated'?" in shown.stderr) == (2, True)


def test_judge_options_arrive(call: Call, study: Path) -> None:
    shown = call("run", study, *SIMULATED, "--judge-option", "tie_rate=0.99", "--judge-option", "scale=0")
    assert shown.exit_code == 0, shown.output
    status = json.loads(call("status", study, "--json").stdout)
    assert status["verdicts"].get("tie", 0) >= 4
    wrong = call("run", study, *SIMULATED, "--judge-option", "sclae=1")
    assert (wrong.exit_code, "did you mean 'scale'?" in wrong.stderr) == (2, True)
    assert "write KEY=VALUE" in call("run", study, *SIMULATED, "--judge-option", "scale").stderr


def test_a_budget_of_votes_ends_the_run(call: Call, study: Path) -> None:
    study.write_text(study.read_text(encoding="utf-8") + "[budget]\nvotes = 4\n", encoding="utf-8")
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 0
    assert "The budget ended after 4 of 6 votes." in shown.stderr


def test_a_simulated_judge_without_references_says_what_to_do(call: Call, study: Path) -> None:
    source = study.read_text(encoding="utf-8").replace('reference_column = "answer"\n', "")
    study.write_text(source, encoding="utf-8")
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 2
    assert "reference_column under [inputs]" in shown.stderr


def test_a_changed_study_file_shows_the_difference_and_asks(call: Call, study: Path) -> None:
    call("run", study, *SIMULATED)
    source = study.read_text(encoding="utf-8")
    study.write_text(source.replace('name = "Sorry notes"', 'name = "Sorry letters"'), encoding="utf-8")
    refused = call("run", study, *SIMULATED)
    assert refused.exit_code == 2
    assert "  [study] name: 'Sorry notes' → 'Sorry letters'\n" in refused.stderr
    accepted = call("run", study, *SIMULATED, "--yes")
    assert accepted.exit_code == 0
    assert "Votes used: 12." in accepted.stdout
    assert call("run", study, *SIMULATED).exit_code == 0  # accepted once, known from then on


def test_one_prompt_cannot_be_compared(call: Call, study: Path) -> None:
    source = study.read_text(encoding="utf-8")
    study.write_text(
        "".join(line for line in source.splitlines(True) if not line.startswith("list =")), encoding="utf-8"
    )
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 2
    assert "at least two candidates" in shown.stderr


def test_a_database_that_is_none_is_one_line(call: Call, study: Path) -> None:
    study.with_suffix(".db").write_bytes(b"no database" * 100)
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 2
    assert "Traceback" not in shown.output


def test_a_second_run_at_the_same_time_is_refused(call: Call, study: Path) -> None:
    with Study.open(study, exclusive=True):
        shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 2
    assert len(shown.stderr.splitlines()) <= 2


def test_hostile_answers_do_not_reach_the_terminal(call: Call, study: Path) -> None:
    source = study.read_text(encoding="utf-8").replace('"Say sorry."', '"Say\\u001b[2J sorry.\\u202e"')
    study.write_text(source.replace('"Reply."', '"\\u001b]0;x\\u0007Reply."'), encoding="utf-8")
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 0
    for verb in ("best", "report", "status"):
        shown = call(verb, study)
        assert "\x1b" not in shown.output
        assert "\u202e" not in shown.output


def test_the_demo_is_an_ordinary_study(tmp_path: Path) -> None:
    path = lay_out(tmp_path / "demo", seed=3)
    config = read_config(path)
    assert config.study.seed == 3
    assert config.model.kind == "embedded"
    inputs = load_inputs(config)
    assert len(inputs) == 20
    assert all(item.references for item in inputs)
    assert len(load_prompts(config)) > 1
    path.write_text(path.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    assert lay_out(tmp_path / "demo", seed=3).read_text(encoding="utf-8").endswith("# mine\n")
    with pytest.raises(ConfigError, match="begun with seed 3, not 0; give another --path"):
        lay_out(tmp_path / "demo", seed=0)


def test_the_demo_runs_what_it_laid_out(call: Call, tmp_path: Path, study: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "study.toml").write_text(study.read_text(encoding="utf-8"), encoding="utf-8")
    shown = call("demo", "--judge", "simulated", "--votes", "5", "--no-browser", "--path", folder)
    assert shown.exit_code == 0, shown.output
    assert "Votes used: 5." in shown.stdout


def test_ctrl_c_in_the_middle_loses_nothing(call: Call, study: Path) -> None:
    source = study.read_text(encoding="utf-8")
    # The first four answers come at once, the fifth never: the interrupt arrives while the model is asked.
    slow = source.replace(
        'kind = "scripted"\nanswers', 'kind = "scripted"\ndelay = [0, 0, 0, 0, 3600]\nanswers'
    )
    study.write_text(slow, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", "from palate.command import main; main()", "run", study.name, *SIMULATED],
        cwd=study.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stderr is not None
            assert running.stderr.readline() == "votes …\n"  # printed after the first vote
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert out == ""
    assert err.endswith(f"nothing is lost; continue with: palate run {study.name} --judge simulated\n")
    assert json.loads(call("status", study, "--json").stdout)["votes"] >= 1


class _Page:
    """``palate run`` in page mode as a process of its own."""

    def __init__(self, study: Path) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from palate.command import main; main()",
                "run",
                study.name,
                "--no-browser",
            ],
            cwd=study.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )

    def link(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        assert ready
        return self.process.stdout.readline().rpartition(" ")[2].strip()


def test_the_page_is_served_until_ctrl_c(study: Path) -> None:
    page = _Page(study)
    try:
        link = page.link()
        assert link.startswith("http://127.0.0.1:")
        with build_opener(HTTPCookieProcessor(CookieJar())).open(link, timeout=30) as reply:
            assert reply.status == 200
            assert b"palate" in reply.read().lower()
        page.process.send_signal(signal.SIGINT)
        out, err = page.process.communicate(timeout=60)
    finally:
        page.process.kill()
    assert page.process.returncode == 0, err
    assert "No votes yet" in out
    assert f"Go on at any time: palate run {study.name}" in err
    assert "Traceback" not in err


def _many_votes(study: Path, count: int) -> None:
    """Let a study have so many votes as if people had given them."""
    with open_store(study.with_suffix(".db")) as store:
        state = StudyState.replay(store.events())
        known = next(iter(state.pairings.values()))
        opened = [replace(known, id=f"more-{k}") for k in range(count)]
        store.append_many([(EventKind.PAIRING_OPENED, pairing_payload(each)) for each in opened])
        duels = store.open_duels("ben", count)
        for landed in [store.submit(Ballot(d.id, Verdict.LEFT, "ben", d.id)) for d in duels]:
            landed.result()


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="utf-8").split()
    ]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_many_votes_are_learnt_in_a_process_that_ends_with_the_page(
    call: Call, study: Path, how: signal.Signals
) -> None:
    call("run", study, *SIMULATED)
    _many_votes(study, MANY_VOTES)
    page = _Page(study)
    try:
        page.link()
        until = time.monotonic() + 240
        while not (learning := _children(page.process.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        with open_store(study.with_suffix(".db")) as store:
            # Of the votes of people a fifth teaches nothing, because a machine has voted before.
            while (belief := store.belief()) is None or belief.votes < MANY_VOTES / 2:
                assert time.monotonic() < until
                time.sleep(0.05)
        assert len(learning) == 1
        page.process.send_signal(how)
        out, err = page.process.communicate(timeout=60)
    finally:
        page.process.kill()
    if how is signal.SIGINT:
        assert "Votes used: " in out, err
        assert "Traceback" not in err
    while Path(f"/proc/{learning[0]}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def _with(study: Path, **files: bytes) -> None:
    """Give a study its inputs from a file."""
    source = study.read_text(encoding="utf-8")
    before, _, rest = source.partition("inline = [")
    source = f'{before}path = "inputs.csv"\n{rest.partition("]")[2].lstrip()}'
    study.write_text(source, encoding="utf-8")
    for name, content in files.items():
        (study.parent / f"{name}.csv").write_bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"text,answers\na,b\n",
            "has no column 'answer' ([inputs] reference_column); known: 'answers', 'text'",
        ),
        (b"txt,answer\na,b\n", "did you mean 'txt'?"),
        (b"text,answer\n", "is empty; it needs at least one row"),
        (b"text,answer\n,b\n", "row 2: column 'text' is empty"),
        (b"text,answer\ncaf\xe9,b\n", "is not UTF-8 (byte 0xe9 in line 2); save it as UTF-8"),
        (b"text,answer\n" + b"x" * 50_000_000, "is larger than 50 MB"),
        (b"text,answer\na,b,c\n", "more cells than the header's 2 columns"),
    ],
    ids=["column", "near", "empty", "cell", "utf-8", "large", "cells"],
)
def test_unusable_inputs_are_told_before_anything_is_made(
    call: Call, study: Path, content: bytes, words: str
) -> None:
    _with(study, inputs=content)
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert not study.with_suffix(".db").exists()


def test_a_prompt_that_names_no_column_is_told(call: Call, study: Path) -> None:
    source = study.read_text(encoding="utf-8")
    study.write_text(
        source.replace('seed = "Reply."', 'template = "{{input}} {{citty}}"\nseed = "Reply."'),
        encoding="utf-8",
    )
    shown = call("run", study, *SIMULATED)
    assert shown.exit_code == 2
    assert f"palate: {study}: [prompts] nothing is called {{{{citty}}}} here" in shown.stderr


def test_more_demonstrations_than_examples(call: Call, study: Path) -> None:
    source = study.read_text(encoding="utf-8")
    source = source.replace('seed = "Reply."', 'demonstrations = 2\nseed = "Reply."')
    study.write_text(source + '[examples]\ninline = [{input = "a", output = "b"}]\n', encoding="utf-8")
    shown = call("run", study, *SIMULATED)
    assert (
        "[prompts] demonstrations is 2, but [examples] has 1; ask for fewer, or add examples" in shown.stderr
    )


def test_the_demo_on_the_page_ends_after_so_many_votes(tmp_path: Path) -> None:
    path = lay_out(tmp_path / "demo", seed=0, votes=12)
    assert read_config(path).budget.votes == 12
    assert lay_out(tmp_path / "demo", seed=0) == path
    with pytest.raises(ConfigError, match="begun with votes 12, not 5"):
        lay_out(tmp_path / "demo", seed=0, votes=5)
