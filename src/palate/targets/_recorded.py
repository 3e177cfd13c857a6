"""Answers that are there already: which of several systems answers better, whatever they were made with.

Each input brings the answers in columns of its own, one a system, and the systems are the candidates. Nothing
is run when a person looks at one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from palate.errors import ConfigError, InputError, nearest
from palate.types import Array, Candidate, Input, Lineage, Response

__all__ = ["RecordedTarget"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class RecordedTarget:
    """Systems whose answers stand in columns of the inputs.

    Args:
        columns: Names of the columns, two or more. The first is what the others are measured against.

    Raises:
        ConfigError: There are fewer than two, or one stands there twice.
    """

    columns: Sequence[str]

    usual_proposers: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        names = [self.columns] if isinstance(self.columns, str) else list(self.columns)
        if len(names) < 2 or len(set(names)) < len(names):
            raise ConfigError(f"columns is {self.columns!r}; name two or more different columns")

    def origin(self, inputs: Sequence[Input]) -> list[Candidate]:
        """The systems; see :class:`palate.types.Originates`.

        Raises:
            ConfigError: No input has such a column.
        """
        known = {name for item in inputs for name in item.fields}
        for name in self.columns if inputs else ():
            if name not in known:
                raise ConfigError(f"no input has the column {name!r}; {nearest(name, known)}")
        return [
            Candidate.make(name, parts={"column": name}, lineage=Lineage("user" if place else "seed"))
            for place, name in enumerate(self.columns)
        ]

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """The answer that stands in the candidate's column."""
        text = input.fields.get(str(candidate.parts.get("column")), "")
        if not text.strip():
            return Response("text", "", failed=f"input {input.id} has no answer of {candidate.text!r}")
        return Response("text", text)

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse what is none of the systems; see :class:`palate.types.Target`."""
        if candidate.parts.get("column") not in self.columns:
            raise InputError(f"{candidate.text!r} is no column of {', '.join(map(repr, self.columns))}")

    def features_text(self, candidate: Candidate) -> str:
        """The system's name."""
        return candidate.text

    def features(self, candidate: Candidate) -> Array:
        """One column a system: nothing about one tells anything about another."""
        one_D = np.zeros(len(self.columns))
        one_D[list(self.columns).index(str(candidate.parts["column"]))] = 1.0
        return one_D
