"""Tests of a promptfoo configuration, as rows of variables.

A variable that is a list of texts stands for one test a text; several such lists for every combination. The
variables of ``defaultTest``, of a scenario and of the test itself lie over each other, the later above.
Assertions decide nothing in Palate, people do: what an answer must equal is kept as a reference, and rubrics
of ``defaultTest`` tell raters what to look for.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path

from palate.errors import InputError
from palate.integrations.promptfoo._files import Folder, TooMuchError, is_code, is_elsewhere
from palate.integrations.promptfoo._nunjucks import as_text, filled
from palate.types import Json

__all__ = ["Row", "Rows", "read_tests"]

MAX_ROWS = 10_000
MAX_CHARACTERS = 40_000_000
_NOT_TEXT = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".bmp",
        ".webp",
        ".svg",
        ".mp4",
        ".webm",
        ".mov",
        ".avi",
        ".mkv",
        ".mp3",
        ".wav",
        ".pdf",
    ]
)
_TEST_KEYS = frozenset({"vars", "assert", "options", "description", "metadata", "provider", "threshold"})
_EXPECTED = re.compile(r"(?P<kind>(?:not-)?[a-z][a-z-]*)(?:\([\d.]+\))?:(?P<value>.*)", re.DOTALL)
_KINDS = frozenset(
    [
        "answer-relevance",
        "bleu",
        "classifier",
        "contains",
        "contains-all",
        "contains-any",
        "contains-json",
        "contains-sql",
        "contains-xml",
        "context-faithfulness",
        "context-recall",
        "context-relevance",
        "cost",
        "equals",
        "eval",
        "f-score",
        "factuality",
        "fn",
        "g-eval",
        "gleu",
        "grade",
        "icontains",
        "icontains-all",
        "icontains-any",
        "is-json",
        "is-refusal",
        "is-sql",
        "is-valid-openai-tools-call",
        "is-xml",
        "javascript",
        "latency",
        "levenshtein",
        "llm-rubric",
        "meteor",
        "model-graded-closedqa",
        "moderation",
        "perplexity",
        "perplexity-score",
        "pi",
        "python",
        "regex",
        "rouge-n",
        "ruby",
        "search-rubric",
        "similar",
        "starts-with",
        "webhook",
        "word-count",
    ]
)


@dataclass(frozen=True, slots=True)
class Row:
    """The variables of one test, as texts or structure, and what its answer should equal."""

    values: Mapping[str, Json]
    references: tuple[str, ...] = ()


@dataclass(slots=True)
class Rows:
    """What was found, and what was counted on the way."""

    rows: list[Row] = field(default_factory=list[Row])
    assertions: Counter[str] = field(default_factory=Counter[str])
    rubrics: dict[str, None] = field(default_factory=dict[str, None])
    changed_prompts: int = 0
    characters: int = 0

    def add(self, row: Row) -> None:
        """Keep a row.

        Raises:
            TooMuchError: There are too many, or they are too long together.
        """
        self.rows.append(row)
        self.characters += sum(len(as_text(value)) for value in row.values.values())
        if len(self.rows) > MAX_ROWS:
            raise TooMuchError(f"there are more than {MAX_ROWS:,} tests; give fewer")
        if self.characters > MAX_CHARACTERS:
            raise TooMuchError(f"the tests hold more than {MAX_CHARACTERS:,} characters; give fewer")


def read_tests(config: Mapping[str, Json], folder: Folder, told: list[str]) -> Rows:
    """Read the tests of a configuration.

    Args:
        config: The configuration; ``tests``, ``defaultTest`` and ``scenarios`` are read.
        folder: Where its files lie.
        told: Gets a line for everything that is left out.

    Raises:
        InputError: ``defaultTest`` cannot be read, or there are more than :data:`MAX_ROWS` tests.
    """
    found = Rows()
    default = _default(config.get("defaultTest"), folder)
    for text in _rubrics(default):
        found.rubrics[text] = None
    for number, test in enumerate(_tests(config.get("tests"), folder, told), start=1):
        _add(found, f"test {number}", [default, test], folder, told)
    scenarios = config.get("scenarios")
    for number, scenario in enumerate(_listed(scenarios, folder), start=1):
        if not isinstance(scenario, Mapping):
            told.append(f"scenario {number} is left out: it is not a mapping with config and tests")
            continue
        tests: Sequence[Mapping[str, Json]] = list(_tests(scenario.get("tests"), folder, told)) or [{}]
        for case in _tests(scenario.get("config"), folder, told):
            for test in tests:
                _add(found, f"scenario {number}", [default, case, test], folder, told)
    if not config.get("tests") and not scenarios and default.get("vars"):
        _add(found, "defaultTest", [default], folder, told)
    _tell_what_is_left(found, told)
    return found


def _default(given: Json, folder: Folder) -> Mapping[str, Json]:
    if isinstance(given, str):
        [path] = folder.paths(given)[:1]
        given = folder.structure(path)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError("defaultTest is not a mapping")
    return given


def _listed(given: Json, folder: Folder) -> Sequence[Json]:
    if isinstance(given, str):
        return [entry for path in folder.paths(given) for entry in _sequence(folder.structure(path))]
    return _sequence(given)


def _sequence(value: Json) -> Sequence[Json]:
    if value is None:
        return ()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _tests(given: Json, folder: Folder, told: list[str]) -> Iterator[Mapping[str, Json]]:
    for number, entry in enumerate(_sequence(given), start=1):
        try:
            yield from _test(entry, folder)
        except InputError as error:
            told.append(f"entry {number} of the tests is left out: {error}")


def _test(entry: Json, folder: Folder) -> Iterator[Mapping[str, Json]]:
    if isinstance(entry, Mapping) and isinstance(entry.get("path"), str) and "vars" not in entry:
        entry = entry["path"]
    if isinstance(entry, Mapping):
        yield entry
    elif not isinstance(entry, str):
        raise InputError(f"it is {entry!r}, not a mapping")
    elif is_elsewhere(entry):
        raise InputError(
            f"{entry!r} is not on this machine; save the tests in a file beside the configuration"
        )
    else:
        for path in folder.paths(entry):
            yield from _in_file(path, folder)


def _in_file(path: Path, folder: Folder) -> Iterator[Mapping[str, Json]]:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        yield from map(_from_row, folder.table(path))
        return
    if suffix not in (".json", ".jsonl", ".yaml", ".yml"):
        raise InputError(
            f"{folder.name(path)!r} is no file of tests that can be read; save it as .csv, .json or .yaml"
        )
    for entry in _sequence(folder.structure(path)):
        if not isinstance(entry, Mapping):
            raise InputError(f"{folder.name(path)!r} holds {entry!r}, not a mapping")
        yield entry if _TEST_KEYS & entry.keys() else _from_row(entry)


def _from_row(row: Mapping[str, Json]) -> Mapping[str, Json]:
    """A test from a row: columns are variables, but for those that begin with two underscores."""
    values = {key: value for key, value in row.items() if not key.startswith("__")}
    asserts = [
        _expected(as_text(value))
        for key, value in row.items()
        if key.startswith("__expected") and as_text(value).strip()
    ]
    options = {key[2:]: row[key] for key in ("__prefix", "__suffix") if row.get(key)}
    return {"vars": values, "assert": asserts, "options": options}


def _expected(text: str) -> Mapping[str, Json]:
    match = _EXPECTED.fullmatch(text)
    if match and match["kind"].removeprefix("not-") in _KINDS:
        return {"type": match["kind"], "value": match["value"].strip()}
    return {"type": "equals", "value": text}


def _add(
    found: Rows, name: str, layers: Sequence[Mapping[str, Json]], folder: Folder, told: list[str]
) -> None:
    try:
        values: dict[str, Json] = {}
        for layer in layers:
            values |= _variables(layer.get("vars"), folder)
        options = {key: value for layer in layers for key, value in _options(layer).items()}
        asserts = [entry for layer in layers for entry in _sequence(layer.get("assert"))]
        expand = not options.get("disableVarExpansion")
        for one in _combinations(values, folder, expand=expand):
            found.add(Row(one, tuple(dict.fromkeys(_references(asserts, one)))))
    except TooMuchError:
        raise
    except InputError as error:
        told.append(f"{name} is left out: {error}")
        return
    found.changed_prompts += bool(options.get("prefix") or options.get("suffix"))
    known = list(_rubrics(layers[0]))
    found.assertions.update(_kinds([entry for entry in asserts if _rubric(entry) not in known]))


def _options(layer: Mapping[str, Json]) -> Mapping[str, Json]:
    options = layer.get("options")
    return options if isinstance(options, Mapping) else {}


def _variables(given: Json, folder: Folder) -> Mapping[str, Json]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    values: dict[str, Json] = {}
    for reference in _sequence(given):
        for path in folder.paths(as_text(reference)):
            held = folder.structure(path)
            if not isinstance(held, Mapping):
                raise InputError(f"{folder.name(path)!r} holds no mapping of variables")
            values |= held
    return values


def _combinations(values: Mapping[str, Json], folder: Folder, *, expand: bool) -> Iterator[dict[str, Json]]:
    choices = {name: _choices(value, folder) if expand else [value] for name, value in values.items()}
    if prod(map(len, choices.values())) > MAX_ROWS:
        raise TooMuchError(f"the lists of variables make more than {MAX_ROWS:,} combinations; give fewer")
    for chosen in product(*choices.values()):
        one = dict(zip(choices, chosen, strict=True))
        yield filled({name: _loaded(value, folder) for name, value in one.items()})


def _choices(value: Json, folder: Folder) -> Sequence[Json]:
    if isinstance(value, str) and value.startswith("file://") and "*" in value:
        return [f"file://{folder.name(path)}" for path in folder.paths(value)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value and isinstance(value[0], str):
        return value
    return [value]


def _loaded(value: Json, folder: Folder) -> Json:
    if not isinstance(value, str):
        return value
    if value.startswith("package:"):
        raise InputError(f"{value!r} is a program, and Palate never runs what a configuration names")
    if not value.startswith("file://"):
        return value
    if is_code(value):
        raise InputError(f"{value!r} is a program, and Palate never runs what a configuration names")
    [path] = folder.paths(value)[:1]
    if path.suffix.lower() in _NOT_TEXT:
        raise InputError(f"{value!r} is not a text; a study of prompts shows texts to the model")
    if path.suffix.lower() in (".yaml", ".yml"):
        return folder.structure(path)
    return folder.text(path).strip()


def _references(asserts: Sequence[Json], values: Mapping[str, Json]) -> Iterator[str]:
    for entry in asserts:
        if isinstance(entry, Mapping) and entry.get("type") == "equals":
            wanted = entry.get("value")
            if isinstance(wanted, str | int | float) and not str(wanted).startswith("file://"):
                yield as_text(filled({**values, " wanted": as_text(wanted)})[" wanted"])


def _kinds(asserts: Sequence[Json]) -> Iterator[str]:
    for entry in asserts:
        if isinstance(entry, Mapping) and (kind := entry.get("type")) != "equals":
            yield from _kinds(_sequence(entry.get("assert"))) if kind == "assert-set" else [str(kind)]


def _rubrics(default: Mapping[str, Json]) -> Iterator[str]:
    """What a model was to look for in every answer: people can look for it too."""
    for entry in _sequence(default.get("assert")):
        rubric = _rubric(entry)
        if rubric is not None:
            yield rubric


def _rubric(entry: Json) -> str | None:
    if isinstance(entry, Mapping) and entry.get("type") == "llm-rubric":
        rubric = entry.get("value")
        if isinstance(rubric, str) and "{{" not in rubric and not rubric.startswith("file://"):
            return " ".join(rubric.split())
    return None


def _tell_what_is_left(found: Rows, told: list[str]) -> None:
    if found.assertions:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in found.assertions.most_common())
        told.append(f"assertions are left out, because people decide: {kinds}")
    if found.changed_prompts:
        told.append(f"a prefix or suffix of the prompt is left out in {found.changed_prompts} tests")
