"""The answer itself: which of many answers to one question people like best, for one question or several.

A candidate is an answer, made for one input: ``parts["context"]`` is that input's identifier, and
``parts["question"]`` what was asked, so that the features know both. Answers to different inputs never meet,
but all votes teach one belief: its features are those of question and answer together, as published.

Source: Lin et al., "Prompt Optimization with Human Feedback", arXiv 2405.17346 (response optimisation).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from palate.errors import ConfigError, InputError, PalateError
from palate.kinds import chat_content
from palate.targets._ask import one_line, oversized
from palate.targets._conversation import as_lines, earlier_turns
from palate.targets._template import literal_fill, placeholders
from palate.types import Candidate, Input, Lineage, Message, Request, Response

__all__ = ["ResponseTarget"]

_INPUT = "{{input}}"
_PARTS = frozenset({"context", "question"})


@final
@dataclass(frozen=True, slots=True, eq=False)
class ResponseTarget:
    """Answers that are chosen among, each for one input; no model is asked when one is shown.

    Args:
        prompt: System message under which answers are sampled; none when empty.
        template: Shape of the user message, with ``{{input}}`` or another column of the inputs in it.
        max_tokens: Upper bound on the tokens of an answer that is sampled.
        answer_column: Column of the inputs that holds the answer of today. It takes part, and the other
            answers to that input are measured against it.

    Raises:
        ConfigError: The template does not say where the input goes, or an option is out of its range.
    """

    prompt: str = ""
    template: str | None = None
    max_tokens: int = 256
    answer_column: str | None = None

    usual_proposers: ClassVar[tuple[str, ...]] = ("sample",)
    fewest_each: ClassVar[int] = 2
    """An input with a single answer leaves nothing to choose."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens!r}; it is at least 1")
        if self.template is not None and not placeholders(self.template):
            raise ConfigError(f"the template {self.template!r} has no {_INPUT}; say where the input goes")

    def request(self, input: Input) -> Request:
        """Write the question that answers are sampled from; pure.

        Raises:
            ConfigError: The template names a column that the input lacks.
            InputError: The earlier turns of the input are malformed.
        """
        shape = _INPUT if self.template is None else self.template
        asked = literal_fill(shape, {**input.fields, "input": input.text})
        system = (Message("system", self.prompt),) if self.prompt.strip() else ()
        messages = (*system, *earlier_turns(input), Message("user", asked))
        return Request(messages, max_tokens=self.max_tokens)

    def answer(self, input: Input, text: str, lineage: Lineage) -> Candidate:
        """Make a candidate of an answer to an input.

        Raises:
            InputError: The answer is empty or longer than what may be shown.
        """
        parts = {"context": input.id, "question": as_lines(_asked(input))}
        candidate = Candidate.make(text, parts=parts, lineage=lineage)
        if fault := _fault(candidate):
            raise InputError(fault)
        return candidate

    def origin(self, inputs: Sequence[Input]) -> list[Candidate]:
        """The answers of today, one for each input that has one; see :class:`palate.types.Originates`."""
        column = self.answer_column
        if column is None:
            return []
        if inputs and not any(column in item.fields for item in inputs):
            raise ConfigError(f"answer_column is {column!r}, and no input has such a column")
        return [
            self.answer(item, item.fields[column].strip(), Lineage("seed"))
            for item in inputs
            if item.fields.get(column, "").strip()
        ]

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse what is no answer to an input; see :class:`palate.types.Target`."""
        if candidate.context is None:
            raise ConfigError(
                "an answer belongs to one input, and a prompt names none; take seed, list and path out of "
                "[prompts] ([target] prompt is the system message, answer_column names your own answers)"
            )
        if fault := _fault(candidate):
            raise InputError(fault)

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Show the answer; with earlier turns, the conversation that it ends."""
        if candidate.context != input.id:
            place = "no input" if candidate.context is None else f"the input {candidate.context}"
            return Response("text", "", failed=f"this answer is for {place}, not for the input {input.id}")
        if fault := _fault(candidate):
            return Response("text", "", failed=fault)
        try:
            asked = _asked(input)
        except PalateError as error:
            return Response("text", "", failed=one_line(error))
        if len(asked) == 1:
            return Response("text", candidate.text, cost=0.0)
        return Response("chat", chat_content([*asked, Message("assistant", candidate.text)]), cost=0.0)

    def features_text(self, candidate: Candidate) -> str:
        """The question and the answer, as published."""
        question = candidate.parts.get("question")
        return f"{question}\n\n{candidate.text}" if isinstance(question, str) else candidate.text


def _asked(input: Input) -> tuple[Message, ...]:
    """The conversation up to the input, without the system message."""
    return (*earlier_turns(input), Message("user", input.text))


def _fault(candidate: Candidate) -> str | None:
    if unknown := sorted(set(candidate.parts) - _PARTS):
        return f"candidate {candidate.id} has a part {unknown[0]!r}; an answer has only a context"
    if not candidate.text.strip():
        return f"candidate {candidate.id} is an empty answer"
    return oversized(candidate.text, f"candidate {candidate.id}")
