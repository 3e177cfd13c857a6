"""The loop on one page: propose → respond → judge → learn → record.

A :class:`Study` owns no state of its own that matters. Candidates, responses, duels and votes are in the
store before anybody sees them, and everything else (the features, the belief, the next question) is
computed from them, so a study can be killed at any moment and opened again.
"""

import contextlib
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from palate.ahead import Ahead
from palate.apart import LearnerApart
from palate.assembly import Parts, parts_from_python
from palate.config import check_data, read_config
from palate.engine import LocalEngine, rest_after
from palate.errors import BudgetError, ConfigError, ModelError, NotFoundError, PalateError, nearest
from palate.features import candidate_features
from palate.judges import Examination, LanguageModelJudge
from palate.kinds import readable
from palate.leading import FOLLOW_SECONDS, Lead
from palate.learner import Learnt, comparable, learner_for
from palate.models import Spent
from palate.opening import change_raters, parts_of, permit, register
from palate.operations import judged
from palate.proposers import MakesCandidates
from palate.proposing import Proposing
from palate.questions import group_of, lacking, pairing_for, queue_depth, unsure_pairings
from palate.report import CurvePoint, html_card, plot_belief, plot_standings, plot_trade_off
from palate.responder import OUTAGE, Responder
from palate.statistics import study_groups
from palate.store import (
    EventKind,
    Store,
    StudyOutline,
    StudyState,
    comparisons,
    is_postgres,
    open_store,
    seed_of,
)
from palate.types import (
    Array,
    Ballot,
    Belief,
    Best,
    Candidate,
    Duel,
    Input,
    Json,
    Judge,
    Pairing,
    Proposer,
    Receipt,
    Standing,
    Target,
    Verdict,
    digest,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Study"]

OUTSTANDING = 200  # open questions that a strategy is told of, the latest

Progress = Callable[[str, int, int], None]


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


class Study:
    """One optimisation that lasts. Make one with :meth:`open` or :meth:`create`."""

    def __init__(self, store: Store, parts: Parts, *, served: bool = False) -> None:
        self.store = store
        self.parts = parts
        self.state = StudyOutline(store, patient=True) if served else StudyState()
        self._engine = LocalEngine()
        self._on_notice: Callable[[str], None] = print
        learner = learner_for(parts)
        self._learner = LearnerApart(learner, lambda line: self._on_notice(line)) if served else learner
        self._features: dict[str, Array] = {}
        self._lock = threading.RLock()
        self._random = random.Random(digest([parts.seed, store.last_seq()])) if parts.repeatable else None
        self._in_flight: dict[str, tuple[Pairing, Future[bool]]] = {}
        self._proposing = Proposing(store, lambda: self.parts, self._standings, self._features)
        self._responder = Responder(store, parts.target, parts.target_missing, parts.target_key)
        self._ahead = Ahead(lambda: self.parts, self._responder)
        self._lead = Lead(store, parts.ledger)
        self._closed = False

    # -- opening ---------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        exclusive: bool = False,
        accept_changes: Callable[[list[str]], bool] | None = None,
        allow_commands: Callable[[str], bool] | None = None,
        repeatable: bool = False,
        served: bool = False,
    ) -> "Study":
        """Open a study from its study file, or from its database.

        Args:
            path: A ``study.toml``, the ``.db`` file of a study that exists, or its address on a server.
            exclusive: Take the server lock, as ``palate run`` does; a second holder is refused.
            accept_changes: Asked, with the differences, when the study file is not the one that the
                database was made with. Without it a changed file is an error that lists them.
            allow_commands: Asked, with the command in words, when the study file names one that its target
                runs on this machine. Without it such a file is an error: a file from somebody else could
                name anything.
            repeatable: Draw the sides and identifiers of duels from the study's seed, for simulated
                judges and tests; people get unpredictable ones.
            served: A page in this process shows duels to many: keep an outline of the study in place of all
                its events, and let another process learn once there are many votes.

        Raises:
            ConfigError: The study file is wrong, or has changed and the change was not accepted, or runs
                something that was not allowed.
            StoreError: The database cannot be used.
        """
        written = not is_postgres(path) and Path(path).suffix == ".toml"
        if written:
            config = read_config(path)
            check_data(config)  # before the database is made: a mistake leaves nothing behind
            permit(config, allow_commands)
            store = open_store(config.database, exclusive=exclusive)
        else:
            store = open_store(path, create=False, exclusive=exclusive)
            config = None
        try:
            parts = parts_of(store, path, config, accept_changes)
            return cls(store, parts._replace(repeatable=repeatable), served=served)._registered()
        except BaseException:
            store.close()
            raise

    @classmethod
    def create(
        cls,
        *,
        target: Target | Callable[[str, str], str],
        inputs: Sequence[str | Input],
        candidates: Sequence[str | Candidate],
        path: str | Path,
        guidelines: str = "",
        strategy: str = "default",
        max_votes: int | None = None,
        proposers: Sequence[Proposer | MakesCandidates] = (),
        seed: int = 0,
        repeatable: bool = False,
    ) -> "Study":
        """Make a study from Python objects, or take it up again where it stopped.

        Args:
            target: A target, or a plain function ``(prompt, input) → answer``.
            inputs: What the candidates are tried on.
            candidates: What may be chosen; the first is the seed that the others are measured against.
            path: The database file, or ``"postgresql://USER@HOST/DATABASE?study=NAME"``.
            guidelines: What raters are told.
            strategy: A registered strategy.
            max_votes: Stop after so many votes.
            proposers: Make up to 30 new candidates while votes come in, in turns: proposers, or functions
                ``(n, known, rng)`` that return texts or candidates.
            seed: Of every random draw.
            repeatable: See :meth:`open`.

        Example:
            >>> import tempfile, palate
            >>> folder = tempfile.TemporaryDirectory()
            >>> study = palate.Study.create(
            ...     target=lambda prompt, text: f"{prompt} {text}", inputs=["one", "two"],
            ...     candidates=["Say:", "Please say:"], path=f"{folder.name}/study.db",
            ... )
            >>> duel = study.ask()
            >>> study.tell(duel, "left").verdict
            <Verdict.LEFT: 'left'>
            >>> study.best().votes
            1
            >>> study.close(); folder.cleanup()
        """
        store = open_store(path)
        try:
            python: dict[str, Json] = {"python": True, "strategy": strategy, "seed": seed, "votes": max_votes}
            parts = parts_from_python(
                store,
                python,
                target=target,
                inputs=inputs,
                candidates=candidates,
                proposers=proposers,
                guidelines=guidelines,
            )
            return cls(store, parts._replace(repeatable=repeatable))._registered()
        except BaseException:
            store.close()
            raise

    def set_raters(
        self,
        *,
        overlap: int | str = 1,
        most: int | None = None,
        lease: int = 900,
        gold: float = 0.05,
        repeats: float = 0.05,
        groups: Sequence[str] = (),
        gold_pairs: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Let several people vote on a study that was made in Python; call it before the first question.

        The words are those of ``[raters]`` and ``[gold]`` in a study file. Saying the same again changes
        nothing; other rules hold for questions that are opened from then on.

        Args:
            overlap: How many raters vote on each pair, 1 to 50, or ``"until decided"``.
            most: Most raters on one pair where the overlap is ``"until decided"``; 5 when left out.
            lease: Seconds after which a pair that was shown and not voted on may go to somebody else.
            gold: Share of duels with a known answer, 0 to 0.5, planted from ``gold_pairs``.
            repeats: Share of a rater's own earlier duels, shown again with the sides exchanged, 0 to 0.5.
            groups: Of raters, each with pairs of its own; ``""`` stands for pairs that everybody sees.
            gold_pairs: Pairs of answers of which one is known to be better, each with the texts ``input``,
                ``better`` and ``worse``.

        Raises:
            ConfigError: A value is wrong, or the study has a study file, which says all this.
            InputError: A pair lacks a text, or has the same answer twice.

        Example:
            >>> import tempfile, palate
            >>> folder = tempfile.TemporaryDirectory()
            >>> study = palate.Study.create(
            ...     target=lambda prompt, text: f"{prompt} {text}", inputs=["one", "two"],
            ...     candidates=["Say:", "Please say:"], path=f"{folder.name}/study.db",
            ... )
            >>> study.set_raters(overlap=2, gold=0, repeats=0)
            >>> first, second = study.ask("anna"), study.ask("ben")
            >>> first.pairing_id == second.pairing_id
            True
            >>> study.close(); folder.cleanup()
        """
        rules = {
            "overlap": overlap,
            "lease": lease,
            "gold": gold,
            "repeats": repeats,
            "groups": tuple(groups),
        }
        if most is not None:
            rules["most"] = most
        change_raters(self.store, self.state, rules, gold_pairs)

    # -- propose ---------------------------------------------------------------------------------

    def prepare(self, on_progress: Progress = _silent) -> None:
        """Propose candidates until the study has as many as it wants, and embed them.

        Resuming in the middle ends with the same candidates: each chunk is a function of the candidates
        already stored and of the seed, and answers that were paid for come from the store. Where another
        process leads the study, this waits until there is something to compare.
        """
        while True:
            with self._lead.for_now() as leads:
                if leads:
                    self._engine.run(self._proposing.fill(on_progress))
                    self._refresh()
                    self._engine.run(self._ahead.fill(self.state, on_progress))
            if leads or comparable(self.state, self._features):
                break
            self.store.wait(self.state.seq, FOLLOW_SECONDS)
            self._refresh()
        self._refresh()

    def grow(self, *, anyway: bool = False) -> list[Candidate]:
        """Ask for new candidates, if they are worth more than further questions about the present ones.

        :meth:`learn_forever` and :meth:`run_judge` do this by themselves; a loop of your own that asks and
        tells may call it after each vote.

        Args:
            anyway: Ask whatever it is worth, as long as the study may grow.

        Returns:
            What joined the study; none if it was not worth it, the gate refused all, or another process
            leads.
        """
        self._refresh()
        with self._lead.for_now() as leads:
            if not leads:
                return []
            with self._lock:
                begun = self._proposing.due(self.state, self._learner, anyway=anyway)
            made = [] if begun is None else self._engine.run(self._proposing.grow(begun))
        self._refresh()
        return made

    def _standings(self) -> Mapping[str, Standing]:
        with self._lock:
            return self._learner.standings(self.state)

    # -- respond ---------------------------------------------------------------------------------

    def _start(self, groups: Sequence[str]) -> None:
        """Choose a question for each of some groups of raters and start producing its responses."""
        if not groups:
            return
        pending = [*self.state.pending[-OUTSTANDING:], *(pairing for pairing, _ in self._in_flight.values())]
        for group, pair in zip(groups, self._learner.choose(len(groups), pending), strict=True):
            pairing = pairing_for(self.state, pair, pending, self.parts.seed, self._ahead.said)
            pairing = replace(pairing, group=group)
            pending.append(pairing)
            one, other = (self.state.candidates[each] for each in pair)
            work = self._responder.open(pairing, one, other, self.state.inputs[pairing.input_id])
            self._in_flight[pairing.id] = (pairing, self._engine.submit(work))

    # -- judge -----------------------------------------------------------------------------------

    def ask(self, judge: str = "me") -> Duel:
        """The next duel for a judge, with both responses ready to show.

        Raises:
            BudgetError: The study's votes, calls, tokens or money are used up.
            ModelError: The model keeps failing.
        """
        while True:
            duels = self.store.open_duels(judge, 1, self._random)
            if duels:
                return duels[0]
            self._refresh()
            if self._ask_again():
                continue
            if self.parts.max_votes is not None and self._learner.votes >= self.parts.max_votes:
                raise BudgetError(f"all {self.parts.max_votes} votes of the study's budget are used")
            self._learner.check()
            if not self._in_flight:
                self._start([group_of(self.state, judge)])
            self._collect(block=True)
            if self._responder.outage >= OUTAGE:
                why = self._responder.last_failure
                raise ModelError(f"{self._responder.outage} responses failed in a row; the last: {why}")

    def tell(
        self,
        duel: Duel,
        verdict: str | Verdict,
        judge: str | None = None,
        *,
        seconds: float | None = None,
        reason: str | None = None,
        comment: str | None = None,
        key: str | None = None,
    ) -> Receipt:
        """Record a verdict. It is on disk when this returns.

        Args:
            duel: What :meth:`ask` returned.
            verdict: ``left``, ``right``, ``tie``, ``both_bad``, ``skip`` or ``failed``.
            judge: Who said it; by default the judge that the duel was given to.
            seconds: How long it took.
            reason: Why it was skipped.
            comment: The judge's own words.
            key: Idempotency key; a repeat of the same key returns the first receipt.
        """
        try:
            said = Verdict(verdict)
        except ValueError:
            allowed = ", ".join(Verdict)
            raise ConfigError(f"{verdict!r} is not a verdict; allowed: {allowed}") from None
        ballot = Ballot(
            duel.id, said, judge or duel.judge, key or secrets.token_hex(16), seconds, reason, comment
        )
        return self.store.vote(ballot)

    def run_judge(self, judge: Judge, votes: int, on_vote: Callable[[int], None] = lambda done: None) -> int:
        """Let a judge that needs no page vote.

        Returns:
            How many votes it gave; fewer than asked for when the budget ends first.
        """
        for done in range(votes):
            try:
                duel = self.ask(judge.name)
            except BudgetError:
                return done
            said = self._engine.run(judged(judge, duel))
            self.tell(
                duel, said.verdict, judge.name, seconds=said.seconds, reason=said.reason, comment=said.comment
            )
            with contextlib.suppress(BudgetError):
                self.grow()
            on_vote(done + 1)
        return votes

    def examine(self, judge: LanguageModelJudge, inputs: int = 2) -> Examination:
        """Try a judge on answers that only talk to it, beside answers that won a duel of this study.

        Args:
            judge: Who is tried.
            inputs: On how many of the latest duels' inputs; the questions cost as much as votes.
        """
        self.state.follow(self.store)
        latest = {said.input.id: said for said in comparisons(self.store, self.state, 20)}
        tried = list(latest.values())[-inputs:]
        answers = [
            readable(said.right_response if said.verdict is Verdict.RIGHT else said.left_response)
            for said in tried
        ]
        return self._engine.run(judge.examine([said.input for said in tried], answers))

    # -- learn -----------------------------------------------------------------------------------

    def learn_forever(
        self, stop: threading.Event, on_progress: Progress = _silent, on_notice: Callable[[str], None] = print
    ) -> None:
        """Keep questions ready and the belief up to date beside a page, until ``stop`` is set.

        The page and this loop meet in the store only. Proposals are made in the background once the
        first duel is ready. Of several processes with one study one does all this, and the others wait for
        their turn.
        """
        proposing: Future[None] | None = None
        self._on_notice, pause = on_notice, 0.5
        while not stop.is_set():
            if not self._lead.taken():
                stop.wait(FOLLOW_SECONDS)
                continue
            began, before = time.monotonic(), self.state.seq
            self._refresh()
            self._ask_again()
            self._collect(block=False)
            can_compare = comparable(self.state, self._features)
            if can_compare:
                self._start(lacking(self.state, self._wanted(), [p for p, _ in self._in_flight.values()]))
            if proposing is None and (not can_compare or self.store.ready()):
                proposing = self._engine.submit(self._proposing.fill(on_progress))
            if proposing is not None and proposing.done() and (error := proposing.exception()):
                if not can_compare:
                    raise error
                on_notice(f"no further candidates: {error}")
                proposing = Future()
            if proposing is not None and proposing.done() and self.store.ready():
                with self._lock:
                    self._proposing.keep_growing(self._engine, self.state, self._learner, on_notice)
                    self._ahead.keep_answering(self._engine, self.state, on_notice)
            if self._responder.outage >= OUTAGE:
                on_notice(f"waiting for the model: {self._responder.last_failure}")
                self._responder.outage = 0
                pause = min(60.0, 2 * pause)
                stop.wait(pause)
            stop.wait(rest_after(time.monotonic() - began, self.state.seq - before))
            self.store.wait(self.state.seq, 0.25)
        self._refresh()

    def _refresh(self) -> bool:
        """Catch up with the store; write the belief when it changed."""
        with self._lock:
            self.state.follow(self.store)
            self._embed()
            if self._ahead.is_behind(self.state):
                self._engine.run(self._ahead.load(self.state))
            votes = self.store.columns()
            if not self._learner.follow(self.state, self._features, self._ahead.features, votes=votes):
                return False
            if comparable(self.state, self._features) and self._learner.votes:
                self.store.put_belief(self._learner.belief(self.state))
            return True

    @property
    def learnt(self) -> Learnt:
        """How far the learner has come, and how long that took."""
        return self._learner.learnt

    def _embed(self) -> None:
        everybody = (*self.state.candidates.values(), *self.state.withdrawn.values())
        new = [c for c in everybody if c.id not in self._features]
        if new:
            self._features.update(self._engine.run(candidate_features(self.parts, new)))

    def _collect(self, *, block: bool) -> None:
        """Take finished questions off the list; a failure that is ours to report is raised here."""
        for identifier, (_, future) in list(self._in_flight.items()):
            if block or future.done():
                del self._in_flight[identifier]
                future.result()
        self.state.follow(self.store)

    def _wanted(self) -> int:
        """How many questions to keep ready, and no more than there are votes left."""
        depth, limit = queue_depth(self.state, self._responder.seconds), self.parts.max_votes
        if limit is None:
            return depth
        return min(depth, math.ceil((limit - self._learner.votes) / self.state.rules.overlap))

    def _ask_again(self) -> bool:
        """Ask one more rater about pairings whose winner is not clear; returns whether there are any."""
        unsure = unsure_pairings(self.state, self._learner.decided)
        if unsure:
            self.store.append_many([(EventKind.PAIRING_EXTENDED, {"id": named}) for named in unsure])
            self.state.follow(self.store)
        return bool(unsure)

    # -- report ----------------------------------------------------------------------------------

    def best(self) -> Best:
        """The report: which candidate, how sure, and how often it is believed to beat the seed prompt.

        Where candidates are answers to several inputs, this is the best answer to the first of them;
        :meth:`best_of` tells the others.
        """
        belief = self.belief()
        return self._best(belief.standings[0], belief.votes)

    def best_of(self, input_id: str) -> Best:
        """The best answer to one input, against that input's own seed answer.

        Raises:
            NotFoundError: No such input, or no answer to it takes part.
        """
        found = {context.input_id: context for context in self.belief().contexts}
        if input_id not in found:
            raise NotFoundError(
                f"no answers to an input {input_id!r} are compared; {nearest(input_id, found)}"
            )
        return self._best(found[input_id].standings[0], found[input_id].votes)

    def _best(self, first: Standing, votes: int) -> Best:
        candidate = self.state.candidates[first.candidate_id]
        return Best(candidate, first.p_best, (first.low, first.high), first.mean, votes)

    def belief(self) -> Belief:
        """What is believed now of the leading candidates and of the seed prompt."""
        self._refresh()
        return self._learner.belief(self.state)

    def should_stop(self) -> tuple[bool, str]:
        """Whether more votes are worth a person's time, and why, in plain words."""
        self._refresh()
        return self._learner.should_stop()

    @property
    def seed_candidate(self) -> Candidate:
        """The prompt that the study started from."""
        self.state.follow(self.store)
        if not self.state.candidates:
            raise NotFoundError("the study has no candidates yet; call prepare() first")
        return self.state.candidates[seed_of(self.state.candidates)]

    @property
    def spent(self) -> Spent:
        """Calls, tokens and money that the study has cost so far; unknown prices stay unknown."""
        return self.parts.ledger.spent

    def curve(self) -> list[CurvePoint]:
        """The belief after each vote."""
        return [CurvePoint(*point) for point in self.store.belief_curve()]

    def plot_belief(self) -> "Figure":
        """How sure the report is, over the votes, as a matplotlib figure."""
        return plot_belief(self.curve())

    def plot_standings(self) -> "Figure":
        """The leading candidates' credible intervals, as a matplotlib figure."""
        return plot_standings(self.belief(), self.state.candidates)

    def plot_trade_off(self, group_of: Mapping[str, str] | None = None) -> "Figure":
        """What is fair between groups of raters, the average against the worst-off, as a matplotlib figure.

        Args:
            group_of: The group of each rater; that of the invitations when left out.
        """
        self._refresh()
        found = study_groups(self.state, np.random.default_rng(0), group_of)
        return plot_trade_off(found.curve, found.verdict)

    def _repr_html_(self) -> str:
        self._refresh()
        belief = self._learner.belief(self.state) if self._learner.votes else None
        return html_card(self.store.title, belief, self.state.candidates)

    # -- record ----------------------------------------------------------------------------------

    def _registered(self) -> "Study":
        register(self.store, self.state, self.parts)
        return self

    def close(self) -> None:
        """Stop work in progress and release the models and the database. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for _, future in self._in_flight.values():
            future.cancel()
        self._in_flight.clear()
        self._learner.close()
        for model in self.parts.models:
            try:
                self._engine.run(model.close())
            except (PalateError, RuntimeError):
                continue  # a model that cannot even close must not keep the database open
        self._engine.close()
        self.store.close()

    def __enter__(self) -> "Study":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
