"""The verifiable instructions of IFEval: things that an answer was asked to do and that a rule can check.

Identifiers and arguments are those of the benchmark, so its data files can be used as they are. Two things
differ: keywords are compared literally, not as regular expressions, and sentences are split by the rules of
:mod:`palate.judges._text`, not by a trained model.

Source: Zhou et al., "Instruction-following evaluation for large language models", arXiv 2311.07911.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from palate.errors import ConfigError, nearest
from palate.judges._rules import Language
from palate.judges._text import sentences, words
from palate.types import Grade, Input, Json, Response

__all__ = ["INSTRUCTIONS", "Instruction"]

Check: TypeAlias = Callable[..., bool]
_RELATIONS = ("at least", "less than")


def _holds(count: int, relation: str, wanted: int) -> bool:
    return count >= wanted if relation == "at least" else count < wanted


def _contains(text: str, keyword: str) -> int:
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE))


def _parts(text: str, divider: str) -> list[str] | None:
    """What stands between dividers; empty ends are left out, and an empty part in between is a fault."""
    found = [part.strip() for part in re.split(divider, text)]
    found = found[1:] if not found[0] else found
    found = found[:-1] if found and not found[-1] else found
    return None if not all(found) else found


def _keywords(text: str, *, keywords: list[str]) -> bool:
    return all(_contains(text, keyword) for keyword in keywords)


def _keyword_frequency(text: str, *, keyword: str, frequency: int, relation: str) -> bool:
    return _holds(_contains(text, keyword), relation, frequency)


def _forbidden(text: str, *, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(w)}\b", text, re.IGNORECASE) for w in forbidden_words)


def _letters(text: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _holds(text.lower().count(letter.lower()), let_relation, let_frequency)


def _number_sentences(text: str, *, num_sentences: int, relation: str) -> bool:
    return _holds(len(sentences(text)), relation, num_sentences)


def _number_words(text: str, *, num_words: int, relation: str) -> bool:
    return _holds(len(re.findall(r"\w+", text)), relation, num_words)


def _number_paragraphs(text: str, *, num_paragraphs: int) -> bool:
    parts = _parts(text, r"\s?\*\*\*\s?")
    return parts is not None and len(parts) == num_paragraphs


def _nth_first_word(text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = [part for part in re.split(r"\n\n", text) if part.strip()]
    if len(parts) != num_paragraphs or not 1 <= nth_paragraph <= len(parts):
        return False
    found = words(parts[nth_paragraph - 1])
    return bool(found) and found[0].lower() == first_word.lower()


def _placeholders(text: str, *, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\[\]\n]*\]", text)) >= num_placeholders


def _postscript(text: str, *, postscript_marker: str) -> bool:
    marker = r"\s?".join(re.escape(letter) for letter in postscript_marker.lower() if not letter.isspace())
    return re.search(rf"^\s*{marker}", text.lower(), re.MULTILINE) is not None


def _bullets(text: str, *, num_bullets: int) -> bool:
    return len(re.findall(r"^[ \t]*(?:\*(?!\*)|-)[ \t]*\S", text, re.MULTILINE)) == num_bullets


def _constrained(text: str) -> bool:
    return any(f"My answer is {word}." in text for word in ("yes", "no", "maybe"))


def _highlights(text: str, *, num_highlights: int) -> bool:
    found = re.findall(r"\*\*([^\n*]+)\*\*|(?<!\*)\*([^\n*]+)\*(?!\*)", text)
    return sum(bool((double or single).strip()) for double, single in found) >= num_highlights


def _sections(text: str, *, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", text)) >= num_sections


def _is_json(text: str) -> bool:
    bare = re.sub(r"^```(?:json)?|```$", "", text.strip(), flags=re.IGNORECASE).strip()
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str) -> bool:
    return any(found.strip() for found in re.findall(r"<<([^\n<>]+)>>", text))


def _two_responses(text: str) -> bool:
    parts = _parts(text, r"\*\*\*\*\*\*")
    return parts is not None and len(parts) == 2 and parts[0] != parts[1]


def _repeats(text: str, *, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _ends(text: str, *, end_phrase: str) -> bool:
    return text.strip().strip('"').strip().lower().endswith(end_phrase.strip().lower())


def _capital_words(text: str, *, capital_frequency: int, capital_relation: str) -> bool:
    return _holds(sum(word.isupper() for word in words(text)), capital_relation, capital_frequency)


def _any(text: str, *, language: str) -> bool:
    return True  # the language itself is told apart by its own rule


def _no_comma(text: str) -> bool:
    return "," not in text


def _quoted(text: str) -> bool:
    bare = text.strip()
    return len(bare) > 1 and bare.startswith('"') and bare.endswith('"')


INSTRUCTIONS: Mapping[str, tuple[Check, tuple[str, ...]]] = {
    "keywords:existence": (_keywords, ("keywords",)),
    "keywords:frequency": (_keyword_frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": (_forbidden, ("forbidden_words",)),
    "keywords:letter_frequency": (_letters, ("letter", "let_frequency", "let_relation")),
    "language:response_language": (_any, ("language",)),
    "length_constraints:number_sentences": (_number_sentences, ("num_sentences", "relation")),
    "length_constraints:number_paragraphs": (_number_paragraphs, ("num_paragraphs",)),
    "length_constraints:number_words": (_number_words, ("num_words", "relation")),
    "length_constraints:nth_paragraph_first_word": (
        _nth_first_word,
        ("num_paragraphs", "nth_paragraph", "first_word"),
    ),
    "detectable_content:number_placeholders": (_placeholders, ("num_placeholders",)),
    "detectable_content:postscript": (_postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": (_bullets, ("num_bullets",)),
    "detectable_format:constrained_response": (_constrained, ()),
    "detectable_format:number_highlighted_sections": (_highlights, ("num_highlights",)),
    "detectable_format:multiple_sections": (_sections, ("section_spliter", "num_sections")),
    "detectable_format:json_format": (_is_json, ()),
    "detectable_format:title": (_title, ()),
    "combination:two_responses": (_two_responses, ()),
    "combination:repeat_prompt": (_repeats, ("prompt_to_repeat",)),
    "startend:end_checker": (_ends, ("end_phrase",)),
    "startend:quotation": (_quoted, ()),
    "change_case:capital_word_frequency": (_capital_words, ("capital_frequency", "capital_relation")),
    "change_case:english_capital": (str.isupper, ()),
    "change_case:english_lowercase": (str.islower, ()),
    "punctuation:no_comma": (_no_comma, ()),
}
"""Each check and the arguments that it takes, by the identifier of the benchmark."""

_LANGUAGE_OF = {"change_case:english_capital": "en", "change_case:english_lowercase": "en"}


@final
@dataclass(frozen=True, slots=True)
class Instruction:
    """One verifiable instruction.

    Args:
        id: One of :data:`INSTRUCTIONS`.
        arguments: Those that the instruction takes, such as ``{"num_words": 50, "relation": "less than"}``;
            ``None`` values are left out, as the benchmark's files have them.
        name: Of the rule; by default the identifier.

    Raises:
        ConfigError: An unknown identifier, a missing or unknown argument, or one of the wrong kind.
    """

    id: str
    arguments: Mapping[str, Json] = field(default_factory=dict[str, Json])
    name: str = ""
    cost: int = 0

    def __post_init__(self) -> None:
        if self.id not in INSTRUCTIONS:
            raise ConfigError(f"no instruction called {self.id!r}; {nearest(self.id, INSTRUCTIONS)}")
        object.__setattr__(self, "name", self.name or self.id)
        wanted = INSTRUCTIONS[self.id][1]
        given = self._given()
        if set(given) != set(wanted):
            raise ConfigError(
                f"{self.id} takes {', '.join(wanted) or 'no arguments'}, not {', '.join(given) or 'none'}"
            )
        for key, value in given.items():
            _check_argument(self.id, key, value)
        if language := self._language():
            Language(language)

    async def grade(self, input: Input, response: Response) -> Grade:
        """Check the answer."""
        check, _ = INSTRUCTIONS[self.id]
        met = bool(response.content.strip()) and check(response.content, **self._given())
        language = self._language()
        if met and language is not None:
            grade = await Language(language).grade(input, Response("text", response.content.lower()))
            return grade if self.id not in _LANGUAGE_OF or grade.unknown is None else Grade(satisfied=met)
        return Grade(satisfied=met, reason=f"{self.id} is {'met' if met else 'not met'}")

    def _given(self) -> dict[str, Any]:
        return {key: value for key, value in self.arguments.items() if value is not None}

    def _language(self) -> str | None:
        return str(self.arguments["language"]) if "language" in self._given() else _LANGUAGE_OF.get(self.id)


def _check_argument(identifier: str, key: str, value: object) -> None:
    if key.endswith("relation"):
        if value not in _RELATIONS:
            raise ConfigError(f"{identifier}: {key} is {value!r}; it is one of {', '.join(_RELATIONS)}")
    elif key.startswith("num_") or key.endswith(("frequency", "nth_paragraph")):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"{identifier}: {key} is {value!r}; it is a whole number of at least 0")
    elif key in ("keywords", "forbidden_words"):
        if not isinstance(value, list | tuple) or not all(isinstance(word, str) and word for word in value):
            raise ConfigError(f"{identifier}: {key} is {value!r}; it is a list of texts")
    elif not isinstance(value, str) or not value:
        raise ConfigError(f"{identifier}: {key} is {value!r}; it is a text")
