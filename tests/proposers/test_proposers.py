import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from palate.errors import BudgetError, ConfigError, ModelError
from palate.models import ScriptedModel
from palate.proposers import Induction, Rephrase, own_candidates
from palate.registry import make
from palate.targets import InstructionTarget
from palate.testing import ProposerContract
from palate.types import Candidate, Example, Known, Lineage, Proposer, Request

EXAMPLES = [Example(f"in{k}", f"out{k}") for k in range(12)]
SEED = Candidate.make("Name the opposite.", lineage=Lineage("seed"))


def _seen(request: Request) -> str:
    return request.messages[-1].content


def _varied(request: Request) -> str:
    """A model that words every draw differently: it answers with the draw's own number."""
    return f"Do the thing called {request.sample}."


def _model(answers: Any = _varied) -> ScriptedModel:
    return ScriptedModel(answers, repeat=True)


def _run(
    proposer: Proposer,
    n: int = 3,
    *,
    existing: Sequence[Candidate] = (SEED,),
    examples: Sequence[Example] = EXAMPLES,
    seed: int = 0,
) -> list[Candidate]:
    rng = np.random.default_rng(seed)
    return asyncio.run(proposer.propose(n, known=Known(existing, examples), rng=rng))


class TestInductionContract(ProposerContract):
    @pytest.fixture
    def proposer(self) -> Induction:
        return Induction(_model())

    @pytest.fixture
    def stuck_proposer(self) -> Induction:
        return Induction(_model(["Say it the other way round."]))


class TestRephraseContract(ProposerContract):
    @pytest.fixture
    def proposer(self) -> Rephrase:
        return Rephrase(_model(), parents="any")

    @pytest.fixture
    def stuck_proposer(self) -> Rephrase:
        return Rephrase(_model(["Say it the other way round."]))


MAKERS: list[Callable[..., Proposer]] = [Induction, Rephrase]


@pytest.mark.parametrize("maker", MAKERS)
def test_draws_are_bounded(maker: Callable[..., Proposer]) -> None:
    model = _model(["name the opposite!"])  # what the seed says, in other letters
    assert _run(maker(model, attempts=3), 4) == []
    assert len(model.calls) == 12


@pytest.mark.parametrize("maker", MAKERS)
def test_every_draw_is_a_request_of_its_own(maker: Callable[..., Proposer]) -> None:
    model = _model(["Say it the other way round."])
    _run(maker(model, attempts=5), 4)
    requests = [call.request for call in model.calls if call.request]
    assert len({request.sample for request in requests}) == len(requests) == 20
    assert len({request.seed for request in requests}) == 20


@pytest.mark.parametrize("maker", MAKERS)
def test_concurrency_is_kept_and_used(maker: Callable[..., Proposer]) -> None:
    model = _model()
    _run(maker(model, concurrency=3), 9)
    assert model.most_active == 3


@pytest.mark.parametrize("maker", MAKERS)
def test_off_format_answers_are_drawn_again(maker: Callable[..., Proposer]) -> None:
    model = _model(["", "I'm sorry, I cannot do that.", "Say the contrary.", "x" * 5000, "Turn it round."])
    assert [candidate.text for candidate in _run(maker(model, concurrency=1), 2)] == [
        "Say the contrary.",
        "Turn it round.",
    ]


@pytest.mark.parametrize("maker", MAKERS)
def test_failures_after_a_success_lose_nothing(maker: Callable[..., Proposer]) -> None:
    model = _model(["Say the contrary.", ModelError("gone"), ModelError("gone")])
    assert [c.text for c in _run(maker(model, concurrency=1), 3)] == ["Say the contrary."]


@pytest.mark.parametrize("maker", MAKERS)
def test_one_failure_among_answers_is_drawn_again(maker: Callable[..., Proposer]) -> None:
    model = _model([ModelError("hiccup"), "Say the contrary.", "Turn it round.", "Reverse it all."])
    made = _run(maker(model, concurrency=2), 3)
    assert {c.text for c in made} == {"Say the contrary.", "Turn it round.", "Reverse it all."}


@pytest.mark.parametrize("maker", MAKERS)
def test_an_unreachable_model_is_an_error_and_not_an_empty_list(maker: Callable[..., Proposer]) -> None:
    model = _model([ModelError("no such host")])
    with pytest.raises(ModelError, match="no such host"):
        _run(maker(model, concurrency=4), 10)
    assert len(model.calls) == 4


@pytest.mark.parametrize("maker", MAKERS)
def test_a_spent_budget_reaches_the_caller(maker: Callable[..., Proposer]) -> None:
    with pytest.raises(BudgetError):
        _run(maker(_model(["Say the contrary.", BudgetError("spent")]), concurrency=1), 3)


@pytest.mark.parametrize("maker", MAKERS)
def test_order_of_answers_does_not_matter(maker: Callable[..., Proposer]) -> None:
    async def shuffled(seconds: float) -> None:
        for _ in range(int(seconds)):
            await asyncio.sleep(0)

    def made(delay: Any) -> list[Candidate]:
        return _run(maker(ScriptedModel(_varied, delay=delay, sleep=shuffled)), 8)

    assert made([9, 1, 7, 3, 8, 2, 6, 4]) == made(0.0)


@pytest.mark.parametrize("maker", MAKERS)
def test_another_generator_makes_other_draws(maker: Callable[..., Proposer]) -> None:
    assert {c.id for c in _run(maker(_model()), seed=1)}.isdisjoint(
        c.id for c in _run(maker(_model()), seed=2)
    )


@pytest.mark.parametrize("maker", MAKERS)
def test_demonstrations_are_distinct_examples_that_the_target_plugs_in(
    maker: Callable[..., Proposer],
) -> None:
    for candidate in _run(maker(_model(), demonstrations=4), 3):
        request = InstructionTarget(_model()).request(candidate, _input("new"))
        shown = [message.content for message in request.messages if message.role == "assistant"]
        assert len(set(shown)) == 4
        assert set(shown) <= {example.output for example in EXAMPLES}


def _input(text: str) -> Any:
    from palate.types import Input

    return Input("1", text)


@pytest.mark.parametrize("maker", MAKERS)
def test_one_wording_with_other_demonstrations_is_another_candidate(maker: Callable[..., Proposer]) -> None:
    made = _run(maker(_model(["Say the contrary."]), demonstrations=3), 5)
    assert {c.text for c in made} == {"Say the contrary."}
    assert len({c.id for c in made}) == 5


@pytest.mark.parametrize("maker", MAKERS)
def test_too_few_examples_for_the_demonstrations(maker: Callable[..., Proposer]) -> None:
    with pytest.raises(ConfigError, match="demonstrations = 20, but there are 12 examples"):
        _run(maker(_model(), demonstrations=20))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 2.5},
        {"temperature": float("nan")},
        {"attempts": 0},
        {"concurrency": 0},
        {"demonstrations": -1},
        {"max_tokens": 0},
        {"longest": 0},
    ],
)
def test_options_out_of_range_are_named(maker: Callable[..., Proposer], options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        maker(_model(), **options)


def test_induction_shows_exemplars_drawn_anew() -> None:
    model = _model()
    made = _run(Induction(model, exemplars=3, max_tokens=17, concurrency=1), 6)
    shown: list[tuple[int, ...]] = []
    for call, candidate in zip(model.calls, made, strict=True):
        assert call.request is not None
        assert (call.request.temperature, call.request.max_tokens) == (0.5, 17)
        drawn = candidate.lineage.detail["exemplars"]
        assert isinstance(drawn, list)
        for k in range(12):
            assert (f"Input: in{k}\nOutput: out{k}\n" in _seen(call.request)) == (k in drawn)
        assert len(set(drawn)) == 3
        assert candidate.lineage.detail["attempt"] == call.request.sample
        shown.append(tuple(sorted(drawn)))
    assert len(set(shown)) > 1
    assert {(c.lineage.origin, c.lineage.model) for c in made} == {("induction", "scripted")}


def test_induction_shows_all_examples_if_there_are_few() -> None:
    model = _model()
    assert len(_run(Induction(model), 2, examples=EXAMPLES[:2])) == 2


def test_induction_needs_examples() -> None:
    with pytest.raises(ConfigError, match=r"\[examples\]"):
        _run(Induction(_model()), examples=[])


def test_induction_refuses_an_answer_that_goes_on_with_the_data() -> None:
    echo = [f"Output: {example.output}" for example in EXAMPLES[:4]] + ["out0", "out1", "out2", "out3"]
    assert _run(Induction(_model(echo), exemplars=4), 2, examples=EXAMPLES[:4]) == []


def test_two_steps_reword_what_was_drawn() -> None:
    def answer(request: Request) -> str:
        if "Say the contrary." in _seen(request):
            return f"Turn round number {request.sample}."
        return "Say the contrary."

    model = _model(answer)
    made = _run(Induction(model, two_step=True), 3)
    assert len({c.text for c in made}) == 3
    assert {c.lineage.detail["drawn"] for c in made} == {"Say the contrary."}
    assert {call.request.temperature for call in model.calls if call.request} == {1.0}


def test_induction_keeps_the_places_of_the_seed() -> None:
    seed = Candidate.make("Opposite of {{input}} in {{language}}?", lineage=Lineage("seed"))
    made = _run(Induction(_model()), 2, existing=[seed])
    assert all(c.text.endswith(".\n\n{{input}}\n{{language}}") for c in made)


def test_rephrase_words_the_seed_whatever_else_exists() -> None:
    model = _model()
    others = own_candidates("Turn it round.", ["Reverse it."])
    made = _run(Rephrase(model), existing=[SEED, *others[1:]])
    assert all(SEED.text in _seen(call.request) for call in model.calls if call.request)
    assert {(c.lineage.origin, c.lineage.parents, c.lineage.model) for c in made} == {
        ("rephrase", (SEED.id,), "scripted")
    }
    assert {call.request.temperature for call in model.calls if call.request} == {1.0}


def test_rephrase_may_word_any_candidate() -> None:
    existing = own_candidates("Turn it round.", ["Reverse it.", "Say the contrary."])
    made = _run(Rephrase(_model(), parents="any"), 20, existing=existing)
    assert {c.lineage.parents[0] for c in made} == {c.id for c in existing}


def test_rephrase_keeps_the_parents_demonstrations() -> None:
    parts = {"demonstrations": [{"input": "a", "output": "b"}]}
    seed = Candidate.make("Turn it round.", parts=parts, lineage=Lineage("seed"))
    assert all(c.parts == parts for c in _run(Rephrase(_model()), existing=[seed]))


def test_rephrase_must_keep_placeholders() -> None:
    seed = Candidate.make("Turn {{input}} round.", lineage=Lineage("seed"))
    model = _model(["Turn it round now.", "Reverse {{input}}.", "Reverse {{input}} and {{output}}."])
    assert [c.text for c in _run(Rephrase(model), 1, existing=[seed])] == ["Reverse {{input}}."]


def test_rephrase_needs_a_prompt() -> None:
    with pytest.raises(ConfigError, match="seed under"):
        _run(Rephrase(_model()), existing=[])


def test_rephrase_knows_two_kinds_of_parents() -> None:
    with pytest.raises(ConfigError, match="'seed' or 'any'"):
        make("proposers", "rephrase", {"parents": "best"}, model=_model())


def test_own_candidates_put_the_seed_first_and_drop_repeats() -> None:
    made = own_candidates("Be brief.", ["  ", "be brief", "Be kind.", "Be kind!", "Be Kind. "])
    assert [(c.text, c.lineage.origin) for c in made] == [("Be brief.", "seed"), ("Be kind.", "user")]


def test_own_candidates_of_signs_alone_are_told_apart() -> None:
    assert [c.text for c in own_candidates("→", ["⇒", "→"])] == ["→", "⇒"]


def test_an_empty_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed prompt is empty"):
        own_candidates(" \n", ["Be kind."])
