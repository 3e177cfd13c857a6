"""The functions and the stand-in of the LEO benchmark, checked at what is known of them."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose

from palate.proposers import Box, LeoModular, LeoSearch, hypervolume

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it is being read.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


FUNCTIONS, STAND_IN = _load("_test_functions"), _load("_leo_stand_in")
PROBLEMS = FUNCTIONS.problems()


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_minimum_is_where_it_is_said_to_be(problem) -> None:
    assert problem.gap(np.array([problem.minimiser], dtype=float))[0] == pytest.approx(0.0, abs=1e-9)
    near_MD = np.array(problem.minimiser) + np.random.default_rng(0).normal(
        scale=0.01, size=(200, len(problem.low))
    )
    assert (problem.gap(near_MD) > 0).all()
    x_MD = np.random.default_rng(1).uniform(problem.low, problem.high, size=(20_000, len(problem.low)))
    assert (problem.gap(x_MD) > 0).all()


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("rosenbrock", (-1, 2), 100 * (2 - 1) ** 2 + 2**2),
        ("rosenbrock", (0, 0, 2), 1 + 400 + 1),
        ("rastrigin", (0.5, 0.5), 2 * 10 + 2 * (0.25 + 10)),
        ("rastrigin", (1, -2), 1 + 4),
        ("ackley", (1, 1), 20 - 20 * np.exp(-0.2)),  # whole numbers: the cosines are one
        ("beale", (0, 0), 1.5**2 + 2.25**2 + 2.625**2),
        ("beale", (1, 1), 1.5**2 + 2.25**2 + 2.625**2),
        ("himmelblau", (0, 0), 121 + 49),
        ("himmelblau", (-2.805118, 3.131312), 0.0),
        ("himmelblau", (-3.779310, -3.283186), 0.0),
        ("himmelblau", (3.584428, -1.848126), 0.0),
        ("goldstein_price", (0, 0), 600.0),  # (1 + 19) 30
        ("goldstein_price", (-0.6, -0.4), 30.0),  # a local minimum
    ],
)
def test_values_by_hand(name: str, point: tuple[float, ...], value: float) -> None:
    # The published minimisers have six decimals.
    assert getattr(FUNCTIONS, name)(np.array([point], dtype=float))[0] == pytest.approx(value, abs=1e-8)


def test_values_of_the_papers_table() -> None:
    # Rows of the explore prompt in table 7, which shows coordinates with a little noise.
    x_MD = np.array([[-0.018822, -0.692810], [0.886970, -1.846776], [-1.957878, 0.271882]])
    assert_allclose(FUNCTIONS.goldstein_price(x_MD), [74.271916, 3507.116813, 91001.711544], rtol=2e-2)


def test_the_two_losses() -> None:
    # g = 1 + 9 x2: at (0.25, 0) the front, 1 - sqrt(0.25); at (0.25, 1) g = 10.
    values_M2 = FUNCTIONS.zdt1(np.array([[0.25, 0.0], [0.25, 1.0]]))
    assert_allclose(values_M2, [[0.25, 0.5], [0.25, 10 * (1 - np.sqrt(0.025))]])


def test_the_whole_area_by_the_sum_of_a_fine_front() -> None:
    first_N = np.linspace(0, 1, 200_001)
    front_N2 = np.stack([first_N, 1 - np.sqrt(first_N)], axis=1)
    assert hypervolume(front_N2, FUNCTIONS.REFERENCE) == pytest.approx(FUNCTIONS.ZDT1_AREA, abs=2e-5)


def test_the_stand_in_writes_rows_that_can_be_read() -> None:
    for problem in (PROBLEMS[0], PROBLEMS[6]):
        search = LeoSearch(Box(problem.low, problem.high))
        run = asyncio.run(
            search.run(problem.gap, STAND_IN.stand_in(), rounds=3, rng=np.random.default_rng(0))
        )
        assert run.state.tally.rows == 60
        assert run.state.tally.fell_back == 0
        assert run.loss < run.loss_R[0]


def test_the_stand_in_knows_no_more_than_the_request() -> None:
    """A fresh stand-in answers the requests of a whole run as the one that took part in it did."""
    answers: list[str] = []

    class Heard:
        def __init__(self, model) -> None:
            self.model, self.capabilities = model, model.capabilities

        async def generate(self, request):
            answer = await self.model.generate(request)
            answers.append(answer.text)
            return answer

    model = STAND_IN.stand_in()
    search = LeoSearch(Box((0, 0), (1, 1)))
    run = search.run(lambda x_MD: x_MD.sum(axis=1), Heard(model), rounds=4, rng=np.random.default_rng(0))
    asyncio.run(run)
    fresh = STAND_IN.stand_in()
    again = [asyncio.run(fresh.generate(call.request)).text for call in reversed(model.calls)]
    assert again[::-1] == answers
    assert len(set(answers)) == 8


def test_pairs_are_answered_too() -> None:
    search = LeoModular(Box((0, 0), (1, 1)))
    run = search.run(FUNCTIONS.zdt1, STAND_IN.stand_in(), rounds=40, rng=np.random.default_rng(0))
    state = asyncio.run(run)
    assert state.tally.fell_back == 0
    assert state.x_ND[:, 1].max() < 0.02  # the front is where the second variable is zero
    assert 1 - hypervolume(state.loss_NK, FUNCTIONS.REFERENCE) / FUNCTIONS.ZDT1_AREA < 0.2
