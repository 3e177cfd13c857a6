"""A DSPy program as a target: the instructions of its predictors are the candidate."""

import asyncio
import contextvars
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy

from palate.errors import ConfigError, InputError
from palate.types import Candidate, Input, Json, Lineage, Response, digest

__all__ = [
    "ProgramTarget",
    "Show",
    "candidate_of",
    "instructed",
    "instructions_of",
    "predictor_states",
    "predictors_of",
    "program_inputs",
    "shown_output",
]

Show = Callable[[dspy.Example, Any], str]
_REASONING = frozenset({"reasoning", "rationale"})
_PART = "instructions"


def predictors_of(program: dspy.Module) -> list[tuple[str, Any]]:
    """The predictors that may be tuned, with their names; DSPy's types do not say what they have."""
    return list(program.named_predictors())


def instructions_of(program: dspy.Module) -> dict[str, str]:
    """The instruction of each predictor that may be tuned, by the predictor's name.

    Raises:
        ConfigError: The program has no predictor that is free to change.
    """
    found = {name: str(predictor.signature.instructions) for name, predictor in predictors_of(program)}
    if not found:
        raise ConfigError(
            f"{type(program).__name__} has no predictor to tune: it has none, or they belong to parts that "
            "were compiled before"
        )
    return found


def instructed(program: dspy.Module, instructions: Mapping[str, str]) -> dspy.Module:
    """A copy of a program with other instructions; demonstrations, fields and models stay as they are."""
    copied: dspy.Module = program.deepcopy()
    for name, predictor in predictors_of(copied):
        if name in instructions:
            predictor.signature = predictor.signature.with_instructions(instructions[name])
    return copied


def candidate_of(instructions: Mapping[str, str], lineage: Lineage) -> Candidate:
    """A candidate: its text is what a person reads, its parts are what is plugged in."""
    if len(instructions) == 1:
        [text] = instructions.values()
    else:
        text = "\n\n".join(f"{name}:\n{instruction}" for name, instruction in instructions.items())
    return Candidate.make(text, parts={_PART: dict(instructions)}, lineage=lineage)


def predictor_states(program: dspy.Module) -> dict[str, Json]:
    """Demonstrations and fields of each predictor, as DSPy saves them; what JSON cannot hold is left out."""
    found: dict[str, Json] = {}
    for name, predictor in predictors_of(program):
        state = predictor.dump_state()
        kept = {"demos": state.get("demos", []), "fields": state["signature"].get("fields", [])}
        found[name] = json.loads(json.dumps(kept, default=str))
    return found


def program_inputs(
    trainset: Sequence[dspy.Example],
) -> tuple[tuple[Input, ...], dict[str, dspy.Example]]:
    """The examples as inputs of a study, each once, and the example behind each input.

    Raises:
        InputError: There are none, or an example does not say which of its fields are inputs.
    """
    inputs: dict[str, Input] = {}
    examples: dict[str, dspy.Example] = {}
    for number, example in enumerate(trainset, start=1):
        try:
            given: dict[str, object] = dict(example.inputs().items())
        except ValueError as error:
            raise InputError(
                f"example {number} of trainset does not say what its inputs are; make it with "
                "dspy.Example(…).with_inputs('question')"
            ) from error
        texts = {name: _text(value) for name, value in given.items()}
        if not any(text.strip() for text in texts.values()):
            raise InputError(f"example {number} of trainset has no text in its inputs; fill it or drop it")
        identity = digest({"inputs": texts})[:16]
        inputs[identity] = Input(identity, _shown(texts), fields=texts)
        examples.setdefault(identity, example)
    if not inputs:
        raise InputError("trainset is empty; give some examples, whose outputs may be unknown")
    return tuple(inputs.values()), examples


def shown_output(example: dspy.Example, prediction: object) -> str:
    """What raters see unless they are shown something else: the outputs, without the reasoning."""
    del example
    if not isinstance(prediction, dspy.Prediction):
        return _text(prediction)
    texts = {str(name): _text(prediction[name]) for name in prediction.keys()}  # noqa: SIM118 - not a mapping
    results = {name: text for name, text in texts.items() if name not in _REASONING}
    return _shown(results or texts)


def _shown(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n\n".join(f"**{name}**: {text}" for name, text in texts.items())


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


class ProgramTarget:
    """Runs a DSPy program with the instructions of a candidate.

    Args:
        program: The program; it is copied for each run and never changed.
        examples: The example behind each input, by the input's identifier.
        show: Writes down, as Markdown, what raters see of a prediction.
        threads: Runs at the same time.
        context: The context of variables in which the program runs, where ``dspy.context`` keeps what it
            sets; by default a copy of the present one.

    A run that raises is a failed response: recorded, shown to nobody, never learnt from.
    """

    def __init__(
        self,
        program: dspy.Module,
        examples: Mapping[str, dspy.Example],
        *,
        show: Show = shown_output,
        threads: int = 8,
        context: contextvars.Context | None = None,
    ) -> None:
        self._program = program
        self._names = frozenset(instructions_of(program))
        self._examples = dict(examples)
        self._show = show
        self._context = context or contextvars.copy_context()
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="palate-dspy")

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Run the program on the example behind an input."""
        started = time.monotonic()
        example = self._examples.get(input.id)
        if example is None:
            return Response("text", "", failed="the example of this input is not in trainset any more")
        loop = asyncio.get_running_loop()
        # A context can be entered once at a time, so each run gets a copy of its own.
        context = self._context.copy()
        try:
            content = await loop.run_in_executor(
                self._pool, lambda: context.run(self._respond, candidate, example)
            )
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return Response("text", "", time.monotonic() - started, failed=reason[:500])
        seconds = time.monotonic() - started
        if not content.strip():
            return Response("text", "", seconds, failed="the program gave no output")
        return Response("text", content, seconds)

    def _respond(self, candidate: Candidate, example: dspy.Example) -> str:
        program = instructed(self._program, _named(candidate))
        prediction: object = program(**dict(example.inputs().items()))
        return self._show(example, prediction)

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse a candidate that has no instruction for each predictor, or one for another program.

        Raises:
            ConfigError: Saying which predictors the program has.
        """
        if frozenset(_named(candidate)) != self._names:
            raise ConfigError(
                f"the candidate {candidate.id} has instructions for {_listed(_named(candidate))}, but the "
                f"program's predictors are {_listed(self._names)}; use another path for another program"
            )

    def features_text(self, candidate: Candidate) -> str:
        """The instructions, as a person reads them."""
        return candidate.text


def _named(candidate: Candidate) -> Mapping[str, str]:
    part = candidate.parts.get(_PART)
    return {name: str(text) for name, text in part.items()} if isinstance(part, Mapping) else {}


def _listed(names: Collection[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "nothing"
