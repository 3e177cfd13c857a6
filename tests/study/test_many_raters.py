"""Several raters at one study: nobody waits, unsure pairs are asked again, planted duels teach nothing."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from palate.config import StudyConfig, parse_config
from palate.errors import ConfigError
from palate.questions import lacking
from palate.store import EventKind, StudyState, open_store
from palate.study import Study
from palate.testing import SimulatedClock, ballot_on, with_rules

FILE = """
[study]
candidates = 4
[model]
kind = "scripted"
[inputs]
inline = ["one", "two", "three"]
[prompts]
seed = "Say:"
list = ["Please say:", "Shout:", "Whisper:"]
[embedding]
kind = "scripted"
[raters]
{rules}
"""


@pytest.fixture
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Study]:
    path = tmp_path / "study.toml"
    path.write_text(FILE.format(rules=request.param), encoding="utf-8")
    with Study.open(path, repeatable=True) as made:
        yield made


def stock(rules: dict[str, object], pairings: int, path: Path) -> StudyState:
    with open_store(path / "s.db", clock=SimulatedClock()) as store:
        with_rules(store, rules, pairings)  # pyright: ignore[reportArgumentType]
        return StudyState.replay(store.events())


def test_one_person_gets_as_many_questions_as_ever(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db", clock=SimulatedClock()) as store:
        with_rules(store, {}, 5)
        state = StudyState()
        for held in range(6):
            state.follow(store)
            assert lacking(state, 8, ()) == [""] * (8 - store.ready()) == [""] * 3
            store.open_duels("me", held + 1)
        store.vote(ballot_on(store.open_duels("me", 1)[0]))
        state.follow(store)
        assert lacking(state, 8, ()) == [""] * 4


def test_a_rater_who_has_voted_on_everything_gets_more(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db", clock=SimulatedClock()) as store:
        with_rules(store, {"overlap": 3}, 5)
        for duel in store.open_duels("anna", 5):
            store.vote(ballot_on(duel))
        state = StudyState.replay(store.events())
        assert store.ready() == 5
        assert lacking(state, 4, ()) == [""] * 4
        store.open_duels("ben", 2)
        state.follow(store)
        assert lacking(state, 4, ()) == [""] * 4
        store.remove_rater("anna")
        state.follow(store)
        # Ben holds two and is free for three more.
        assert lacking(state, 6, ()) == [""]


def test_each_group_has_questions_of_its_own(tmp_path: Path) -> None:
    state = stock({"groups": ["doctors", "patients"]}, 2, tmp_path)
    # The two pairings that there are, are for everybody.
    assert Counter(lacking(state, 3, ())) == {"doctors": 1, "patients": 1}


@pytest.mark.parametrize("study", ["overlap = 3\ngold = 0\nrepeats = 0"], indirect=True)
def test_three_judges_vote_on_the_same_pairings(study: Study) -> None:
    study.prepare()
    for _ in range(5):
        for judge in ("a", "b", "c"):
            study.tell(study.ask(judge), "left")
    study.state.follow(study.store)
    assert len(study.state.pairings) == 5
    assert all(study.state.progress(each)[:3] == (3, 3, 0) for each in study.state.pairings)
    assert study.store.verify() == []


@pytest.mark.parametrize(
    "study", ['overlap = "until decided"\nmost = 3\ngold = 0\nrepeats = 0'], indirect=True
)
def test_an_unsure_pair_is_asked_again_up_to_the_most(study: Study) -> None:
    study.prepare()
    for _ in range(4):
        for judge in ("a", "b", "c", "d"):
            study.tell(study.ask(judge), "tie")
    study.state.follow(study.store)
    given = Counter(study.state.progress(each).given for each in study.state.pairings)
    # Ties decide nothing, so every pairing is asked of three, and never of four.
    assert max(given) == 3
    assert given[3] >= 4
    assert study.store.verify() == []


@pytest.mark.parametrize("study", ["gold = 0.4\nrepeats = 0.3"], indirect=True)
def test_repeats_teach_nothing(study: Study) -> None:
    study.prepare()
    for _ in range(40):
        study.tell(study.ask("a"), "left")
    state = StudyState.replay(study.store.events())
    assert state.checks
    assert {vote.planted for vote in state.checks} == {"repeat"}
    assert study.belief().votes == len(state.votes) == 40 - len(state.checks)
    assert sum(event.kind is EventKind.VOTED for event in study.store.events()) == 40


def test_a_gold_list_becomes_gold_duels(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    gold = '[gold]\ninline = [{input = "2 + 2?", better = "4", worse = "5"}]\n'
    path.write_text(FILE.format(rules="gold = 0.5\nrepeats = 0") + gold, encoding="utf-8")
    for _ in range(2):
        with Study.open(path, repeatable=True) as study:
            study.prepare()
            assert [duel.input.text for duel in study.state.gold.values()] == ["2 + 2?"]
            for _ in range(6):
                study.tell(study.ask("a"), "left")
    with Study.open(path, repeatable=True) as study:
        (vote,) = study.state.checks
        assert (vote.planted, vote.input_id) == ("gold", next(iter(study.state.gold)))
        assert study.store.verify() == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("overlap = 0", "a whole number from 1 to 50"),
        ('overlap = "decided"', '"until decided"'),
        ("most = 3", "most needs overlap"),
        ('groups = ["a", "a"]', "names a group twice"),
        ("lease = 1", "at least 10"),
        ("gold = 0.9", "at most 0.5"),
    ],
)
def test_wrong_rules_are_refused(written: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(FILE.format(rules=written))


def test_settings_without_the_table_are_those_of_one_person() -> None:
    text = FILE.partition("[raters]")[0]
    config = parse_config(text)
    assert config.raters is None
    assert StudyConfig.from_settings(config.settings()).raters is None
    assert StudyState().rules == (1, 1, 900.0, 0.0, 0.0, ())
