"""Worked examples that travel with a candidate, under ``parts["demonstrations"]``.

As JSON they are a list of objects with the texts ``input`` and ``output``. The target checks them when it
plugs them in, because they may come from a file that somebody edited.
"""

from collections.abc import Mapping, Sequence

from palate.errors import InputError
from palate.types import Candidate, Example, Json

__all__ = ["as_text", "demonstrations_of"]

_PART = "demonstrations"


def demonstrations_of(candidate: Candidate) -> tuple[Example, ...]:
    """Read the demonstrations of a candidate.

    Raises:
        InputError: A part is not known to instruction targets, or the demonstrations are malformed.
    """
    for part in candidate.parts:
        if part != _PART:
            raise InputError(
                f"candidate {candidate.id} has a part {part!r} that an instruction target cannot plug in; "
                f"it knows {_PART!r}"
            )
    listed = candidate.parts.get(_PART, ())
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise InputError(f"the demonstrations of candidate {candidate.id} are {listed!r}; give a list")
    return tuple(_example(candidate, entry) for entry in listed)


def _example(candidate: Candidate, entry: Json) -> Example:
    if isinstance(entry, Mapping):
        given, wanted = entry.get("input"), entry.get("output")
        if isinstance(given, str) and isinstance(wanted, str):
            return Example(given, wanted)
    raise InputError(
        f"a demonstration of candidate {candidate.id} is {entry!r}; "
        'each is an object {"input": "text", "output": "text"}'
    )


def as_text(demonstrations: Sequence[Example]) -> str:
    """Write demonstrations as ``Input: …`` and ``Output: …`` lines, with an empty line between two."""
    return "\n\n".join(f"Input: {example.input}\nOutput: {example.output}" for example in demonstrations)
