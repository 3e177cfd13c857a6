"""Columns of votes, counters and outlines say what a full replay says, whatever was written down before."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from palate.store import Store, StudyOutline, StudyState, VoteColumns, open_store
from palate.store._columns import VERDICTS, ColumnReader
from palate.testing import ballot_on, fill_study
from palate.types import Verdict

JUDGES = ("anna", "ben", "cleo")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "study.db") as opened:
        fill_study(opened, 60)
        yield opened


def act(store: Store, draws: random.Random, times: int) -> None:
    """Votes and undoes of several judges."""
    for _ in range(times):
        judge = draws.choice(JUDGES)
        if draws.random() < 0.3:
            store.undo(judge)
        else:
            for duel in store.open_duels(judge, 1, draws):
                store.vote(ballot_on(duel, draws.choice(list(Verdict)), key=f"{draws.random()}"))


def said(columns: VoteColumns) -> list[tuple[object, ...]]:
    """The votes in words."""
    return [
        (
            int(row["seq"]),
            columns.candidates[row["left"]],
            columns.candidates[row["right"]],
            columns.answers[row["left_answer"]],
            columns.answers[row["right_answer"]],
            columns.inputs[row["input"]],
            columns.judges[row["judge"]],
            VERDICTS[row["verdict"]],
        )
        for row in columns.table_M
    ]


def replayed(store: Store) -> list[tuple[object, ...]]:
    """The same from every event."""
    state = StudyState.replay(store.events())
    found: list[tuple[object, ...]] = []
    for vote in state.votes:
        pairing, duel = state.pairings[vote.pairing_id], state.duels[vote.duel_id]
        answers = {pairing.first: pairing.first_response, pairing.second: pairing.second_response}
        left, right = vote.left_candidate, vote.right_candidate
        assert left == (pairing.second if duel.swapped else pairing.first)
        found.append(
            (vote.seq, left, right, answers[left], answers[right], vote.input_id, vote.judge, vote.verdict)
        )
    return found


@pytest.mark.parametrize("part", [1, 3, 2000])
def test_followed_columns_are_the_replayed_ones(store: Store, tmp_path: Path, part: int) -> None:
    draws = random.Random(part)
    reader = ColumnReader(store.reading, None, part=part)
    for _ in range(8):
        act(store, draws, 6)
        reader.follow()
        wanted = replayed(store)
        assert said(reader.columns()) == wanted
        assert said(VoteColumns.of(StudyState.replay(store.events()))) == wanted
        assert +Counter(reader.counts) == Counter((row[6], row[7]) for row in wanted)
    assert reader.seq == store.last_seq()
    assert len(wanted) > 10


def test_what_was_written_down_and_what_came_later_are_the_replayed_ones(
    store: Store, tmp_path: Path
) -> None:
    draws = random.Random(7)
    path = tmp_path / "votes"
    for _ in range(12):
        act(store, draws, 5)
        reader = ColumnReader(store.reading, path, every=4)
        reader.follow()
        assert said(reader.columns()) == replayed(store)
        assert +Counter(reader.counts) == Counter((row[6], row[7]) for row in replayed(store))
    assert path.is_file()
    read: list[str] = []

    def reading() -> object:
        read.append("")
        return store.reading()

    again = ColumnReader(reading, path)  # pyright: ignore[reportArgumentType]
    again.follow()
    assert len(again.columns()) == len(replayed(store))
    assert len(read) <= 3


@pytest.mark.parametrize("damage", ["torn", "turned", "other format", "not ours", "empty", "other study"])
def test_what_was_written_down_is_thrown_away_when_in_doubt(
    store: Store, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "votes"
    act(store, random.Random(1), 20)
    reader = ColumnReader(store.reading, path, every=1)
    reader.follow()
    content = path.read_bytes()
    if damage == "torn":
        path.write_bytes(content[:-10])
    elif damage == "turned":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    elif damage == "other format":
        path.write_bytes(content.replace(b'"format": 1', b'"format": 9', 1))
    elif damage == "not ours":
        path.write_bytes(b"nothing of ours")
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        with open_store(tmp_path / "other.db") as other:
            fill_study(other, 60)
            act(other, random.Random(2), 20)
            ColumnReader(other.reading, path, every=1).follow()
    fresh = ColumnReader(store.reading, path, every=1)
    fresh.follow()
    assert said(fresh.columns()) == replayed(store)


def test_nowhere_to_write_stops_nobody(store: Store, tmp_path: Path) -> None:
    act(store, random.Random(1), 20)
    reader = ColumnReader(store.reading, tmp_path / "no folder" / "votes", every=1)
    reader.follow()
    assert said(reader.columns()) == replayed(store)


def test_columns_that_were_handed_out_stay_as_they_are(store: Store) -> None:
    draws = random.Random(3)
    act(store, draws, 15)
    columns = store.columns()
    before = said(columns)
    act(store, draws, 15)
    store.columns()
    assert said(columns) == before
    with pytest.raises(ValueError, match="read-only"):
        columns.table_M["seq"][:] = 0


def test_an_outline_says_what_a_replay_says(store: Store) -> None:
    draws = random.Random(5)
    outline = StudyOutline(store)
    first = next(iter(StudyState.replay(store.events()).candidates))
    for step in range(4):
        act(store, draws, 8)
        if step == 2:
            store.append("candidate_withdrawn", {"id": first, "reason": "test"})
            store.append("study_closed", {"reason": "done"})
        outline.follow()
        state = StudyState.replay(store.events())
        parts = ("seq", "settings", "guidelines", "inputs", "candidates", "withdrawn", "made", "closed")
        for part in (*parts, "failures", "growth", "config", "guideline_version"):
            assert getattr(outline, part) == getattr(state, part)
        assert outline.taught == sum(vote.verdict.teaches for vote in state.votes)
        assert outline.stages == Counter(state.stage(identifier) for identifier in state.pairings)
        for judge in (*JUDGES, "nobody"):
            mine = [vote.duel_id for vote in state.votes if vote.judge == judge]
            assert outline.given_by(judge) == (len(mine), mine[-1] if mine else None)
    for part in ("votes", "pending", "pairings", "duels", "checks", "all_votes"):
        assert getattr(outline, part) == getattr(state, part)


def test_a_start_reads_the_setup_by_its_index(store: Store) -> None:
    from sqlalchemy.dialects import sqlite

    from palate.store import _outline

    query = _outline._SETUP.params(after=0)
    written = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with store.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}").all()
    assert "event_setup" in " ".join(row[3] for row in plan)
