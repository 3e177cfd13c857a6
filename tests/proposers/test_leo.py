import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from palate.errors import BudgetError, ConfigError, ModelError
from palate.models import ScriptedModel
from palate.proposers import Box, Leo, LeoSearch, LeoState
from palate.proposers._leo_belief import believed_pools, part_of, shares
from palate.proposers._leo_text import read_prompts
from palate.registry import make
from palate.targets import SettingsTarget
from palate.testing import ProposerContract
from palate.types import Candidate, Completion, Json, Known, Lineage, Proposer, Request, Standing

SEED = Candidate.make("Name the opposite.", lineage=Lineage("seed"))
BOUNDS = {"heat": [0.0, 2.0], "top": [1, 40]}


def _seen(request: Request) -> str:
    return request.messages[-1].content


def _wanted(request: Request) -> int:
    return int(re.search(r"exactly (\d+) new", _seen(request))[1])


def _varied(request: Request) -> str:
    """As many prompts as are wanted, no two alike."""
    return "\n".join(f"<prompt>Do {k} of {request.sample}.</prompt>" for k in range(_wanted(request)))


def _standing(candidate: Candidate, mean: float, *, p_best: float = 0.1, votes: int = 5) -> Standing:
    return Standing(candidate.id, mean, mean - 0.1, mean + 0.1, p_best, votes)


def _made(text: str, pool: str) -> Candidate:
    return Candidate.make(text, lineage=Lineage("leo", detail={"pool": pool}))


def _settings(heat: float, top: float, *, pool: str = "") -> Candidate:
    lineage = Lineage("leo", detail={"pool": pool}) if pool else Lineage("seed")
    settings: dict[str, Json] = {"heat": heat, "top": top}
    return Candidate.make(f"heat = {heat}, top = {top}", parts={"settings": settings}, lineage=lineage)


KNOWN = Known((SEED,))


def _propose(proposer: Proposer, n: int = 4, *, known: Known = KNOWN, seed: int = 0) -> list[Candidate]:
    return asyncio.run(proposer.propose(n, known=known, rng=np.random.default_rng(seed)))


def _believed(ranked: Mapping[Candidate, float] | Sequence[tuple[Candidate, Standing]]) -> Known:
    pairs = list(ranked)
    return Known([c for c, _ in pairs], standings={c.id: s for c, s in pairs})


class TestLeoContract(ProposerContract):
    @pytest.fixture
    def proposer(self) -> Leo:
        return Leo(ScriptedModel(_varied))

    @pytest.fixture
    def stuck_proposer(self) -> Leo:
        return Leo(ScriptedModel("<prompt>Say it the other way round.</prompt>"))


class TestLeoSettingsContract(ProposerContract):
    @pytest.fixture
    def existing(self) -> Sequence[Candidate]:
        return [_settings(1.0, 20)]

    @pytest.fixture
    def proposer(self) -> Leo:
        return Leo(ScriptedModel("unused"), settings=BOUNDS)

    @pytest.fixture
    def stuck_proposer(self) -> Leo:
        # A range that six digits cannot split: every drawn row reads alike.
        return Leo(ScriptedModel("unused"), settings={"heat": [1.0, 1.0 + 1e-9], "top": [20, 20 + 1e-9]})


def test_it_is_registered() -> None:
    assert isinstance(make("proposers", "leo", {}, model=ScriptedModel("x")), Leo)


# Prompts


def test_both_pools_get_their_share_in_two_requests_at_once() -> None:
    model = ScriptedModel(_varied)
    made = _propose(Leo(model), 5)
    assert [c.lineage.detail["pool"] for c in made] == ["explore"] * 3 + ["exploit"] * 2
    assert [_wanted(call.request) for call in model.calls] == [3, 2]
    assert model.most_active == 2


def test_shares_even_out() -> None:
    assert shares(5, [SEED]) == {"explore": 3, "exploit": 2}
    assert shares(1, [_made("a b c", "explore")]) == {"explore": 0, "exploit": 1}
    assert shares(1, [_made("a b c", "exploit")]) == {"explore": 1, "exploit": 0}
    assert shares(3, [_made(f"text {k}", "explore") for k in range(9)]) == {"explore": 0, "exploit": 3}
    assert shares(4, [_made(f"text {k}", "exploit") for k in range(2)]) == {"explore": 3, "exploit": 1}


def test_before_any_vote_the_pool_is_what_there_is_and_the_seed_leads() -> None:
    model = ScriptedModel(_varied)
    other = Candidate.make("Say the contrary.")
    _propose(Leo(model), known=Known((other, SEED)))
    explore, exploit = (_seen(call.request) for call in model.calls)
    assert explore.index(other.text) < explore.index(SEED.text)
    assert SEED.text in exploit
    assert other.text not in exploit
    assert "cases" not in explore + exploit


def test_explore_sees_the_ranking_and_exploit_the_leader() -> None:
    a, b, c = (Candidate.make(f"Say {name}.") for name in ("alpha", "beta", "gamma"))
    known = _believed([
        (SEED, _standing(SEED, 0.5)), (a, _standing(a, 0.31)),
        (b, _standing(b, 0.82)), (c, _standing(c, 0.6)),
    ])  # fmt: skip
    model = ScriptedModel(_varied)
    made = _propose(Leo(model, population=3), 2, known=known)
    explore, exploit = (_seen(call.request) for call in model.calls)
    places = [
        explore.index(text) for text in ("Say beta.", "82 of 100", "Say gamma.", "60 of 100", SEED.text)
    ]
    assert places == sorted(places)
    assert "alpha" not in explore
    assert "Say beta." in exploit
    assert "gamma" not in exploit
    assert made[0].lineage.parents == (b.id, c.id, SEED.id)
    assert made[1].lineage.parents == (b.id,)


def test_a_withdrawn_candidate_is_not_shown_and_not_made_again() -> None:
    gone = Candidate.make("Say the contrary.")
    known = Known((SEED, gone), standings={SEED.id: _standing(SEED, 0.5)})
    model = ScriptedModel("<prompt>Say the contrary!</prompt><prompt>Turn it round.</prompt>")
    made = _propose(Leo(model, attempts=1), 4, known=known)
    assert [c.text for c in made] == ["Turn it round."]
    assert not any(gone.text in _seen(call.request) for call in model.calls)


def test_a_child_keeps_the_placeholders_and_the_demonstrations() -> None:
    parts: dict[str, Json] = {"demonstrations": [{"input": "hot", "output": "cold"}]}
    seed = Candidate.make("Oppose {{input}}.", parts=parts, lineage=Lineage("seed"))
    model = ScriptedModel("<prompt>Without.</prompt><prompt>Contradict {{input}}!</prompt>", repeat=True)
    made = _propose(Leo(model, attempts=1), 2, known=Known((seed,)))
    # One row is wanted of each pool; its first, without the placeholder, is malformed.
    assert made == []
    made = _propose(Leo(model, attempts=1), 4, known=Known((seed,)))
    assert [c.text for c in made] == ["Contradict {{input}}!"]
    assert made[0].parts == parts
    assert made[0].lineage.detail["malformed"] == 1


def test_what_is_missing_is_asked_for_again() -> None:
    answers = [
        "<prompt>Say one.</prompt>",
        "7",
        "<prompt>Say two.</prompt>",
        "<prompt>Say three.</prompt>",
    ]
    model = ScriptedModel(answers)
    made = _propose(Leo(model, attempts=2), 3)
    assert [c.text for c in made] == ["Say one.", "Say two.", "Say three."]
    assert [c.lineage.detail["malformed"] for c in made] == [1, 1, 0]
    assert len({call.request.sample for call in model.calls}) == 4


@pytest.mark.parametrize(
    ("text", "rows", "prompts"),
    [
        ("<prompt>One.</prompt> and <PROMPT>Two\nlines.</PROMPT>", 2, ["One.", "Two\nlines."]),
        ("<prompt>One.<prompt>Two.", 2, ["One.", "Two."]),
        ("1. One.\n2. Two.\n3. Three.", 2, ["One.", "Two."]),
        ("Just one.", 1, ["Just one."]),
        ("Just one.", 2, []),
    ],
)
def test_prompts_are_read(text: str, rows: int, prompts: list[str]) -> None:
    assert read_prompts(Completion(text, "m"), rows) == prompts


def test_a_prompt_that_was_cut_off_is_left_out() -> None:
    cut = Completion("<prompt>One.</prompt><prompt>Tw", "m", finish="length")
    assert read_prompts(cut, 3) == ["One."]
    whole = Completion("<prompt>One.</prompt><prompt>Two.</prompt>", "m", finish="length")
    assert read_prompts(whole, 3) == ["One.", "Two."]


def test_a_refusal_is_no_prompt() -> None:
    model = ScriptedModel([Completion("<prompt>Say no.</prompt>", "m", finish="refused")], repeat=True)
    assert _propose(Leo(model)) == []


def test_one_pool_out_of_reach_does_not_lose_the_other() -> None:
    answers: list[Any] = ["<prompt>Say one.</prompt>", ModelError("gone"), "<prompt>Say two.</prompt>"]
    assert [c.text for c in _propose(Leo(ScriptedModel(answers)), 2)] == ["Say one.", "Say two."]


def test_a_model_out_of_reach_is_an_error() -> None:
    with pytest.raises(ModelError):
        _propose(Leo(ScriptedModel([ModelError("gone")], repeat=True)))
    answers: list[Any] = ["<prompt>Say one.</prompt>", "none", ModelError("gone"), ModelError("gone")]
    assert len(_propose(Leo(ScriptedModel(answers)), 4)) == 1


def test_a_spent_budget_reaches_the_caller() -> None:
    with pytest.raises(BudgetError):
        _propose(Leo(ScriptedModel(["<prompt>Say one.</prompt>", BudgetError("spent")])))


def test_without_a_prompt_there_is_nothing_to_start_from() -> None:
    with pytest.raises(ConfigError, match="seed"):
        _propose(Leo(ScriptedModel(_varied)), known=Known())


# The belief in place of the loss


def _leader(*pairs: tuple[Candidate, Standing], port: int = 1, evidence: int = 1) -> Candidate:
    pools = believed_pools(_believed(pairs), population=10, port=port, evidence=evidence)
    assert pools is not None
    return pools.leader


A, B = _made("Say alpha.", "explore"), _made("Say beta.", "explore")
C = _made("Say gamma.", "exploit")


def test_the_best_explorer_is_ported_if_the_belief_agrees() -> None:
    held = (SEED, _standing(SEED, 0.5, p_best=0.2)), (C, _standing(C, 0.6, p_best=0.3))
    assert _leader(*held) is C
    assert _leader(*held, (A, _standing(A, 0.7, p_best=0.4))) is A
    # Higher on average, but less likely to be the best of all: the incumbent stays.
    assert _leader(*held, (A, _standing(A, 0.7, p_best=0.2))) is C
    assert _leader(*held, (A, _standing(A, 0.55, p_best=0.4))) is C


def test_nobody_leads_without_votes() -> None:
    held = (SEED, _standing(SEED, 0.5, p_best=0.2)), (C, _standing(C, 0.6, p_best=0.3, votes=2))
    rumoured = (A, _standing(A, 0.9, p_best=0.6, votes=0))
    assert _leader(*held, rumoured) is C
    assert _leader(*held, evidence=3) is SEED
    assert _leader((SEED, _standing(SEED, 0.5, votes=0)), rumoured) is SEED


def test_only_so_many_are_ported() -> None:
    held = ((SEED, _standing(SEED, 0.5, p_best=0.2)),)
    # A has the higher mean but fails the gate; B passes, and comes in only if two may.
    others = (A, _standing(A, 0.8, p_best=0.1)), (B, _standing(B, 0.7, p_best=0.5))
    assert _leader(*held, *others, port=1) is SEED
    assert _leader(*held, *others, port=2) is B
    assert _leader(*held, *others, port=0) is SEED


def test_of_equals_the_incumbent_leads() -> None:
    assert _leader((SEED, _standing(SEED, 0.5)), (A, _standing(A, 0.5))) is SEED


def test_the_explore_pool_holds_no_exploiters() -> None:
    known = _believed([(c, _standing(c, mean)) for c, mean in ((SEED, 0.5), (A, 0.4), (C, 0.9), (B, 0.6))])
    pools = believed_pools(known, population=2, port=1, evidence=1)
    assert pools is not None
    assert pools.explore == (B, SEED)
    assert pools.loss_N == pytest.approx((0.4, 0.5))


def test_a_withdrawn_seed_still_sets_the_scale() -> None:
    known = Known((SEED, A), standings={A.id: _standing(A, 0.4, votes=0)})
    pools = believed_pools(known, population=2, port=1, evidence=1)
    assert pools is not None
    assert (pools.leader, pools.leader_loss) == (SEED, 0.5)


def test_with_losses_that_stand_still_the_belief_shows_what_the_rounds_show() -> None:
    """The pools of the published rounds against those read off the belief."""
    rng = np.random.default_rng(0)
    box, size = Box((0, 0), (1, 1)), 5
    search = LeoSearch(box, population=size)
    shown: list[str] = []

    def remember(request: Request) -> str:
        shown.append(_seen(request))
        return "\n".join(f"{a:.6f}, {b:.6f}" for a, b in rng.random((size, 2)))

    def loss(x_MD):
        return ((x_MD - 0.3) ** 2).mean(axis=1)

    def candidates(x_ND, pool: str) -> list[Candidate]:
        return [
            Candidate.make(f"{x_D.tolist()}", lineage=Lineage("leo", detail={"pool": pool})) for x_D in x_ND
        ]

    def belief(everyone: Sequence[Candidate]) -> Known:
        x_ND = np.array([[float(v) for v in c.text[1:-1].split(",")] for c in everyone])
        p = 1 / (1 + 100 * loss(x_ND))
        ranked = zip(everyone, loss(x_ND), p, strict=True)
        return Known(everyone, standings={c.id: _standing(c, 1 - value, p_best=q) for c, value, q in ranked})

    async def go() -> None:
        first_ND = box.sample(size, rng)
        state: LeoState = search.start(first_ND, loss(first_ND))
        everyone = candidates(first_ND, "start")
        for _ in range(12):
            asked = await search.ask(state, ScriptedModel(remember), rng)
            state = search.tell(state, asked, loss(asked.x_MD))
            everyone += candidates(asked.explore.x_ND, "explore") + candidates(asked.exploit.x_ND, "exploit")
            pools = believed_pools(belief(everyone), population=size, port=1, evidence=1)
            assert pools is not None
            assert [c.text for c in pools.explore] == [f"{x_D.tolist()}" for x_D in state.pools.explore.x_ND]
            assert pools.leader.text == f"{state.pools.exploit.x_ND[0].tolist()}"

    asyncio.run(go())
    assert len(shown) == 24


# Settings


def test_the_first_settings_are_drawn_uniformly() -> None:
    model = ScriptedModel("unused")
    made = _propose(Leo(model, settings=BOUNDS, integers=["top"]), 300, known=Known((_settings(1.0, 20),)))
    assert model.calls == []
    rows_ND = np.array([list(c.parts["settings"].values()) for c in made], dtype=float)
    assert len(rows_ND) == 300
    # Means of uniform draws: 1 and 20.5, with standard errors 0.033 and 0.65.
    assert abs(rows_ND[:, 0].mean() - 1.0) < 0.15
    assert abs(rows_ND[:, 1].mean() - 20.5) < 3.0
    assert_array_equal(rows_ND[:, 1] % 1, 0.0)
    assert all(part_of(c) is None for c in made)


def _voted() -> Known:
    cool, hot, far = _settings(0.25, 10), _settings(1.5, 30), _settings(2.0, 40, pool="explore")
    return _believed([
        (cool, _standing(cool, 0.5)), (hot, _standing(hot, 0.75)), (far, _standing(far, 0.125)),
    ])  # fmt: skip


def _rows_of(text: str) -> list[list[float]]:
    lines = text.split("loss\n", 1)[1].splitlines()
    return [[float(v) for v in line.split(", ")] for line in lines if re.fullmatch(r"[\d., ]+", line)]


def test_settings_are_shown_as_rows_with_the_chance_of_losing() -> None:
    model = ScriptedModel("0.5, 5\n0.75, 6", repeat=True)
    made = _propose(Leo(model, settings=BOUNDS, jitter=0.0), 4, known=_voted())
    explore, exploit = (_seen(call.request) for call in model.calls[:2])
    assert "heat, top, loss" in explore
    assert _rows_of(explore) == [[1.5, 30.0, 0.25], [0.25, 10.0, 0.5], [2.0, 40.0, 0.875]]
    assert _rows_of(exploit)[0] == [1.5, 30.0, 0.25]
    assert "heat lies between 0 and 2, top lies between 1 and 40" in exploit
    assert [c.parts["settings"] for c in made] == [{"heat": 0.5, "top": 5.0}, {"heat": 0.75, "top": 6.0}]


def test_settings_are_kept_inside_and_whole_and_the_rest_is_the_parents() -> None:
    parts: dict[str, Json] = {"settings": {"voice": "calm", "heat": 1.0, "top": 20}, "context": "1"}
    seed = Candidate.make("voice = calm, heat = 1.0, top = 20", parts=parts, lineage=Lineage("seed"))
    model = ScriptedModel("7, 5.6\nhot, cold", repeat=True)
    known = Known((seed,), standings={seed.id: _standing(seed, 0.5)})
    (made,) = _propose(Leo(model, settings=BOUNDS, integers=["top"], attempts=1), 4, known=known)
    assert made.text == "voice = calm, heat = 2.0, top = 6"
    assert made.parts == {"settings": {"voice": "calm", "heat": 2.0, "top": 6}, "context": "1"}
    assert made.lineage.detail["malformed"] == 1


def test_candidates_without_these_settings_are_passed_over() -> None:
    known = _voted()
    mixed = Known((SEED, *known.existing), standings={**known.standings, SEED.id: _standing(SEED, 0.9)})
    model = ScriptedModel("0.5, 5", repeat=True)
    _propose(Leo(model, settings=BOUNDS), 2, known=mixed)
    assert not any(SEED.text in _seen(call.request) for call in model.calls)


def test_a_taste_for_a_setting_is_found() -> None:
    """A rater who likes heat near 1.3 and top near 12, a proposer that moves rows, thirty rounds of four."""
    wild = np.random.default_rng(0)

    def moves(request: Request) -> str:
        row = np.array(_rows_of(_seen(request))[0][:2])
        return "\n".join(f"{a:.6f}, {b:.6f}" for a, b in row + wild.normal(size=(2, 2)) * [0.2, 4.0])

    def taste(candidate: Candidate) -> float:
        heat, top = (float(v) for v in candidate.parts["settings"].values())
        return 1 / (1 + ((heat - 1.3) / 0.5) ** 2 + ((top - 12) / 10) ** 2)

    proposer = Leo(ScriptedModel(moves), settings=BOUNDS)
    everyone = [_settings(0.1, 39)]
    for turn in range(30):
        known = _believed([(c, _standing(c, taste(c), p_best=taste(c))) for c in everyone])
        everyone += _propose(proposer, 4, known=known, seed=turn)
    assert max(map(taste, everyone)) > 0.97
    assert taste(everyone[0]) < 0.15


@pytest.mark.parametrize(
    "options",
    [
        {"population": 0}, {"port": 11}, {"evidence": 0}, {"jitter": -0.1}, {"temperature": 3.0},
        {"attempts": 0},
        {"settings": {"heat": [1.0]}}, {"settings": {"heat": [2.0, 1.0]}}, {"integers": ["top"]},
    ],
)  # fmt: skip
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Leo(ScriptedModel("x"), **options)


def test_the_generator_advances_by_one_number_whatever_happens() -> None:
    def after(proposer: Leo, n: int) -> float:
        rng = np.random.default_rng(3)
        asyncio.run(proposer.propose(n, known=Known((SEED,)), rng=rng))
        return float(rng.random())

    makers: list[Callable[[], Leo]] = [
        lambda: Leo(ScriptedModel(_varied)),
        lambda: Leo(ScriptedModel("nothing")),
        lambda: Leo(ScriptedModel("x"), settings=BOUNDS),
    ]
    assert len({after(maker(), n) for maker in makers for n in (0, 1, 5)}) == 1


def test_the_order_in_which_settings_are_named_makes_no_new_candidate() -> None:
    kept: dict[str, Json] = {"top": 5.0, "heat": 0.5}
    seed = Candidate.make("top = 5.0, heat = 0.5", parts={"settings": kept}, lineage=Lineage("seed"))
    known = Known((seed,), standings={seed.id: _standing(seed, 0.5)})
    model = ScriptedModel("0.5, 5", repeat=True)
    narrow = {"heat": [0.1, 0.9], "top": [1, 9]}
    assert _propose(Leo(model, settings=narrow), 2, known=known) == []


def test_rounding_keeps_settings_inside() -> None:
    box = {"heat": [0.12345678, 0.12345679], "top": [1, 40]}
    made = _propose(Leo(ScriptedModel("x"), settings=box), 3)
    assert all(0.12345678 <= c.parts["settings"]["heat"] <= 0.12345679 for c in made)


def test_what_it_makes_is_what_the_settings_target_makes() -> None:
    parameters = {
        "voice": ["calm", "loud"],
        "heat": {"low": 0.0, "high": 2.0},
        "top": {"low": 1, "high": 40, "integer": True},
    }
    target = SettingsTarget(parameters, function=lambda settings, text: f"{settings} {text}")
    (seed,) = target.origin([])
    known = Known((seed,), standings={seed.id: _standing(seed, 0.5)})
    model = ScriptedModel("0.123456, 5.4\n1.5, 39.6", repeat=True)
    made = _propose(Leo(model, settings=BOUNDS, integers=["top"]), 4, known=known)
    assert len(made) == 2
    for candidate in made:
        target.check(candidate)
        settings = candidate.parts["settings"]
        assert isinstance(settings, Mapping)
        assert candidate == target.combination(settings)
