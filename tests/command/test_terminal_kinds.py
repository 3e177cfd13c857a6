"""What a terminal shows of answers that are no text."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from palate.command._keys import LineKeys
from palate.command._terminal import VotingTerminal
from palate.kinds import Picture, chat_content, picture_content, table_content
from palate.store import EventKind, Store, candidates_payload, inputs_payload, open_store, pairing_payload
from palate.types import Candidate, Input, Message, Pairing, Response

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "study.db") as opened:
        yield opened


def screen(store: Store, *answers: Response) -> str:
    made = [Candidate.make(text) for text in ("one", "two")]
    store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
    store.append(EventKind.INPUTS_ADDED, inputs_payload([Input("i1", "Which?")]))
    store.append(EventKind.CANDIDATES_ADDED, candidates_payload(made))
    hashes = [store.put_response(f"key-{n}", answer) for n, answer in enumerate(answers)]
    pairing = Pairing("p1", "i1", made[0].id, made[1].id, *hashes)
    store.append(EventKind.PAIRING_OPENED, pairing_payload(pairing))
    shown = io.StringIO()
    console = Console(file=shown, width=200, markup=False, highlight=False)
    VotingTerminal(store, console, LineKeys(io.StringIO("1\n")), threading.Event(), limit=1).run()
    return shown.getvalue()


def test_a_picture_is_its_size_and_a_file_that_is_gone_afterwards(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[str, bytes] = {}
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: written.update({str(self): data}))
    text = screen(
        store,
        Response("image", picture_content(Picture("image/png", 640, 480, PNG))),
        Response("plot", picture_content(Picture("image/png", 320, 200, PNG + b"x"))),
    )
    assert "[picture, 640 × 480 pixels]" in text
    assert "[plot, 320 × 200 pixels]" in text
    assert "base64" not in text
    assert sorted(Path(name).name for name in written) == ["A.png", "B.png"]  # says nothing of the candidates
    assert sorted(written.values()) == [PNG, PNG + b"x"]
    for name in written:
        assert name in text
        assert not Path(name).parent.exists()


def test_tables_and_chats_are_text_without_what_would_tell_them_apart(store: Store) -> None:
    turns = [
        Message("system", "The secret prompt."),
        Message("user", "Hello\x1b[31m"),
        Message("assistant", "Hi"),
    ]
    text = screen(
        store,
        Response("table", table_content(["city", "people"], [["Oslo", 709_037]])),
        Response("chat", chat_content(turns)),
    )
    assert "city  people" in text
    assert "Oslo  709037" in text
    assert "assistant: Hi" in text
    assert "secret" not in text
    assert "\x1b" not in text


def test_a_picture_that_is_none_is_said(store: Store) -> None:
    text = screen(store, Response("image", "{}"), Response("image", "garbage"))
    assert "a picture is an object" in text
    assert "is not JSON" in text
