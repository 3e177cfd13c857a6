"""The instruction of a frozen chat model: what a prompt is plugged into.

Where the prompt goes (``placement``):

``system``
    The prompt is the system message, word for word. The input is the user message; ``template``, if
    given, shapes that message (``"Review: {{input}}"``).
``template``
    One user message. The prompt takes the place of ``{{prompt}}`` in ``template``, the input the place
    of ``{{input}}``. A prompt whose own text names ``{{input}}`` (or another column of the inputs) *is*
    the template, and the template of the study is not used for it.

Demonstrations are earlier turns of the conversation: the user message that the demonstration's input
would have made, and its output as the model's answer. A template that names ``{{demonstrations}}`` gets
them there instead, as ``Input: …`` and ``Output: …`` lines.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, final

from palate.errors import ConfigError, PalateError
from palate.targets._ask import ask, check_sampling, one_line
from palate.targets._demonstrations import as_text, demonstrations_of
from palate.targets._template import literal_fill, placeholders
from palate.types import Candidate, Example, Input, Message, Model, Request, Response

__all__ = ["InstructionTarget"]

_INPUT = "{{input}}"
_RESERVED = frozenset({"prompt", "input", "demonstrations"})
_NOT_THE_INPUT = frozenset({"prompt", "demonstrations"})


@final
@dataclass(frozen=True, slots=True, eq=False)
class InstructionTarget:
    """A chat model whose instruction is the candidate.

    Args:
        model: Who answers.
        placement: ``"system"`` or ``"template"``; see the module's text.
        template: Shape of the user message, with ``{{input}}`` (or a column of the inputs) in it, and
            with ``{{prompt}}`` if the placement is ``"template"``.
        temperature: 0 is greedy.
        max_tokens: Upper bound on the tokens of an answer.
        seed: Passed on to models that can be seeded.

    Raises:
        ConfigError: The template cannot work with the placement; the text says what is missing.
    """

    model: Model
    placement: Literal["system", "template"] = "system"
    template: str | None = None
    temperature: float = 0.0
    max_tokens: int = 256
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.placement not in ("system", "template"):
            raise ConfigError(f"placement is {self.placement!r}; it is 'system' or 'template'")
        check_sampling(self.temperature, self.max_tokens)
        if self.template is not None:
            _check_template(self.template, self.placement)

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Find out before any work whether a candidate can be plugged in.

        Args:
            candidate: The prompt to look at.
            fields: Names of the further columns that every input has.

        Raises:
            ConfigError: The prompt or the template lacks ``{{input}}``, or names something unknown.
            InputError: The candidate's demonstrations are malformed.
        """
        self.request(candidate, Input("check", "", fields=dict.fromkeys(fields, "")))

    def request(self, candidate: Candidate, input: Input) -> Request:
        """Write the request that the model gets; pure.

        Raises:
            ConfigError: As :meth:`check`.
            InputError: As :meth:`check`.
        """
        demonstrations = demonstrations_of(candidate)
        template = self._user_template(candidate, input.fields)
        values = {**input.fields, "prompt": candidate.text, "demonstrations": as_text(demonstrations)}
        system = (Message("system", candidate.text),) if self.placement == "system" else ()
        turns = () if "demonstrations" in placeholders(template) else demonstrations
        shown = tuple(turn for example in turns for turn in _turns(template, candidate, example))
        asked = Message("user", literal_fill(template, {**values, "input": input.text}))
        return Request(
            messages=(*system, *shown, asked),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed if self.model.capabilities.seed else None,
        )

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Ask the model.

        Returns:
            The answer as text. Whatever goes wrong with it (the model fails or refuses, the answer is
            empty or longer than :data:`palate.targets.LONGEST_ANSWER`) is a response with ``failed`` set.

        Raises:
            BudgetError: The call was not sent because it could exceed the budget.
            StoreError: The answer could not be kept: no fault of the candidate's, so none of its failures.
        """
        try:
            request = self.request(candidate, input)
        except PalateError as error:
            return Response("text", "", failed=one_line(error))
        return await ask(self.model, request)

    def features_text(self, candidate: Candidate) -> str:
        """The text whose embedding stands for the candidate: its prompt, then its demonstrations."""
        demonstrations = demonstrations_of(candidate)
        return "\n\n".join(filter(None, (candidate.text, as_text(demonstrations))))

    def _user_template(self, candidate: Candidate, fields: Mapping[str, str]) -> str:
        named = set(placeholders(candidate.text))
        own = sorted(named & {"input", *fields})
        if self.placement == "system":
            if own:
                raise ConfigError(
                    f"the prompt {_short(candidate.text)} contains {{{{{own[0]}}}}}, but with placement = "
                    "'system' a prompt is sent word for word and the input is the user message; take it out, "
                    "or set placement = 'template'"
                )
            return _INPUT if self.template is None else self.template
        if own:
            return candidate.text
        if self.template is None:
            unknown = f" (it names {', '.join(f'{{{{{name}}}}}' for name in sorted(named))})" if named else ""
            raise ConfigError(
                f"the prompt {_short(candidate.text)} does not say where the input goes{unknown}; "
                f"add {_INPUT} to it, or set template = '{{{{prompt}}}}\\n\\n{{{{input}}}}'"
            )
        return self.template


def _check_template(template: str, placement: str) -> None:
    named = set(placeholders(template))
    if placement == "template" and "prompt" not in named:
        raise ConfigError(
            f"the template {_short(template)} has no {{{{prompt}}}}, so every prompt would send the same "
            "text; add it, or set placement = 'system'"
        )
    if placement == "system" and "prompt" in named:
        raise ConfigError(
            f"the template {_short(template)} has {{{{prompt}}}}, but with placement = 'system' the prompt "
            "is the system message; take it out, or set placement = 'template'"
        )
    if not named - _NOT_THE_INPUT:
        raise ConfigError(f"the template {_short(template)} has no {_INPUT}; say where the input goes")


def _turns(template: str, candidate: Candidate, example: Example) -> tuple[Message, Message]:
    values = {"prompt": candidate.text, "input": example.input}
    missing = [name for name in placeholders(template) if name not in _RESERVED]
    if missing:
        raise ConfigError(
            f"demonstrations have an input and an output but no {{{{{missing[0]}}}}}, which the template "
            "names; use {{input}} instead, or put {{demonstrations}} into the template"
        )
    return Message("user", literal_fill(template, values)), Message("assistant", example.output)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
