"""What importing loads, and what is said when torch is missing."""

import subprocess
import sys

import pytest

import palate.policy


def told(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_package_loads_no_torch_and_its_objectives_do() -> None:
    code = "import sys, palate.policy{0}; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert told(code.format("")) == "False False"
    assert told(code.format(".objectives")) == "True True"


def test_similarity_needs_no_torch() -> None:
    code = "import sys; from palate.policy import meteor; meteor('a', 'a'); print('torch' in sys.modules)"
    assert told(code) == "False"


@pytest.mark.parametrize("module", ["palate.policy.objectives", "palate.policy.updates"])
def test_without_torch_the_command_is_named(module: str) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from palate.errors import MissingExtraError\n"
        f"try:\n    import {module}\nexcept MissingExtraError as error:\n    print(error)"
    )
    assert "pip install 'palate[train]'" in told(code)


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(palate.policy, name) is not None for name in palate.policy.__all__)
    with pytest.raises(AttributeError, match="no attribute 'train_everything'"):
        palate.policy.train_everything  # noqa: B018  # pyright: ignore
