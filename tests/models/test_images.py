"""An OpenAI-style images endpoint over real HTTP: pictures, refusals, retries, and that each is paid once."""

import asyncio
import base64
import json
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from palate.errors import BudgetError, ConfigError, ModelError, UnsupportedError
from palate.models import Budget, ImagesModel, Ledger, MeteredModel, images_model
from palate.store import open_store
from palate.types import Message, Request, Usage

PNG = b"\x89PNG\r\n\x1a\nthe picture"
CODED = base64.b64encode(PNG).decode()
QUICK = {"attempts": 3, "base": 0.0, "deadline": 60.0, "attempt_timeout": 20.0}


def drawing(text: str = "a red door", **extra: Any) -> Request:
    return Request((Message("user", text),), max_tokens=1, extra={"size": "512x512", **extra})


@pytest.fixture
async def model(endpoint: Any) -> AsyncIterator[Callable[..., ImagesModel]]:
    made: list[ImagesModel] = []

    def make(**options: Any) -> ImagesModel:
        made.append(images_model("painter", base_url=endpoint.url, **{"retry": QUICK, **options}))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def answer(endpoint: Any, **entry: Any) -> Any:
    return endpoint.reply({"created": 1, "data": [entry or {"b64_json": CODED}]})


async def test_a_picture_comes_back_as_the_file_that_was_sent(model: Any, endpoint: Any) -> None:
    endpoint.play(answer(endpoint))
    drawn = await model(extra={"quality": "low"}).generate(drawing())
    assert base64.b64decode(drawn.text) == PNG
    assert (drawn.finish, drawn.cost, drawn.model) == ("stop", None, "painter")
    (seen,) = endpoint.seen
    assert seen.path == "/v1/images/generations"
    assert "authorization" not in seen.headers
    assert seen.body == {
        "model": "painter",
        "prompt": "a red door",
        "n": 1,
        "response_format": "b64_json",
        "quality": "low",
        "size": "512x512",
    }


async def test_parameters_that_an_endpoint_refuses_are_left_out(model: Any, endpoint: Any) -> None:
    endpoint.play(answer(endpoint))
    await model(omit=["response_format", "n"]).generate(drawing())
    assert set(endpoint.seen[0].body) == {"model", "prompt", "size"}


async def test_an_address_of_the_endpoint_itself_is_fetched(model: Any, endpoint: Any) -> None:
    picture = endpoint.reply(None)
    picture.body, picture.headers = PNG, {"content-type": "image/png"}
    origin = endpoint.url.removesuffix("/v1")
    for address in (f"{origin}/files/1.png", "/files/1.png"):
        endpoint.seen.clear()
        endpoint.play(answer(endpoint, url=address), picture)
        drawn = await model().generate(drawing())
        assert base64.b64decode(drawn.text) == PNG
        assert [seen.path for seen in endpoint.seen] == ["/v1/images/generations", "/files/1.png"]


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("https://evil.example/x.png", "evil.example"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("http://127.0.0.1:1/x.png", "127.0.0.1:1"),
        ("//evil.example/x.png", "evil.example"),
        ("file:///etc/passwd", "an address that cannot be read"),
        ("http://[broken", "an address that cannot be read"),
        ("http://localhost.evil.example/", "localhost.evil.example"),
    ],
)
async def test_an_address_elsewhere_is_not_fetched(
    model: Any, endpoint: Any, address: str, named: str
) -> None:
    endpoint.play(answer(endpoint, url=address))
    with pytest.raises(ModelError, match="not the endpoint itself") as raised:
        await model().generate(drawing())
    assert named in str(raised.value)
    assert len(endpoint.seen) == 1


async def test_an_address_that_fails_is_asked_for_again_but_the_picture_is_drawn_once(
    model: Any, endpoint: Any
) -> None:
    endpoint.play(answer(endpoint, url="/files/1.png"), endpoint.error(503))
    ledger = Ledger()
    metered = MeteredModel(model(picture_price=0.04), cache=None, ledger=ledger)
    with pytest.raises(ModelError, match="drawn but could not be fetched"):
        await metered.generate(drawing())
    paths = [seen.path for seen in endpoint.seen]
    assert paths == ["/v1/images/generations"] + 3 * ["/files/1.png"]
    assert ledger.spent.cost == 0.04  # it was drawn, so it was billed


async def test_a_redirect_of_a_picture_is_not_followed(model: Any, endpoint: Any) -> None:
    away = endpoint.error(302, location="https://evil.example/x.png")
    endpoint.play(answer(endpoint, url="/files/1.png"), away)
    with pytest.raises(ModelError, match=r"redirects to evil\.example"):
        await model().generate(drawing())


async def test_a_data_address_is_the_picture_itself(model: Any, endpoint: Any) -> None:
    endpoint.play(answer(endpoint, url=f"data:image/png;base64,{CODED}"))
    assert (await model().generate(drawing())).text == CODED


@pytest.mark.parametrize(
    "error",
    [
        {"message": "no", "code": "content_policy_violation"},
        {"message": "no", "code": "moderation_blocked", "type": "image_generation_user_error"},
        {"message": "Your request was rejected as a result of our safety system.", "code": None},
    ],
)
async def test_a_refusal_for_what_was_asked_is_an_answer_and_is_asked_once(
    model: Any, endpoint: Any, cache: Any, error: dict[str, Any]
) -> None:
    endpoint.play(endpoint.reply({"error": error}, 400))
    ledger = Ledger()
    for _ in range(2):
        metered = MeteredModel(model(picture_price=0.04), cache=cache, ledger=ledger)
        refused = await metered.generate(drawing())
        assert refused.finish == "refused"
        assert "refused the request with status 400" in refused.text
        assert refused.cost == 0.0
    assert len(endpoint.seen) == 1
    assert ledger.spent.cost == 0.0


async def test_another_refusal_is_an_error_that_says_what_to_do(
    model: Any, endpoint: Any, cache: Any
) -> None:
    endpoint.play(endpoint.error(401, "bad key"))
    with pytest.raises(ModelError, match="status 401: bad key; no key was sent"):
        await MeteredModel(model(), cache=cache, ledger=Ledger()).generate(drawing())
    assert cache.rows == {}


async def test_failures_that_may_pass_are_tried_again(model: Any, endpoint: Any) -> None:
    endpoint.play(endpoint.error(500), endpoint.error(429), answer(endpoint))
    drawn = await model().generate(drawing())
    assert (drawn.text, drawn.retries) == (CODED, 2)


async def test_an_endpoint_that_hangs_fails_in_time(model: Any, endpoint: Any) -> None:
    endpoint.play(endpoint.hang())
    patience = {**QUICK, "attempts": 1, "attempt_timeout": 0.2}
    with pytest.raises(ModelError, match="tried once and failed"):
        await model(retry=patience).generate(drawing())


async def test_forty_megabytes_are_refused_while_they_arrive(model: Any, endpoint: Any) -> None:
    endpoint.play(answer(endpoint, b64_json="A" * 40_000_000))
    with pytest.raises(ModelError, match="answered with over 26866666 bytes"):
        await model().generate(drawing())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "without a picture"),
        ({"data": []}, "without a picture"),
        ({"data": ["x"]}, "without a picture"),
        ({"data": [{}]}, "neither b64_json nor a url"),
        ({"data": [{"b64_json": 7, "url": None}]}, "neither b64_json nor a url"),
        ({"data": [{"b64_json": "not base 64!"}]}, "not base64"),
        ({"data": [{"b64_json": "A" * 26_700_004}]}, "at most 20,000,000 are read"),
        ([], "not an object"),
    ],
)
async def test_what_is_no_answer_is_said(model: Any, endpoint: Any, content: Any, said: str) -> None:
    endpoint.play(endpoint.reply(content))
    with pytest.raises(ModelError, match=said):
        await model().generate(drawing())


async def test_a_picture_costs_its_price_and_the_budget_stops_before_it_is_drawn(
    model: Any, endpoint: Any
) -> None:
    endpoint.play(answer(endpoint))
    ledger = Ledger(Budget(cost=0.1))
    metered = MeteredModel(model(picture_price=0.04), cache=None, ledger=ledger)
    for sample in range(2):
        assert (await metered.generate(drawing(sample=sample))).cost == 0.04
    with pytest.raises(BudgetError, match=r"may cost \$0.0400"):
        await metered.generate(drawing(sample=2))
    assert len(endpoint.seen) == 2
    assert ledger.spent.cost == 0.08


async def test_tokens_are_counted_where_they_are_billed(model: Any, endpoint: Any) -> None:
    usage = {"input_tokens": 50, "output_tokens": 1000, "total_tokens": 1050}
    endpoint.play(endpoint.reply({"data": [{"b64_json": CODED}], "usage": usage}))
    ledger = Ledger(Budget(cost=1.0))
    priced = model(prices={"input": 5.0, "output": 40.0})
    drawn = await MeteredModel(priced, cache=None, ledger=ledger).generate(drawing())
    assert drawn.usage == Usage(50, 1000)
    assert drawn.cost == pytest.approx((50 * 5 + 1000 * 40) / 1_000_000)  # $0.04025
    # a picture may take 16,000 tokens: $0.64, which no longer fits into what is left
    with pytest.raises(BudgetError):
        await MeteredModel(priced, cache=None, ledger=Ledger(Budget(cost=0.5))).generate(drawing())


async def test_a_price_that_nobody_gave_stays_unknown(model: Any, endpoint: Any) -> None:
    endpoint.play(answer(endpoint))
    ledger = Ledger()
    drawn = await MeteredModel(model(), cache=None, ledger=ledger).generate(drawing())
    assert drawn.cost is None
    assert ledger.spent.cost is None
    with pytest.raises(ConfigError, match="price of painter"):
        MeteredModel(model(), cache=None, ledger=Ledger(Budget(cost=1.0)))


@pytest.mark.parametrize("price", [-1, True, "cheap", float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(ConfigError, match="picture_price"):
        images_model("painter", base_url="http://127.0.0.1:1/v1", picture_price=price)
    with pytest.raises(ConfigError, match="not both"):
        images_model("p", base_url="http://127.0.0.1:1/v1", picture_price=0.1, prices={"input": 1.0})


async def test_the_same_picture_is_drawn_once_and_another_sample_again(
    model: Any, endpoint: Any, cache: Any
) -> None:
    endpoint.play(answer(endpoint))
    metered = MeteredModel(model(), cache=cache, ledger=Ledger())
    await asyncio.gather(*(metered.generate(drawing()) for _ in range(5)))
    assert (await metered.generate(drawing())).cached
    assert len(endpoint.seen) == 1
    for different in (drawing("a blue door"), drawing(size="256x256")):
        assert not (await metered.generate(different)).cached
    assert len(endpoint.seen) == 3
    other = MeteredModel(model(extra={"quality": "high"}), cache=cache, ledger=Ledger())
    assert not (await other.generate(drawing())).cached


KILLED = """
    import asyncio, os, signal, sys
    from palate.models import Ledger, MeteredModel, images_model
    from palate.store import open_store
    from palate.types import Message, Request

    async def main():
        store = open_store(sys.argv[1])
        painter = images_model("painter", base_url=sys.argv[2])
        request = Request((Message("user", "a red door"),), max_tokens=1, extra={"size": "512x512"})
        await MeteredModel(painter, cache=store, ledger=Ledger()).generate(request)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
"""


async def test_a_picture_that_was_paid_for_survives_kill_9(model: Any, endpoint: Any, tmp_path: Path) -> None:
    endpoint.play(answer(endpoint))
    place = tmp_path / "study.db"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(place), endpoint.url]
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr
    assert len(endpoint.seen) == 1
    with open_store(place) as store:
        metered = MeteredModel(model(), cache=store, ledger=Ledger())
        drawn = await metered.generate(drawing())
    assert drawn.cached
    assert base64.b64decode(drawn.text) == PNG
    assert len(endpoint.seen) == 1


async def test_pictures_are_all_it_can_do(model: Any, endpoint: Any) -> None:
    painter = model()
    assert painter.capabilities.draw
    assert not painter.capabilities.generate
    with pytest.raises(UnsupportedError, match="cannot embed"):
        await painter.embed(["x"])
    with pytest.raises(UnsupportedError, match="cannot score"):
        await painter.score(drawing(), "x")


async def test_the_key_is_named_and_never_told(
    model: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAINT_KEY", "sk-canary-0123456789")
    painter = model(api_key_env="PAINT_KEY")
    endpoint.play(endpoint.error(400, "the key sk-canary-0123456789 has no credit"))
    with pytest.raises(ModelError) as raised:
        await painter.generate(drawing())
    assert endpoint.seen[0].headers["authorization"] == "Bearer sk-canary-0123456789"
    assert "canary" not in str(raised.value) + repr(painter) + json.dumps(painter.identity("generate"))


def test_openai_is_not_asked_for_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    painter = images_model("gpt-image-2")
    assert painter.name == "gpt-image-2"
    assert "response_format" not in painter._body(drawing())
    with pytest.raises(ConfigError, match="model is empty"):
        images_model("")
