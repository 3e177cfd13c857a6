"""Inputs, examples and prompts from every kind of source, and what is said when they are unusable."""

import json
from pathlib import Path

import pytest

from palate.config import load_examples, load_inputs, load_prompts, parse_config
from palate.errors import InputError, MissingExtraError


def config_of(folder: Path, inputs: str, *, prompts: str = "", examples: str = ""):
    source = (
        f'[model]\nkind = "scripted"\n[inputs]\n{inputs}\n[prompts]\nseed = "Say it."\n{prompts}\n{examples}'
    )
    return parse_config(source, path=folder / "study.toml")


def texts(folder: Path, inputs: str) -> list[str]:
    return [item.text for item in load_inputs(config_of(folder, inputs))]


def refused(folder: Path, inputs: str) -> str:
    with pytest.raises(InputError) as caught:
        load_inputs(config_of(folder, inputs))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_inline_texts_and_tables(tmp_path: Path) -> None:
    assert texts(tmp_path, 'inline = ["one", "two"]') == ["one", "two"]
    assert texts(tmp_path, 'inline = ["one", {q = "two"}]\ncolumn = "q"') == ["one", "two"]
    (item,) = load_inputs(
        config_of(tmp_path, 'inline = [{q = "x", a = ["1", 2], n = 3}]\ncolumn = "q"\nreference_column = "a"')
    )
    assert (item.text, item.references, dict(item.fields)) == ("x", ("1", "2"), {"n": "3"})


def test_identifiers_do_not_depend_on_the_order_and_equal_rows_are_one(tmp_path: Path) -> None:
    first = load_inputs(config_of(tmp_path, 'inline = ["one", "two", "one"]'))
    again = load_inputs(config_of(tmp_path, 'inline = ["two", "one"]'))
    assert len(first) == 2
    assert {item.id for item in first} == {item.id for item in again}


def test_equal_rows_share_their_references(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("input,answer\nhot,cold\nhot,cool\nhot,cold\n", encoding="utf-8")
    (item,) = load_inputs(config_of(tmp_path, 'path = "x.csv"\nreference_column = "answer"'))
    assert item.references == ("cold", "cool")


def test_text_file_has_an_input_a_line(tmp_path: Path) -> None:
    # U+2028 and a form feed stand inside a sentence; only a line feed ends it.
    (tmp_path / "x.txt").write_bytes("one\r\n\n  two \u2028 half\x0c\n".encode())
    assert texts(tmp_path, 'path = "x.txt"') == ["one", "two \u2028 half"]
    assert texts(tmp_path, 'path = "x.txt"\nlimit = 1') == ["one"]


def test_csv_keeps_line_breaks_and_other_columns(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('input,city\n"a\nb",Rome\nc,\n', encoding="utf-8")
    first, second = load_inputs(config_of(tmp_path, 'path = "x.csv"'))
    assert (first.text, dict(first.fields)) == ("a\nb", {"city": "Rome"})
    assert dict(second.fields) == {"city": ""}


def test_jsonl(tmp_path: Path) -> None:
    rows = ['{"text": "a", "answers": ["x", "y"]}', "", '{"text": "b"}']
    (tmp_path / "x.jsonl").write_text("\n".join(rows), encoding="utf-8")
    first, second = load_inputs(config_of(tmp_path, 'path = "x.jsonl"\nreference_column = "answers"'))
    assert (first.references, second.references) == (("x", "y"), ())


def test_data_set_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"input": ["a", "b"], "gold": [["x"], ["y", "z"]]})
    data.save_to_disk(str(tmp_path / "one"))
    found = load_inputs(config_of(tmp_path, 'path = "one"\nreference_column = "gold"'))
    assert [(item.text, item.references) for item in found] == [("a", ("x",)), ("b", ("y", "z"))]
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "two"))
    assert "several splits" in refused(tmp_path, 'path = "two"')
    (tmp_path / "three").mkdir()
    assert "not the folder of a Hugging Face data set" in refused(tmp_path, 'path = "three"')


def test_data_set_folder_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> object:
        raise ImportError(name)

    (tmp_path / "data").mkdir()
    monkeypatch.setattr("palate.extras.import_module", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'palate\[hf\]'"):
        load_inputs(config_of(tmp_path, 'path = "data"'))


@pytest.mark.parametrize(
    ("name", "content", "keys", "parts"),
    [
        (
            "x.csv",
            "question,answer\na,b\n",
            "",
            ("several columns; name one with [inputs] column", "'question'"),
        ),
        ("x.csv", "question,answer\na,b\n", 'column = "qestion"', ("no column 'qestion'", "'question'?")),
        (
            "x.csv",
            "input,answer\na,b\n",
            'reference_column = "anwser"',
            ("[inputs] reference_column", "'answer'?"),
        ),
        ("x.csv", "input\n", "", ("is empty",)),
        ("x.csv", "", "", ("is empty",)),
        ("x.csv", "input,a\nx,1,2\n", "", ("line 2", "more cells", '"quotes"')),
        ("x.csv", "input,input\nx,1\n", "", ("two columns called 'input'",)),
        ("x.csv", 'input\n"x', "", ("not CSV",)),
        ("x.csv", "input,a\n,1\n", "", ("row 2: column 'input' is empty",)),
        ("x.txt", "\n \n", "", ("is empty",)),
        ("x.jsonl", '{"input": "a"}\n{"input"\n', "", ("line 2: not JSON",)),
        ("x.jsonl", "[1]\n", "", ("line 1: not an object",)),
        ("x.jsonl", "[" * 100_000, "", ("line 1: not JSON", "nested")),
        ("x.jsonl", '{"input": ["a"]}\n', "", ("row 1: column 'input' holds a list",)),
        ("x.jsonl", '{"input": null}\n', "", ("row 1: column 'input' is empty",)),
        ("x.jsonl", '{"input": "a", "r": [{}]}\n', 'reference_column = "r"', ("a reference is a table",)),
        ("x.xlsx", "x", "", ("ends in '.xlsx'", "'.csv'", "folder of a Hugging Face data set")),
    ],
)
def test_unusable_data_is_one_clear_line(
    tmp_path: Path, name: str, content: str, keys: str, parts: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    text = refused(tmp_path, f'path = "{name}"\n{keys}')
    assert text.startswith(f"[inputs] path: '{tmp_path / name}'")
    for part in parts:
        assert part in text


def test_missing_file_and_wrong_encoding(tmp_path: Path) -> None:
    (tmp_path / "mails.csv").write_bytes(b"input\ncaf\xe9\n")
    assert "did you mean 'mails.csv'?" in refused(tmp_path, 'path = "mals.csv"')
    assert "byte 0xe9 in line 2" in refused(tmp_path, 'path = "mails.csv"')


def test_a_file_over_50_mb_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    with (tmp_path / "x.txt").open("wb") as file:
        file.truncate(50_000_001)
    assert "larger than 50 MB" in refused(tmp_path, 'path = "x.txt"')


def test_examples(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"word": "hot", "opposite": "cold"}), encoding="utf-8")
    keys = '[examples]\npath = "x.jsonl"\ninput_column = "word"\noutput_column = "opposite"'
    (example,) = load_examples(config_of(tmp_path, 'inline = ["a"]', examples=keys))
    assert (example.input, example.output) == ("hot", "cold")
    assert load_examples(config_of(tmp_path, 'inline = ["a"]')) == []
    with pytest.raises(InputError, match=r"no column 'outptu' \(\[examples\] output_column\).*'opposite'"):
        load_examples(config_of(tmp_path, 'inline = ["a"]', examples=keys.replace('"opposite"', '"outptu"')))


def test_own_prompts_follow_the_seed(tmp_path: Path) -> None:
    config = config_of(tmp_path, 'inline = ["a"]', prompts='list = ["Other.", "Say it."]')
    assert load_prompts(config) == ["Say it.", "Other."]
    (tmp_path / "p.csv").write_text('prompt,by\n"Two\nlines.",me\n', encoding="utf-8")
    assert load_prompts(config_of(tmp_path, 'inline = ["a"]', prompts='path = "p.csv"')) == [
        "Say it.",
        "Two\nlines.",
    ]
