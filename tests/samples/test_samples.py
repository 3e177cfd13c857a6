import asyncio

import pytest

from palate.config import load_inputs, load_prompts, parse_config
from palate.judges import SimulatedJudge, simulated_judge
from palate.models import ScriptedModel
from palate.proposers import own_candidates
from palate.samples import demo_study_toml
from palate.targets import InstructionTarget
from palate.types import Duel, Input, Response, Verdict

CONFIG = parse_config(demo_study_toml())
INPUTS = load_inputs(CONFIG)


def test_the_sample_says_where_it_comes_from() -> None:
    assert "written for Palate" in demo_study_toml()


def test_every_input_is_different_and_has_a_reference() -> None:
    assert len(INPUTS) == 20
    assert all(len(asked.references) == 1 and asked.references[0] != asked.text for asked in INPUTS)
    assert max(len(asked.text) for asked in INPUTS) < 300


def test_every_prompt_can_be_plugged_in() -> None:
    own = own_candidates(CONFIG.prompts.seed, load_prompts(CONFIG))
    assert len(own) == CONFIG.study.candidates
    target = InstructionTarget(ScriptedModel("x"), CONFIG.prompts.placement, CONFIG.prompts.template)
    for candidate in own:
        target.check(candidate)


@pytest.mark.parametrize("asked", INPUTS, ids=lambda asked: asked.text.split()[-1])
def test_the_simulated_judge_prefers_the_reference_to_a_letter_and_to_the_email(asked: Input) -> None:
    letter = "I'm sorry for your loss. I'm here to help with any other questions that you may have. " * 3
    judge = simulated_judge(scale=200.0)
    assert _wins(judge, asked, asked.references[0], letter)
    assert _wins(judge, asked, asked.references[0], asked.text)


def _wins(judge: SimulatedJudge, asked: Input, better: str, worse: str) -> bool:
    duel = Duel("d", "p", "j", asked, Response("text", better), Response("text", worse), "a", "b", False)
    return asyncio.run(judge.judge(duel)).verdict is Verdict.LEFT
