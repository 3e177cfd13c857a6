"""YAML from files that nobody vouches for: read as promptfoo reads it, or refused."""

import pytest

from palate.errors import InputError
from palate.integrations.promptfoo._yaml import MAX_NODES, parse_yaml


def read(text: str) -> object:
    return parse_yaml(text, source="it")


def test_values_are_those_of_the_core_schema() -> None:
    """In YAML 1.1 no is false, 010 is eight and a date is a date; promptfoo's reader knows none of these."""
    text = "z: <<\na: no\nb: on\nc: 2026-11-21\nd: 010\n"
    text += "e: 0x1F\nf: 1e3\ng: .5\nh: ~\ni: True\nj: 12:30\nk: 1_000\nl:"
    assert read(text) == {
        "z": "<<",
        "a": "no",
        "b": "on",
        "c": "2026-11-21",
        "d": 10,
        "e": 31,
        "f": 1000.0,
        "g": 0.5,
        "h": None,
        "i": True,
        "j": "12:30",
        "k": "1_000",
        "l": None,
    }


def test_json_is_yaml_and_keys_become_texts() -> None:
    assert read('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert read("1: a\ntrue: b") == {"1": "a", "true": "b"}


def test_aliases_and_merges_are_written_out() -> None:
    assert read("base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\nagain: *b") == {
        "base": {"x": 1, "y": 2},
        "other": {"x": 1, "y": 3},
        "again": {"x": 1, "y": 2},
    }


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines)


def test_a_bomb_is_refused_before_it_is_built() -> None:
    with pytest.raises(InputError, match="expands to more than 100,000 values"):
        read(bomb(levels=40, width=10))


def test_what_counts_is_the_expanded_size() -> None:
    # A list of ten aliases holds 1 + 10 times what each holds: 2, 21, 211, 2,111, 21,111, 211,111.
    assert MAX_NODES == 100_000
    assert isinstance(read(bomb(levels=5, width=10)), dict)
    with pytest.raises(InputError, match="expands"):
        read(bomb(levels=6, width=10))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [*a]", "contains itself"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\na: 2", "line 2: the key 'a' stands twice"),
        ("? [1, 2]\n: x", "a key must be a text"),
        ("--- a\n--- b", "not YAML"),
        ("a: [", "not YAML"),
        ("!!python/object/apply:os.system ['echo no']", "not YAML"),
        ("!!js/function 'x'", "not YAML"),
        ("!!binary aGk=", "only texts, numbers, lists and mappings"),
        ("!!timestamp 2026-11-21", "only texts, numbers, lists and mappings"),
        ("a: " + "9" * 5000, "a number that cannot be read"),
        ("a: \x01", "not YAML"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match="it") as error:
        read(text)
    assert told in str(error.value)
