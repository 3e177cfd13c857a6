"""The nouns: identity by content, verdicts, and the one JSON text that equal values share."""

import hashlib
import json
import math
import pickle  # noqa: TID251 - only to cross a process boundary; nothing is stored
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from palate.types import (
    HELD_OUT,
    Ballot,
    Candidate,
    Completion,
    Duel,
    Input,
    Lineage,
    Request,
    Response,
    Usage,
    Verdict,
    canonical_json,
    digest,
    is_held_out,
)

JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**60), 2**60)
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=12,
)


def test_canonical_json_worked_by_hand() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "ü✓"}) == '{"a":"ü✓","b":[1,2.5,null]}'


@given(JSON)
def test_canonical_json_is_json_and_stable(value: object) -> None:
    text = canonical_json(value)  # pyright: ignore[reportArgumentType]
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(some.dictionaries(some.text(), some.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(turned)
    assert digest(value) == digest(turned)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1.0, math.nan]])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_digest_is_sha256_of_the_text() -> None:
    assert digest([1, "a"]) == hashlib.sha256(b'[1,"a"]').hexdigest()
    assert digest("ü") == hashlib.sha256('"ü"'.encode()).hexdigest()


def test_digest_of_half_a_surrogate_pair() -> None:
    assert len(digest("\ud800")) == 64
    assert digest("\ud800") != digest("\ud801")


@pytest.mark.parametrize(
    ("shown", "turned"),
    [
        ("left", "right"),
        ("right", "left"),
        ("tie", "tie"),
        ("both_bad", "both_bad"),
        ("skip", "skip"),
        ("failed", "failed"),
    ],
)
def test_swapped(shown: str, turned: str) -> None:
    assert Verdict(shown).swapped() is Verdict(turned)
    assert Verdict(shown).swapped().swapped() is Verdict(shown)


def test_skip_and_failed_never_teach() -> None:
    assert {verdict.value for verdict in Verdict if not verdict.teaches} == {"skip", "failed"}
    assert len(Verdict) == 6


def test_a_candidate_is_its_content() -> None:
    one = Candidate.make("Be brief.", parts={"demonstrations": [{"input": "a", "output": "b"}]})
    same = Candidate.make(
        "Be brief.",
        parts={"demonstrations": [{"output": "b", "input": "a"}]},
        lineage=Lineage("rephrase", parents=("0",)),
    )
    assert one.id == same.id
    assert one == same  # where it came from is not part of what it is
    assert one.id == digest({"text": "Be brief.", "parts": one.parts})[:16]


@pytest.mark.parametrize("other", [{"text": "Be brief. "}, {"parts": {"slot": 1}}, {"text": "be brief."}])
def test_another_content_is_another_candidate(other: dict[str, object]) -> None:
    content: dict[str, object] = {"text": "Be brief.", "parts": {}}
    assert Candidate.make(**content).id != Candidate.make(**{**content, **other}).id  # pyright: ignore[reportArgumentType]


def test_a_candidate_keeps_its_own_copy_of_its_parts() -> None:
    slots: dict[str, int] = {"a": 1}
    made = Candidate.make("x", parts=slots)
    slots["a"] = 2
    assert made.parts == {"a": 1}


BALLOT = Ballot("duel", Verdict.LEFT, "anna", "key")


@pytest.mark.parametrize(
    "change",
    [
        {"duel_id": "another"},
        {"verdict": Verdict.RIGHT},
        {"judge": "ben"},
        {"reason": "unclear"},
        {"comment": "too long"},
    ],
)
def test_the_fingerprint_tells_what_was_said(change: dict[str, object]) -> None:
    assert replace(BALLOT, **change).fingerprint != BALLOT.fingerprint  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("change", [{"key": "another"}, {"seconds": 3.5}])
def test_the_fingerprint_leaves_out_how_it_was_sent(change: dict[str, object]) -> None:
    assert replace(BALLOT, **change).fingerprint == BALLOT.fingerprint  # pyright: ignore[reportArgumentType]


def test_a_response_is_known_by_what_is_shown() -> None:
    dear = Response("text", "Hello", seconds=2.0, cost=0.1)
    assert dear.hash == Response("text", "Hello").hash
    assert dear.hash != Response("table", "Hello").hash
    assert dear.hash != Response("text", "Hello ").hash


def test_an_unknown_cost_is_not_zero() -> None:
    assert Response("text", "a").cost is None
    assert Completion("a", "m").cost is None


def test_values_are_frozen_and_pickle() -> None:
    left, right = Response("text", "a"), Response("text", "b")
    duel = Duel("d", "p", "anna", Input("i", "?", fields={"k": "v"}), left, right, "1", "2", swapped=True)
    with pytest.raises(FrozenInstanceError):
        duel.swapped = False  # pyright: ignore[reportAttributeAccessIssue]
    assert pickle.loads(pickle.dumps(duel)) == duel


def test_defaults_are_not_shared() -> None:
    assert Request(()).extra is not Request(()).extra
    assert Completion("a", "m").usage == Usage(0, 0)


@given(some.text())
def test_what_is_held_out_follows_from_the_digest(pairing_id: str) -> None:
    assert is_held_out(pairing_id) == (int(digest(["held out", pairing_id])[:8], 16) % HELD_OUT == 0)
