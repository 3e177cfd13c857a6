import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from palate.errors import ConfigError
from palate.models import ScriptedModel
from palate.proposers import Combine
from palate.targets import InstructionTarget, SettingsTarget, SlotsTarget
from palate.testing import ProposerContract
from palate.types import Candidate, Example, Known

SLOTS = {"role": ["a", "b", "c"], "task": ["d", "e", "f"], "tone": ["g", "h"]}


def slots(given: Any = SLOTS) -> SlotsTarget:
    return SlotsTarget(ScriptedModel(["x"], repeat=True), given)


def settings(parameters: dict[str, Any]) -> SettingsTarget:
    return SettingsTarget(parameters, function=lambda values, text: text)


def propose(target: Any, n: int, existing: Sequence[Candidate] = (), **options: Any) -> list[Candidate]:
    known = Known(existing, options.pop("examples", ()))
    proposer = Combine(target, **options)
    return asyncio.run(proposer.propose(n, known=known, rng=np.random.default_rng(3)))


class TestContract(ProposerContract):
    @pytest.fixture
    def proposer(self) -> Combine:
        return Combine(slots())

    @pytest.fixture
    def stuck_proposer(self) -> Combine:
        """All but one of its combinations exist."""
        return Combine(slots({"role": ["a", "b"]}))

    @pytest.fixture
    def existing(self) -> list[Candidate]:
        return slots({"role": ["a", "b"]}).origin([])


def test_every_combination_comes_once_and_then_no_more() -> None:
    target = slots()
    existing = target.origin([])
    for _ in range(10):
        existing += propose(target, 4, existing)
    made = [tuple(c.parts["slots"].values()) for c in existing]  # type: ignore[union-attr]
    assert len(made) == len(set(made)) == 18
    assert set(made) == set(itertools.product("abc", "def", "gh"))


def test_few_combinations_are_spread_over_all_options() -> None:
    target = slots()
    existing = target.origin([])
    made = [*existing, *propose(target, 5, existing)]
    chosen = [c.parts["slots"] for c in made]
    for name, options in SLOTS.items():
        counts = Counter(choice[name] for choice in chosen)  # type: ignore[index]
        assert max(counts.values()) - min(counts[option] for option in options) <= 1
    first_three = [set(c.parts["slots"].values()) for c in made[:3]]  # type: ignore[union-attr]
    assert all(len(a & b) <= 1 for a, b in itertools.combinations(first_three, 2))


def test_numbers_fill_the_cube_better_than_chance() -> None:
    target = settings({"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}})
    existing: list[Candidate] = []
    for _ in range(8):  # as a study asks: a few at a time
        existing += propose(target, 4, existing)
    point_ND = np.array([list(c.parts["settings"].values()) for c in existing])  # type: ignore[union-attr]
    assert len(point_ND) == 32
    random = [qmc.discrepancy(np.random.default_rng(s).random((32, 2))) for s in range(40)]
    assert qmc.discrepancy(point_ND) < np.quantile(random, 0.1)


def test_a_range_of_whole_numbers_runs_out() -> None:
    target = settings({"n": {"low": 1, "high": 5, "integer": True}, "mode": ["a", "b"]})
    made = propose(target, 50)
    assert {(c.parts["settings"]["n"], c.parts["settings"]["mode"]) for c in made} == set(  # type: ignore[index, call-overload]
        itertools.product(range(1, 6), "ab")
    )
    assert propose(target, 5, made) == []
    many = settings({"n": {"low": 1, "high": 100, "integer": True}})
    assert len(propose(many, 500)) == 100


def test_demonstrations_are_drawn_for_each() -> None:
    examples = [Example(f"in {n}", f"out {n}") for n in range(9)]
    made = propose(slots(), 4, examples=examples, demonstrations=2)
    shown = [c.parts["demonstrations"] for c in made]
    assert all(len(shots) == 2 for shots in shown)  # type: ignore[arg-type]
    assert len({str(shots) for shots in shown}) > 1
    again = propose(slots(), 18, existing=made, examples=examples, demonstrations=2)
    assert len(again) == 14  # other examples do not make it another combination


def test_a_candidate_that_is_no_combination_does_not_matter() -> None:
    assert len(propose(slots(), 18, [Candidate.make("By hand.")])) == 18


def test_a_target_without_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="kind = 'slots' or 'settings'"):
        Combine(InstructionTarget(ScriptedModel(["x"])))
