"""Every key of a study file is read somewhere: each is changed, and something must come out differently."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palate.assembly import assemble
from palate.command._app import app
from palate.config import json_schema, parse_config
from palate.store import open_store
from palate.store._raters import rater_rules

BASE: Mapping[str, Mapping[str, str]] = {
    "study": {"name": '"One"'},
    "model": {"kind": '"scripted"', "answers": '["a", "b"]'},
    "proposer_model": {"kind": '"scripted"', "answers": '["p", "q"]'},
    "embedding": {"kind": '"scripted"'},
    "target": {},
    "inputs": {"path": '"inputs.csv"', "column": '"text"'},
    "prompts": {
        "seed": '"Say it."',
        "path": '"prompts.csv"',
        "column": '"prompt"',
        "template": '"> {{input}}"',
    },
    "examples": {"path": '"examples.csv"'},
    "proposers": {"use": '["rephrase"]'},
    "growth": {},
    "strategy": {},
    "raters": {"overlap": '"until decided"'},
    "gold": {"path": '"gold.csv"'},
    "judges.strict": {"kind": '"language-model"'},
    "budget": {},
    "page": {},
}
# What each key is changed to; "-other" drops another key that excludes it.
CHANGES: Mapping[str, str] = {
    "study.name": '"Two"',
    "study.guidelines": '"Be strict."',
    "study.seed": "7",
    "study.candidates": "31",
    "study.answers_ahead": "4",
    "raters.overlap": "3",
    "raters.most": "7",
    "raters.lease": "60",
    "raters.gold": "0.1",
    "raters.repeats": "0.1",
    "raters.groups": '["a", "b"]',
    "gold.inline": '[{input = "i", better = "b", worse = "w"}]\n-path',
    "gold.path": '"other-gold.csv"',
    "gold.limit": "1",
    "study.database": '"elsewhere.db"',
    "target.kind": '"slots"\nslots = {a = ["x", "y"]}',
    "model.kind": '"scripted"\nname = "other"',
    "proposer_model.kind": '"scripted"\nname = "other"',
    "embedding.kind": '"scripted"\nname = "other"',
    "inputs.inline": '["x"]\n-path',
    "inputs.path": '"other.csv"',
    "inputs.column": '"note"',
    "inputs.reference_column": '"note"',
    "inputs.limit": "1",
    "prompts.seed": '"Sing it."',
    "prompts.list": '["Hum it."]\n-path\n-column',
    "prompts.path": '"other.csv"',
    "prompts.column": '"note"',
    "prompts.placement": '"template"\n-template\ntemplate = "{{prompt}} {{input}}"',
    "prompts.template": '"< {{input}}"',
    "prompts.temperature": "0.5",
    "prompts.max_tokens": "9",
    "prompts.demonstrations": "1",
    "examples.inline": '[{input = "x", output = "y"}]\n-path',
    "examples.path": '"other.csv"',
    "examples.input_column": '"note"',
    "examples.output_column": '"note"',
    "examples.limit": "1",
    "proposers.use": '["induction"]',
    "growth.use": '["opro"]',
    "growth.most": "7",
    "growth.gate": '{kind = "scripted"}',
    "strategy.name": '"random"',
    "judges.strict.kind": '"simulated"',
    "judges.strict.model": '{ kind = "scripted", name = "other" }',
    "budget.calls": "5",
    "budget.tokens": "5",
    "budget.cost": "5",
    "budget.votes": "5",
    "page.port": "54321",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("gold", 2), ("other-gold", 3)):
        lines = ["input,better,worse", *(f"{name} {row},good {row},bad {row}" for row in range(rows))]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, rows in (("inputs", 2), ("prompts", 2), ("examples", 2), ("other", 3)):
        lines = ["text,prompt,input,output,note"]
        lines += [",".join(f"{name} {column} {row}" for column in "tpion") for row in range(rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def write(tables: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(
        f"[{table}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        for table, keys in tables.items()
    )


def changed(name: str) -> str:
    table, _, key = name.rpartition(".")
    value, *rest = CHANGES[name].split("\n")
    tables = {other: dict(keys) for other, keys in BASE.items()}
    for line in rest:
        if line.startswith("-"):
            del tables[table][line[1:]]
    for line in rest:
        if not line.startswith("-"):
            added, _, text = line.partition(" = ")
            tables[table][added] = text
    tables[table][key] = value
    return write(tables)


def outcome(source: str, folder: Path) -> str:
    """Everything that the parts of a study are made of, but for the settings that are merely kept."""
    config = parse_config(source, path=folder / "study.toml")
    with open_store(config.database) as store:
        parts = assemble(config, store)._replace(settings={}, target_key="")
    seen = f"{config.database} {rater_rules(config.settings())} {parts!r}"
    assert not re.search(r"0x[0-9a-f]{6}", seen), "an address would differ by itself"
    return seen


def test_every_key_has_a_change() -> None:
    schema = json_schema()
    references = {
        table: value.get("$ref") or next(entry["$ref"] for entry in value["anyOf"] if "$ref" in entry)
        for table, value in schema["properties"].items()
        if table != "judges"
    }
    references["judges.strict"] = schema["properties"]["judges"]["additionalProperties"]["$ref"]
    keys = {
        f"{table}.{key}"
        for table, reference in references.items()
        for key in schema["$defs"][reference.rpartition("/")[2]]["properties"]
    }
    assert keys == set(CHANGES)


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"study.name", "page.port"}))
def test_a_changed_key_changes_the_parts(folder: Path, name: str) -> None:
    assert outcome(changed(name), folder) != outcome(write(BASE), folder)


def test_the_name_is_shown(folder: Path) -> None:
    source = write({**BASE, "budget": {}}).replace('["rephrase"]', "[]")
    (folder / "study.toml").write_text(source, encoding="utf-8")
    from palate.study import Study

    Study.open(folder / "study.toml").close()
    assert CliRunner().invoke(app, ["status", str(folder / "study.toml")]).stdout.startswith("One\n")


def test_the_port_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = changed("page.port").replace('["rephrase"]', "[]")
    (folder / "study.toml").write_text(source, encoding="utf-8")
    used: list[object] = []
    monkeypatch.setattr("palate.web.serve", lambda store, **given: used.append(given["port"]))
    for arguments in ((), ("--port", "54322")):
        shown = CliRunner().invoke(app, ["run", str(folder / "study.toml"), *arguments])
        assert shown.exit_code == 0, shown.output
    assert used == [54321, 54322]
