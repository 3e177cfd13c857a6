"""``palate propose`` on studies of slots, of settings, and of neither."""

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from palate.store import EventKind, candidates_payload, inputs_payload, open_store, pairing_payload
from palate.types import Ballot, Candidate, Input, Pairing, Response, Verdict

Call = Callable[..., Result]

OPTIONS = {
    "role": ("teacher", "friend", "lawyer"),
    "tone": ("warm", "plain", "stern"),
    "form": ("list", "prose"),
}


def slot_candidates() -> list[Candidate]:
    """All combinations but the best one, a warm friend with lists."""
    tables = [dict(zip(OPTIONS, one, strict=True)) for one in itertools.product(*OPTIONS.values())]
    return [
        Candidate.make(" ".join(table.values()), parts={"slots": table})
        for table in tables
        if tuple(table.values()) != ("friend", "warm", "list")
    ]


def worth(candidate: Candidate) -> float:
    value = candidate.parts["slots"]
    assert isinstance(value, dict)
    pair = {
        ("lawyer", "stern"): 2.0,
        ("friend", "warm"): 4.0,
        ("friend", "stern"): -2.0,
        ("lawyer", "warm"): -2.0,
    }
    return pair.get((value["role"], value["tone"]), 0.0) + 0.8 * (value["form"] == "list")


def make_study(path: Path, candidates: list[Candidate], votes: int) -> Path:
    """A study whose rater votes by ``worth`` with a logistic hand."""
    rng = np.random.default_rng(0)
    by_id = {candidate.id: candidate for candidate in candidates}
    with open_store(path) as store:
        store.append_many(
            [
                (EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""}),
                (EventKind.INPUTS_ADDED, inputs_payload([Input("in", "Hello?")])),
                (EventKind.CANDIDATES_ADDED, candidates_payload(candidates)),
            ]
        )
        shown = {c.id: store.put_response(c.id, Response("text", c.text)) for c in candidates}
        for k in range(votes):
            i, j = (candidates[row].id for row in rng.choice(len(candidates), size=2, replace=False))
            pairing = Pairing(f"pairing-{k}", "in", i, j, shown[i], shown[j])
            store.append(EventKind.PAIRING_OPENED, pairing_payload(pairing))
            (duel,) = store.open_duels("anna", 1, random.Random(k))
            gap = worth(by_id[duel.left_candidate]) - worth(by_id[duel.right_candidate])
            verdict = Verdict.LEFT if rng.random() < 1 / (1 + np.exp(-gap)) else Verdict.RIGHT
            store.vote(Ballot(duel.id, verdict, "anna", f"key-{k}"))
    return path


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("slots") / "old.db", slot_candidates(), 250)


def test_structure_and_proposal_in_plain_words(call: Call, voted: Path) -> None:
    shown = call("propose", "--from", voted)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "250 votes on 17 combinations of form, role and tone."
    assert lines[2].startswith("role and tone act together (")
    assert "By itself, as far as the votes tell: form." in lines
    at = lines.index("Not tried yet, the most promising first (all were compared):")
    best = lines.index("Best so far:") + 1
    assert lines[best : best + 3] == ["   form: prose", "   role: friend", "   tone: warm"]
    assert lines[at + 2].startswith("1. expected to win ")
    assert lines[at + 3 : at + 6] == ["   form: list", "   role: friend", "   tone: warm"]
    assert lines[at + 6] == "   tried among the candidates: form in 8; role and tone in 1"
    assert "2. " not in shown.stdout  # there is only one more combination


def test_the_same_as_json(call: Call, voted: Path) -> None:
    told = json.loads(call("propose", "--from", voted, "--n", "3", "--json").stdout)
    assert (told["kind"], told["outcomes"], told["combinations"], told["left_out"]) == ("votes", 250, 17, 0)
    assert ["role", "tone"] in told["cliques"]
    assert told["pairs"][0]["variables"] == ["role", "tone"]
    assert told["pairs"][0]["probability"] > 0.9 > 0.01 > told["pairs"][0]["p"]
    assert told["variables"][0] == {"name": "form", "options": ["list", "prose"]}
    (one,) = told["proposals"]
    assert one["values"] == {"role": "friend", "tone": "warm", "form": "list"}
    assert len(one["parents"]) == 2
    low, high = one["interval"]
    assert low < one["win_rate"] < high
    assert 0.5 < one["win_rate"] < 0.9
    assert told["exact"]
    assert told["best"]["values"]["form"] == "prose"


def test_nothing_is_written_and_the_answer_is_the_same_again(call: Call, voted: Path) -> None:
    before = json.loads(call("verify", voted, "--json").stdout)["events"]
    assert call("propose", "--from", voted).stdout == call("propose", "--from", voted).stdout
    assert json.loads(call("verify", voted, "--json").stdout)["events"] == before


def test_a_withdrawn_candidate_is_not_the_one_to_beat(call: Call, tmp_path: Path) -> None:
    path = make_study(tmp_path / "old.db", slot_candidates(), 120)
    best = json.loads(call("propose", "--from", path, "--json").stdout)["best"]["candidate"]
    with open_store(path) as store:
        store.append(EventKind.CANDIDATE_WITHDRAWN, {"id": best, "reason": "fails"})
    told = json.loads(call("propose", "--from", path, "--json").stdout)
    assert told["best"]["candidate"] != best
    assert told["combinations"] == 17  # its votes still teach


def test_few_votes_are_called_few(call: Call, tmp_path: Path) -> None:
    path = make_study(tmp_path / "old.db", slot_candidates(), 10)
    shown = call("propose", "--from", path)
    assert shown.exit_code == 0, shown.output
    assert "No two of them are known to act together, from 10 votes." in shown.stdout
    assert "(None of them is expected to beat the best so far.)" in shown.stdout
    path = make_study(tmp_path / "fewer.db", slot_candidates(), 5)
    shown = call("propose", "--from", path)
    assert shown.exit_code == 2
    assert "there are 5 votes on" in shown.stderr
    assert "at least 10 votes on 4 combinations are needed" in shown.stderr


def test_what_stays_open_is_said(call: Call, tmp_path: Path) -> None:
    # Three slots of two options whose value is the parity of all three: no pair of them acts together.
    every = [
        Candidate.make(f"{k}", parts={"slots": {"a": f"{k & 1}", "b": f"{k >> 1 & 1}", "c": f"{k >> 2}"}})
        for k in range(8)
    ]
    study = make_study(tmp_path / "old.db", every[:7], 0)
    scores = tmp_path / "scores.csv"
    rows = [f"{one.id},{(-1) ** k.bit_count() + j / 10}" for k, one in enumerate(every[:7]) for j in range(6)]
    scores.write_text("candidate,score\n" + "\n".join(rows) + "\n", encoding="utf-8")
    shown = call("propose", "--from", study, "--scores", scores)
    assert shown.exit_code == 0, shown.output
    assert "everything depends on everything. The proposals allow for that." in shown.stdout


def test_plain_prompts_get_told_what_to_do(call: Call, tmp_path: Path) -> None:
    with open_store(tmp_path / "plain.db") as store:
        store.append_many(
            [
                (EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""}),
                (EventKind.CANDIDATES_ADDED, candidates_payload([Candidate.make("Be brief.")])),
            ]
        )
    shown = call("propose", "--from", tmp_path / "plain.db")
    assert shown.exit_code == 2
    assert "none of the candidates has slots or settings" in shown.stderr
    assert "write the prompt with slots" in shown.stderr


def test_a_study_that_is_not_there(call: Call, tmp_path: Path) -> None:
    shown = call("propose", "--from", tmp_path / "gone.db")
    assert shown.exit_code == 2
    assert "no study at" in shown.stderr
    assert call("propose").exit_code == 2


def scores_csv(path: Path) -> Path:
    rows = [
        f"{mode},{t / 20},{-((t / 20 - (0.3 if mode == 'fast' else 0.7)) ** 2) + 0.1 * (mode == 'slow'):.5f}"
        for t in range(0, 21, 2)
        for mode in ("fast", "slow")
    ]
    path.write_text("mode,temperature,score\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_scores_of_settings_with_columns(call: Call, voted: Path, tmp_path: Path) -> None:
    scores = scores_csv(tmp_path / "scores.csv")
    told = json.loads(call("propose", "--from", voted, "--scores", scores, "--n", "2", "--json").stdout)
    assert (told["kind"], told["outcomes"], told["combinations"]) == ("scores", 22, 22)
    first = told["proposals"][0]["values"]
    assert first["mode"] == "slow"
    assert first["temperature"] == pytest.approx(0.7, abs=0.06)
    assert told["variables"][1] == {
        "name": "temperature",
        "low": 0,
        "high": 1,
        "integer": False,
        "log": False,
    }
    shown = call("propose", "--from", voted, "--scores", scores).stdout
    assert shown.startswith("22 scores on 22 combinations of mode and temperature.")
    assert "1. expected to score " in shown


def test_scores_by_identifier(call: Call, voted: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    rows = [f"{candidate.id},{worth(candidate)}" for candidate in slot_candidates()]
    path.write_text("candidate,score\n" + "\n".join(rows) + "\n", encoding="utf-8")
    told = json.loads(call("propose", "--from", voted, "--scores", path, "--json").stdout)
    assert told["proposals"][0]["values"] == {"role": "friend", "tone": "warm", "form": "list"}
    # Slots may be named instead; the same candidates are found by their values.
    named = tmp_path / "named.csv"
    lines = [f"{','.join(c.parts['slots'].values())},{worth(c)}" for c in slot_candidates()]  # pyright: ignore
    named.write_text("role,tone,form,score\n" + "\n".join(lines) + "\n", encoding="utf-8")
    again = json.loads(call("propose", "--from", voted, "--scores", named, "--json").stdout)
    assert again["best"]["candidate"] == told["best"]["candidate"]
    assert again["proposals"][0]["values"] == told["proposals"][0]["values"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("candidate,points\nx,1\n", "has no column 'score'"),
        ("candidate,score\nnobody,1\n", "row 2: no candidate 'nobody'"),
        ("mode,score\nfast,good\n", "row 2: score is 'good'; it is a number"),
        ("mode,score\nfast,nan\n", "row 2: score is 'nan'; it is a number"),
        ("", "is empty"),
    ],
)
def test_wrong_scores_are_named(call: Call, voted: Path, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    shown = call("propose", "--from", voted, "--scores", path)
    assert shown.exit_code == 2
    assert said in shown.stderr


def test_texts_of_a_study_cannot_write_to_the_terminal(call: Call, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "scores.csv"
    rows = [f"\x1b[31m{'red' if k % 2 else 'blue'},{rng.random()},{k}" for k in range(12)]
    path.write_text("colour,t,score\n" + "\n".join(rows) + "\n", encoding="utf-8")
    study = make_study(tmp_path / "old.db", slot_candidates(), 0)
    shown = call("propose", "--from", study, "--scores", path)
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.output
    assert "colour: red" in shown.stdout
