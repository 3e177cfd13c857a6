"""promptfoo: take over the prompts, providers and tests of a ``promptfooconfig.yaml``.

What is read follows promptfoo's documentation (configuration reference, prompts, test cases) and its reader.
A configuration may name programs, in JavaScript, Python or a shell, and addresses on the network: nothing is
ever run, opened or expanded. What cannot be taken over is told in plain words, in the study file too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from palate.errors import InputError
from palate.integrations.promptfoo._files import MAX_YAML, Folder
from palate.integrations.promptfoo._prompts import read_prompts
from palate.integrations.promptfoo._providers import read_providers
from palate.integrations.promptfoo._study_file import input_rows, shaped, study_text
from palate.integrations.promptfoo._tests import read_tests
from palate.integrations.promptfoo._yaml import parse_yaml

__all__ = ["PromptfooStudy", "read_promptfoo"]

_LEFT_OUT = ("extensions", "nunjucksFilters", "redteam", "derivedMetrics")


@dataclass(frozen=True, slots=True)
class PromptfooStudy:
    """A study file made from a promptfoo configuration.

    Args:
        text: The study file.
        inputs: A file of inputs that belongs beside it, when they are many; ``None`` when they are inside.
        told: What was left out or changed, a line each.
        prompts: How many prompts were taken over.
        rows: How many inputs.
        model: What the configuration calls the model that was chosen; ``None`` if none could be.
    """

    text: str
    inputs: str | None
    told: tuple[str, ...]
    prompts: int
    rows: int
    model: str | None


def read_promptfoo(
    path: str | Path, *, schema: str = "study.schema.json", inputs_file: str = "study.inputs.jsonl"
) -> PromptfooStudy:
    """Read a promptfoo configuration and write a study file from it.

    Args:
        path: The configuration, a YAML or JSON file of at most 1 MB. Files that it names are read if they
            lie in its folder or below.
        schema: Where the JSON Schema lies, seen from the study file.
        inputs_file: What the file of inputs will be called, seen from the study file.

    Returns:
        The text of a study file that ``palate run`` accepts.

    Raises:
        InputError: The file cannot be read safely, or no prompt or no test of it can be used.
        MissingExtraError: PyYAML is not installed.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"there is no file {str(path)!r}; give the promptfooconfig.yaml")
    folder = Folder(file.parent.resolve())
    config = parse_yaml(folder.text(file.resolve(), MAX_YAML), source=repr(str(path)))
    if not isinstance(config, Mapping):
        raise InputError(
            f"{str(path)!r} is no promptfoo configuration: it holds no mapping with prompts and tests"
        )
    if "prompts" not in config:
        raise InputError(f"{str(path)!r} has no 'prompts'; a study starts from a prompt")
    told = [f"{key!r} is left out" for key in _LEFT_OUT if config.get(key)]
    found = read_tests(config, folder, told)
    prompts = read_prompts(config.get("prompts"), folder, told)
    providers = read_providers(config.get("providers", config.get("targets")), folder, told)
    shape, rows = input_rows(shaped(prompts, found.rows, told), found.rows, told)
    text, inputs = study_text(
        shape,
        rows,
        providers,
        name=_name(config.get("description"), file),
        source=file.name,
        rubrics=tuple(found.rubrics),
        told=told,
        schema=schema,
        inputs_file=inputs_file,
    )
    model = providers[0].id if providers else None
    return PromptfooStudy(text, inputs, tuple(told), len(shape.texts), len(rows), model)


def _name(description: object, file: Path) -> str:
    text = " ".join(description.split()) if isinstance(description, str) else ""
    return text[:200] or file.resolve().parent.name or "study"
