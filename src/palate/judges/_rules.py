"""Rules that grade one response: patterns, length, JSON, language, reading level.

Each is a :class:`palate.types.Grader`. A rule that cannot be applied (a pattern that takes too long, a
package that fails) says that it does not know; not knowing is never a fault of the response.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, final

from palate.errors import ConfigError
from palate.extras import Foreign, require
from palate.judges._text import paragraphs, sentences, syllables, words
from palate.types import Grade, Input, Json, Response

__all__ = ["JsonSchema", "Language", "Length", "Pattern", "ReadingLevel", "reading_ease", "reading_grade"]

_PATIENCE = 1.0  # seconds for one pattern on one answer; more is a pattern that explodes
_UNITS: Mapping[str, Callable[[str], int]] = {
    "characters": len,
    "words": lambda text: len(words(text)),
    "sentences": lambda text: len(sentences(text)),
    "paragraphs": lambda text: len(paragraphs(text)),
}


@final
@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that an answer must contain, or must not.

    Args:
        pattern: In the syntax of the ``regex`` package, which is that of Python and more; searched anywhere.
        must: ``True`` when it must be found, ``False`` when it must not.
        ignore_case: Whether small and capital letters are the same.
        name: Of the rule.

    Raises:
        ConfigError: Not a regular expression, or neither true nor false where one of them is needed.
        MissingExtraError: The extra ``rules`` is not installed.
    """

    pattern: str
    must: bool = True
    ignore_case: bool = False
    name: str = "pattern"
    cost: int = 0

    def __post_init__(self) -> None:
        for key, value in (("must", self.must), ("ignore_case", self.ignore_case)):
            if value is not True and value is not False:  # from a file it could be anything
                raise ConfigError(f"{key} of the rule {self.name!r} must be true or false, not {value!r}")
        self._compiled()

    async def grade(self, input: Input, response: Response) -> Grade:
        """Search the answer, for at most a second."""
        try:
            found = self._compiled().search(response.content, timeout=_PATIENCE) is not None
        except TimeoutError:
            return Grade(unknown=f"the pattern {self.pattern!r:.80} took more than {_PATIENCE:g} s")
        word = "contains" if found else "does not contain"
        return Grade(satisfied=found == self.must, reason=f"{word} {self.pattern!r:.80}")

    def _compiled(self) -> Foreign:
        regex = require("regex", "rules", "A rule with a pattern")
        try:
            return regex.compile(self.pattern, regex.IGNORECASE if self.ignore_case else 0)
        except regex.error as error:
            raise ConfigError(f"pattern {self.pattern!r:.80} is not a regular expression: {error}") from None


@final
@dataclass(frozen=True, slots=True)
class Length:
    """How long an answer may be.

    Args:
        least: Least number of units.
        most: Most, or ``None`` for no limit.
        unit: ``words``, ``characters``, ``sentences`` or ``paragraphs``.
        name: Of the rule.

    Raises:
        ConfigError: An unknown unit, or limits that nothing can meet.
    """

    least: int = 0
    most: int | None = None
    unit: Literal["words", "characters", "sentences", "paragraphs"] = "words"
    name: str = "length"
    cost: int = 0

    def __post_init__(self) -> None:
        if self.unit not in _UNITS:
            raise ConfigError(f"unit is {self.unit!r}; it is one of {', '.join(_UNITS)}")
        if self.least < 0 or (self.most is not None and self.most < self.least):
            raise ConfigError(f"least is {self.least} and most is {self.most}; give 0 <= least <= most")

    async def grade(self, input: Input, response: Response) -> Grade:
        """Count."""
        count = _UNITS[self.unit](response.content)
        fits = self.least <= count and (self.most is None or count <= self.most)
        return Grade(satisfied=fits, reason=f"{count} {self.unit}")


@final
@dataclass(frozen=True, slots=True)
class JsonSchema:
    """An answer must be JSON of a certain shape.

    Args:
        schema: A JSON Schema; references to other documents are not followed.
        fenced: Whether a Markdown code fence around the JSON is allowed.
        name: Of the rule.

    Raises:
        ConfigError: Not a JSON Schema.
        MissingExtraError: The extra ``rules`` is not installed.
    """

    schema: Mapping[str, Json]
    fenced: bool = True
    name: str = "json"
    cost: int = 0

    def __post_init__(self) -> None:
        self._validator()

    async def grade(self, input: Input, response: Response) -> Grade:
        """Parse the answer and hold it against the schema."""
        text = response.content.strip()
        if self.fenced and text.startswith("```") and text.endswith("```") and len(text) >= 6:
            text = text[3:-3].removeprefix("json").strip()
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            return Grade(satisfied=False, reason=f"not JSON: {error!s:.120}")
        try:
            fault = next(iter(self._validator().iter_errors(value)), None)
        except Exception as error:  # references that lead nowhere, nesting too deep
            return Grade(unknown=f"the schema could not be applied: {error!s:.120}")
        return Grade(satisfied=fault is None, reason="fits" if fault is None else str(fault.message)[:160])

    def _validator(self) -> Foreign:
        jsonschema = require("jsonschema", "rules", "A rule with a JSON schema")
        referencing = require("referencing", "rules", "A rule with a JSON schema")
        kind = jsonschema.validators.validator_for(self.schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(self.schema)
        except jsonschema.SchemaError as error:
            raise ConfigError(f"schema is not a JSON Schema: {error.message}") from None
        return kind(self.schema, registry=referencing.Registry())


@final
@dataclass(frozen=True, slots=True)
class Language:
    """An answer must be written in a language.

    Args:
        code: ISO 639-1, such as ``en``.
        name: Of the rule.

    Raises:
        ConfigError: A language that cannot be told.
        MissingExtraError: The extra ``rules`` is not installed.
    """

    code: str
    name: str = "language"
    cost: int = 1

    def __post_init__(self) -> None:
        known = sorted(code for code, _ in _language_package().rank(""))
        if self.code not in known:
            raise ConfigError(f"language {self.code!r} is not known; known: {', '.join(known)}")

    async def grade(self, input: Input, response: Response) -> Grade:
        """Guess the language; a text of fewer than four words is too short to tell."""
        if len(words(response.content)) < 4:
            return Grade(unknown="too short to tell its language")
        told, _ = _language_package().classify(response.content)
        return Grade(satisfied=told == self.code, reason=f"reads as {told}")


def _language_package() -> Foreign:
    return require("py3langid", "rules", "A rule about language")


@final
@dataclass(frozen=True, slots=True)
class ReadingLevel:
    """How hard an English answer is to read; easier is better.

    The reward is the negative Flesch–Kincaid grade, so one unit is one school year.

    Args:
        most: Highest grade that is allowed, or ``None`` when it only counts as a reward.
        name: Of the rule.
    """

    most: float | None = None
    name: str = "reading-level"
    cost: int = 0

    async def grade(self, input: Input, response: Response) -> Grade:
        """Work out the grade; an answer without a word has none."""
        if not words(response.content):
            return Grade(unknown="no word to read")
        grade = reading_grade(response.content)
        fits = None if self.most is None else grade <= self.most
        return Grade(-grade, fits, reason=f"grade {grade:.1f}")


def reading_grade(text: str) -> float:
    """Flesch–Kincaid grade: ``0.39 words/sentence + 11.8 syllables/word - 15.59``, in US school years.

    Source: Kincaid et al., "Derivation of new readability formulas", Research Branch Report 8-75 (1975).

    Raises:
        ValueError: There is no word.
    """
    per_sentence, per_word = _rates(text)
    return 0.39 * per_sentence + 11.8 * per_word - 15.59


def reading_ease(text: str) -> float:
    """Flesch reading ease: ``206.835 - 1.015 words/sentence - 84.6 syllables/word``.

    60 to 70 is plain English.

    Source: Flesch, "A new readability yardstick", Journal of Applied Psychology 32 (1948).

    Raises:
        ValueError: There is no word.
    """
    per_sentence, per_word = _rates(text)
    return 206.835 - 1.015 * per_sentence - 84.6 * per_word


def _rates(text: str) -> tuple[float, float]:
    """Words in a sentence and syllables in a word, on average."""
    found = words(text)
    if not found:
        raise ValueError("a text without a word has no reading level")
    return len(found) / max(1, len(sentences(text))), sum(map(syllables, found)) / len(found)
