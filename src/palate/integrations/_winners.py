"""The winner of a study in the forms that other tools read.

``text``
    The prompt, and its demonstrations.
``json``
    The prompt with its parts and its place, for programs of your own.
``openai``
    The messages of a chat request, as JSON. ``{{input}}`` and the other columns of the inputs stand where the
    study filled them in; everything else that looks like a placeholder is text.
``promptfoo``
    The same as a prompt file for promptfoo (``prompts: [file://winner.json]``). promptfoo runs templates, so
    braces that are text are written as templates that print them.
``dspy``
    The state of a DSPy program as ``program.save("winner.json")`` writes it, for ``program.load``. It holds
    instructions and demonstrations; it names no language model.
"""

import json
import re
from collections.abc import Mapping, Sequence

from palate.errors import ConfigError, InputError, UnsupportedError, nearest
from palate.models import scripted_model
from palate.store import StudyState
from palate.targets import InstructionTarget, demonstrations_of, placeholders
from palate.types import Candidate, Input, Json, Message

__all__ = ["WINNER_FORMATS", "winner_text"]

WINNER_FORMATS = ("text", "json", "openai", "promptfoo", "dspy")
"""What :func:`winner_text` writes."""

# Private-use characters hold the places of placeholders while everything else is made literal.
_OPEN, _CLOSE = "\ue000", "\ue001"
_HELD = re.compile(f"{_OPEN}(.*?){_CLOSE}")
# The end of a comment is a tag too: outside one, Nunjucks refuses it.
_TAG = re.compile(r"\{[{%#]|#\}")
_VARIABLE = re.compile(r"[A-Za-z_$][\w$]*(?:\.\w+)*")


def winner_text(candidate: Candidate, state: StudyState, format: str, *, predictor: str = "self") -> str:
    """Write a candidate of a study for another tool.

    Args:
        candidate: Usually ``study.best().candidate``.
        state: The study that it comes from, which knows where a prompt goes and what the inputs have.
        format: One of :data:`WINNER_FORMATS`.
        predictor: For ``dspy``: the name of the predictor in the program that will load the state, as
            ``program.named_predictors()`` gives it: ``self`` for a plain ``dspy.Predict``, ``predict`` for
            ``dspy.ChainOfThought``. A study of :mod:`palate.integrations.dspy` knows its names itself.

    Returns:
        The text of the file, with a line feed at its end.

    Raises:
        ConfigError: The format is unknown.
        UnsupportedError: The candidate has no such form, as the settings of a program have none in DSPy.
        InputError: A column cannot be a variable of the other tool, or the prompt would be taken for a file.
    """
    if format not in WINNER_FORMATS:
        raise ConfigError(f"the format is {format!r}; {nearest(format, WINNER_FORMATS)}")
    if format == "text":
        return _as_text(candidate) + "\n"
    if format == "json":
        return _json(_as_data(candidate, state))
    if format == "dspy":
        return _json(_dspy_state(candidate, state, predictor))
    messages = _messages(candidate, state)
    if format == "openai":
        return _json([{"role": turn.role, "content": _restored(turn.content)} for turn in messages])
    return _json([{"role": turn.role, "content": _for_nunjucks(turn.content)} for turn in messages])


def _json(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _as_text(candidate: Candidate) -> str:
    if set(candidate.parts) - {"demonstrations"}:
        return candidate.text
    shown = "\n\n".join(f"Input: {one.input}\nOutput: {one.output}" for one in demonstrations_of(candidate))
    return "\n\n".join(filter(None, (candidate.text, shown)))


def _as_data(candidate: Candidate, state: StudyState) -> Json:
    prompts = _prompts(state)
    return {
        "candidate": candidate.id,
        "prompt": candidate.text,
        "parts": dict(candidate.parts),
        "placement": prompts.get("placement"),
        "template": prompts.get("template"),
        "origin": candidate.lineage.origin,
    }


def _prompts(state: StudyState) -> Mapping[str, Json]:
    prompts = state.settings.get("prompts")
    return prompts if isinstance(prompts, Mapping) else {}


def _check_kind(candidate: Candidate, state: StudyState, form: str) -> None:
    target = state.settings.get("target")
    kind = target.get("kind") if isinstance(target, Mapping) else None
    unknown = sorted(set(candidate.parts) - {"demonstrations"})
    if kind not in (None, "instruction") or unknown:
        what = (
            f"a study of kind {kind!r}"
            if kind not in (None, "instruction")
            else f"parts {', '.join(unknown)}"
        )
        raise UnsupportedError(
            f"the winner has no form as {form}, because it comes from {what} and not from an instruction; "
            "take it as text or json"
        )


# -- conversations --------------------------------------------------------------------------------


def _messages(candidate: Candidate, state: StudyState) -> Sequence[Message]:
    """The request that the study sent, with the places of input and columns held open."""
    _check_kind(candidate, state, "a conversation")
    inputs = list(state.inputs.values())
    columns = [name for name in (inputs[0].fields if inputs else ()) if all(name in i.fields for i in inputs)]
    prompts = _prompts(state)
    template = prompts.get("template")
    target = InstructionTarget(
        scripted_model(["-"]),
        placement="template" if prompts.get("placement") == "template" else "system",
        template=template if isinstance(template, str) else None,
    )
    held = Input("held", _held("input"), fields={name: _held(name) for name in columns})
    return target.request(candidate, held).messages


def _held(name: str) -> str:
    return f"{_OPEN}{name}{_CLOSE}"


def _restored(content: str) -> str:
    return _HELD.sub(r"{{\1}}", content)


def _for_nunjucks(content: str) -> str:
    if content.startswith("file://"):
        raise InputError(
            "the prompt begins with 'file://', which promptfoo would take for the name of a file"
        )
    literal = _TAG.sub(lambda match: "{{ '" + match[0] + "' }}", content)
    for name in _HELD.findall(literal):
        if not _VARIABLE.fullmatch(name):
            raise InputError(
                f"the column {name!r} cannot be a variable of promptfoo, whose names are letters, digits and "
                "underscores; rename the column"
            )
    return _restored(literal)


# -- DSPy -----------------------------------------------------------------------------------------


def _dspy_state(candidate: Candidate, state: StudyState, predictor: str) -> Json:
    named = candidate.parts.get("instructions")
    if isinstance(named, Mapping):
        origin = _program(state)
        states = {name: _predictor(str(text), origin.get(name)) for name, text in named.items()}
    else:
        _check_kind(candidate, state, "a DSPy state")
        asked = sorted({"input", *_columns(state)} & set(placeholders(candidate.text)))
        if asked:
            raise UnsupportedError(
                f"the prompt names {{{{{asked[0]}}}}}, and DSPy puts inputs into fields of their own, not "
                "into the instruction; take the winner as text, and rewrite it without placeholders"
            )
        shown = [{"input": one.input, "output": one.output} for one in demonstrations_of(candidate)]
        states = {predictor: _predictor(candidate.text, {"demos": shown})}
    # No versions are named, because DSPy compares them with its own and warns about each that differs.
    metadata: Mapping[str, Json] = {"metadata": {"dependency_versions": {}}}
    if set(states) == {"self"}:  # a predictor that is the whole program
        return {**states["self"], **metadata}
    return {**states, **metadata}


def _columns(state: StudyState) -> set[str]:
    return {name for item in state.inputs.values() for name in item.fields}


def _predictor(instruction: str, origin: Json) -> dict[str, Json]:
    known = origin if isinstance(origin, Mapping) else {}
    return {
        "traces": [],
        "train": [],
        "demos": known.get("demos", []),
        # Fields that are not listed keep the prefix and description that the program gives them.
        "signature": {"instructions": instruction, "fields": known.get("fields", [])},
        "lm": None,
    }


def _program(state: StudyState) -> Mapping[str, Json]:
    """What the study of a DSPy program wrote down about its predictors."""
    for candidate in state.candidates.values():
        told = candidate.lineage.detail.get("predictors")
        if isinstance(told, Mapping):
            return told
    return {}
