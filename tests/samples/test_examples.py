from pathlib import Path

import pytest

from palate.config import load_examples, load_inputs, load_prompts, read_config
from palate.models import ScriptedModel
from palate.proposers import own_candidates
from palate.registry import make
from palate.targets import InstructionTarget

FILES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def test_there_are_examples() -> None:
    assert len(FILES) >= 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_a_study_that_could_begin(path: Path) -> None:
    config = read_config(path)
    model = ScriptedModel("x")
    target = InstructionTarget(model, config.prompts.placement, config.prompts.template)
    inputs = load_inputs(config)
    assert len(inputs) >= 6
    for candidate in own_candidates(config.prompts.seed, load_prompts(config)):
        for asked in inputs:
            assert asked.text in target.request(candidate, asked).messages[-1].content
    shown = config.prompts.demonstrations
    assert len(load_examples(config)) >= shown
    for name in config.proposers.use:
        make("proposers", name, config.proposer_options(name), model=model, demonstrations=shown)
