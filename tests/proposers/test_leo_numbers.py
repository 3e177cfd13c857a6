import asyncio
import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from palate.errors import ConfigError, InputError, ModelError
from palate.models import ScriptedModel
from palate.proposers import Box, LeoModular, LeoSearch, LeoState, hypervolume, nondominated
from palate.proposers._leo_modular import _survivors, crowding, fronts
from palate.proposers._leo_pools import Pool, Pools, advance, make_pool
from palate.proposers._leo_prompts import exploit_prompt, explore_prompt
from palate.proposers._leo_rows import Tally, read_rows
from palate.types import Completion, Request

UNIT = Box((0, 0), (1, 1))


def _sphere(x_MD):
    return (x_MD**2).sum(axis=1)


def _line(losses: list[float]) -> Pool:
    """Points on a line that carry their loss as their coordinate, so that they can be told apart."""
    return make_pool(np.array(losses)[:, None], np.array(losses))


def _seen(request: Request) -> str:
    return request.messages[-1].content


# Rows


@pytest.mark.parametrize(
    ("answer", "columns", "rows"),
    [
        ("0.5,1.5\n-2, 3e-1", 2, [(0.5, 1.5), (-2.0, 0.3)]),
        ("0.5, 1.5; 2.5, 3.5", 2, [(0.5, 1.5), (2.5, 3.5)]),
        ("```csv\nvar1, var2\n0.5, 1.5\n```", 2, [(0.5, 1.5)]),
        ("Here are the 10 rows:\n0.5, 1.5", 2, [(0.5, 1.5)]),
        ("1. 0.5, 1.5\n2) 2.5, 3.5\n- 4.5, 5.5", 2, [(0.5, 1.5), (2.5, 3.5), (4.5, 5.5)]),
        ("[0.5, 1.5],\n(2.5, 3.5)", 2, [(0.5, 1.5), (2.5, 3.5)]),
        ("[[0.5, 1.5], [2.5, 3.5]]", 2, [(0.5, 1.5), (2.5, 3.5)]),
        ("[(0.5), (1.5)]", 2, [None, None]),
        ("-.5, +5.", 2, [(-0.5, 5.0)]),
        ("0.5, 1.5, 74.2", 2, [None]),  # a loss at the end
        ("1, 0.5, 1.5", 2, [None]),  # a row number as a column
        ("0.5", 2, [None]),
        ("0.5, 1.5x\n0.5, 1.5", 2, [None, (0.5, 1.5)]),
        ("0.5, 1e999", 2, [None]),
        ("Row 1: 0.5, 1.5", 2, [None]),
        ("0.5 1.5", 2, [None]),
        ("-1.25", 1, [(-1.25,)]),
        ("2. 3", 1, [(3.0,)]),
        ("nothing to read", 2, []),
        ("", 2, []),
    ],
)
def test_rows_are_read(answer: str, columns: int, rows: list[tuple[float, ...] | None]) -> None:
    assert read_rows(answer, columns) == rows


def test_what_cannot_be_read_falls_back_to_the_pool_and_is_counted() -> None:
    pool_ND = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.4, 0.4]])
    # The first row is good, the second malformed, the third outside, the fourth missing.
    made = UNIT.offspring(read_rows("0.5, 0.6\n0.7\n2, -1", 2), pool_ND)
    assert_array_equal(made.x_ND, [[0.5, 0.6], [0.2, 0.2], [1.0, 0.0], [0.4, 0.4]])
    assert_array_equal(made.fell_back_N, [False, True, False, True])
    assert made.tally == Tally(calls=1, rows=4, fell_back=2, clipped=1)


def test_rows_beyond_the_pool_are_passed_over() -> None:
    made = UNIT.offspring(read_rows("0.5, 0.6\n0.7, 0.8", 2), np.array([[0.1, 0.1]]))
    assert_array_equal(made.x_ND, [[0.5, 0.6]])
    assert made.tally == Tally(1, 1, 0, 0)


def test_fine_ranges_are_written_finely() -> None:
    assert Box((0, 0), (1, 5)).write([0.5, 1 / 3]) == "0.500000, 0.333333"
    rate = Box((0.0, 1e-5), (1.0, 1e-3))  # a range of 0.00099 is resolved to a millionth of it
    assert rate.write([0.5, 0.000123456]) == "0.500000, 0.000123456"


def test_noise_stays_small_and_inside() -> None:
    rng = np.random.default_rng(0)
    x_ND = np.tile([[0.0, 5.0]], (500, 1))
    shown_ND = Box((0, 0), (1, 10)).jittered(x_ND, 1e-2, rng)
    assert shown_ND[:, 0].min() == 0.0
    assert 0.009 < shown_ND[:, 0].max() <= 0.01
    assert 4.9 <= shown_ND[:, 1].min() < 4.91
    assert 5.09 < shown_ND[:, 1].max() <= 5.1


@pytest.mark.parametrize(
    ("low", "high", "names"),
    [((), (), ()), ((0, 0), (1,), ()), ((1,), (1,), ()), ((0,), (np.inf,), ()), ((0, 0), (1, 1), ("a", "a"))],
)
def test_a_box_is_checked(low, high, names) -> None:
    with pytest.raises(ConfigError):
        Box(low, high, names)


# Pools


def test_a_round_by_hand() -> None:
    # Population 3, one to port. Explore holds 1 5 9 and gets 2 4 8; exploit holds 3 6 7 and gets 5.5 10 11.
    pools = Pools(_line([9, 1, 5]), _line([6, 3, 7]))
    after = advance(pools, _line([8, 2, 4]), _line([10, 5.5, 11]), port=1)
    # explore: 1 2 4 | 5 8 9. exploit: 3 5.5 6 7 10 11, the 11 becomes the 1: 1 3 5.5 | 6 7 10.
    assert_array_equal(after.explore.loss_N, [1, 2, 4])
    assert_array_equal(after.exploit.loss_N, [1, 3, 5.5])
    assert_array_equal(after.exploit.x_ND[:, 0], after.exploit.loss_N)


def test_a_point_ported_again_stands_twice() -> None:
    pools = Pools(_line([1, 5, 9]), _line([1, 3, 5.5]))
    after = advance(pools, _line([10, 11, 12]), _line([2, 13, 14]), port=1)
    assert_array_equal(after.exploit.loss_N, [1, 1, 2])


@pytest.mark.parametrize(("port", "wanted"), [(0, [3, 6, 7]), (2, [1, 2, 3]), (3, [1, 2, 3])])
def test_porting_none_and_many(port: int, wanted: list[float]) -> None:
    # exploit: 3 6 7 20 21 22; with three ported 3 6 7 1 2 4, of which 1 2 3 stay.
    pools = Pools(_line([1, 2, 4]), _line([3, 6, 7]))
    after = advance(pools, _line([30, 31, 32]), _line([20, 21, 22]), port=port)
    assert_array_equal(after.exploit.loss_N, wanted)


def test_of_equals_the_older_stays() -> None:
    old, new = Pool(np.array([[0.0]]), np.array([1.0])), Pool(np.array([[9.0]]), np.array([1.0]))
    after = advance(Pools(old, old), new, new, port=0)
    assert after.explore.x_ND == after.exploit.x_ND == [[0.0]]


def test_against_the_listing_of_the_paper() -> None:
    """Algorithm 1 line by line on lists, with the truncation of section 2.2."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        size = int(rng.integers(2, 7))
        port = int(rng.integers(0, size + 1))
        first, explored, exploited = (list(rng.normal(size=size)) for _ in range(3))
        explore, exploit = first + explored, first + exploited
        top = sorted(explore)[:port]
        exploit = sorted(exploit)
        if port:
            exploit[-port:] = top
        after = advance(Pools(_line(first), _line(first)), _line(explored), _line(exploited), port=port)
        assert_array_equal(after.exploit.loss_N, sorted(exploit)[:size])
        assert_array_equal(after.explore.loss_N, sorted(explore)[:size])


# Prompts


def test_explore_shows_the_pool_and_exploit_the_best() -> None:
    box = Box((-2, -2), (2, 2))
    x_ND, loss_N = np.array([[0.5, -1.25], [1.0, 1.5]]), np.array([74.271916, 3430.5])
    explore = explore_prompt(box, x_ND, loss_N, 7)
    assert "var1, var2, loss\n0.500000, -1.250000, 74.271916\n1.000000, 1.500000, 3430.500000\n" in explore
    assert "exactly 7 new sets" in explore
    assert "7 rows and 2 columns" in explore
    assert "between -2 and 2" not in explore  # the model is to think of limits itself
    exploit = exploit_prompt(box, x_ND[0], 74.271916, 7)
    assert "0.500000, -1.250000, 74.271916\n" in exploit
    assert "3430" not in exploit
    assert "every variable lies between -2 and 2" in exploit


def test_each_variable_has_bounds_of_its_own() -> None:
    box = Box((0, -1), (2, 40), ("heat", "top"))
    assert "heat lies between 0 and 2, top lies between -1 and 40" in exploit_prompt(
        box, np.array([1.0, 5.0]), 0.5, 3
    )


def test_without_context_nothing_is_shown() -> None:
    x_ND, loss_N = np.array([[0.123456, 0.654321]]), np.array([7.777777])
    for text in (
        explore_prompt(UNIT, x_ND, loss_N, 5, context=False),
        exploit_prompt(UNIT, x_ND[0], 7.777777, 5, context=False),
    ):
        assert "0.123456" not in text
        assert "7.777777" not in text
        assert "exactly 5" in text


# The search


def _run(model: ScriptedModel, *, rounds: int = 3, seed: int = 0, loss=_sphere, **options):
    search = LeoSearch(UNIT, **{"population": 4, **options})
    return asyncio.run(search.run(loss, model, rounds=rounds, rng=np.random.default_rng(seed)))


def _reads_and_moves(request: Request) -> str:
    """Halves every row that it is shown: on a sphere about zero, half-way to the minimum."""
    table = _seen(request).split("loss\n", 1)[1].splitlines()
    rows = [line.split(", ")[:2] for line in table if line.count(", ") == 2 and line[0] in "0123456789"]
    return "\n".join(", ".join(f"{float(value) / 2:.6f}" for value in row) for row in (rows * 4)[:4])


def test_the_budget_is_the_published_one() -> None:
    seen: list[int] = []

    def loss(x_MD):
        seen.append(len(x_MD))
        return _sphere(x_MD)

    model = ScriptedModel(_reads_and_moves)
    run = _run(model, rounds=30, population=10, loss=loss)
    assert sum(seen) == run.state.evaluations == 610
    assert len(model.calls) == run.state.tally.calls == 60
    assert model.most_active == 2
    assert len(run.loss_R) == 31


def test_the_best_is_never_lost() -> None:
    wild = np.random.default_rng(3)
    model = ScriptedModel(lambda _: "\n".join(f"{a}, {b}" for a, b in wild.random((4, 2))))
    run = _run(model, rounds=20)
    assert (np.diff(run.loss_R) <= 0).all()
    assert run.loss == run.loss_R[-1] == _sphere(run.x_D[None])[0] == run.state.pools.exploit.loss_N[0]


def test_a_model_that_moves_towards_the_minimum_arrives() -> None:
    # Ten halvings take the norm from at most sqrt(2) to sqrt(2) / 1024, give or take the noise.
    run = _run(ScriptedModel(_reads_and_moves), rounds=10)
    assert run.loss < 1e-5
    assert run.state.tally.fell_back == 0


def test_a_model_that_cannot_write_rows_changes_nothing() -> None:
    run = _run(ScriptedModel("I would suggest smaller values."), rounds=5)
    assert run.loss == run.loss_R[0]
    assert run.state.tally == Tally(calls=10, rows=40, fell_back=40, clipped=0)


def test_the_two_answers_go_to_their_own_pools() -> None:
    def answer(request: Request) -> str:
        return "0.5, 0.5\n" * 4 if "far away" in _seen(request) else "0.1, 0.1\n" * 4

    search = LeoSearch(UNIT, population=4, port=0)
    rng = np.random.default_rng(0)
    first_ND = np.full((4, 2), 0.9)

    async def once() -> LeoState:
        state = search.start(first_ND, _sphere(first_ND))
        asked = await search.ask(state, ScriptedModel(answer), rng)
        assert_array_equal(asked.x_MD, [[0.5, 0.5]] * 4 + [[0.1, 0.1]] * 4)
        return search.tell(state, asked, _sphere(asked.x_MD))

    state = asyncio.run(once())
    assert_array_equal(state.pools.explore.x_ND, [[0.5, 0.5]] * 4)
    assert_array_equal(state.pools.exploit.x_ND, [[0.1, 0.1]] * 4)
    assert_allclose(state.loss, 0.02)


def test_points_are_shown_with_noise_and_losses_as_they_are() -> None:
    model = ScriptedModel("0.5, 0.5", repeat=True)
    run = _run(model, rounds=1, jitter=1e-3, loss=lambda x_MD: np.full(len(x_MD), 0.125))
    start_ND = UNIT.sample(4, np.random.default_rng(0))
    text = next(_seen(call.request) for call in model.calls if "far away" in _seen(call.request))
    shown_N3 = np.array(
        [line.split(", ") for line in text.split("loss\n", 1)[1].splitlines()[:4]], dtype=float
    )
    assert_array_equal(shown_N3[:, 2], 0.125)
    off_ND = np.abs(shown_N3[:, :2] - start_ND)
    assert 0 < off_ND.max() <= 1e-3 + 1e-6
    assert_array_equal(run.state.pools.explore.x_ND, start_ND)  # the points themselves do not move


def test_the_same_generator_makes_the_same_run() -> None:
    once, again, other = (_run(ScriptedModel(_reads_and_moves), seed=seed) for seed in (5, 5, 6))
    assert_array_equal(once.loss_R, again.loss_R)
    assert once.loss != other.loss


def test_every_request_differs() -> None:
    model = ScriptedModel("no rows", repeat=True)
    _run(model, rounds=5)
    requests = [call.request for call in model.calls]
    assert len({request.sample for request in requests}) == 10
    assert {request.temperature for request in requests} == {0.7}


def test_losses_may_be_awaited() -> None:
    async def loss(x_MD):
        await asyncio.sleep(0)
        return _sphere(x_MD)

    assert _run(ScriptedModel(_reads_and_moves), loss=loss).loss == _run(ScriptedModel(_reads_and_moves)).loss


def test_a_point_that_cannot_be_evaluated_is_infinitely_bad() -> None:
    def loss(x_MD):
        return np.where(x_MD[:, 0] > 0.5, np.inf, _sphere(x_MD))

    run = _run(ScriptedModel(_reads_and_moves), loss=loss, rounds=5)
    assert np.isfinite(run.state.pools.exploit.loss_N).all()


def test_a_model_out_of_reach_is_an_error() -> None:
    with pytest.raises(ModelError):
        _run(ScriptedModel([ModelError("no such host")], repeat=True))


def test_a_refusal_falls_back() -> None:
    run = _run(ScriptedModel([Completion("", "m", finish="refused")], repeat=True), rounds=1)
    assert run.state.tally.fell_back == 8


@pytest.mark.parametrize(
    "options",
    [{"population": 0}, {"port": 5}, {"port": -1}, {"jitter": 1.0}, {"temperature": 2.5}, {"max_tokens": 0}],
)
def test_options_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LeoSearch(UNIT, **{"population": 4, **options})


@pytest.mark.parametrize(
    ("x_ND", "loss_N"),
    [
        (np.zeros((3, 2)), np.zeros(3)),
        (np.zeros((4, 3)), np.zeros(4)),
        (np.full((4, 2), 1.5), np.zeros(4)),
        (np.full((4, 2), np.nan), np.zeros(4)),
        (np.zeros((4, 2)), np.zeros(3)),
        (np.zeros((4, 2)), np.array([0, 1, 2, np.nan])),
    ],
)
def test_a_start_is_checked(x_ND, loss_N) -> None:
    with pytest.raises(InputError):
        LeoSearch(UNIT, population=4).start(x_ND, loss_N)


def test_losses_are_counted() -> None:
    with pytest.raises(InputError, match="8 points"):
        _run(ScriptedModel("0.5, 0.5", repeat=True), loss=lambda x_MD: np.zeros(4))


# Several losses


def test_dominance_by_hand() -> None:
    # 0 and 1 trade off; 2 is worse than 0 in one and equal in the other; 3 equals 1; 4 is worst of all.
    loss_NK = np.array([[1.0, 4.0], [3.0, 2.0], [1.0, 5.0], [3.0, 2.0], [9.0, 9.0]])
    assert_array_equal(nondominated(loss_NK), [True, True, False, True, False])
    assert_array_equal(fronts(loss_NK), [0, 0, 1, 0, 2])


def test_crowding_by_hand() -> None:
    # First losses 0 1 3 4 (range 4), second 8 4 2 0 (range 8). Inner points: 3/4 + 6/8 and 3/4 + 4/8.
    loss_NK = np.array([[1.0, 4.0], [0.0, 8.0], [4.0, 0.0], [3.0, 2.0]])
    assert_allclose(crowding(loss_NK), [1.5, np.inf, np.inf, 1.25])


def test_survivors_by_hand() -> None:
    # The front (0 8)(1 4)(3 2)(4 0) is one too many for three: (3 2), the most crowded, goes.
    loss_MK = np.array([[9.0, 9.0], [1.0, 4.0], [0.0, 8.0], [4.0, 0.0], [3.0, 2.0]])
    assert set(_survivors(loss_MK, 3).tolist()) == {1, 2, 3}
    assert set(_survivors(loss_MK, 4).tolist()) == {1, 2, 3, 4}


def test_fronts_against_pairwise_comparison() -> None:
    rng = np.random.default_rng(2)
    loss_NK = rng.integers(0, 5, size=(40, 3)).astype(float)

    def dominates(a, b):
        return all(a <= b) and any(a < b)

    left, number, slow_N = set(range(40)), 0, np.zeros(40)
    while left:
        best = {i for i in left if not any(dominates(loss_NK[j], loss_NK[i]) for j in left)}
        for i in best:
            slow_N[i] = number
        left, number = left - best, number + 1
    assert_array_equal(fronts(loss_NK), slow_N)


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([[0.0, 0.0]], 1.0),
        ([[0.5, 0.25]], 0.375),
        ([[0.25, 0.5], [0.5, 0.25]], 0.5 * 0.25 + 0.75 * 0.5),
        ([[0.25, 0.5], [0.25, 0.75], [0.5, 0.5]], 0.375),
        ([[0.5, 0.5], [2.0, -1.0]], 0.25),  # beyond the reference nothing counts
        ([[2.0, 2.0]], 0.0),
    ],
)
def test_areas_by_hand(points: list[list[float]], area: float) -> None:
    assert hypervolume(np.array(points), (1.0, 1.0)) == pytest.approx(area)


def test_areas_against_simulation() -> None:
    rng = np.random.default_rng(4)
    points_N2 = rng.random((12, 2))
    drawn = rng.random((200_000, 2))
    hit = (points_N2[None] <= drawn[:, None]).all(axis=2).any(axis=1).mean()
    # Four standard errors of a share of 200,000 draws are below 0.0045.
    assert hypervolume(points_N2, (1.0, 1.0)) == pytest.approx(hit, abs=0.0045)


def _two(x_MD):
    return np.stack([x_MD[:, 0] ** 2 + x_MD[:, 1], (x_MD[:, 0] - 1) ** 2 + x_MD[:, 1]], axis=1)


def _pairs(answer: str | Callable[[Request], str], rounds: int = 3, population: int = 6):
    model = ScriptedModel(answer)
    search = LeoModular(UNIT, population=population)
    run = search.run(_two, model, rounds=rounds, rng=np.random.default_rng(0))
    return asyncio.run(run), model


def test_pairs_are_shown_with_their_losses_and_prompts_take_turns() -> None:
    state, model = _pairs("0.5, 0.5\n0.25, 0.75", rounds=1)
    texts = [_seen(call.request) for call in model.calls]
    assert ["far away" in text for text in texts] == [False, True, False]
    assert all("Candidate 2: " in text and "loss1, loss2 = " in text for text in texts)
    assert state.evaluations == 12
    assert state.tally == Tally(calls=3, rows=6)


def test_both_points_may_come_as_one_list() -> None:
    once, _ = _pairs("0.5, 0.5\n0.25, 0.75")
    again, _ = _pairs("[0.5, 0.5, 0.25, 0.75]")
    assert_array_equal(once.x_ND, again.x_ND)


def test_pairs_that_cannot_be_read_fall_back_to_the_parents() -> None:
    start_ND = UNIT.sample(6, np.random.default_rng(0))
    state, _ = _pairs("as you like", rounds=2)
    assert state.tally == Tally(calls=6, rows=12, fell_back=12)
    assert all(any(np.array_equal(point, old) for old in start_ND) for point in state.x_ND)


def test_a_front_gets_no_worse_by_points_that_are_dominated() -> None:
    start, _ = _pairs("as you like", rounds=0)
    after, _ = _pairs("0.5, 1\n0.5, 1", rounds=4)
    assert_array_equal(np.sort(after.loss_NK, axis=0)[0], np.sort(start.loss_NK, axis=0)[0])
    assert hypervolume(after.loss_NK, (2.0, 2.0)) >= hypervolume(start.loss_NK, (2.0, 2.0))


def test_a_front_is_found() -> None:
    """The front of these losses is x2 = 0 with x1 from 0 to 1; the model moves each row down and about."""
    wild = np.random.default_rng(8)

    def moves(request: Request) -> str:
        rows = re.findall(r"Candidate \d: ([\d.]+), ([\d.]+);", _seen(request))
        x_2D = np.array(rows, dtype=float) * [1.0, 0.7] + [[0.1], [0.1]] * wild.normal(size=(2, 2)) * [
            1.0,
            0.1,
        ]
        return "\n".join(f"{a:.6f}, {b:.6f}" for a, b in x_2D)

    state, _ = _pairs(moves, rounds=25)
    assert state.x_ND[:, 1].max() < 0.05
    assert nondominated(state.loss_NK).all()
    # Six evenly spread points leave 0.248: the sum of (x' ** 2 - x ** 2) (1 - x) ** 2 over x = 0, .2, … .8.
    assert 0.2 < 1 - hypervolume(state.loss_NK, (1.0, 1.0)) < 0.4


def test_a_population_may_be_odd() -> None:
    state, model = _pairs("0.5, 0.5\n0.25, 0.75", rounds=1, population=5)
    assert len(model.calls) == 3
    assert len(state.x_ND) == 5


def test_several_losses_are_checked() -> None:
    with pytest.raises(ConfigError):
        LeoModular(UNIT, population=3)
    search = LeoModular(UNIT, population=4)
    for loss_NK in (np.zeros(4), np.zeros((3, 2)), np.full((4, 2), np.inf)):
        with pytest.raises(InputError):
            search.start(np.zeros((4, 2)), loss_NK)
