"""SQL, formulas and terminal sequences in every field: stored, shown and written as plain text."""

import csv
import json
from contextlib import suppress
from pathlib import Path

import pytest
from payloads import FAMILIES
from starlette.testclient import TestClient
from study_kit import ORIGIN, PORT, TOKEN
from study_of import fill

from palate.command._say import clean, one_line
from palate.errors import PalateError
from palate.store import Store, StudyState, open_store
from palate.store._export import export
from palate.store._export_rows import safe_cell
from palate.web import create_app

QUOTES = ("'", '"', "`", "')", '")', "'))", "\\'", "%27", "\u2019", "';", "\x00'", "''", "]]", "$$", "/*")
TAILS = (
    " OR 1=1 --",
    "; DROP TABLE event; --",
    " UNION SELECT sql FROM sqlite_master --",
    "; DELETE FROM vote; --",
    " AND 1=(SELECT pg_sleep(9)) --",
    "; ATTACH DATABASE '/tmp/x.db' AS x; --",
    " || load_extension('x') || ",
    "; PRAGMA writable_schema=1; --",
    "; COPY event TO PROGRAM 'id'; --",
    " LIKE '%' ESCAPE '",
    "; UPDATE event SET payload='{}'; --",
)
SQL = [f"x{quote}{tail}" for quote in QUOTES for tail in TAILS] + [
    "?", ":id", "%s", "$1", "{0}", "@p", "1; --", "NULL", "0x27", "x' \x1a", "\ufeff'", "\\", "%", "_", "*",
]  # fmt: skip
FORMULAS = [
    f"{lead}{start}{rest}"
    for lead in ("", " ", "\t", " \t ", "\u00a0", "\u200b", "\ufeff", "\r", "\n", "\x00", "'")
    for start in ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    for rest in ("cmd|' /C calc'!A0", 'HYPERLINK("https://evil.example","x")', "1+1", "WEBSERVICE(A1)")
]
TERMINAL = [
    *FAMILIES["characters"],
    "\x1b]0;title\x07",
    "\x1b[31mred\x1b[0m",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2J",
    "\x1bP+q544e\x1b\\",
    "\x1b[6n",
    "\x1b[5i",
    "safe\rEVIL",
    "a\x08\x08\x08b",
    "\x1b\x1b[[31m",
    "\x1b[200~paste\x1b[201~",
    "\u009d0;x\u009c",
]


@pytest.fixture
def injected(store: Store) -> Store:
    fill(store, SQL[::4])
    return store


def test_texts_with_sql_come_back_as_they_went_in(injected: Store) -> None:
    state = StudyState.replay(injected.events())
    texts = SQL[::4]
    assert [each.text for each in state.inputs.values()] == texts
    assert len(state.votes) == len(texts)
    assert [vote.comment for vote in state.votes] == texts
    assert injected.verify() == []


def test_identifiers_with_sql_find_nothing_and_break_nothing(injected: Store) -> None:
    for text in SQL:
        assert injected.get_completion(text) is None
        assert injected.get_response_by_key(text) is None
        with pytest.raises(PalateError):
            injected.get_response(text)
    for text in SQL[::20]:
        with suppress(PalateError):  # a judge may be called what it likes, as long as it can be printed
            injected.open_duels(text, 1)
    assert injected.verify() == []


def test_requests_with_sql_are_refused_or_answered_but_never_fail(injected: Store) -> None:
    client = TestClient(create_app(injected, launch_token=TOKEN, port=PORT), base_url=ORIGIN)
    client.get(f"/start/{TOKEN}")
    client.headers["origin"] = ORIGIN
    votes = len(StudyState.replay(injected.events()).votes)
    for text in SQL[::3]:
        plain = text.encode("latin-1", "replace").decode("latin-1").replace("\x00", "").replace("\x1a", "")
        vote = {
            "duel_id": text,
            "verdict": "left",
            "key": "k" * 20,
            "seconds": 1,
            "reason": None,
            "comment": text,
        }
        replies = [
            client.post("/api/votes", json=vote),
            client.post("/api/votes", json={**vote, "duel_id": "d", "key": text}),
            client.post("/api/votes", json={**vote, "verdict": text}),
            client.post("/api/votes", json={**vote, "reason": text}),
            client.post("/api/undo", json={"duel_id": text}),
            client.post("/api/revoke", json={"id": text}),
            client.get("/api/duels", params={"wait": text, "have": text}),
            client.get("/pictures/" + "".join(c for c in plain if c.isalnum() or c in "'")),
        ]
        assert [
            reply.status_code for reply in replies if reply.status_code not in (400, 404, 409, 413, 422)
        ] == []
        assert all(reply.json()["error"] for reply in replies)
    assert len(StudyState.replay(injected.events()).votes) == votes
    assert injected.verify() == []


def test_headers_with_sql_open_nothing(injected: Store) -> None:
    app = create_app(injected, launch_token=TOKEN, port=PORT, metrics_token="m" * 32)
    client = TestClient(app, base_url=ORIGIN)
    for text in SQL[::7]:
        value = text.encode("latin-1", "replace").replace(b"\x00", b"").replace(b"\x1a", b"")
        for headers in (
            {b"authorization": b"Bearer " + value},
            {b"cookie": f"palate-{PORT}=".encode() + value},
            {b"cookie": value, b"authorization": value},
        ):
            assert client.get("/metrics", headers=list(headers.items())).status_code == 403


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_never_begins_a_formula(text: str) -> None:
    cell = safe_cell(text)
    assert cell.startswith("'"), cell
    assert "\x00" not in cell


def test_an_export_for_spreadsheets_holds_no_formula_and_parses(memory: Path) -> None:
    with open_store(memory / "study.db") as store:
        fill(store, FORMULAS[::5])
        report = export(store, "csv", memory / "votes.csv")
    with report.path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) - 1 == len(FORMULAS[::5])
    for row in rows:
        for cell in row:
            assert cell[:1] not in ("=", "+", "@", "\t", "\r", "\n"), cell


@pytest.mark.parametrize("text", TERMINAL)
def test_a_terminal_is_told_nothing_but_text(text: str) -> None:
    for shown in (clean(text), one_line(text)):
        assert not [c for c in shown if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F]
        assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2028\u2029")
    assert "\n" not in one_line(text)


def test_printed_json_is_exact_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    from palate.command._say import print_json

    print_json(TERMINAL)
    printed = capsys.readouterr().out
    assert json.loads(printed) == TERMINAL
    assert not [c for c in printed if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F]
