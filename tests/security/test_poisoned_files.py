"""Files that want more than to be read: refused in a clear line, soon, with nothing run and nothing lost."""

import gzip
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from palate.config import load_inputs, read_config
from palate.errors import PalateError
from palate.integrations.promptfoo import read_promptfoo
from palate.judges import rules_judge
from palate.store import open_store

QUICK = 10.0  # seconds on a loaded machine; the bombs would take hours or all memory
STUDY = '[model]\nkind = "scripted"\nanswers = "x"\n[embedding]\nkind = "scripted"\n[prompts]\nseed = "p"\n'


@pytest.fixture(autouse=True)
def _soon_over() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < QUICK


def study(folder: Path, inputs: str) -> Path:
    path = folder / "study.toml"
    path.write_text(f'{STUDY}[inputs]\npath = "{inputs}"\n', encoding="utf-8")
    return path


def refused(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    with pytest.raises(PalateError) as caught:
        load_inputs(read_config(study(folder, name)))
    text = str(caught.value)
    assert len(text) < 2_000
    assert "Traceback" not in text
    return text


POISON = {
    "deep": ("x.jsonl", b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"),
    "deep objects": ("x.jsonl", b'{"input":' * 50_000),
    "not a number": ("x.jsonl", b'{"input": NaN}\n'),
    "infinite": ("x.jsonl", b'{"input": Infinity}\n'),
    "huge integer": ("x.jsonl", b'{"input": ' + b"9" * 100_000 + b"}\n"),
    "one name twice": ("x.jsonl", b'{"input": "a", "input": "b"}\n'),
    "no object": ("x.jsonl", b'["input"]\n'),
    "half": ("x.jsonl", b'{"input": "a'),
    "not UTF-8": ("x.jsonl", b'{"input": "\xff\xfe"}\n'),
    "zipped": ("x.jsonl", gzip.compress(b'{"input": "a"}\n' * 1_000_000)),
    "gz": ("x.jsonl.gz", gzip.compress(b'{"input": "a"}\n')),
    "zip": ("x.zip", b"PK\x03\x04"),
    "pickle": ("x.pkl", b"\x80\x04\x95\x00."),
    "parquet": ("x.parquet", b"PAR1"),
    "large": ("x.jsonl", b'{"input": "' + b"a" * 60_000_000 + b'"}\n'),
    "wide csv": ("x.csv", b"input\n" + b'"' + b"a" * 10_000_000),
    "open quote": ("x.csv", b'input\n"a'),
    "twice csv": ("x.csv", b"input,input\na,b\n"),
    "empty": ("x.txt", b""),
    "only spaces": ("x.txt", b" \n \n"),
}


@pytest.mark.parametrize("name", POISON)
def test_data_files(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, *POISON[name])


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin/x", "/proc/self/mem", "../" * 30 + "dev/full"])
def test_devices_are_no_data(tmp_path: Path, name: str) -> None:
    with pytest.raises(PalateError):
        load_inputs(read_config(study(tmp_path, name)))


BOMBS = {
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "merge": "a: &a {x: 1}\n" + "b: {<<: [" + ", ".join(["*a"] * 50_000) + "]}\n",
    "deep": "[" * 50_000 + "]" * 50_000,
    "deep lists": "".join("  " * n + "-\n" for n in range(3_000)),
    "python": "prompts: !!python/object/apply:os.system ['touch RAN']\n",
    "python name": "prompts: !!python/name:os.system\n",
    "constructor": "prompts: !<tag:yaml.org,2002:python/object/new:subprocess.Popen> [['touch', 'RAN']]\n",
    "javascript": 'prompts: !!js/function \'function () { require("fs").writeFileSync("RAN", "") }\'\n',
    "cycle": "prompts: &p [*p]\n",
    "twice": "prompts: ['{{t}}']\nprompts: ['{{u}}']\n",
    "not a number": "prompts: [.nan]\n",
    "huge": "prompts: [" + "9" * 100_000 + "]\n",
    "date": "prompts: [2001-01-01]\nproviders: 12:30:45\n",
    "NUL": "prompts: ['a\x00']\n",
    "large": "prompts: ['" + "a" * 3_000_000 + "']\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "promptfooconfig.yaml").write_text(BOMBS[name], encoding="utf-8")
    with pytest.raises(PalateError) as caught:
        read_promptfoo(tmp_path / "promptfooconfig.yaml")
    assert len(str(caught.value)) < 2_000
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2_000_000,
        "x = " + "[" * 20_000 + "]" * 20_000,
        ".".join(["a"] * 2_000) + " = 1",
        "x = 1\nx = 2",
        "x = nan",
        "[[rule]]\nkind = 'pattern'\npattern = '(a+)+$'\nmust = nan",
        "name = '\x00'",
        '[[rule]]\nkind = "__import__"\n',
        '[[rule]]\nkind = "json"\nschema = { "$ref" = "file:///etc/passwd" }\nfenced = 3\nextra = 1\n',
    ],
)
def test_toml(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PalateError):
        rules_judge(str(tmp_path / "x.toml"))
    with pytest.raises(PalateError):
        read_config(tmp_path / "x.toml")


@pytest.mark.parametrize("kind", ["random", "cut", "another", "text", "empty header", "folder", "views"])
def test_databases(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.db"
    if kind == "random":
        path.write_bytes(os.urandom(100_000))
    elif kind == "cut":
        with open_store(tmp_path / "good.db"):
            pass
        path.write_bytes((tmp_path / "good.db").read_bytes()[:5_000])
    elif kind in ("another", "views"):
        with sqlite3.connect(path) as connection:
            connection.execute(
                "CREATE TABLE event (x)" if kind == "another" else "CREATE VIEW event AS SELECT 1"
            )
        connection.close()
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"SQLite format 3\x00" if kind == "empty header" else b"not a database")
    before = None if kind == "folder" else path.read_bytes()
    with pytest.raises(PalateError) as caught:
        open_store(path, create=False).close()
    assert len(str(caught.value)) < 1_000
    if kind in ("another", "views"):  # somebody else's database, with its one table or view
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("event",)]
    elif before is not None:
        assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "model.pkl", "model.h5"])
def test_weights_that_are_pickles_are_not_loaded(tmp_path: Path, name: str) -> None:
    """The file would write RAN when it is unpickled; it is opened by a process of its own."""
    folder = tmp_path / "model"
    folder.mkdir()
    ran = tmp_path / "RAN"
    code = b"cposix\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR."
    (folder / name).write_bytes(code)
    with zipfile.ZipFile(folder / f"zip-{name}", "w") as file:
        file.writestr("archive/data.pkl", code)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "llama", "auto_map": {"AutoConfig": "x.X", "AutoModelForCausalLM": "x.M"}})
    )
    (folder / "x.py").write_text(f"open({str(ran)!r}, 'w')")
    program = (
        "import asyncio, sys\n"
        "from palate.errors import PalateError\n"
        "from palate.models import transformers_model\n"
        "from palate.types import Message, Request\n"
        "try:\n"
        "    model = transformers_model(path=sys.argv[1])\n"
        "    asyncio.run(model.generate(Request((Message('user', 'x'),), max_tokens=1)))\n"
        "except PalateError as error:\n"
        "    print('refused:', error)\n"
    )
    if name != "pytorch_model.bin":  # one start of torch is enough for a test; the others are listed below
        program = (
            "import sys\nfrom palate.errors import PalateError\n"
            "from palate.models import transformers_model\n"
            "try: transformers_model(path=sys.argv[1])\n"
            "except PalateError as error: print('refused:', error)\n"
        )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert not ran.exists(), done
    assert "Traceback" not in done.stderr, done.stderr[-800:]


def test_random_bytes_never_crash_a_reader(tmp_path: Path) -> None:
    rng = random.Random(20261121)
    seeds = [data for _, data in POISON.values() if len(data) < 2_000] + [
        b'{"input": "a", "b": [1, {"c": null}]}\n' * 3
    ]
    read = 0
    for number in range(120):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(data) + 1)
            data[place:place] = rng.choice(
                [b"{", b"}", b"\x00", b'"', b"\\u", b"[", b"\xff", b",", b"\r", b"1e999"]
            )
        name = f"x{number % 3}{rng.choice(['.jsonl', '.csv', '.txt'])}"
        (tmp_path / name).write_bytes(bytes(data))
        try:
            load_inputs(read_config(study(tmp_path, name)))
            read += 1
        except PalateError:
            continue
    assert 0 < read < 120
