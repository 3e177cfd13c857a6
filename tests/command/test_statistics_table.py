"""Statistics as lines for a terminal, from figures given by hand."""

from dataclasses import replace

from palate.command._statistics import table
from palate.statistics import (
    Agreement,
    Figure,
    JudgePair,
    RatedCandidate,
    Repeats,
    SideBias,
    Statistics,
    StyleControl,
    StyleEffect,
)

ROW = RatedCandidate(
    candidate_id="a",
    text="Reply\x1b[31m kindly.",
    withdrawn=False,
    wins=9,
    losses=5,
    ties=1,
    rating=Figure(1050.4, 1000.2, 1100.6),
    bootstrap=None,
    controlled=None,
    rank=1,
    behind=None,
    with_leader=True,
    bounded=True,
)
SHARE = Figure(0.6, 0.5, 0.7)
FULL = Statistics(
    votes=60,
    counted=60,
    verdicts={},
    judges={"anna": 30, "bert": 30},
    method="prior",
    candidates=(
        ROW,
        replace(ROW, text="Other.", with_leader=False, bounded=False),
        replace(ROW, text="Never asked.", rating=None, with_leader=False),
    ),
    side=(
        SideBias(None, 36, 60, SHARE, Figure(20.0, -5.4, 45.0)),
        SideBias("anna\x07", 3, 5, Figure(0.6, 0.2, 0.9), None),
    ),
    style=StyleControl(60, (StyleEffect("length", Figure(0.5, 0.1, 0.9), SHARE),), None),
    agreement=Agreement(
        30,
        SHARE,
        SHARE,
        24,
        Figure(0.4),
        (JudgePair("anna", "bert", 20, Figure(0.1, -0.05, 0.3)), JudgePair("anna", "carl", 1, None)),
        (Repeats(None, 8, 6, Figure(0.75, 0.41, 0.93), 4, 3),),
    ),
    wins=(),
    ties=(),
    rounds=0,
    seed=0,
)


def test_everything_has_a_line_and_no_control_character_gets_through() -> None:
    lines = list(table(FULL))
    assert lines[0] == "60 votes counted, by 2 judges."
    assert lines[3] == "  *  1050    1000 – 1101      9     1     5  Reply kindly."
    assert lines[4] == "   ? 1050    1000 – 1101      9     1     5  Other."
    assert lines[5] == "    1 more without a rating: no vote connects them with these."
    assert "no vote limits its rating" in lines[7]
    assert lines[9:] == [
        "style      an answer twice as long wins 60 % (50 – 70 %) between equal prompts",
        "left side  all judges: 60 % (50 – 70 %) of 60 decided votes; worth +20 Elo (-5 – +45)",
        "left side  anna: 60 % (20 – 90 %) of 5 decided votes",
        "agreement  60 % (50 – 70 %) where both see a winner; people reach about 80 % on clear pairs",
        "agreement  60 % (50 – 70 %) with ties counted, over 30 shared duels",
        "agreement  Krippendorff's alpha 0.40",
        "agreement  Cohen's kappa 0.10 (-0.05 – 0.30): anna and bert, 20 duels",
        "repeats    all judges: 75 % (41 – 93 %) of 8 said the same again",
    ]


def test_what_is_missing_is_said() -> None:
    nothing = Agreement(0, None, None, 0, None, (), ())
    bare = replace(
        FULL, counted=1, judges={"me": 1}, side=(), style=StyleControl(1, (), 20), agreement=nothing
    )
    lines = list(table(bare))
    assert lines[0] == "1 vote counted, by 1 judge; too few to settle anything."
    assert lines[-2:] == [
        "style      too few votes; about 20 that are no tie would do",
        "agreement  cannot be measured: no two judgements of the same two answers",
    ]
    [line] = table(replace(FULL, method=None, candidates=()))
    assert line.startswith("No votes yet")
