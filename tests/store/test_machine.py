"""Any sequence of what a person can do leaves tables that say what the events say."""

import tempfile
from pathlib import Path
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from palate.errors import ConflictError
from palate.store import StudyState, open_store
from palate.testing import fill_study
from palate.types import Ballot, Receipt, Verdict

JUDGES = ("anna", "ben")
judges = st.sampled_from(JUDGES)


class Session(RuleBasedStateMachine):
    """Two people at one study; ``stacks`` is what a slow reading of the rules expects."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "study.db"
        self.store = open_store(self.path)
        fill_study(self.store, 6)
        self.draws = Random(seed)
        self.live = StudyState()
        self.stacks: dict[str, list[tuple[str, Verdict]]] = {judge: [] for judge in JUDGES}
        self.past: list[tuple[Ballot, Receipt]] = []
        self.number = 0

    @rule(judge=judges, verdict=st.sampled_from(Verdict), which=st.integers(0, 2))
    def vote(self, judge: str, verdict: Verdict, which: int) -> None:
        duels = self.store.open_duels(judge, 3, self.draws)
        if not duels:
            return
        duel = duels[which % len(duels)]
        self.number += 1
        ballot = Ballot(duel.id, verdict, judge, f"key-{self.number}")
        receipt = self.store.vote(ballot)
        assert not receipt.replayed
        self.stacks[judge].append((duel.id, verdict))
        self.past.append((ballot, receipt))

    @rule(judge=judges)
    def undo(self, judge: str) -> None:
        duel = self.store.undo(judge)
        if not self.stacks[judge]:
            assert duel is None
            return
        expected, _ = self.stacks[judge].pop()
        assert duel is not None
        assert duel.id == expected == self.store.open_duels(judge, 1)[0].id

    @precondition(lambda self: self.past)
    @rule(which=st.integers(0, 50))
    def repeat(self, which: int) -> None:
        ballot, receipt = self.past[which % len(self.past)]
        assert self.store.vote(ballot) == receipt._replace(replayed=True)

    @precondition(lambda self: any(self.stacks.values()))
    @rule(judge=judges)
    def vote_twice(self, judge: str) -> None:
        if not self.stacks[judge]:
            return
        duel_id, _ = self.stacks[judge][-1]
        try:
            self.store.vote(Ballot(duel_id, Verdict.TIE, judge, "a key of its own"))
        except ConflictError:
            return
        raise AssertionError("a second vote on one duel was accepted")

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = open_store(self.path)

    @invariant()
    def tables_events_and_memory_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        self.live.follow(self.store)
        assert self.live == StudyState.replay(self.store.events())
        assert self.store.verify() == []
        for judge in JUDGES:
            counted = {v.duel_id: v.verdict for v in self.live.votes if v.judge == judge}
            assert counted == dict(self.stacks[judge])
        assert self.store.ready() == 6 - len(self.live.votes) == len(self.live.pending)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


Session.TestCase.settings = settings(max_examples=12, stateful_step_count=14, deadline=None, derandomize=True)
TestSession = Session.TestCase
