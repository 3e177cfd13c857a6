"""What responses of each kind hold, and what is refused when it is read."""

import json

import pytest

from palate.errors import InputError
from palate.kinds import (
    LARGEST_PICTURE,
    Picture,
    chat_content,
    picture_content,
    read_chat,
    read_picture,
    read_table,
    readable,
    table_content,
)
from palate.types import Message, Response

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def picture_json(**changes: object) -> str:
    return json.dumps({**json.loads(picture_content(Picture("image/png", 3, 2, PNG))), **changes})


def test_each_kind_is_read_back_as_it_was_written() -> None:
    picture = Picture("image/webp", 640, 480, b"RIFF\x00\x00\x00\x00WEBPVP8 ")
    assert read_picture(picture_content(picture)) == picture
    table = read_table(table_content(["city", "people"], [["Oslo", 709_037], ["Bergen", None]]))
    assert table.columns == ("city", "people")
    assert table.rows == (("Oslo", 709_037), ("Bergen", None))
    turns = (Message("user", "Hello"), Message("assistant", "**Hi**"))
    assert read_chat(chat_content(turns)) == turns


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        picture_json(media_type="image/svg+xml"),
        picture_json(media_type=["image/png"]),
        picture_json(width=0),
        picture_json(width=True),
        picture_json(height="2"),
        picture_json(height=10**9),
        picture_json(base64=7),
        picture_json(base64="not base 64"),
        picture_json(media_type="image/jpeg"),
        picture_json(media_type="image/webp"),
        picture_json(base64="UklGRgAAAABXQVZFZm10IA==", media_type="image/webp"),  # a sound file
        picture_json(base64="PHN2Zz48c2NyaXB0Lz48L3N2Zz4="),  # an SVG
    ],
)
def test_what_is_no_picture_is_refused(content: str) -> None:
    with pytest.raises(InputError):
        read_picture(content)


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(InputError, match="8,000,000 bytes"):
        read_picture(picture_json(base64="A" * (LARGEST_PICTURE * 4 // 3 + 8)))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "7",
        "{}",
        '{"columns": ["a"]}',
        '{"columns": ["a"], "rows": [7]}',
        '{"columns": ["a"], "rows": [[]]}',
        '{"columns": ["a"], "rows": [[{}]]}',
        '{"columns": "a", "rows": []}',
        '{"columns": ["a"], "rows": {}}',
    ],
)
def test_what_is_no_table_is_refused(content: str) -> None:
    with pytest.raises(InputError):
        read_table(content)


def test_a_crooked_table_is_not_written() -> None:
    with pytest.raises(InputError, match="row 2 has 1 cells, but there are 2 columns"):
        table_content(["a", "b"], [[1, 2], [3]])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "[7]",
        '[{"role": "tool", "content": "x"}]',
        '[{"role": "user"}]',
        '[{"role": "user", "content": 7}]',
    ],
)
def test_what_is_no_chat_is_refused(content: str) -> None:
    with pytest.raises(InputError):
        read_chat(content)


def test_responses_read_as_plain_text() -> None:
    assert readable(Response("text", "**so**")) == "**so**"
    assert readable(Response("image", picture_json())) == "[picture, 3 × 2 pixels]"
    assert readable(Response("plot", picture_json())) == "[plot, 3 × 2 pixels]"
    table = table_content(["city", "people"], [["Oslo", 709_037], ["Bergen", None]])
    assert readable(Response("table", table)) == "city    people\n------  ------\nOslo    709037\nBergen"
    chat = chat_content(
        [Message("system", "The secret prompt."), Message("user", "Hello"), Message("assistant", "Hi")]
    )
    assert readable(Response("chat", chat)) == "user: Hello\n\nassistant: Hi"


def test_long_tables_are_cut_and_say_so() -> None:
    lines = readable(Response("table", table_content(["n", "text"], [[n, "w " * 90] for n in range(45)])))
    rows = lines.split("\n")
    assert len(rows) == 2 + 40 + 1
    assert rows[-1] == "(5 more rows)"
    assert max(map(len, rows)) <= 2 + 2 + 60


def test_what_cannot_be_read_stays_as_it_is() -> None:
    for kind in ("image", "plot", "table", "chat"):
        assert readable(Response(kind, "garbage")) == "garbage"
    assert readable(Response("table", table_content([], []))) == "\n"
