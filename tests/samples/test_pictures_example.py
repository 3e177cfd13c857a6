from pathlib import Path

import pytest

from palate.config import check_data, load_inputs, load_prompts, read_config
from palate.models import ScriptedModel
from palate.proposers import Scenes, own_candidates
from palate.proposers._scenes import sentences
from palate.registry import make

FILE = Path(__file__).parents[2] / "examples" / "pictures.toml"


def test_the_example_of_pictures_is_a_study_that_could_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    config = read_config(FILE)
    check_data(config)
    assert config.model is not None
    painter = make("models", config.model.kind, config.options(config.model))
    options = config.options(config.target)
    target = make("targets", "image", options, model=painter, **config.target_context())
    (question,) = load_inputs(config)
    (seed,) = own_candidates(*load_prompts(config)[:1], [])
    assert target.request(seed, question).messages[-1].content == seed.text
    assert question.text not in seed.text
    assert len(sentences(seed.text)) == 5
    assert config.proposers.use == ("scenes",)
    options = config.proposer_options("scenes", config.proposers)
    assert isinstance(make("proposers", "scenes", options, model=ScriptedModel("x")), Scenes)
