"""The reward on n-grams against scikit-learn's logistic regression and by its gradient."""

from pathlib import Path

import numpy as np
import pytest

from palate.errors import ConfigError, InputError
from palate.policy.rewards import NgramOptions, fit_classes, fit_pairs, load_ngrams

SIMPLE = [
    "take the pill with food",
    "drink a lot of water",
    "call the doctor if you feel worse",
    "rest a lot",
]
HARD = [
    "administer the medication postprandially",
    "maintain adequate hydration with water",
    "consult a physician should symptoms exacerbate",
    "the medication necessitates prolonged rest",
]


def test_features_and_fit_are_those_of_scikit_learn() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    options = NgramOptions(unit="char", longest=3, fewest=2, l2=0.01)
    mine = fit_classes(SIMPLE, HARD, options)
    vectors = text.TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    rows = vectors.fit_transform([*SIMPLE, *HARD])
    assert set(vectors.get_feature_names_out()) == set(mine.vocabulary)
    # their C weighs the sum of the losses, so C = 1 / (l2 N)
    theirs = linear.LogisticRegression(C=1 / (0.01 * 8), tol=1e-10, max_iter=5000)
    theirs.fit(rows, [1] * 4 + [0] * 4)
    new = ["take water with food", "necessitates medication"]
    expected = theirs.decision_function(vectors.transform(new))
    assert mine.score((), new) == pytest.approx(expected, abs=1e-4)
    assert mine.probability(new) == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-4)
    assert mine.score((), new)[0] > 0 > mine.score((), new)[1]


def test_pairs_are_a_logistic_regression_on_differences() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    text = pytest.importorskip("sklearn.feature_extraction.text")
    mine = fit_pairs(SIMPLE, HARD, NgramOptions(longest=1, fewest=1, l2=0.1))
    vectors = text.TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    rows = vectors.fit_transform([*SIMPLE, *HARD]).toarray()
    gap = rows[:4] - rows[4:]
    theirs = linear.LogisticRegression(C=1 / (0.1 * 8), fit_intercept=False, tol=1e-10, max_iter=5000)
    theirs.fit(np.concatenate([gap, -gap]), [1] * 4 + [0] * 4)
    expected = vectors.transform(SIMPLE) @ theirs.coef_[0]
    assert mine.score((), SIMPLE) == pytest.approx(expected, abs=1e-4)
    assert mine.bias == 0


def test_it_comes_back_from_its_folder(tmp_path: Path) -> None:
    mine = fit_classes(SIMPLE, HARD, NgramOptions(fewest=1))
    back = load_ngrams(mine.save(tmp_path / "reward"))
    assert back.options == mine.options
    assert back.vocabulary == mine.vocabulary
    assert back.score((), HARD).tolist() == mine.score((), HARD).tolist()
    (tmp_path / "reward" / "ngrams.json").write_text("{}")
    with pytest.raises(InputError, match="does not hold a reward"):
        load_ngrams(tmp_path / "reward")


def test_what_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(InputError, match="lower fewest"):
        fit_classes(["one"], ["two"])
    with pytest.raises(InputError, match="one or more texts"):
        fit_classes(["one one", "one"], [], NgramOptions(fewest=1))
    with pytest.raises(InputError, match="pairs, not 1 chosen and 0"):
        fit_pairs(["a"], [])
    for wrong in ({"unit": "byte"}, {"longest": 0}, {"fewest": 0}, {"l2": 0.0}):
        with pytest.raises(ConfigError):
            NgramOptions(**wrong)  # pyright: ignore[reportArgumentType]
