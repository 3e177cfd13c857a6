"""Columns of votes, counters and outlines say what a full replay says, whatever was written down before."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from palate.errors import NotFoundError
from palate.store import Meetings, Store, StudyOutline, StudyState, VoteColumns, open_store
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


def test_a_patient_reader_reads_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr("palate.store._store._BITE", 4)
    monkeypatch.setattr("palate.store._store.time.sleep", rests.append)
    store.columns(patient=True)
    assert rests == []
    act(store, random.Random(7), 30)
    assert said(store.columns(patient=True)) == replayed(store)
    assert len(rests) > 3
    outline = StudyOutline(store, patient=True)
    outline.follow()
    assert outline.taught == sum(vote.verdict.teaches for vote in outline.votes)


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


@pytest.mark.parametrize("overlap", [1, 2])
def test_an_outline_knows_what_is_asked_without_going_through_everything(
    tmp_path: Path, overlap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws, now = random.Random(overlap), ["2026-11-21T08:00:00.000+00:00"]
    with open_store(tmp_path / "study.db", clock=lambda: now[0]) as store:
        settings = {"raters": {"overlap": overlap, "most": 3, "lease": 60}}
        store.append("study_created", {"config": "", "settings": settings, "guidelines": ""})
        first, second = fill_study(store, 40)
        outline, state = StudyOutline(store), StudyState()
        monkeypatch.setattr(outline, "_everything", lambda: pytest.fail("it went through everything"))
        for step in range(6):
            act(store, draws, 6)
            held = {judge: store.open_duels(judge, 2, draws) for judge in JUDGES}
            if step == 1:
                done = next(p for p in state.pairings if state.stage(p) == "voted")
                store.append("pairing_extended", {"id": done})
            if step == 2:
                now[0] = "2026-11-21T09:00:00.000+00:00"  # all leases have ended
            if step == 3:
                late = held[JUDGES[0]][0]
                store.vote(ballot_on(late, Verdict.TIE))
            if step == 4:
                store.append("candidate_withdrawn", {"id": second.id, "reason": "test"})
            outline.follow()
            state = StudyState.replay(store.events())
            assert sorted(p.id for p in outline.pending) == sorted(p.id for p in state.pending)
            for identifier, pairing in state.pairings.items():
                assert outline.pairing(identifier) == pairing
                assert outline.progress(identifier) == state.progress(identifier)
                assert outline.stage(identifier) == state.stage(identifier)
            for judge in (*JUDGES, "nobody"):
                assert outline.held_by(judge) == state.held_by(judge)
            for count in (0, 1, 5, 1000):
                for teaching in (False, True):
                    assert outline.latest(count, teaching=teaching) == state.latest(count, teaching=teaching)
            assert outline.latest(1000) == state.votes
            voted = [state.pairings[vote.pairing_id] for vote in state.votes]
            places = [*state.inputs, "of none"]
            wanted = Meetings((first.id, second.id), places).add(voted)
            met = outline.meetings((first.id, second.id), places)
            assert (met.uses, met.together, met.said) == (wanted.uses, wanted.together, wanted.said)
            assert outline.meetings((first.id, "of none"), places).together == dict.fromkeys(places, 0)
            assert outline.opened == len(voted)


def test_a_pairing_that_was_never_opened_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no pairing 'nothing'"):
        store.pairing("nothing")


def test_a_start_reads_the_setup_by_its_index(store: Store) -> None:
    from sqlalchemy.dialects import sqlite

    from palate.store import _outline

    query = _outline._SETUP.params(after=0)
    written = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with store.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}").all()
    assert "event_setup" in " ".join(row[3] for row in plan)
