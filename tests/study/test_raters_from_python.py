"""The rules for several raters, set from Python: the same words, checks and effects as in a study file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from palate.config import parse_config
from palate.errors import ConfigError, InputError, PalateError
from palate.store import EventKind, RaterRules
from palate.store._raters import rater_rules
from palate.study import Study

FILE = """
[model]
kind = "scripted"
[inputs]
inline = ["one", "two", "three"]
[prompts]
seed = "Say:"
[raters]
"""
PAIR = {"input": "What is 2 + 2?", "better": "4", "worse": "5"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Study]]:
    made: list[Study] = []

    def maker() -> Study:
        study = Study.create(
            target=lambda prompt, text: f"{prompt} {text}",
            inputs=[str(number) for number in range(20)],
            candidates=["Say:", "Please say:", "Shout:"],
            path=tmp_path / "study.db",
            repeatable=True,
        )
        made.append(study)
        return study

    yield maker
    for study in made:
        study.close()


def test_the_rules_are_those_of_a_study_file(make: Callable[[], Study]) -> None:
    written = 'overlap = "until decided"\nmost = 4\nlease = 60\ngold = 0.1\nrepeats = 0.2\ngroups = ["a", ""]'
    study = make()
    assert study.state.rules == RaterRules()
    study.set_raters(overlap="until decided", most=4, lease=60, gold=0.1, repeats=0.2, groups=["a", ""])
    assert study.state.rules == RaterRules(1, 4, 60.0, 0.1, 0.2, ("a", ""))
    assert study.state.rules == rater_rules(parse_config(FILE + written).settings())
    study.set_raters()
    assert study.state.rules == rater_rules(parse_config(FILE).settings())


def test_what_is_said_twice_is_written_once_and_lasts(make: Callable[[], Study]) -> None:
    study = make()
    for _ in range(2):
        study.set_raters(overlap=3, gold_pairs=[PAIR])
    kinds = [event.kind for event in study.store.events()]
    assert kinds.count(EventKind.CONFIG_CHANGED) == kinds.count(EventKind.GOLD_ADDED) == 1
    study.close()
    again = make()
    assert again.state.rules.overlap == 3
    again.set_raters(overlap=3, gold_pairs=[PAIR])
    assert again.store.last_seq() == len(kinds)
    assert again.store.verify() == []


def test_each_pair_is_asked_of_so_many_raters_and_gold_is_planted(make: Callable[[], Study]) -> None:
    study = make()
    study.set_raters(overlap=3, gold=0.5, repeats=0, gold_pairs=[PAIR])
    seen: dict[str, set[str]] = {}
    golden = 0
    for rater in ("anna", "ben", "cleo"):
        for _ in range(6):
            duel = study.ask(rater)
            study.tell(duel, "left")
            if duel.input.text == PAIR["input"]:
                golden += 1
                assert {duel.left.content, duel.right.content} == {"4", "5"}
            else:
                seen.setdefault(duel.pairing_id, set()).add(rater)
    study.state.follow(study.store)
    assert golden > 0
    assert len(study.state.checks) == golden
    assert {"anna", "ben", "cleo"} in seen.values()


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("overlap", 0, "0"),
        ("overlap", True, "true"),
        ("overlap", "always", '"always"'),
        ("most", 1, "1"),
        ("most", 4, "4"),
        ("lease", 5, "5"),
        ("lease", 60.5, "60.5"),
        ("gold", 0.6, "0.6"),
        ("repeats", "half", '"half"'),
        ("groups", ["a", "a"], '["a", "a"]'),
        ("groups", [1], "[1]"),
    ],
)
def test_a_mistake_is_told_as_in_a_study_file(
    make: Callable[[], Study], key: str, value: Any, written: str
) -> None:
    study = make()
    before = study.store.last_seq()
    with pytest.raises(ConfigError) as in_file:
        parse_config(f"{FILE}{key} = {written}")
    with pytest.raises(ConfigError) as in_python:
        study.set_raters(**{key: value})
    assert str(in_file.value).endswith(str(in_python.value))
    assert str(in_python.value).startswith("[raters] ")
    assert study.store.last_seq() == before


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({"input": "x", "better": "a", "worse": "a"}, "better and worse are the same text"),
        ({"input": "x", "better": "", "worse": "a"}, "column 'better' is empty"),
        ({"input": "x", "better": "a"}, r"\[gold\] worse"),
    ],
)
def test_a_wrong_pair_is_named(make: Callable[[], Study], pair: dict[str, str], said: str) -> None:
    with pytest.raises(PalateError, match=said) as caught:
        make().set_raters(gold_pairs=[pair])
    assert isinstance(caught.value, ConfigError | InputError)


def test_a_study_file_has_the_say(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(FILE + '\n[embedding]\nkind = "scripted"\n', encoding="utf-8")
    with Study.open(path) as study, pytest.raises(ConfigError, match=r"there, under \[raters\]"):
        study.set_raters(overlap=2)
