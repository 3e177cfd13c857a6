"""Studies of every target, from the file to the report, with nothing but the command line."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import Result

from palate.errors import ConfigError
from palate.kinds import read_chat
from palate.store import EventKind, StudyState, open_store
from palate.study import Study
from palate.web import create_app

Call = Callable[..., Result]

SHARED = """\
[study]
name = "All sorts"
candidates = 6

[embedding]
kind = "scripted"

[inputs]
column = "text"
reference_column = "answer"
inline = [
  {text = "late parcel", answer = "I am sorry."},
  {text = "broken lamp", answer = "So sorry about that!"},
]
"""
SCRIPTED = """
[model]
kind = "scripted"
answers = ["No.", "Go away.", "I am sorry.", "So sorry about that!", "We apologise.", "Sorry."]
"""
RESPONSE = SHARED + SCRIPTED + '\n[target]\nkind = "response"\n'
SLOTS = (
    SHARED
    + SCRIPTED
    + '\n[target]\nkind = "slots"\nlayout = "{{task}} {{tone}}"\n'
    + '[target.slots]\ntask = ["Reply.", "Say sorry."]\ntone = ["", "Be kind.", "Be brief."]\n'
)
# Fails for one of the three settings.
CODE = "import sys; n = int(sys.argv[1]); sys.exit('out of ink') if n == 2 else print('I am sorry.' * n)"


def settings(code: str = CODE) -> str:
    command = json.dumps([sys.executable, "-c", code, "{n}"])
    return (
        SHARED + f'\n[target]\nkind = "settings"\ncommand = {command}\n[target.parameters]\nn = [1, 2, 3]\n'
    )


CHAT = (
    SHARED.replace(
        'answer = "I am sorry."}',
        'answer = "I am sorry.", further = ["And now?"], '
        'messages = [{role = "user", content = "Hello"}, {role = "assistant", content = "Hi."}]}',
    )
    + SCRIPTED
    + '\n[target]\nkind = "chat"\n[prompts]\nseed = "Be kind."\nlist = ["Be brief."]\n[proposers]\nuse = []\n'
)


@pytest.fixture
def study(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def run(call: Call, path: Path, *more: str, votes: int = 12) -> Result:
    return call("run", path, "--judge", "simulated", "--votes", str(votes), *more)


def test_the_best_answer_to_each_input(call: Call, study: Callable[[str], Path]) -> None:
    path = study(RESPONSE)
    done = run(call, path)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("sure that it is the best") == 2
    told = json.loads(call("best", path, "--json").stdout)
    assert [row["input_text"] for row in told["contexts"]] == ["late parcel", "broken lamp"]
    assert [row["votes"] for row in told["contexts"]] == [6, 6]
    assert all(0 < row["probability_best"] <= 1 for row in told["contexts"])
    shown = call("best", path).stdout
    for row in told["contexts"]:
        assert f"# {row['input_text']}\n\n{row['answer']}" in shown
    status = call("status", path).stdout
    assert "2 answers, one for each input" in status
    report = call("report", path).stdout
    assert "## Best answers now" in report
    assert "### late parcel" in report
    assert call("best", path, "--format", "openai").exit_code == 2
    page = _results(path)
    assert "The best answers so far" in page
    for row in told["contexts"]:
        assert f'<blockquote class="answer" dir="auto">{row["answer"]}</blockquote>' in page
    assert "The leading prompts" not in page


def _results(path: Path) -> str:
    with open_store(path.with_suffix(".db"), create=False) as store:
        app = create_app(store, launch_token="t" * 32, port=8000)
        page = TestClient(app, base_url="http://127.0.0.1:8000", follow_redirects=False)
        page.get(f"/start/{'t' * 32}")
        return page.get("/results").text


def test_too_few_answers_are_refused_before_anything_is_made(
    call: Call, study: Callable[[str], Path]
) -> None:
    path = study(RESPONSE.replace("candidates = 6", "candidates = 3"))
    done = run(call, path)
    assert done.exit_code == 2
    assert "2 inputs need at least 2 answers each; set it to 4 or more" in " ".join(done.stderr.split())
    assert not path.with_suffix(".db").exists()
    refused = run(call, study(RESPONSE + '[prompts]\nseed = "Reply."\n'))
    assert "an answer belongs to one input" in " ".join(refused.stderr.split())


def test_slots_are_combined_and_voted_on(call: Call, study: Callable[[str], Path]) -> None:
    path = study(SLOTS)
    assert run(call, path).exit_code == 0
    told = json.loads(call("best", path, "--json").stdout)
    assert told["prompt"].split(".")[0] in ("Reply", "Say sorry")
    assert set(told["parts"]["slots"]) == {"task", "tone"}
    assert told["seed_prompt"] == "Reply."
    with Study.open(path) as opened:
        prompts = {c.text for c in opened.state.candidates.values()}
    assert prompts == {
        f"{task} {tone}".strip()
        for task in ("Reply.", "Say sorry.")
        for tone in ("", "Be kind.", "Be brief.")
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SLOTS.replace('["Reply.", "Say sorry."]', '["Reply."]'),
            "has 1 option, so there is nothing to choose",
        ),
        (SLOTS.replace("{{tone}}", "{{tune}}"), "no {{tone}}"),
        (settings().replace("[1, 2, 3]", "[1]"), "has 1 option"),
        (settings().replace("{n}", "{m}"), "does not use the parameter 'n'"),
        (settings().replace("[target.parameters]", "colour = 1\n[target.parameters]"), "colour: unknown key"),
        (
            settings().replace("[target.parameters]", "allowed = true\n[target.parameters]"),
            "allowed: unknown key",
        ),
        (settings() + "[prompts]\ntemperature = 0.5\n", "temperature is not used by the target 'settings'"),
    ],
)
def test_a_mistake_in_the_target_is_told(
    call: Call, study: Callable[[str], Path], text: str, message: str
) -> None:
    done = run(call, study(text), "--allow-commands")
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


def test_a_command_is_named_and_not_run_unless_allowed(
    call: Call, study: Callable[[str], Path], tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    path = study(settings(f"import pathlib, sys; pathlib.Path({str(mark)!r}).touch(); print(sys.argv[1])"))
    refused = run(call, path)
    assert refused.exit_code == 2
    said = " ".join(refused.stderr.split())
    assert "This study runs a command on this machine" in said
    assert "--allow-commands" in said
    assert not mark.exists()
    assert not path.with_suffix(".db").exists()
    with pytest.raises(ConfigError, match="allow_commands"):
        Study.open(path)
    asked: list[str] = []
    with pytest.raises(ConfigError), Study.open(path, allow_commands=lambda c: bool(asked.append(c))):
        pass
    assert sys.executable in asked[0]
    assert run(call, path, "--allow-commands").exit_code == 0
    assert mark.exists()
    mark.unlink()
    with Study.open(path.with_suffix(".db")) as reading:
        assert reading.belief().votes == 12
        target, [place, *_] = reading.parts.target, reading.state.inputs.values()
        assert target is not None
        with pytest.raises(ConfigError, match="opened only to be read"):
            asyncio.run(target.respond(reading.seed_candidate, place))
    assert not mark.exists()


def test_settings_that_fail_are_recorded_shown_to_nobody_and_teach_nothing(
    call: Call, study: Callable[[str], Path]
) -> None:
    path = study(settings())
    assert run(call, path, "--allow-commands", votes=8).exit_code == 0
    with open_store(path.with_suffix(".db"), create=False) as store:
        state = StudyState()
        state.follow(store)
        failures = [e.payload for e in store.events() if e.kind is EventKind.RESPONSE_FAILED]
        everybody = {**state.candidates, **state.withdrawn}
        [ill] = [c.id for c in everybody.values() if c.parts["settings"] == {"n": 2}]
        belief = store.belief()
    assert failures
    assert {failure["candidate_id"] for failure in failures} == {ill}
    assert all("ended with status 1: out of ink" in str(failure["reason"]) for failure in failures)
    assert ill not in {c for vote in state.votes for c in (vote.left_candidate, vote.right_candidate)}
    assert all(ill not in (p.first, p.second) for p in state.pairings.values())
    assert len(state.votes) == 8
    assert belief is not None
    assert belief.votes == 8
    page = _results(path)
    assert "Answers that failed" in page
    assert "out of ink" in page


def test_chats_are_held_and_shown_whole(call: Call, study: Callable[[str], Path]) -> None:
    path = study(CHAT)
    assert run(call, path, votes=6).exit_code == 0
    with Study.open(path) as opened:
        duel = opened.ask("somebody else")
        place = next(i for i in opened.state.inputs.values() if i.text == "late parcel")
        while duel.input.id != place.id:
            opened.tell(duel, "skip")
            duel = opened.ask("somebody else")
        turns = read_chat(duel.left.content)
    assert duel.left.kind == "chat"
    assert [turn.content for turn in turns][:3] == ["Hello", "Hi.", "late parcel"]
    assert [turn.role for turn in turns] == ["user", "assistant"] * 3
    assert turns[4].content == "And now?"
