"""Budgets: what is admitted, what waits, what is refused, and what is counted."""

import asyncio

import pytest

from palate.errors import BudgetError, ConfigError
from palate.models import Budget, Estimate, Ledger, Price, Spent, read_prices
from palate.types import Usage


def test_counts_what_was_used_not_what_was_estimated() -> None:
    async def scenario() -> Spent:
        ledger = Ledger(Budget(calls=10))
        first = await ledger.reserve(Estimate(500, 0.5))
        first.settle(Usage(30, 12), 0.25)
        second = await ledger.reserve(Estimate(500, None))
        second.settle(Usage(1, 2), None)
        third = await ledger.reserve(Estimate(500, 0.5))
        third.fail()
        fourth = await ledger.reserve(Estimate(700, 0.125))
        fourth.forfeit()
        ledger.hit(0.25)
        ledger.hit(None)
        return ledger.spent

    spent = asyncio.run(scenario())
    assert spent == Spent(4, 30 + 1 + 700, 12 + 2, 0.25 + 0.125, 1, 2, 0.25)
    assert spent.tokens == 745
    assert spent.cost is None  # one price was unknown, and unknown is not 0


def test_a_cost_is_known_when_every_price_is() -> None:
    assert Spent(calls=2, priced=0.5).cost == 0.5
    assert Spent(calls=2, priced=0.5, unpriced_calls=1).cost is None


@pytest.mark.parametrize(
    ("budget", "estimate", "word"),
    [
        (Budget(calls=0), Estimate(1, 0.0), "budget.calls"),
        (Budget(tokens=99), Estimate(100, 0.0), "budget.tokens"),
        (Budget(cost=0.09), Estimate(1, 0.1), "budget.cost"),
    ],
)
def test_refuses_what_could_exceed_the_budget(budget: Budget, estimate: Estimate, word: str) -> None:
    with pytest.raises(BudgetError, match=word):
        asyncio.run(Ledger(budget).reserve(estimate))


def test_what_fits_exactly_is_admitted() -> None:
    async def scenario() -> Spent:
        ledger = Ledger(Budget(calls=3, tokens=300, cost=0.3))
        for _ in range(3):
            (await ledger.reserve(Estimate(100, 0.1))).settle(Usage(50, 50), 0.1)
        return ledger.spent

    assert asyncio.run(scenario()).calls == 3


def test_earlier_sessions_count() -> None:
    with pytest.raises(BudgetError, match="5 calls"):
        asyncio.run(Ledger(Budget(calls=5), Spent(calls=5)).reserve(Estimate(1, None)))


def test_a_budget_of_money_needs_a_price() -> None:
    with pytest.raises(ConfigError, match=r"prices = \{input"):
        asyncio.run(Ledger(Budget(cost=1.0)).reserve(Estimate(1, None)))


def test_waits_for_reservations_that_may_settle_lower() -> None:
    async def scenario() -> int:
        ledger = Ledger(Budget(tokens=100))
        first = await ledger.reserve(Estimate(60, None))
        waiting = asyncio.ensure_future(ledger.reserve(Estimate(60, None)))
        await asyncio.sleep(0)
        assert not waiting.done()
        first.settle(Usage(10, 10), None)
        second = await waiting
        second.settle(Usage(10, 10), None)
        return ledger.spent.tokens

    assert asyncio.run(scenario()) == 40


def test_a_wait_ends_in_refusal_when_the_budget_is_gone() -> None:
    async def scenario() -> None:
        ledger = Ledger(Budget(calls=1))
        first = await ledger.reserve(Estimate(1, None))
        waiting = [asyncio.ensure_future(ledger.reserve(Estimate(1, None))) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.settle(Usage(1, 1), None)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, BudgetError, BudgetError]

    asyncio.run(scenario())


def test_the_overshoot_is_bounded_by_the_calls_in_flight() -> None:
    """Each call uses 30 tokens more than its estimate: at most one such excess for each call in flight."""

    async def scenario() -> tuple[int, int]:
        ledger = Ledger(Budget(tokens=1000))
        active, most = 0, 0

        async def call() -> None:
            nonlocal active, most
            reservation = await ledger.reserve(Estimate(100, None))
            active += 1
            most = max(active, most)
            await asyncio.sleep(0)
            active -= 1
            reservation.settle(Usage(100, 30), None)

        outcomes = await asyncio.gather(*(call() for _ in range(50)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {type(None), BudgetError}
        return ledger.spent.tokens, most

    tokens, most = asyncio.run(scenario())
    assert most == 10
    assert 1000 < tokens <= 1000 + 30 * most


@pytest.mark.parametrize("wrong", [{"calls": -1}, {"tokens": "many"}, {"cost": float("nan")}, {"cost": True}])
def test_refuses_a_wrong_budget(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"budget.{next(iter(wrong))}"):
        Budget(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_price_is_for_a_million_tokens() -> None:
    # 2,000 in at $0.15 and 500 out at $0.60 a million: 0.0003 + 0.0003.
    assert Price(0.15, 0.6).of(Usage(2000, 500)) == pytest.approx(0.0006)


def test_the_shipped_table_is_dated_and_known_by_exact_name() -> None:
    table = read_prices()
    assert len(table.dated) == 10
    assert table.price("gpt-4o-mini") == Price(0.15, 0.6)
    assert table.price("gpt-4o-mini-of-tomorrow") is None


def test_the_users_prices_win(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "prices.toml"
    path.write_text(
        'dated = "2026-01-01"\n[models]\n"gpt-4o-mini" = {input = 7, output = 8}\n"e" = {input = 1}\n'
    )
    table = read_prices().updated(read_prices(path).prices)
    assert table.price("gpt-4o-mini") == Price(7.0, 8.0)
    assert table.price("e") == Price(1.0, 0.0)
    assert table.price("gpt-4.1") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "models = 3",
        "[models]\na = 3",
        "[models]\na = {input = -1}",
        "[models]\na = {output = 1}",
        "not toml",
        "x = 1\n[models]",
    ],
)
def test_refuses_a_wrong_price_file(tmp_path: object, text: str) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "prices.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="price"):
        read_prices(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prices(path.with_name("absent.toml"))
