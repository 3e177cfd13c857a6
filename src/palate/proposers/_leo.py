"""LEO as a proposer: two pools of candidates, one to explore with and one to exploit, kept by the belief.

For ``n`` candidates one request shows the explore pool and asks for its share of them, different from all
that are shown, and one shows the exploit pool's leader and asks for its share close by, at the same time.
What cannot be read, or is not new, is asked for again. The pools are read off the belief
(:mod:`palate.proposers._leo_belief`) in place of a loss. With ``settings`` candidates are rows of numbers
(:mod:`palate.proposers._leo_settings`), else they are prompts (:mod:`palate.proposers._leo_text`). A loss
that can be computed is minimised with :class:`palate.proposers.LeoSearch`.

Source: Brahmachary et al., "Large language model-based evolutionary optimizer: Reasoning with elitism",
arXiv 2403.02054 (Neurocomputing 622, 2025). The paper has numbers and a measured loss only; prompts, and the
belief in place of the loss, are ours.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from palate.errors import BudgetError, ConfigError
from palate.proposers._clean import likeness
from palate.proposers._draw import ask, check_options, seed_of
from palate.proposers._leo_belief import ORIGIN, PARTS, BelievedPools, Part, believed_pools, shares
from palate.proposers._leo_rows import Box
from palate.proposers._leo_settings import SettingsForm
from palate.proposers._leo_text import TextForm
from palate.types import Candidate, Completion, Json, Known, Lineage, Model, canonical_json

__all__ = ["Leo"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Leo:
    """Makes prompts, or rows of settings, by exploring from a ranked pool and improving its leader.

    Args:
        model: Who is asked.
        settings: Bounds by name, ``{"temperature": [0, 2]}``, to propose ``parts["settings"]``; empty for
            prompts. Before any vote such candidates are drawn uniformly, without asking the model.
        integers: Names of the settings that are whole numbers.
        population: Most candidates of the explore pool that are shown.
        port: Best explore candidates that may take the lead in each round.
        evidence: Votes that a candidate needs before it may lead.
        jitter: Size of the noise in the settings that are shown, as a share of each range.
        temperature: Of a request, in [0, 2].
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Rounds of requests allowed.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    settings: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    integers: Sequence[str] = ()
    population: int = 10
    port: int = 1
    evidence: int = 1
    jitter: float = 1e-4
    temperature: float = 0.7
    max_tokens: int = 2048
    longest: int = 4000
    attempts: int = 4

    def __post_init__(self) -> None:
        check_options(
            population=self.population,
            evidence=self.evidence,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            longest=self.longest,
            attempts=self.attempts,
        )
        if not 0 <= self.port <= self.population:
            raise ConfigError(
                f"port is {self.port!r}; it lies between 0 and the population, {self.population}"
            )
        if not 0.0 <= self.jitter < 1.0:
            raise ConfigError(f"jitter is {self.jitter!r}; it is a share of a range, in [0, 1)")
        for name, bounds in self.settings.items():
            if len(bounds) != 2:
                raise ConfigError(f"settings.{name} is {bounds!r}; give its lower and its upper bound")
        if self.settings:
            self._box()
        if unknown := [name for name in self.integers if name not in self.settings]:
            raise ConfigError(f"integers names {unknown[0]!r}, which is not among the settings")

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        The generator advances by one number, whatever happens; attempt ``k`` depends on it and on ``k`` only.

        Raises:
            ConfigError: There is no prompt to start from.
            BudgetError: A call could have exceeded the budget.
        """
        base = int(rng.integers(2**31))
        form = self._settings_form() if self.settings else TextForm(self.longest)
        if isinstance(form, SettingsForm):
            known = replace(known, existing=[c for c in known.existing if form.fits(c)])
            if not any(candidate.id in known.standings for candidate in known.existing):
                return _sampled(form, n, known, np.random.default_rng(base))
        pools = believed_pools(known, population=self.population, port=self.port, evidence=self.evidence)
        if pools is None:
            raise ConfigError("leo needs a prompt to start from; set seed under [prompts]")
        made: list[Candidate] = []
        wanted = shares(n, known.existing)
        for attempt in range(self.attempts):
            missing: list[Part] = [part for part in PARTS if wanted[part] > _count(made, part)]
            if not missing:
                break
            calls = [self._call(form, part, pools, wanted[part], base, attempt) for part in missing]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            if not _usable_round(outcomes, made):
                break
            for part, outcome in zip(missing, outcomes, strict=True):
                if isinstance(outcome, list):
                    fresh = _new(outcome, [*known.existing, *made])
                    made += fresh[: wanted[part] - _count(made, part)]
        return made

    async def _call(
        self,
        form: TextForm | SettingsForm,
        part: Part,
        pools: BelievedPools,
        rows: int,
        base: int,
        attempt: int,
    ) -> list[Candidate]:
        which = 2 * attempt + (part == "exploit")
        rng = np.random.default_rng([base, which])
        text = (
            form.write(part, pools, rows, rng)
            if isinstance(form, SettingsForm)
            else form.write(part, pools, rows)
        )
        request = ask(
            text,
            self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            sample=base + which,
            rng=rng,
        )
        answer: Completion = await self.model.generate(request)
        read = form.read(part, pools, answer, rows)
        parents = pools.explore if part == "explore" else (pools.leader,)
        detail: dict[str, Json] = {
            "pool": part,
            "temperature": self.temperature,
            "attempt": attempt,
            "rows": rows,
            "malformed": read.count(None),
        }
        lineage = Lineage(ORIGIN, tuple(c.id for c in parents), self.model.name, detail)
        return [Candidate.make(row[0], parts=row[1], lineage=lineage) for row in read if row is not None]

    def _box(self) -> Box:
        low, high = zip(*((float(a), float(b)) for a, b in self.settings.values()), strict=True)
        return Box(low, high, tuple(self.settings))

    def _settings_form(self) -> SettingsForm:
        return SettingsForm(self._box(), tuple(self.integers), self.jitter)


def _sampled(form: SettingsForm, n: int, known: Known, rng: np.random.Generator) -> list[Candidate]:
    seed = seed_of(known.existing)
    lineage = Lineage(ORIGIN, () if seed is None else (seed.id,), detail={"pool": "start"})
    rows = [form.candidate(row_D, seed) for row_D in form.box.sample(n, rng)]
    return _new([Candidate.make(text, parts=parts, lineage=lineage) for text, parts in rows], known.existing)


def _usable_round(outcomes: Sequence[list[Candidate] | BaseException], made: Sequence[Candidate]) -> bool:
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for failure in failures:
        if isinstance(failure, BudgetError) or not isinstance(failure, Exception):
            raise failure
    if len(failures) < len(outcomes):
        return True
    if not made:
        raise failures[0]
    return False


def _count(made: Sequence[Candidate], part: Part) -> int:
    return sum(candidate.lineage.detail["pool"] == part for candidate in made)


def _new(candidates: Sequence[Candidate], existing: Sequence[Candidate]) -> list[Candidate]:
    known = {_identity(candidate) for candidate in existing}
    fresh: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        if _identity(candidate) not in known:
            fresh.setdefault(_identity(candidate), candidate)
    return list(fresh.values())


def _identity(candidate: Candidate) -> tuple[str, str]:
    # Settings are what they are, in whichever order the text names them.
    text = "" if "settings" in candidate.parts else likeness(candidate.text) or candidate.text
    return text, canonical_json(candidate.parts)
