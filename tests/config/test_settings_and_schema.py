"""Differences between settings in words, and the published JSON Schema."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from palate.config import diff, json_schema, parse_config

GOOD = '[model]\nkind = "scripted"\n[inputs]\ninline = ["one", "two"]\n[prompts]\nseed = "Say it."\n'
PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "study.schema.json"


def test_equal_settings_do_not_differ() -> None:
    settings = parse_config(GOOD).settings()
    assert diff(settings, json.loads(json.dumps(settings))) == []


def test_each_change_is_a_line() -> None:
    old = parse_config(GOOD).settings()
    new = parse_config(
        GOOD.replace('["one", "two"]', '["two", "three", "four"]').replace("Say it.", "Sing it.")
        + "temperature = 0.5\n[study]\ncandidates = 60\n[budget]\nvotes = 9\n"
        + "[examples]\ninline = [{a = 'b'}]\n"
    ).settings()
    assert diff(old, new) == [
        "[study] candidates: 30 → 60",
        "[inputs] inline: 2 → 3 entries (2 added, 1 removed)",
        "[prompts] seed: 'Say it.' → 'Sing it.'",
        "[prompts] temperature: 0.0 → 0.5",
        "[examples] inline: not set → [{'a': 'b'}]",
        "[examples] input_column: not set → 'input'",
        "[examples] output_column: not set → 'output'",
        "[proposers] use: 1 → 2 entries (1 added, 0 removed)",
        "[budget] votes: not set → 9",
    ]


def test_long_texts_are_shown_where_they_differ() -> None:
    old = {"study": {"guidelines": "x" * 500 + " the end"}}
    new = {"study": {"guidelines": "x" * 500 + " an end"}}
    (line,) = diff(old, new)
    assert "the end" in line
    assert "an end" in line
    assert len(line) < 120


def test_reordered_entries_are_told() -> None:
    assert diff({"inputs": {"inline": ["a", "b"]}}, {"inputs": {"inline": ["b", "a"]}}) == [
        "[inputs] inline: 2 → 2 entries (in another order)"
    ]


def test_published_schema_is_not_stale() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema(), (
        "write it anew: palate schema > docs/reference/study.schema.json"
    )


@pytest.mark.parametrize(
    ("source", "good"),
    [(GOOD, True), (GOOD + "tempratur = 1\n", False), (GOOD.replace('"Say it."', "3"), False)],
)
def test_schema_agrees_with_the_reader(source: str, good: bool) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(tomllib.loads(source)) is good


def test_every_key_is_described() -> None:
    undescribed = [
        key
        for table in json_schema()["$defs"].values()
        for key, value in table.get("properties", {}).items()
        if not value.get("description")
    ]
    assert undescribed == []
