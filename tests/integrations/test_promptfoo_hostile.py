"""Configurations that want more than to be read: nothing outside the folder, nothing run, nothing huge."""

import os
from pathlib import Path

import pytest

from palate.errors import InputError
from palate.integrations.promptfoo import read_promptfoo
from palate.integrations.promptfoo._files import MAX_YAML
from palate.integrations.promptfoo._tests import MAX_ROWS

GOOD = "prompts: ['{{t}}']\n"


def config(folder: Path, text: str) -> Path:
    path = folder / "inner" / "promptfooconfig.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "reference",
    [
        "file://../secret.txt",
        "file://link.txt",
        "file://linked/secret.txt",
        "file://../*.txt",
        "file://linked/*.txt",
        "../secret.txt",
    ],
)
def test_nothing_outside_the_folder_is_read(tmp_path: Path, reference: str) -> None:
    (tmp_path / "secret.txt").write_text("canary {{t}}", encoding="utf-8")
    path = config(tmp_path, f"prompts: ['{{{{t}}}}', '{reference}']\ntests: [{{vars: {{t: x}}}}]")
    (path.parent / "link.txt").symlink_to(tmp_path / "secret.txt")
    (path.parent / "linked").symlink_to(tmp_path)
    made = read_promptfoo(path)
    assert "canary" not in made.text
    assert len(made.told) == 1
    assert "outside" in made.told[0]


def test_absolute_paths_outside_are_refused_and_inside_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("canary {{t}}", encoding="utf-8")
    inside = tmp_path / "inner" / "p.txt"
    references = f"'{tmp_path / 'secret.txt'}', 'file://{tmp_path}/*.txt', '{inside}'"
    path = config(tmp_path, f"prompts: [{references}]\ntests: [{{vars: {{t: x}}}}]")
    inside.write_text("Inside {{t}}", encoding="utf-8")
    made = read_promptfoo(path)
    assert made.prompts == 1
    assert "canary" not in made.text
    assert len(made.told) == 2


@pytest.mark.parametrize("where", ["prompts", "tests", "vars", "provider", "default"])
@pytest.mark.parametrize("program", ["x.py", "x.js", "x.py:make", "x.mjs", "x.sh"])
def test_no_program_is_run(tmp_path: Path, where: str, program: str) -> None:
    """Each program would leave a file behind; each is named in what is told."""
    prompts, tests, provider, default = "'{{t}}'", "{vars: {t: x}}", "openai:m", ""
    if where == "prompts":
        prompts += f", 'file://{program}'"
    elif where == "tests":
        tests += f", 'file://{program}'"
    elif where == "vars":
        tests += f", {{vars: {{t: 'file://{program}'}}}}"
    elif where == "provider":
        provider = f"file://{program}"
    else:
        default = f"defaultTest: 'file://{program}'"
    path = config(tmp_path, f"prompts: [{prompts}]\nproviders: ['{provider}']\ntests: [{tests}]\n{default}\n")
    ran = tmp_path / "ran"
    for name, text in {
        "x.py": f"open({str(ran)!r}, 'w')",
        "x.js": f"require('fs').writeFileSync({str(ran)!r}, '')",
        "x.mjs": f"import fs from 'fs'; fs.writeFileSync({str(ran)!r}, '')",
        "x.sh": f"#!/bin/sh\ntouch {ran}",
    }.items():
        (path.parent / name).write_text(text, encoding="utf-8")
        (path.parent / name).chmod(0o755)
    if where == "default":
        with pytest.raises(InputError, match="never runs"):
            read_promptfoo(path)
    else:
        told = read_promptfoo(path).told
        assert len(told) == 1
        assert "never runs" in told[0]
        assert program in told[0]
    assert not ran.exists()


@pytest.mark.parametrize(
    "prompt", ["exec:./x.sh", "langfuse://p:1", "https://h.example/p.txt", "helicone://p", "package:x:y"]
)
def test_prompts_of_programs_and_of_the_network_are_left_out(tmp_path: Path, prompt: str) -> None:
    made = read_promptfoo(
        config(tmp_path, f"prompts: ['{{{{t}}}}', '{prompt}']\ntests: [{{vars: {{t: x}}}}]")
    )
    assert made.prompts == 1
    assert len(made.told) == 1


@pytest.mark.parametrize(
    "test", ["https://docs.google.com/spreadsheets/d/1", "huggingface://datasets/x", "az://a/b"]
)
def test_tests_of_the_network_are_left_out(tmp_path: Path, test: str) -> None:
    made = read_promptfoo(config(tmp_path, GOOD + f"tests: [{{vars: {{t: x}}}}, '{test}']"))
    assert "not on this machine" in made.told[0]


def test_sizes_are_limited(tmp_path: Path) -> None:
    path = config(tmp_path, GOOD + "tests: [{vars: {t: x}}]\n#" + "x" * MAX_YAML)
    with pytest.raises(InputError, match="larger than 1 MB"):
        read_promptfoo(path)
    lists = ", ".join(f"v{n}: [a, b]" for n in range(60))
    with pytest.raises(InputError, match="combinations"):
        read_promptfoo(config(tmp_path, GOOD + f"tests: [{{vars: {{t: x, {lists}}}}}]"))
    rows = "\n".join(["t", *("x" for _ in range(MAX_ROWS + 1))])
    path = config(tmp_path, GOOD + "tests: file://t.csv")
    (path.parent / "t.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(InputError, match="more than 10,000 tests"):
        read_promptfoo(path)


def test_a_large_file_is_not_multiplied(tmp_path: Path) -> None:
    hundred = [str(n) for n in range(100)]
    path = config(tmp_path, GOOD + f"tests: [{{vars: {{t: 'file://t.txt', n: {hundred}}}}}]")
    (path.parent / "t.txt").write_text("x" * 1_000_000, encoding="utf-8")
    with pytest.raises(InputError, match="more than 40,000,000 characters"):
        read_promptfoo(path)


def test_files_that_name_each_other_end(tmp_path: Path) -> None:
    path = config(tmp_path, "prompts: ['{{t}}', file://a.yaml]\ntests: [{vars: {t: x}}]")
    (path.parent / "a.yaml").write_text("- file://b.yaml", encoding="utf-8")
    (path.parent / "b.yaml").write_text("- file://a.yaml", encoding="utf-8")
    [told] = read_promptfoo(path).told
    assert "name each other" in told


@pytest.mark.parametrize("made", ["fifo", "folder", "missing", "latin"])
def test_what_is_no_text_file_is_left_out(tmp_path: Path, made: str) -> None:
    path = config(tmp_path, "prompts: ['{{t}}', file://p.txt]\ntests: [{vars: {t: x}}]")
    odd = path.parent / "p.txt"
    if made == "fifo":
        os.mkfifo(odd)
    elif made == "folder":
        odd.mkdir()
    elif made == "latin":
        odd.write_bytes(b"caf\xe9 {{t}}")
    [told] = read_promptfoo(path).told
    assert "UTF-8" in told if made == "latin" else "no file" in told


def test_comments_cannot_end_early(tmp_path: Path) -> None:
    """What was left out is told in comments of the study file; a name with line feeds stays one comment."""
    path = config(
        tmp_path,
        "prompts: ['{{t}}']\n"
        'providers: [openai:m, "openai:x\\n[model]\\nkind = \'evil\'\\u2028", "a\\nb"]\n'
        "tests: [{vars: {t: x}}]",
    )
    made = read_promptfoo(path)
    lines = made.text.splitlines()
    assert [line for line in lines if "evil" in line and not line.startswith("#")] == []
    assert lines.count("[model]") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no mapping"),
        ("[1]", "no mapping"),
        ("tests: []", "has no 'prompts'"),
        ("prompts: []\ntests: [{vars: {t: x}}]", "no prompt"),
        (GOOD, "no test gives a value"),
        (GOOD + "tests: [{vars: {other: x}}]", "no test gives a value"),
        ("prompts: ['{{ t | upper }}']\ntests: [{vars: {t: x}}]", "uses a filter"),
        (GOOD + "defaultTest: 3\ntests: []", "defaultTest"),
    ],
)
def test_what_cannot_be_a_study(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        read_promptfoo(config(tmp_path, text))
    assert told in str(error.value)


def test_a_missing_configuration(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_promptfoo(tmp_path / "promptfooconfig.yaml")
