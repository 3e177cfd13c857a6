"""Where the instructions of a program come from: a language model writes them, or the user has a list.

With several predictors a candidate is one instruction for each. The pool holds the program as it is, then
programs that differ from it in one predictor, then programs drawn from all instructions; the first two tell
the learner what each change is worth on its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import dspy
import numpy as np

from palate.errors import ConfigError, ModelError
from palate.integrations.dspy._program import candidate_of, instructions_of, predictors_of
from palate.proposers import clean, likeness
from palate.types import Candidate, Lineage

__all__ = ["WriteInstruction", "given_instructions", "pool_of", "written_instructions"]

_WAYS = (
    "Say more exactly what a good result looks like.",
    "Be as short as you can.",
    "Say what to avoid.",
    "Give the model a role that fits the task.",
    "Ask for a clear order or structure of the result.",
    "Think of the person who reads the result, and of what they need.",
    "Use other words throughout.",
)
_DRAWS = 50  # tries for each further program that is drawn, before the instructions count as used up


class WriteInstruction(dspy.Signature):
    """Write a better instruction for a step of a language program.

    The step gets the input fields and must fill the output fields. Keep the task the same, say nothing about
    particular examples, and answer with the instruction alone.
    """

    current_instruction: str = dspy.InputField(desc="what the step is told today")
    step_fields: str = dspy.InputField(desc="the step's input and output fields")
    some_inputs: str = dspy.InputField(desc="inputs of the whole program, to show what it is used for")
    way: str = dspy.InputField(desc="how the new instruction should differ")
    new_instruction: str = dspy.OutputField(desc="the instruction alone")


def given_instructions(
    program: dspy.Module, given: Sequence[str] | Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """The user's own instructions for each predictor.

    Raises:
        ConfigError: A list alone for a program of several predictors, or an unknown predictor.
    """
    names = list(instructions_of(program))
    if isinstance(given, str):
        raise ConfigError(f"instructions={given!r} is one text; give a list of texts")
    if not isinstance(given, Mapping):
        if len(names) > 1:
            raise ConfigError(
                f"the program has several predictors ({', '.join(names)}); give instructions as "
                f"{{{names[0]!r}: ['…', '…'], …}}"
            )
        return {names[0]: list(given)}
    for name in given:
        if name not in names:
            raise ConfigError(f"the program has no predictor {name!r}; it has: {', '.join(names)}")
    return {name: list(given.get(name, ())) for name in names}


def written_instructions(
    program: dspy.Module, examples: Sequence[dspy.Example], each: int, *, lm: dspy.LM | None = None
) -> dict[str, list[str]]:
    """Let a language model write instructions for each predictor.

    Args:
        program: The program as it is.
        examples: Some of its examples; the inputs of the first three are shown to the model.
        each: How many to ask for, for each predictor.
        lm: Who is asked; by default the model that DSPy is configured with.

    Raises:
        ModelError: The model failed each time.
    """
    shown = "\n".join(str(dict(example.inputs().items())) for example in examples[:3])
    write = dspy.Predict(WriteInstruction)
    found: dict[str, list[str]] = {}
    failure: Exception | None = None
    with dspy.context(lm=lm or dspy.settings.lm):
        for name, predictor in predictors_of(program):
            current = str(predictor.signature.instructions)
            found[name] = []
            for number in range(each):
                try:
                    made = write(
                        current_instruction=current,
                        step_fields=str(predictor.signature.signature),
                        some_inputs=shown,
                        way=_WAYS[number % len(_WAYS)],
                        config={"temperature": 1.0, "rollout_id": number + 1},
                    )
                except Exception as error:  # each provider has errors of its own; the last one is told
                    failure = error
                    continue
                found[name].append(clean(str(made.new_instruction), parent=current))
    if failure is not None and not any(found.values()):
        raise ModelError(f"no instruction could be written: {failure}") from failure
    return found


def pool_of(
    program: dspy.Module,
    options: Mapping[str, Sequence[str]],
    most: int,
    *,
    origin: str,
    rng: np.random.Generator,
    model: str | None = None,
) -> list[Candidate]:
    """Combine instructions into candidates, each once; the program as it is does not count.

    Args:
        program: The program as it is.
        options: Further instructions for each predictor.
        most: How many candidates to make at most.
        origin: Where the instructions come from, for the report.
        rng: Draws the programs that differ in several predictors.
        model: Who wrote the instructions.
    """
    today = instructions_of(program)
    usable = {name: _distinct(options.get(name, ()), today[name]) for name in today}
    parent = candidate_of(today, Lineage("seed")).id
    found: dict[str, Candidate] = {}
    for instructions in _combined(today, usable, rng):
        if len(found) >= most:
            break
        lineage = Lineage(origin, parents=(parent,), model=model)
        candidate = candidate_of(instructions, lineage)
        found.setdefault(candidate.id, candidate)
    return list(found.values())


def _distinct(texts: Sequence[str], today: str) -> list[str]:
    seen, found = {likeness(today)}, list[str]()
    for text in texts:
        if text.strip() and likeness(text) not in seen:
            seen.add(likeness(text))
            found.append(text.strip())
    return found


def _combined(
    today: Mapping[str, str], options: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> Iterator[Mapping[str, str]]:
    """One predictor changed, in turn; then all drawn at random, until draws bring nothing new."""
    columns = [[(name, text) for text in texts] for name, texts in options.items()]
    for round_ in zip_longest(*columns):
        for change in round_:
            if change is not None:
                yield {**today, change[0]: change[1]}
    if sum(map(bool, columns)) < 2:
        return
    choices = {name: [today[name], *texts] for name, texts in options.items()}
    for _ in range(_DRAWS * sum(map(len, choices.values()))):
        yield {name: texts[int(rng.integers(len(texts)))] for name, texts in choices.items()}
