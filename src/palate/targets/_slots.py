"""A prompt made of named parts (role, task, style, format, examples …), each with several options.

A candidate says which option stands in each slot: ``parts["slots"]``. Its text is the prompt that this makes,
and that prompt goes to the model exactly as one that was written by hand would.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, final

from palate.errors import ConfigError, InputError, PalateError, nearest
from palate.targets._ask import one_line
from palate.targets._instruction import InstructionTarget
from palate.targets._space import Space, read_options
from palate.targets._template import literal_fill, placeholders
from palate.types import Array, Candidate, Input, Json, Lineage, Model, Request, Response

__all__ = ["SlotsTarget"]

_TAKEN = frozenset({"prompt", "input", "demonstrations"})
_GAP = re.compile(r"\n{3,}")


@final
class SlotsTarget:
    """A chat model whose instruction is put together from slots.

    Args:
        model: Who answers.
        slots: Options by the name of the slot, at least two each; an empty text leaves the slot out.
        layout: How the prompt is put together, with ``{{name}}`` for each slot; by default the slots in their
            order, with an empty line between two. Empty lines that an empty option leaves are closed up.
        placement: As for :class:`palate.targets.InstructionTarget`, like the options that follow.
        template: Shape of the user message.
        temperature: 0 is greedy.
        max_tokens: Upper bound on the tokens of an answer.
        seed: Passed on to models that can be seeded.

    Raises:
        ConfigError: A slot has fewer than two options or a name that is taken, or the layout names something
            that is no slot or leaves one out.
    """

    usual_proposers: ClassVar[tuple[str, ...]] = ("combine",)

    def __init__(
        self,
        model: Model,
        slots: Mapping[str, Sequence[str]],
        layout: str | None = None,
        placement: Literal["system", "template"] = "system",
        template: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 256,
        seed: int | None = None,
    ) -> None:
        self._space = _read_slots(slots)
        self._layout = "\n\n".join(f"{{{{{name}}}}}" for name in slots) if layout is None else layout
        _check_layout(self._layout, slots, placement)
        self._instruction = InstructionTarget(
            model, placement, template, temperature=temperature, max_tokens=max_tokens, seed=seed
        )

    def __repr__(self) -> str:
        slots = dict(self._space.dimensions)
        return f"SlotsTarget({slots!r}, layout={self._layout!r}, instruction={self._instruction!r})"

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """How many options each slot has."""
        return self._space.sizes

    def at(self, point_D: Sequence[float]) -> Candidate:
        """The combination at a point of the unit cube, of origin ``combine``; see :meth:`combination`."""
        return self.combination(self._space.at(point_D), Lineage("combine"))

    def combination(
        self,
        slots: Mapping[str, Json],
        lineage: Lineage | None = None,
        *,
        demonstrations: Json = None,
    ) -> Candidate:
        """Make the candidate with these options.

        Args:
            slots: An option for each slot.
            lineage: Where it comes from.
            demonstrations: Worked examples that the candidate carries, as JSON.

        Raises:
            InputError: A slot is missing or unknown, or has no such option.
        """
        parts: dict[str, Json] = {"slots": dict(slots)}
        if demonstrations is not None:
            parts["demonstrations"] = demonstrations
        return Candidate.make(self._prompt(slots), parts=parts, lineage=lineage)

    def origin(self, inputs: Sequence[Input]) -> list[Candidate]:
        """The first option of each slot: the prompt that others are measured against."""
        del inputs
        return [self.combination(self._space.first(), Lineage("seed"))]

    def features(self, candidate: Candidate) -> Array:
        """One column an option of each slot, as :class:`palate.types.Encodes` has it."""
        return self._space.features(_chosen(candidate))

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse a candidate that is no combination of the options; see :class:`palate.types.Target`."""
        known = {*self._space.dimensions, "input", *fields}
        for name in placeholders(self._layout):
            if name not in known:
                raise ConfigError(
                    f"the layout names {{{{{name}}}}}, which is no slot; {nearest(name, known)}"
                )
        self._instruction.check(self._plain(candidate), fields)

    def request(self, candidate: Candidate, input: Input) -> Request:
        """Write the request that the model gets; pure.

        Raises:
            ConfigError: As :meth:`palate.targets.InstructionTarget.check`.
            InputError: The candidate is no combination of the options.
        """
        return self._instruction.request(self._plain(candidate), input)

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Ask the model; see :meth:`palate.targets.InstructionTarget.respond`."""
        try:
            plain = self._plain(candidate)
        except PalateError as error:
            return Response("text", "", failed=one_line(error))
        return await self._instruction.respond(plain, input)

    def features_text(self, candidate: Candidate) -> str:
        """The prompt, then its demonstrations."""
        return self._instruction.features_text(_without_slots(candidate))

    def _plain(self, candidate: Candidate) -> Candidate:
        """The candidate as an instruction, once it is known to be a combination of the options."""
        if candidate.text != self._prompt(_chosen(candidate)):
            raise InputError(
                f"the text of candidate {candidate.id} is not what its slots make; make it with combination()"
            )
        return _without_slots(candidate)

    def _prompt(self, slots: Mapping[str, Json]) -> str:
        self._space.check(slots)
        values = {name: str(option) for name, option in slots.items()}
        others = {name: f"{{{{{name}}}}}" for name in placeholders(self._layout) if name not in values}
        return _GAP.sub("\n\n", literal_fill(self._layout, {**others, **values})).strip()


def _read_slots(slots: Mapping[str, Sequence[str]]) -> Space:
    # What a study file holds is the user's word, whatever the annotation says.
    given: Any = slots
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(
            f'slots is {given!r}; give a table of options by name, such as role = ["You are a …", "…"]'
        )
    for name, options in given.items():
        if name in _TAKEN or placeholders(f"{{{{{name}}}}}") != (name,):
            raise ConfigError(
                f"a slot cannot be called {name!r}; use letters, digits, spaces, dots and hyphens, and none "
                f"of {', '.join(sorted(_TAKEN))}"
            )
        for option in read_options(name, options, "slot").values:
            if not isinstance(option, str):
                raise ConfigError(f"an option of the slot {name!r} is {option!r}; give a text")
    return Space({name: read_options(name, options, "slot") for name, options in given.items()}, "slot")


def _check_layout(layout: str, slots: Collection[str], placement: str) -> None:
    named = placeholders(layout)
    for name in slots:
        if name not in named:
            raise ConfigError(
                f"the layout has no {{{{{name}}}}}, so that slot would make no difference; add it, or take "
                "the slot out"
            )
    for name in named:
        if name not in slots and placement == "system":
            raise ConfigError(f"the layout names {{{{{name}}}}}, which is no slot; {nearest(name, slots)}")


def _chosen(candidate: Candidate) -> Mapping[str, Json]:
    slots = candidate.parts.get("slots")
    if not isinstance(slots, Mapping):
        raise InputError(
            f'candidate {candidate.id} has no slots; its parts hold them, as {{"slots": {{name: option}}}}'
        )
    return slots


def _without_slots(candidate: Candidate) -> Candidate:
    kept = {name: part for name, part in candidate.parts.items() if name != "slots"}
    return Candidate(candidate.id, candidate.text, kept, candidate.lineage)
