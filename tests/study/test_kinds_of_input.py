"""The best prompt by kind of input, from a study's own votes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from palate.command._statistics import table
from palate.statistics import study_statistics
from palate.statistics._segments import study_segments
from palate.study import Study
from palate.types import Input, Verdict
from palate.web._statistics import statistics_view
from palate.web._words import read_words

PROMPTS = ["Be formal.", "Be friendly.", "Be odd."]
FORMAL = {"Be formal.": 2.0, "Be friendly.": 0.0, "Be odd.": -2.0}
FRIENDLY = {"Be formal.": 0.0, "Be friendly.": 2.0, "Be odd.": -2.0}
Taste = Callable[[Input], Mapping[str, float]]


def voted(folder: Path, taste: Taste, votes: int, inputs: int = 16) -> Study:
    rng = np.random.default_rng(5)
    places = [
        Input(f"i{n}", f"input {n}", fields={"who": "business" if n % 2 else "private", "page": str(n)})
        for n in range(inputs)
    ]
    study = Study.create(
        target=lambda prompt, text: f"{prompt} {text}",
        inputs=places,
        candidates=PROMPTS,
        path=folder / "study.db",
        strategy="random",
        repeatable=True,
    )
    for _ in range(votes):
        duel = study.ask()
        worth = taste(duel.input)
        left, right = (study.state.candidates[c].text for c in (duel.left_candidate, duel.right_candidate))
        chance = 1 / (1 + np.exp(worth[right] - worth[left]))
        study.tell(duel, Verdict.LEFT if rng.random() < chance else Verdict.RIGHT)
    study.state.follow(study.store)
    return study


def test_a_best_that_depends_on_the_kind_is_named(tmp_path: Path) -> None:
    with voted(
        tmp_path, lambda place: FORMAL if place.fields["who"] == "business" else FRIENDLY, 128
    ) as study:
        found = study_statistics(study.state, study.store.get_response, rounds=0)
        [column] = found.segments  # "page" is another for each input, so it tells no kinds apart
        assert column.column == "who"
        assert column.differ
        assert column.p_value is not None
        assert column.p_value <= 0.05
        best = {kind.value: study.state.candidates[kind.best].text for kind in column.segments}
        assert best == {"business": "Be formal.", "private": "Be friendly."}
        assert [kind.inputs for kind in column.segments] == [8, 8]
        assert sum(kind.votes for kind in column.segments) == 128
        for kind in column.segments:
            assert (kind.beats is None) == (kind.best == column.best)
            if kind.beats is not None:
                assert kind.beats.low is not None
                assert kind.beats.value > 0.5
                assert kind.beats.low < kind.beats.value
        lines = "\n".join(table(found))
        assert "by who: the best prompt depends on it" in lines
        assert "business: Be formal." in lines
        assert found.to_json()["segments"]
        page = statistics_view(found, read_words()["statistics"], name="x", file="x.db")
        [row] = page.kinds
        assert "the best prompt depends on it" in row.lead
        assert {(kind, prompt) for kind, prompt, _ in row.kinds} == set(best.items())


def test_no_difference_is_claimed_where_there_is_none(tmp_path: Path) -> None:
    with voted(tmp_path, lambda _: FORMAL, 96) as study:
        found = study_statistics(study.state, study.store.get_response, rounds=0)
        assert [column.differ for column in found.segments] == [False]
        assert "no sign that the best prompt depends on it" in "\n".join(table(found))


@pytest.mark.parametrize(("votes", "inputs"), [(12, 16), (40, 4)])
def test_too_little_to_tell_is_said(tmp_path: Path, votes: int, inputs: int) -> None:
    with voted(tmp_path, lambda _: FORMAL, votes, inputs) as study:
        found = study_statistics(study.state, study.store.get_response, rounds=0)
        assert [(column.p_value, column.differ) for column in found.segments[:1]] == [(None, False)]
        assert "too few inputs or votes" in "\n".join(table(found))


def test_the_same_votes_give_the_same_p_value(tmp_path: Path) -> None:
    with voted(tmp_path, lambda _: FORMAL, 48) as study:
        once, again = (study_segments(study.state, np.random.default_rng(1)) for _ in range(2))
        assert once == again
