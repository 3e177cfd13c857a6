"""The picture target: what is asked of the model, and what becomes of whatever it answers."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from palate.errors import BudgetError, ConfigError, InputError, StoreError
from palate.kinds import read_picture
from palate.registry import make
from palate.targets import ImageTarget
from palate.testing import TargetContract
from palate.types import Array, Candidate, Capabilities, Completion, Input, Message, Request

GARDEN = Candidate.make("A quiet garden at dawn.")
QUESTION = Input("i1", "Which is nearer to the garden that you have in mind?")


def png(width: int = 128, height: int = 96, colour: str = "teal") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(written, "PNG")
    return written.getvalue()


class Painter:
    """Answers with whatever a test says."""

    name = "painter"

    def __init__(
        self, answer: bytes | str | Exception = b"", *, draw: bool = True, seed: bool = False
    ) -> None:
        self.answer = answer or png()
        self.capabilities = Capabilities(generate=not draw, draw=draw, seed=seed)
        self.asked: list[Request] = []

    async def generate(self, request: Request) -> Completion:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        coded = base64.b64encode(self.answer).decode() if isinstance(self.answer, bytes) else self.answer
        return Completion(coded, "painter", cost=0.04, seconds=1.5)

    async def embed(self, texts: Sequence[str]) -> Array:
        raise NotImplementedError

    async def score(self, request: Request, continuation: str) -> Array:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def target(answer: bytes | str | Exception = b"", **options: Any) -> ImageTarget:
    return ImageTarget(Painter(answer), **{"template": "{{prompt}}", "size": "128x96", **options})


class TestContract(TargetContract):
    @pytest.fixture
    def target(self) -> ImageTarget:
        return target()

    @pytest.fixture
    def failing_target(self) -> ImageTarget:
        return target(RuntimeError("the painter\nleft"))


async def test_a_picture_is_drawn_cleaned_and_paid() -> None:
    painter = Painter()
    drawn = await ImageTarget(painter, "{{prompt}}", "128x96").respond(GARDEN, QUESTION)
    assert (drawn.kind, drawn.failed, drawn.cost, drawn.seconds) == ("image", None, 0.04, 1.5)
    picture = read_picture(drawn.content)
    assert (picture.width, picture.height) == (128, 96)
    assert Image.open(io.BytesIO(picture.data)).getpixel((5, 5)) == (0, 128, 128)
    (asked,) = painter.asked
    assert asked.messages == (Message("user", "A quiet garden at dawn."),)
    assert asked.extra == {"size": "128x96"}


async def test_the_same_pixels_in_another_file_are_the_same_response() -> None:
    written = io.BytesIO()
    Image.new("RGB", (128, 96), "teal").save(written, "GIF")
    one, other = (
        await target(png()).respond(GARDEN, QUESTION),
        await target(written.getvalue()).respond(GARDEN, QUESTION),
    )
    assert one.hash == other.hash


@pytest.mark.parametrize(
    ("prompt", "template", "drawn"),
    [
        ("in oils", "{{input}}, {{prompt}}", "a boat, in oils"),
        ("{{input}} at night", None, "a boat at night"),
        ("{{input}} at night", "{{prompt}} in {{place}}", "a boat at night"),
        ("{{place}} in spring", None, "Oslo in spring"),
        ("in oils", "{{prompt}}", "in oils"),
        ("say {{input}}", "{{prompt}}", "say a boat"),
    ],
)
def test_prompt_and_input_meet_in_the_description(prompt: str, template: str | None, drawn: str) -> None:
    place = Input("i1", "a boat", fields={"place": "Oslo"})
    asked = target(template=template).request(Candidate.make(prompt), place)
    assert asked.messages[0].content == drawn


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    asked = target(template="{{input}}, {{prompt}}").request(GARDEN, Input("i1", "{{prompt}} {{input}}"))
    assert asked.messages[0].content == "{{prompt}} {{input}}, A quiet garden at dawn."


def test_a_prompt_that_would_lose_the_input_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="does not say where the input goes"):
        target(template=None).check(GARDEN)
    target(template=None).check(Candidate.make("{{scene}} in oils"), ["scene"])
    with pytest.raises(ConfigError, match="does not say"):
        target(template=None).check(Candidate.make("{{scene}} in oils"))
    with pytest.raises(InputError, match="parts \\('demonstrations'\\)"):
        target().check(Candidate.make("x", parts={"demonstrations": []}))


SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>window.ran=1</script></svg>"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SCRIPT, "painter answered with a picture that is an SVG or a web page, which can carry scripts"),
        (png() + bytes(40_000_000 - len(png())), "painter answered with a picture of 40,000,000 bytes"),
        (png(64, 64), "painter answered with a picture of 64 × 64 pixels, not 128 × 96 as asked"),
        (b"\x00garbage", "painter answered with 8 bytes that are not"),
        (png()[:60], "painter answered with a damaged PNG"),
        ("I would rather write a poem.", "painter answered with something that is not a file in base64"),
        (RuntimeError("the\nplug-in broke"), "the plug-in broke"),
        (TimeoutError(), "TimeoutError"),
    ],
)
async def test_whatever_is_no_picture_is_a_failed_response(answer: Any, said: str) -> None:
    failed = await target(answer).respond(GARDEN, QUESTION)
    assert failed.kind == "image"
    assert failed.content == ""
    assert failed.failed is not None
    assert failed.failed.startswith(said)
    assert failed.cost == (None if isinstance(answer, Exception) else 0.04)


async def test_a_refusal_is_told_in_the_models_own_words() -> None:
    painter = Painter()

    async def refuse(request: Request) -> Completion:
        return Completion("rejected by\nthe safety system", "painter", "refused", cost=0.0)

    painter.generate = refuse  # pyright: ignore[reportAttributeAccessIssue]
    failed = await ImageTarget(painter, "{{prompt}}").respond(GARDEN, QUESTION)
    assert failed.failed == "painter would not draw this: rejected by the safety system"
    assert failed.cost == 0.0


@pytest.mark.parametrize("error", [BudgetError("spent"), StoreError("disk full")])
async def test_what_is_not_the_candidates_fault_is_not_a_failed_response(error: Exception) -> None:
    with pytest.raises(type(error)):
        await target(error).respond(GARDEN, QUESTION)


async def test_any_size_is_taken_when_asked_for_and_large_ones_are_made_smaller() -> None:
    painter = Painter(png(1000, 500))
    made = await ImageTarget(painter, "{{prompt}}", "any", shown=200).respond(GARDEN, QUESTION)
    picture = read_picture(made.content)
    assert (picture.width, picture.height) == (200, 100)
    assert painter.asked[0].extra == {}


def test_the_seed_goes_to_models_that_take_one() -> None:
    assert ImageTarget(Painter(seed=True), "{{prompt}}", seed=7).request(GARDEN, QUESTION).seed == 7
    assert ImageTarget(Painter(), "{{prompt}}", seed=7).request(GARDEN, QUESTION).seed is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "huge"}, "size is 'huge'"),
        ({"size": "1024x1024x3"}, "size is"),
        ({"size": "0x10"}, "size is"),
        ({"shown": 10}, "shown is 10"),
        ({"template": "a picture of {{input}}"}, "no {{prompt}}"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("{", r"\{").replace("}", r"\}")):
        target(**options)


def test_a_model_that_writes_is_refused() -> None:
    with pytest.raises(ConfigError, match="'painter' cannot draw pictures"):
        ImageTarget(Painter(draw=False), "{{prompt}}")


def test_a_study_file_makes_it_by_name() -> None:
    made = make(
        "targets", "image", {"size": "512x512"}, model=Painter(), template="{{prompt}}", seed=1, folder="."
    )
    assert isinstance(made, ImageTarget)
    assert made.usual_proposers == ("scenes",)
