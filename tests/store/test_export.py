"""What is written is what was voted, in every format, whole or not at all."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palate.errors import ConfigError, InputError, MissingExtraError, StoreError
from palate.kinds import Picture, picture_content, read_picture
from palate.store import (
    EXPORT_FORMATS,
    EventKind,
    Store,
    StoredEvent,
    StudyState,
    candidates_payload,
    export,
    inputs_payload,
    open_store,
    pairing_payload,
)
from palate.store._events import chained, encode
from palate.store._export_rows import safe_cell
from palate.types import Ballot, Candidate, Input, Pairing, Response, Verdict

FIRST, SECOND = Candidate.make("Be brief."), Candidate.make("Be kind.")
LONE = "\ud800"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One vote of every verdict, two wins, one undone, one between equal answers; two judges."""
    with open_store(tmp_path / "study.db", clock=lambda: "2026-11-21T08:00:00.000+00:00") as opened:
        brief = opened.put_response("a", Response("text", "=short"))
        kind = opened.put_response("b", Response("text", f"kind, 猫{LONE}\nline"))
        opened.append_many(
            [
                (EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": "Be fair."}),
                (EventKind.INPUTS_ADDED, inputs_payload([Input("in", 'Hello, "you"?')])),
                (EventKind.CANDIDATES_ADDED, candidates_payload([FIRST, SECOND])),
            ]
        )
        pairs = [Pairing(f"p{k}", "in", FIRST.id, SECOND.id, brief, kind) for k in range(8)]
        pairs.append(Pairing("equal", "in", FIRST.id, SECOND.id, brief, brief))
        opened.append_many([(EventKind.PAIRING_OPENED, pairing_payload(pair)) for pair in pairs])
        verdicts = [*Verdict, Verdict.LEFT, Verdict.RIGHT]
        for k, verdict in enumerate(verdicts):
            judge = "zoe" if k == 0 else "adam"
            duel = opened.open_duels(judge, 1)[0]
            opened.vote(Ballot(duel.id, verdict, judge, f"k{k}", 1.25, None, f"+{verdict.value}{LONE}"))
        opened.undo("adam")
        yield opened


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def wins(store: Store) -> list[tuple[str, str]]:
    """What the preference formats ought to hold, read off the events: (chosen, rejected) candidates."""
    decided = [v for v in StudyState.replay(store.events()).votes if v.verdict in ("left", "right")]
    pairs = [(vote.left_candidate, vote.right_candidate) for vote in decided]
    return [pair if vote.verdict == "left" else pair[::-1] for pair, vote in zip(pairs, decided, strict=True)]


TEXTS = {FIRST.id: "=short", SECOND.id: "kind, 猫\ufffd\nline"}


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_an_export_is_the_same_each_time_and_its_sum_fits(store: Store, tmp_path: Path, format_: str) -> None:
    pytest.importorskip("datasets") if format_ == "hf" else None
    one, two = tmp_path / "a" / "votes", tmp_path / "b" / "votes"
    for target in (one, two, two):
        target.parent.mkdir(exist_ok=True)
        report = export(store, format_, target)
    sidecar = one.with_name("votes.sha256").read_text()
    assert sidecar == two.with_name("votes.sha256").read_text()
    assert sidecar.startswith(f"# {report}\n")
    for line in sidecar.splitlines()[1:]:
        value, name = line.split("  ")
        content = (one.parent / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == value
        assert content == (two.parent / name).read_bytes()
    assert report.sha256 in sidecar
    assert (report.votes, report.ties, report.both_bad, report.skipped) == (7, 1, 1, 2)
    assert not list(tmp_path.glob("*/.*"))


def test_trl(store: Store, tmp_path: Path) -> None:
    report = export(store, "trl", tmp_path / "votes.jsonl")
    expected = [
        {"prompt": 'Hello, "you"?', "chosen": TEXTS[chosen], "rejected": TEXTS[rejected]}
        for chosen, rejected in wins(store)
    ]
    assert lines(report.path) == expected
    assert report.rows == len(expected) == 3
    assert "1 ties (drop)" in str(report)


def test_ties_can_be_written_both_ways(store: Store, tmp_path: Path) -> None:
    report = export(store, "trl", tmp_path / "votes.jsonl", ties="both")
    rows = lines(report.path)
    assert report.rows == len(rows) == 5
    directions = {(row["chosen"], row["rejected"]) for row in rows}
    assert directions == {(TEXTS[FIRST.id], TEXTS[SECOND.id]), (TEXTS[SECOND.id], TEXTS[FIRST.id])}


def test_trl_conversational(store: Store, tmp_path: Path) -> None:
    rows = lines(export(store, "trl-conversational", tmp_path / "votes.jsonl").path)
    chosen, rejected = wins(store)[0]
    assert rows[0] == {
        "prompt": [{"role": "user", "content": 'Hello, "you"?'}],
        "chosen": [{"role": "assistant", "content": TEXTS[chosen]}],
        "rejected": [{"role": "assistant", "content": TEXTS[rejected]}],
    }


def test_openai_dpo(store: Store, tmp_path: Path) -> None:
    rows = lines(export(store, "openai-dpo", tmp_path / "votes.jsonl").path)
    chosen, rejected = wins(store)[0]
    assert rows[0] == {
        "input": {"messages": [{"role": "user", "content": 'Hello, "you"?'}], "tools": []},
        "preferred_output": [{"role": "assistant", "content": TEXTS[chosen]}],
        "non_preferred_output": [{"role": "assistant", "content": TEXTS[rejected]}],
    }


def test_arena_keeps_ties_and_hides_judges(store: Store, tmp_path: Path) -> None:
    rows = lines(export(store, "arena", tmp_path / "votes.jsonl").path)
    votes = [v for v in StudyState.replay(store.events()).votes if v.verdict.teaches]
    names = {"left": "model_a", "right": "model_b", "tie": "tie", "both_bad": "tie (bothbad)"}
    assert [row["winner"] for row in rows] == [names[vote.verdict] for vote in votes]
    assert [(row["model_a"], row["model_b"]) for row in rows] == [
        (vote.left_candidate, vote.right_candidate) for vote in votes
    ]
    assert [row["judge"] for row in rows] == ["judge-1", *["judge-2"] * 4]
    assert rows[0]["conversation_a"][1]["content"] == TEXTS[votes[0].left_candidate]
    assert rows[0]["tstamp"] == 1795248000.0
    named = lines(export(store, "arena", tmp_path / "named.jsonl", names=True).path)
    assert [row["judge"] for row in named] == ["zoe", *["adam"] * 4]


def test_jsonl_is_the_whole_truth(store: Store, tmp_path: Path) -> None:
    header, *rest = lines(export(store, "jsonl", tmp_path / "votes.jsonl").path)
    assert header == {
        "type": "header",
        "format": "palate-events",
        "schema": 2,
        "events": store.last_seq(),
    }
    events = [
        StoredEvent(
            row["seq"],
            EventKind(row["kind"]),
            row["payload"],
            row["actor"],
            row["at"],
            row["hash"],
            row.get("comment"),
        )
        for row in rest
        if row["type"] == "event"
    ]
    assert StudyState.replay(events) == StudyState.replay(store.events())
    link = ""
    for event in events:
        link = chained(link, event.seq, event.at, event.kind, event.actor, encode(event.payload))
        assert link == event.hash
    texts = {row["hash"]: row["content"] for row in rest if row["type"] == "response"}
    assert texts == {address: store.get_response(address).content for address in texts}
    assert len(texts) == 2


def test_csv_comes_back_and_runs_nothing(store: Store, tmp_path: Path) -> None:
    path = export(store, "csv", tmp_path / "votes.csv").path
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    votes = StudyState.replay(store.events()).votes
    assert [row["verdict"] for row in rows] == [vote.verdict.value for vote in votes]
    assert [int(row["seq"]) for row in rows] == [vote.seq for vote in votes]
    assert rows[0]["comment"] == "'+left\ufffd"
    for row, vote in zip(rows, votes, strict=True):
        assert row["left_response"].removeprefix("'") in (TEXTS[vote.left_candidate], TEXTS[FIRST.id])
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@a", "\ta", "\ra", "＝1", "'quoted", " =1", " \t+1", "\u00a0-1", "\ufeff@a"]
)
def test_a_cell_that_could_run_is_quoted_and_comes_back(text: str) -> None:
    assert safe_cell(text) in (f"'{text}", f"'{text}".replace("\r", "\r"))
    assert safe_cell(text).removeprefix("'") == text
    assert safe_cell(f"a{text}") == f"a{text}"


def test_control_characters_do_not_reach_a_spreadsheet() -> None:
    assert safe_cell("a\0b\x1b[31m\x07\nc") == "ab[31m\nc"
    assert safe_cell("\x00=1") == "'=1"
    assert safe_cell(" a=1") == " a=1"


def test_hf(store: Store, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    report = export(store, "hf", tmp_path / "data")
    rows = datasets.load_from_disk(str(report.path))
    assert [(row["chosen_candidate"], row["rejected_candidate"]) for row in rows][:2] == wins(store)[:2]
    assert rows[0]["chosen"] == TEXTS[wins(store)[0][0]]
    card = (report.path / "README.md").read_text(encoding="utf-8")
    assert "3 rows from 7 votes" in card
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("mine")
    with pytest.raises(StoreError, match="other things"):
        export(store, "hf", tmp_path / "other")


def test_hf_without_the_package_says_what_to_install(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("palate.extras.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'palate\[hf\]'"):
        export(store, "hf", tmp_path / "data")


def test_an_empty_study_exports_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "study.db") as store:
        for format_ in EXPORT_FORMATS:
            if format_ != "hf":
                assert export(store, format_, tmp_path / format_).votes == 0
    assert (tmp_path / "trl").read_bytes() == b""


def test_what_cannot_be_exported_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'trl'"):
        export(store, "tlr", tmp_path / "votes")
    with pytest.raises(ConfigError, match="known: 'both', 'drop'"):
        export(store, "trl", tmp_path / "votes", ties="half")
    with pytest.raises(StoreError, match="there is no folder"):
        export(store, "trl", tmp_path / "missing" / "votes")
    with pytest.raises(StoreError, match="is a folder"):
        export(store, "trl", tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        export(store, "hf", tmp_path / "study.db")


def test_pictures_leave_as_jsonl_and_as_their_size(tmp_path: Path) -> None:
    with open_store(tmp_path / "study.db") as store:
        shown = [
            store.put_response(key, Response("image", picture_content(Picture("image/png", 2, 3, data))))
            for key, data in (("a", PNG + b"one"), ("b", PNG + b"two"))
        ]
        store.append_many(
            [
                (EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""}),
                (EventKind.INPUTS_ADDED, inputs_payload([Input("in", "A garden")])),
                (EventKind.CANDIDATES_ADDED, candidates_payload([FIRST, SECOND])),
                (EventKind.PAIRING_OPENED, pairing_payload(Pairing("p", "in", FIRST.id, SECOND.id, *shown))),
            ]
        )
        duel = store.open_duels("me", 1)[0]
        store.vote(Ballot(duel.id, Verdict.LEFT, "me", "k"))
        for format_ in ("trl", "trl-conversational", "openai-dpo", "arena"):
            with pytest.raises(InputError, match="export it as jsonl"):
                export(store, format_, tmp_path / "votes")
            assert not (tmp_path / "votes").exists()
        export(store, "csv", tmp_path / "votes.csv")
        assert "[picture, 2 × 3" in (tmp_path / "votes.csv").read_text(encoding="utf-8-sig")
        export(store, "jsonl", tmp_path / "votes.jsonl")
        held = [line["content"] for line in lines(tmp_path / "votes.jsonl") if line["type"] == "response"]
        assert sorted(read_picture(content).data for content in held) == [PNG + b"one", PNG + b"two"]


def test_votes_after_the_start_are_left_out(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palate.store import _export

    before = wins(store)
    real = _export.write_file

    def vote_first(path: Path, pieces: Iterator[bytes]) -> str:
        if path.suffix != ".sha256":
            while store.undo("adam") is not None:
                pass
        return real(path, pieces)

    monkeypatch.setattr(_export, "write_file", vote_first)
    assert export(store, "trl", tmp_path / "votes.jsonl").rows == len(before)
    assert len(wins(store)) < len(before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("moment", range(4))
def test_a_killed_export_leaves_the_old_file(store: Store, tmp_path: Path, moment: int) -> None:
    target = tmp_path / "votes.jsonl"
    export(store, "trl", target)
    before = target.read_bytes()
    program = (
        "import os, signal, sys\n"
        "from palate.store import open_store, export, _export\n"
        "line, count = _export._line, [0]\n"
        "def deadly(row):\n"
        "    count[0] += 1\n"
        f"    if count[0] > {moment}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return line(row)\n"
        "_export._line = deadly\n"
        "export(open_store(sys.argv[1]), 'arena', sys.argv[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(store.path), str(target)], check=False, env=dict(os.environ)
    )
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == before
