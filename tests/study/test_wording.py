"""Wording: what a prompt's text shows without a model."""

import numpy as np
import pytest

from palate.wording import beside_embedding, wording_features

PROMPTS = [
    "Q: Is {sentence} valid?\nA:",
    "Q: Is {sentence} valid?\nA: ",
    "Is {sentence} valid?",
    "Translate {sentence} into French.",
    "",
    "\n\n",
    "ÆØÅ 漢字 🙂",
]


def test_a_row_depends_on_its_own_text_only() -> None:
    together = wording_features(PROMPTS)
    assert together.shape == (len(PROMPTS), 208)
    assert np.isfinite(together).all()
    for text, row in zip(PROMPTS, together, strict=True):
        assert wording_features([text])[0].tolist() == row.tolist()


def test_words_and_endings_have_unit_length() -> None:
    row = wording_features(PROMPTS[:1])[0]
    assert np.linalg.norm(row[:128]) == pytest.approx(1.0)
    assert np.linalg.norm(row[128:192]) == pytest.approx(1.0)
    assert wording_features([""])[0].tolist() == [0.0] * 208


def test_the_ending_sees_what_words_do_not() -> None:
    colon, question = wording_features(["Name the animal:", "Name the animal?"])
    apart = np.linalg.norm(colon[128:] - question[128:])
    assert apart > np.linalg.norm(colon[:128] - question[:128])


def test_the_form_by_hand() -> None:
    # "Is {x} ok?\n": 11 characters, one line break, ends in a question mark and in white space, slot at 3.
    form = wording_features(["Is {x} ok?\n"])[0][192:]
    wanted = [
        0.7 * np.log(12), 0.5 * np.log(2), 0, 0.7, 0, 0, 0.7, 0, 0.5, 0, 0, 0, 0.3 * np.log(2), 3 / 11,
        0.1 * (2 + 3 + 3) / 3, 3 / 11,
    ]  # fmt: skip
    assert form == pytest.approx(wanted)


def test_shared_words_make_likeness() -> None:
    # Hashing keeps inner products on average: half of the words shared shows as about a half.
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        words = [f"w{k}" for k in rng.choice(10_000, size=30, replace=False)]
        one, two = wording_features([" . ".join(words[:20]), " . ".join(words[10:])])
        found.append(float(one[:128] @ two[:128]))
    assert 0.2 < np.mean(found) < 0.8


def test_beside_an_embedding() -> None:
    embedding = np.ones((2, 3))
    both = beside_embedding(embedding, PROMPTS[:2])
    assert both.shape == (2, 211)
    assert both[:, :3].tolist() == embedding.tolist()


def test_long_hostile_text_is_quick() -> None:
    # The slot's pattern must not go back over what it has read.
    text = "{" * 200_000
    assert np.isfinite(wording_features([text, "{ " * 100_000])).all()
