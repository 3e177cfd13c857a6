"""Similarity of answers: METEOR by hand and against NLTK, and the alarm."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from palate.errors import ConfigError, InputError, MissingExtraError
from palate.policy import SIMILARITY_ALARM, completion_similarity, meteor

WORDS = [
    "river",
    "stone",
    "cloud",
    "ember",
    "maple",
    "garden",
    "window",
    "copper",
    "lantern",
    "harbour",
    "meadow",
    "thistle",
]


class Lexicon:
    """Knows one pair of synonyms."""

    def synsets(self, word: str) -> list[SimpleNamespace]:
        names = {"car": ["car", "auto", "motor_car"]}.get(word, [])
        lemmas = [SimpleNamespace(name=lambda name=name: name) for name in names]
        return [SimpleNamespace(lemmas=lambda: lemmas)]


def test_by_hand() -> None:
    # All six words match. Matches are made from the end, each to the last free place, so the later "the"
    # goes to the later "the", and no neighbours stay neighbours: 1 - 0.5 (6 / 6)^3
    assert meteor("the cat sat on the mat", "on the mat sat the cat") == pytest.approx(0.5)
    # P = 2/4, R = 2/3, mean P R / (0.9 P + 0.1 R) = 20/31, one piece of two: 1 - 0.5 (1/2)^3 = 0.9375
    assert meteor("a red fox", "red fox runs away") == pytest.approx(20 / 31 * 0.9375)
    assert meteor("red fox runs away", "a red fox") == pytest.approx(1 / 3 / (0.6 + 0.05) * 0.9375)
    assert meteor("Red Fox", "red fox") == pytest.approx(0.9375)
    assert (meteor("", "red"), meteor("red", " "), meteor("red", "blue")) == (0.0, 0.0, 0.0)


def test_stages() -> None:
    # Stems are equal: running, runs. One match of one word, one piece: 1 - 0.5.
    assert meteor("running", "runs") == pytest.approx(0.5)
    assert meteor("auto", "car") == 0.0
    assert meteor("auto", "car", lexicon=Lexicon()) == pytest.approx(0.5)


def test_a_template_is_seen_and_different_answers_are_not() -> None:
    rng = np.random.default_rng(0)
    varied = [" ".join(rng.permutation([f"{w}{i}" for w in WORDS])) for i in range(40)]
    template = ["I am happy to help you with this question and hope it helps " + text[:12] for text in varied]
    calm, alarmed = (completion_similarity(texts, np.random.default_rng(1)) for texts in (varied, template))
    assert calm.mean == 0.0
    assert calm.pairs == alarmed.pairs == 20
    assert alarmed.low <= alarmed.mean <= alarmed.high
    assert alarmed.low > SIMILARITY_ALARM
    same = completion_similarity(["the very same answer every time"] * 10, np.random.default_rng(1))
    assert same.mean == pytest.approx(1 - 0.5 / 6**3)  # one piece of six words


def test_pairs_are_disjoint_and_repeatable() -> None:
    """With only two alike in six, one pair of three can match, never more."""
    texts = ["alpha beta", "alpha beta", "gamma", "delta", "epsilon", "zeta"]
    found = {
        round(completion_similarity(texts, np.random.default_rng(seed)).mean * 3, 4) for seed in range(30)
    }
    assert found == {0.0, 0.9375}
    first, again = (completion_similarity(texts, np.random.default_rng(3)) for _ in range(2))
    assert first == again


def test_the_interval_covers_what_more_answers_say() -> None:
    """Answers share a random number of words; intervals of 60 answers hold the mean of 4,000."""
    rng = np.random.default_rng(2)

    def answers(count: int) -> list[str]:
        fillers = rng.integers(10**9, size=(count, 6))
        shared = rng.integers(0, 4, size=count)
        return [
            " ".join([*WORDS[:n], *(str(f) for f in row)])
            for n, row in zip(shared.tolist(), fillers, strict=True)
        ]

    truth = completion_similarity(answers(4000), rng).mean
    held = 0
    for _ in range(60):
        estimate = completion_similarity(answers(60), rng, resamples=200)
        held += estimate.low <= truth <= estimate.high
    assert held >= 50  # below 50 of 60 in 1 of 500 cases at 95 %


def test_what_cannot_be_measured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="two or more"):
        completion_similarity(["one"], rng)
    with pytest.raises(ConfigError, match="pairs must lie in 1 to 2"):
        completion_similarity(["a"] * 5, rng, pairs=3)
    with pytest.raises(ConfigError, match="resamples"):
        completion_similarity(["a"] * 5, rng, resamples=0)
    monkeypatch.setitem(sys.modules, "nltk.translate.meteor_score", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'palate\[train\]'"):
        meteor("a", "b")
