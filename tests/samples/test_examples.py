from pathlib import Path

import pytest

from palate.config import check_data, load_examples, load_inputs, load_prompts, read_config
from palate.models import ScriptedModel
from palate.proposers import own_candidates
from palate.proposers._scenes import sentences
from palate.registry import make
from palate.targets import InstructionTarget

FILES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def test_there_are_examples() -> None:
    assert len(FILES) >= 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_a_study_that_could_begin(path: Path) -> None:
    config = read_config(path)
    check_data(config)
    if config.target.kind == "image":  # pictures vary in their scenes, not in their inputs
        assert len(sentences(config.prompts.seed or "")) >= 3
        return
    assert len(load_inputs(config)) >= 6
    shown = config.prompts.demonstrations
    assert len(load_examples(config)) >= shown
    context = {"model": ScriptedModel("x"), **config.target_context()}
    target = make("targets", config.target.kind, config.options(config.target), **context)
    for name in config.proposers.use:
        given = {"model": ScriptedModel("x"), "demonstrations": shown, "target": target}
        make("proposers", name, config.proposer_options(name, config.proposers), **given)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_prompt_of_an_example_carries_the_input(path: Path) -> None:
    config = read_config(path)
    if config.target.kind != "instruction":
        assert config.target.kind in ("response", "slots", "chat", "image", "settings")
        return
    target = InstructionTarget(ScriptedModel("x"), config.prompts.placement, config.prompts.template)
    for candidate in own_candidates(config.prompts.seed or "", load_prompts(config)):
        for asked in load_inputs(config):
            assert asked.text in target.request(candidate, asked).messages[-1].content
