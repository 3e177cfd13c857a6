"""Without the other tool an integration says what to install; nothing else needs it."""

import subprocess
import sys

import pytest

from palate.errors import MissingExtraError
from palate.integrations.promptfoo._yaml import parse_yaml


def test_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'palate\[promptfoo\]'"):
        parse_yaml("a: 1", source="it")


def run(code: str) -> str:
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return told.stdout


def test_dspy() -> None:
    code = (
        "import sys; sys.modules['dspy'] = None\n"
        "from palate.errors import MissingExtraError\n"
        "try:\n    import palate.integrations.dspy\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    assert "pip install 'palate[dspy]'" in run(code)


def test_reading_and_writing_load_neither() -> None:
    code = (
        "import sys, palate.integrations, palate.integrations.promptfoo\n"
        "print(sorted({'dspy', 'yaml', 'litellm', 'torch', 'openai'} & set(sys.modules)))"
    )
    assert run(code) == "[]\n"
