import json

import numpy as np
import pytest

from palate.errors import ConfigError, InputError, NotFoundError
from palate.strategies import DuelBandit, duel_bandit
from palate.types import Verdict

SQUARE = np.eye(4)


def test_default_is_ours() -> None:
    assert duel_bandit("default", SQUARE, seed=0).name == "palate"


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((3, 0)), "shape"),
        (np.zeros((1, 3)), "at least two"),
        ([[1.0, 0.0], [np.nan, 0.0]], "candidate 1"),
        ([[np.inf, 0.0], [1.0, 0.0]], "candidate 0"),
    ],
)
def test_bad_features(features: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        duel_bandit("default", features, seed=0)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0"])
def test_bad_seed(seed: object) -> None:
    with pytest.raises(InputError, match="seed"):
        duel_bandit("default", SQUARE, seed=seed)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("pair", [(0, 0), (0, 4), (-1, 0), (0, 1.0), (True, 2)])
def test_bad_pairs(pair: tuple[int, int]) -> None:
    bandit = duel_bandit("default", SQUARE, seed=0)
    with pytest.raises(InputError):
        bandit.tell(*pair, "left")
    with pytest.raises(InputError):
        bandit.ask(pending=[pair])
    with pytest.raises(InputError):
        bandit.win_rate(*pair)
    assert bandit.votes == 0


def test_bad_verdict_names_the_allowed_ones() -> None:
    with pytest.raises(InputError, match=r"'better'.*left, right, tie, both_bad, skip, failed"):
        duel_bandit("default", SQUARE, seed=0).tell(0, 1, "better")


@pytest.mark.parametrize("rows", [[1.0, 2.0], [[1.0], [np.nan]], [[1.0]] * 3])
def test_bad_response_features(rows: object) -> None:
    with pytest.raises(InputError, match="two rows"):
        duel_bandit("default", SQUARE, seed=0).tell(0, 1, "left", response_features=rows)  # pyright: ignore[reportArgumentType]


def test_negative_number_of_questions() -> None:
    with pytest.raises(InputError, match="-1"):
        duel_bandit("default", SQUARE, seed=0).ask(-1)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'apohf'"):
        duel_bandit("apofh", SQUARE, seed=0)
    with pytest.raises(ConfigError, match="did you mean 'scale'"):
        duel_bandit("random", SQUARE, seed=0, scal=2)
    with pytest.raises(ConfigError, match="plain"):
        duel_bandit("random", SQUARE, seed=0, scale=object())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gp-eubo", {"scales": []}),
        ("gp-eubo", {"scales": [0.0]}),
        ("gp-eubo", {"own": 0}),
        ("gp-eubo", {"linear": -1}),
        ("random", {"scale": 0}),
        ("apohf", {"decay": 0}),
        ("apohf", {"nu": -1}),
        ("apohf", {"steps": 0}),
        ("apohf", {"steps": 1.5}),
        ("apohf", {"warm_start": -1}),
        ("apohf", {"hidden": []}),
        ("apohf", {"hidden": [0]}),
        ("apohf", {"variance": "half"}),
        ("apohf", {"report": "all"}),
        ("apohf-released", {"nu": -1}),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        duel_bandit(name, SQUARE, seed=0, **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [("decay", 5.0), ("nu", 0.0), ("steps", 3), ("warm_start", 0), ("hidden", [3]), ("network_seed", 7)],
)
def test_every_option_of_apohf_makes_a_difference(option: str, value: object) -> None:
    base = {"steps": 20, "hidden": [4, 4], "warm_start": 9}
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((12, 3))

    def run(options: dict[str, object]) -> list[object]:
        bandit = duel_bandit("apohf", feature, seed=0, **options)
        for _ in range(4):
            bandit.tell(*bandit.ask(), "left")
        return [bandit.history.pairs, bandit.posterior().mean_N.tolist(), bandit.posterior().std_N.tolist()]

    assert run(base) != run({**base, option: value})


def test_forms_of_apohf_make_a_difference() -> None:
    rng = np.random.default_rng(3)
    feature = rng.standard_normal((40, 3))
    runs = []
    for options in ({}, {"variance": "diagonal"}):
        bandit = duel_bandit("apohf", feature, seed=0, steps=20, hidden=[4, 4], **options)
        for _ in range(15):
            i, j = bandit.ask()
            bandit.tell(i, j, "left" if feature[i, 0] > feature[j, 0] else "right")
        runs.append(bandit.history.pairs)
    assert runs[0] != runs[1]
    pool, shown = (duel_bandit("apohf", feature, 0, steps=20, report=r) for r in ("pool", "shown"))
    for bandit in (pool, shown):
        bandit.tell(0, 1, "left")
    assert shown.best() in (0, 1)
    assert pool.best() not in (0, 1)


def test_state_is_complete_and_readable() -> None:
    bandit = duel_bandit("random", SQUARE, seed=3, scale=1.5)
    bandit.tell(0, 1, Verdict.LEFT, input_id="a", judge="anna", response_features=[[1.0], [2.0]])
    bandit.tell(2, 1, "skip")
    state = json.loads(json.dumps(bandit.to_json(), allow_nan=False))
    assert state["told"][0] == {
        "first": 0,
        "second": 1,
        "verdict": "left",
        "input_id": "a",
        "judge": "anna",
        "response_features": [[1.0], [2.0]],
        "strength": None,
    }
    assert (state["strategy"], state["options"], state["seed"]) == ("random", {"scale": 1.5}, 3)
    again = DuelBandit.from_json(state)
    assert again.to_json() == bandit.to_json()
    assert (again.votes, len(again), repr(again)) == (1, 4, "<DuelBandit random: 4 candidates, 1 votes>")


def test_features_can_be_kept_elsewhere() -> None:
    bandit = duel_bandit("random", SQUARE, seed=3)
    bandit.tell(0, 1, "left")
    state = bandit.to_json(features=False)
    assert state["features"] is None
    assert (
        DuelBandit.from_json(state, features=SQUARE).posterior().mean_N.tolist()
        == bandit.posterior().mean_N.tolist()
    )
    with pytest.raises(InputError, match="without its features"):
        DuelBandit.from_json(state)
    with pytest.raises(InputError, match="not the features"):
        DuelBandit.from_json(state, features=2 * SQUARE)


def test_a_newer_format_is_refused() -> None:
    state = {**duel_bandit("random", SQUARE, seed=3).to_json(), "format": 99}
    with pytest.raises(InputError, match="99"):
        DuelBandit.from_json(state)


def test_features_are_copied_and_the_caller_cannot_change_them() -> None:
    mine = np.eye(4)
    bandit = duel_bandit("random", mine, seed=0)
    before = bandit.to_json()["features_sha256"]
    mine[0, 0] = 9.0
    assert bandit.to_json()["features_sha256"] == before


def test_asking_twice_draws_anew_and_telling_starts_the_count_again() -> None:
    rng = np.random.default_rng(0)
    bandit = duel_bandit("random", rng.standard_normal((50, 3)), seed=0)
    assert bandit.ask() != bandit.ask()


def test_seeds_differ() -> None:
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((50, 3))
    assert len({duel_bandit("random", feature, seed=s).ask() for s in range(10)}) > 5


def test_memoryless_reports_the_last_winner() -> None:
    bandit = duel_bandit("random-memoryless", SQUARE, seed=0)
    assert bandit.best() == 0
    for i, j, verdict, reported in [
        (0, 1, "right", 1),
        (2, 3, "left", 2),
        (0, 1, "tie", 2),
        (3, 1, "skip", 2),
    ]:
        bandit.tell(i, j, verdict)
        assert bandit.best() == reported


def test_answers_to_different_questions_never_meet() -> None:
    bandit = duel_bandit("default", np.eye(6), seed=0)
    for _ in range(6):
        i, j = bandit.ask(among=[1, 3, 4])
        assert {i, j} <= {1, 3, 4}
        bandit.tell(i, j, "left" if i > j else "right")
    assert all(set(pair) <= {0, 2, 5} for pair in bandit.ask(3, among=[0, 2, 5]))
    assert bandit.best() == 4
    assert bandit.best(among=[0, 1, 4]) == 4
    assert bandit.best(among=[1]) == 1
    prob_N = bandit.p_best(among=[0, 1, 3])
    assert prob_N.sum() == pytest.approx(1)
    assert prob_N[[2, 4, 5]].tolist() == [0, 0, 0]
    assert prob_N.argmax() != 1


def test_one_live_candidate_is_no_duel() -> None:
    bandit = duel_bandit("default", np.eye(4), seed=0)
    bandit.withdraw(2)
    with pytest.raises(InputError, match="1 of the candidates in among= take part, and 2 must"):
        bandit.ask(among=[1, 2])
    with pytest.raises(InputError, match="is not a candidate"):
        bandit.best(among=[7])
