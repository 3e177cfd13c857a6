import asyncio
import math
from collections import Counter
from dataclasses import replace

import pytest

from palate.errors import ConfigError, InputError, NotFoundError
from palate.judges import SimulatedJudge, simulated_judge
from palate.registry import make
from palate.testing import JudgeContract
from palate.types import Duel, Input, Judgement, Response, Verdict

DRAWS = 4000
FOUR_SIGMA = 4 * math.sqrt(0.25 / DRAWS)  # of a share of DRAWS coin flips


def _duel(left: str, right: str, name: str = "d", references: tuple[str, ...] = ()) -> Duel:
    sides = (Response("text", left), Response("text", right))
    return Duel(name, "p", "simulated", Input("1", "?", references), *sides, "a", "b", False)


def _ask(judge: SimulatedJudge, duel: Duel) -> Judgement:
    return asyncio.run(judge.judge(duel))


def _shares(judge: SimulatedJudge, left: str, right: str) -> dict[Verdict, float]:
    async def all_verdicts() -> list[Verdict]:
        return [(await judge.judge(_duel(left, right, f"d{k}"))).verdict for k in range(DRAWS)]

    counted = Counter(asyncio.run(all_verdicts()))
    return {verdict: counted[verdict] / DRAWS for verdict in Verdict}


def _length(_: Input, answer: str) -> float:
    return float(len(answer))


class TestContract(JudgeContract):
    @pytest.fixture
    def judge(self) -> SimulatedJudge:
        return simulated_judge(tie_rate=0.2, error_rate=0.1)


def test_odds_worked_by_hand() -> None:
    # p = sigma(ln 3) = 3/4.
    assert SimulatedJudge(_length, math.log(3)).odds(2, 1) == pytest.approx((0.75, 0.0, 0.25))
    # p = 4/5, tie_rate 1/3 makes nu = (2/3)/(2/3) = 1, sqrt(pq) = sqrt(4/25) = 2/5: 0.8, 0.4, 0.2 over 1.4.
    odds = SimulatedJudge(_length, math.log(4), tie_rate=1 / 3).odds(2, 1)
    assert odds == pytest.approx((4 / 7, 2 / 7, 1 / 7))
    # A bias of ln 3 towards the left among equals: 3/4; an error rate of 1/2 draws it half-way to 1/2.
    assert SimulatedJudge(_length, side_bias=math.log(3), error_rate=0.5).odds(1, 1) == pytest.approx(
        (0.625, 0.0, 0.375)
    )


@pytest.mark.parametrize("tie_rate", [0.0, 0.1, 0.25, 0.9])
def test_tie_rate_is_the_share_of_ties_between_equals(tie_rate: float) -> None:
    assert SimulatedJudge(_length, tie_rate=tie_rate).odds(3, 3).tie == pytest.approx(tie_rate)


def test_extreme_scores_stay_probabilities() -> None:
    odds = SimulatedJudge(_length, 1e6, tie_rate=0.3).odds(1e6, -1e6)
    assert odds == (1.0, 0.0, 0.0)


def test_verdicts_are_as_frequent_as_the_odds_say() -> None:
    judge = SimulatedJudge(_length, 0.5, tie_rate=0.2, side_bias=0.3, error_rate=0.2)
    wanted = judge.odds(3.0, 2.0)
    seen = _shares(judge, "abc", "ab")
    assert seen[Verdict.LEFT] == pytest.approx(wanted.left, abs=FOUR_SIGMA)
    assert seen[Verdict.TIE] == pytest.approx(wanted.tie, abs=FOUR_SIGMA)
    assert seen[Verdict.RIGHT] == pytest.approx(wanted.right, abs=FOUR_SIGMA)


def test_without_bias_swapping_the_sides_swaps_the_odds() -> None:
    judge = SimulatedJudge(_length, 0.7, tie_rate=0.2, error_rate=0.1)
    odds, other = judge.odds(1.0, 2.5), judge.odds(2.5, 1.0)
    assert (odds.left, odds.tie, odds.right) == pytest.approx((other.right, other.tie, other.left))


def test_seed_and_duel_decide_alone() -> None:
    verdicts = {
        seed: [_ask(SimulatedJudge(_length, seed=seed), _duel("a", "b", f"d{k}")).verdict for k in range(64)]
        for seed in (0, 1)
    }
    assert verdicts[0] != verdicts[1]
    judge = SimulatedJudge(_length, seed=0)
    assert [_ask(judge, _duel("a", "b", f"d{k}")).verdict for k in reversed(range(64))][::-1] == verdicts[0]


def test_failed_responses_and_scores_that_are_not_numbers_never_win() -> None:
    judge = SimulatedJudge(lambda _, answer: math.nan if answer == "?" else 1.0)
    assert _ask(judge, _duel("?", "b")).verdict is Verdict.FAILED
    broken = replace(_duel("a", "b"), right=Response("text", "", failed="timed out"))
    assert _ask(judge, broken) == Judgement(Verdict.FAILED, comment="timed out")


def test_an_input_that_cannot_be_scored_is_skipped() -> None:
    def refuse(asked: Input, answer: str) -> float:
        raise InputError(f"{asked.id}: {answer}")

    judgement = _ask(SimulatedJudge(refuse), _duel("a", "b"))
    assert (judgement.verdict, judgement.reason) == (Verdict.SKIP, "cannot_judge")
    judgement = _ask(simulated_judge(), _duel("a", "b"))
    assert judgement.verdict is Verdict.SKIP
    assert judgement.comment is not None
    assert "reference_column" in judgement.comment


def test_the_maker_prefers_what_resembles_the_reference() -> None:
    judge = make("judges", "simulated", {"metric": "token_f1", "scale": 50.0})
    duels = [_duel("a red fox", "no idea", f"d{k}", ("the red fox",)) for k in range(50)]
    assert {_ask(judge, duel).verdict for duel in duels} == {Verdict.LEFT}


@pytest.mark.parametrize(
    "options",
    [
        {"scale": -1.0},
        {"scale": math.inf},
        {"tie_rate": 1.0},
        {"tie_rate": -0.1},
        {"side_bias": math.nan},
        {"error_rate": 1.5},
    ],
)
def test_numbers_out_of_range_are_named(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        simulated_judge(**options)


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'token_f1'"):
        simulated_judge(metric="tokenf1")
