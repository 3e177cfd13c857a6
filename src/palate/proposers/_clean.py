"""From what a model answered to the prompt that it meant.

Models asked for a prompt wrap it: in "Sure! Here is a rephrased version:", in quotes, in a markdown
fence, under a label, as the first of five options, before a note. A wrapping that stayed would be
optimised along with the prompt, so it is taken off; what is then no prompt is refused, and the caller
draws again. A marker that the parent prompt has itself is no wrapping and stays.
"""

import re

from palate.types import Completion

__all__ = ["clean", "clean_completion", "likeness", "placeholder_tail", "usable"]

_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_PROMPTS = r"(?:version|instruction|prompt|wording|way|option|task|command|rephras\w*|paraphrase)s?"
_MADE = (
    r"(?:rephrased|reworded|rewritten|paraphrased|new|improved|alternative|another|other|possible|original)"
)
# A remark before the prompt ends in a colon and begins in one of these ways; a prompt may hold colons too.
_META_LEAD = re.compile(
    rf"^(?:here(?:'s| is| are)\b[^\n:]{{0,80}}?\b{_PROMPTS}\b[^\n:]{{0,80}}"
    rf"|here you (?:are|go)[^\n:]{{0,20}}"
    rf"|(?:(?:a|an|the|one|some|my|your)\s+)?(?:{_MADE}\s+)+(?:\w+\s+)?{_PROMPTS}\b[^\n:]{{0,60}}"
    rf"|the {_PROMPTS} (?:was|is|could be|might be|would be)\s*"
    rf"|i(?:'d| would| have|'ve| can)\b[^\n:]{{0,40}}\b(?:rephras|reword|rewr[io]t)\w*[^\n:]{{0,60}}"
    rf"):\s*",
    re.I,
)
_PLEASANTRY = re.compile(r"^(?:sure|certainly|of course|okay|absolutely)(?: thing)?\s*[!.,]\s*", re.I)
_SAID = re.compile(
    r"^(?:the|this|your)\s+(?:\w+\s+)?(?:instruction|task|prompt|command)\s+"
    r"(?:is|was|were|could be|might be|would be|may have been)\s+to\s+(?=[\w\"“])",
    re.I,
)
_LABEL = re.compile(
    r"^[#*_>\s]{0,6}(?:(?:new|rephrased|reworded|rewritten|improved|possible|my)\s+)?"
    r"(?:instructions?|prompts?|system prompt|version|paraphrase|answer)[*_ ]{0,4}:[*_]{0,3}\s*",
    re.I,
)
_OPTION = re.compile(
    r"^[#*_>\s]{0,6}(?:(?:option|version)\s+\w{1,2}[*_ ]{0,4}[:.)][*_]{0,3}\s*|\d+\s*[.):]\s+|[-*•]\s+)", re.I
)
_TRAILING = re.compile(
    r"^\W{0,4}(?:note|explanation|reason(?:ing)?|rationale|inputs?|outputs?|examples?|original instruction)\b"
    r"[^\n:]{0,20}:|^(?:this|the) (?:instruction|prompt|version|rephras\w+)\b"
    r"|^(?:i hope|let me know|i have|i've)\b"
    r"|^\(?note that\b|^or\W*$|^-{3,}$",
    re.I,
)
_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’", "«": "»", "`": "`", "„": "“"}
_REFUSAL = re.compile(
    r"^(?:i'?m sorry|i am sorry|sorry,|i can(?:not|'t)|i am unable|i'm unable|as an ai)\b", re.I
)
_DATA = re.compile(r"^\W{0,4}(?:input|output)s?\W{0,2}:", re.I)
_PLACEHOLDER = re.compile(r"\{\{[^{}]*\}\}")


def clean(answer: str, *, parent: str = "") -> str:
    r"""Take the wrapping off an answer.

    Args:
        answer: What the model said.
        parent: The prompt it was made from; markers that stand in it are left alone.

    Returns:
        The prompt, or the empty string if nothing is left.

    Example:
        >>> clean('Sure! Here is a rephrased version:\n\n"Name the opposite."\n\nNote: it is shorter.')
        'Name the opposite.'
    """
    text = _unfence(answer.replace("\r\n", "\n").strip(), parent)
    before = None
    while text != before:  # wrappings nest: a label in quotes after a remark
        before = text
        text = _PLEASANTRY.sub("", text, count=1)
        text = _first_option(text, parent)
        text = _strip_lead(text, parent)
        text = _cut_tail(text, parent)
        text = _unquote(text)
    return text


def clean_completion(completion: Completion, *, parent: str = "") -> str:
    """As :func:`clean`; empty if the model refused or was cut off in the middle of the prompt."""
    if completion.finish == "refused":
        return ""
    text = clean(completion.text, parent=parent)
    cut_off = completion.finish == "length" and completion.text.rstrip().endswith(text)
    return "" if cut_off else text


def placeholder_tail(seed: str) -> str:
    r"""The placeholders of a seed prompt, as the end of a prompt that was made without it.

    Example:
        >>> placeholder_tail("Translate {{input}} into French.")
        '\n\n{{input}}'
    """
    found = tuple(dict.fromkeys(_PLACEHOLDER.findall(seed)))
    return "\n\n" + "\n".join(found) if found else ""


def usable(text: str, *, longest: int, parent: str = "", not_one_of: frozenset[str] = frozenset()) -> bool:
    """Decide whether a cleaned answer can be a prompt.

    Args:
        text: The outcome of :func:`clean`.
        longest: Most characters that a prompt may have.
        parent: The prompt it was made from; its ``{{placeholders}}`` must all be there, and no others.
        not_one_of: Likenesses (:func:`likeness`) of texts that the model may only have repeated, such as
            the outputs of the examples that it was shown.
    """
    return (
        sum(letter.isalpha() for letter in text) >= 3
        and len(text) <= longest
        and not _REFUSAL.match(text)
        and (not _DATA.match(text) or _DATA.match(parent) is not None)
        and set(_PLACEHOLDER.findall(text)) == set(_PLACEHOLDER.findall(parent))
        and likeness(text) not in not_one_of
    )


def likeness(text: str) -> str:
    """What two prompts share if they differ in case, spaces and punctuation only.

    Example:
        >>> likeness("Name the  opposite.") == likeness("name the opposite")
        True
    """
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _unfence(text: str, parent: str) -> str:
    found = None if "```" in parent else _FENCE.search(text)
    return found[1].strip() if found and found[1].strip() else text


def _strip_lead(text: str, parent: str) -> str:
    for pattern in (_META_LEAD, _LABEL):
        found = pattern.match(text)
        if found and found.end() < len(text) and not _has_marker(parent, found[0]):
            text = text[found.end() :].strip()
    said = _SAID.match(text)
    if said and not _has_marker(parent, said[0]):
        text = text[said.end()].upper() + text[said.end() + 1 :]
    return text


def _has_marker(parent: str, marker: str) -> bool:
    return marker.strip().casefold() in parent.casefold()


def _first_option(text: str, parent: str) -> str:
    # A prompt may hold a list of its own; a chain of options is a text that begins with one.
    marked = _OPTION.match(text)
    if marked is None or _OPTION.match(parent):
        return text
    return text[marked.end() :].strip().split("\n", 1)[0]


def _cut_tail(text: str, parent: str) -> str:
    lines = text.split("\n")
    for index, line in enumerate(lines[1:], start=1):
        found = _TRAILING.match(line.strip())
        if found and not _has_marker(parent, found[0]):
            return "\n".join(lines[:index]).strip()
    return text


def _unquote(text: str) -> str:
    if text.startswith("**") and text.endswith("**") and text.count("**") == 2:
        return text[2:-2].strip()
    closing = _QUOTES.get(text[:1])
    if closing is None:
        return text
    end = text.find(closing, 1)
    # A quoted prompt ends the answer or its line; a prompt may begin with a quoted word.
    if end > 1 and (end == len(text) - 1 or text[end + 1] == "\n"):
        return text[1:end].strip()
    return text
