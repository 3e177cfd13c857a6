"""LEO on settings: candidates whose ``parts["settings"]`` hold numbers, for any judge.

The rows that are shown and read are those of the numeric search; the loss that is shown is the probability of
losing to the seed. A row that falls back to the pool is no new candidate, so it is only counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from palate.proposers._leo_belief import BelievedPools, Part
from palate.proposers._leo_prompts import exploit_prompt, explore_prompt
from palate.proposers._leo_rows import Box, read_rows
from palate.types import Array, Candidate, Completion, Json

__all__ = ["SettingsForm", "settings_of"]


@final
@dataclass(frozen=True, slots=True)
class SettingsForm:
    """Asks for rows of settings and reads them.

    Args:
        box: Names and bounds of the settings that change.
        integers: Those that are rounded to whole numbers.
        jitter: Size of the noise in the rows that are shown, as a share of each range.
    """

    box: Box
    integers: tuple[str, ...]
    jitter: float

    def write(self, part: Part, pools: BelievedPools, rows: int, rng: np.random.Generator) -> str:
        """Word the request of one pool."""
        if part == "exploit":
            row_1D = self.box.jittered(self._rows(pools.leader), self.jitter, rng)
            return exploit_prompt(self.box, row_1D[0], float(str(pools.leader_loss)), rows)
        row_ND = self.box.jittered(self._rows(*pools.explore), self.jitter, rng)
        return explore_prompt(self.box, row_ND, np.array(pools.loss_N), rows)

    def read(
        self, part: Part, pools: BelievedPools, answer: Completion, rows: int
    ) -> list[tuple[str, dict[str, Json]] | None]:
        """Texts and parts of the settings in an answer, ``None`` for each malformed row."""
        parent = pools.leader if part == "exploit" else pools.explore[0]
        found = read_rows(answer.text, len(self.box.names))[:rows]
        made = [
            None if row is None else self.candidate(self.box.clip(np.array(row)), parent) for row in found
        ]
        return [*made, *[None] * (rows - len(made))]

    def candidate(self, row_D: Array, parent: Candidate | None) -> tuple[str, dict[str, Json]]:
        """Text and parts of one row; everything else in the settings is the parent's."""
        kept = {} if parent is None else dict(settings_of(parent))
        bounds = zip(self.box.low, self.box.high, strict=True)
        for name, value, (low, high) in zip(self.box.names, row_D.tolist(), bounds, strict=True):
            # Six digits may lie a hair outside of bounds that have more.
            held = min(max(float(f"{value:.6g}"), low), high)
            kept[name] = round(held) if name in self.integers else held
        parts = {} if parent is None else dict(parent.parts)
        return ", ".join(f"{name} = {value}" for name, value in kept.items()), {**parts, "settings": kept}

    def fits(self, candidate: Candidate) -> bool:
        """Whether a candidate has a number for every setting."""
        found = settings_of(candidate)
        return all(
            isinstance(found.get(name), int | float) and not isinstance(found[name], bool)
            for name in self.box.names
        )

    def _rows(self, *candidates: Candidate) -> Array:
        found = [settings_of(candidate) for candidate in candidates]
        return np.array([[float(str(row[name])) for name in self.box.names] for row in found])


def settings_of(candidate: Candidate) -> Mapping[str, Json]:
    """What stands in ``parts["settings"]``, or nothing."""
    found = candidate.parts.get("settings")
    return found if isinstance(found, Mapping) else {}
