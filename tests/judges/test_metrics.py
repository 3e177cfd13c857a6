import math

import pytest

from palate.errors import NotFoundError
from palate.judges import METRICS, metric, normalise, task_metric


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Cats and dogs", "cats dogs"),
        ("sand and", "sand and"),  # only " and " between two spaces
        ("Sentence 1: It rained. Sentence 2: She left.", "it rained"),
        ("  Well-known!  ", "well known"),
        ("first line\nsecond line", "first line"),
        ("\n the first line with text", "the first line with text"),
        ("3.5 apples", "3"),  # what stands before the first full stop
        ("don't", "dont"),
        ("", ""),
        ("...", ""),
    ],
)
def test_normalisation(text: str, wanted: str) -> None:
    assert normalise(text) == wanted


@pytest.mark.parametrize(
    ("name", "answer", "references", "wanted"),
    [
        ("exact_match", "Cold.", ["cold"], 1.0),
        ("exact_match", "cold water", ["cold"], 0.0),
        ("exact_match", "freezing", ["cold", "Freezing!"], 1.0),
        # 2 of 3 words are shared on both sides: F1 = 2*2/(3+3).
        ("token_f1", "a red fox", ["the red fox"], 2 / 3),
        # Repeats count: {red, red} and {red} share one: 2*1/(2+1).
        ("token_f1", "red red", ["red"], 2 / 3),
        ("token_f1", "nothing shared", ["at all"], 0.0),
        ("token_f1", "", [""], 0.0),
        ("set_equality", "penguin, rabbit, rabbit", ["rabbit, penguin"], 1.0),
        ("set_equality", "rabbit", ["rabbit, penguin"], 0.0),
        ("containment", "it means to determine it", ["determine"], 1.0),
        ("containment", "it means determined", ["determine"], 0.0),
        ("containment", "anything", [""], 0.0),
        ("multichoice", "it means determined", ["determine"], 1.0),
        ("multichoice", "anything", [""], 0.0),
        ("similarity", "the red fox", ["the red fox"], 1.0),
        # F1 = 2*3/(6+3) = 2/3; lengths 3 and 6 make 1/2; sqrt(1/3).
        ("similarity", "the red fox. And so on", ["the red fox"], math.sqrt(1 / 3)),
        ("similarity", "", [""], 0.0),
        ("similarity", "", ["the red fox"], 0.0),
    ],
)
def test_metrics_worked_by_hand(name: str, answer: str, references: list[str], wanted: float) -> None:
    assert metric(name)(answer, references) == pytest.approx(wanted)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_no_reference_scores_nothing_and_more_references_never_hurt(name: str) -> None:
    score = metric(name)
    answers = ["", "the red fox", "Red-fox and hare.", "word " * 50]
    for answer in answers:
        assert score(answer, []) == 0.0
        alone = score(answer, ["the red fox"])
        assert 0.0 <= alone <= score(answer, ["the red fox", "hare", answer]) <= 1.0


def test_similarity_falls_as_an_answer_rambles_on() -> None:
    score = metric("similarity")
    scores = [score("the red fox" + " sleeps now" * extra, ["the red fox"]) for extra in range(5)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 5


def test_each_task_has_its_metric() -> None:
    assert task_metric("synonyms")("one of them is big indeed", ["big"]) == 1.0
    assert task_metric("taxonomy_animal")("hippo, rabbit", ["rabbit, hippo"]) == 1.0
    assert 0.0 < task_metric("informal_to_formal")("I think so", ["I believe so"]) < 1.0
    assert task_metric("antonyms")("hippo, rabbit", ["rabbit, hippo"]) == 0.0


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(NotFoundError, match="exact_match"):
        metric("exact")
