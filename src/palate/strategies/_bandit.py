"""The learner alone, on arrays: ``ask``, ``tell``, ``best``, ``posterior``.

:class:`DuelBandit` holds the state of one strategy in one study: features, votes, seed and two counters, all
of it explicit and writable as JSON. It refits on demand, so that telling is free and replaying a long history
costs one fit. Every random draw comes from a generator made of the seed and the counters: equal states give
equal answers, before and after saving.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.choice import (
    Gaussian,
    Utilities,
    WinRate,
    best_probability,
    difference_variance,
    win_rate,
)
from palate.errors import ConfigError, InputError
from palate.registry import make
from palate.strategies._answer_book import AnswerBook
from palate.strategies._protocol import Answering, History, Pair, Pool, Strategy
from palate.strategies._stopping import HeldOut, Outlook, contenders, outlook, stop_advice
from palate.strategies._tellings import STRENGTHS, Tellings, Told
from palate.types import Array, Json, Posterior, Verdict

__all__ = ["DEFAULT", "DuelBandit", "duel_bandit"]

DEFAULT = "palate"
_FORMAT = 2
_KEPT_FITS = 2  # the newest, and the one before it, which some strategies report from
_CONTENDERS = 512  # candidates whose joint belief is drawn for P(best); the others' chances round to zero


class DuelBandit:
    """Picks duels and learns from verdicts; made by :func:`duel_bandit`."""

    def __init__(self, name: str, feature_ND: Array, seed: int, options: Mapping[str, Any]) -> None:
        self._name = DEFAULT if name == "default" else name
        self._options = _check_options(options)
        self._strategy: Strategy[Any, Any] = make("strategies", self._name, self._options)
        self._feature_ND = _check_features(feature_ND)
        self._seed = _check_seed(seed)
        self._live_N = np.ones(len(self._feature_ND), dtype=np.bool_)
        self._told = Tellings()
        self._asked = 0  # since the last verdict
        self._book = AnswerBook()
        self._used = 0  # known responses that the prepared prior rests on
        self._prepared: Any = None
        self._fits: dict[int, Any] = {}
        self._believed: tuple[object, Utilities] | None = None  # the belief, and the fit that it is of

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self._feature_ND)

    def __repr__(self) -> str:
        return f"<DuelBandit {self._name}: {len(self)} candidates, {self.votes} votes>"

    @property
    def name(self) -> str:
        """The strategy's registered name."""
        return self._name

    @property
    def votes(self) -> int:
        """How many verdicts taught something; ``skip`` and ``failed`` are not among them."""
        return self._told.votes

    @property
    def history(self) -> History:
        """The verdicts that teach, as arrays."""
        return self._told.history

    @property
    def live(self) -> list[int]:
        """Rows of the candidates that still take part."""
        return np.flatnonzero(self._live_N).tolist()

    def add(self, features: ArrayLike) -> list[int]:
        """Let more candidates take part.

        Their belief comes from their likeness to the candidates that were voted on.

        Args:
            features: ``(K, D)``, one row a candidate.

        Returns:
            Their row numbers, which follow the present ones.

        Raises:
            InputError: Another number of dimensions, or features that are not finite.
        """
        more_KD = np.array(features, dtype=np.float64)
        if more_KD.ndim != 2 or more_KD.shape[1] != self._feature_ND.shape[1]:
            raise InputError(
                f"new candidates need features of shape (any number, {self._feature_ND.shape[1]}) like "
                f"the present ones, not {more_KD.shape}"
            )
        size = len(self)
        self._feature_ND = _check_features(np.concatenate([self._feature_ND, more_KD]))
        self._live_N = np.concatenate([self._live_N, np.ones(len(more_KD), dtype=np.bool_)])
        self._prepared = None
        self._fits.clear()
        return list(range(size, len(self)))

    def withdraw(self, i: int) -> None:
        """Take a candidate out: it is neither asked about nor reported any more.

        Its votes keep teaching about the candidates it met, and a late vote on it is welcome.

        Raises:
            InputError: Not a candidate, withdrawn already, or one of the last two.
        """
        i = self._check_row(i)
        if not self._live_N[i]:
            raise InputError(f"candidate {i} was withdrawn before")
        if self._live_N.sum() <= 2:
            raise InputError("a duel needs at least two candidates; add others before withdrawing this one")
        self._live_N[i] = False

    @overload
    def ask(
        self, n: None = None, *, pending: Sequence[Pair] = (), among: Sequence[int] | None = None
    ) -> Pair: ...

    @overload
    def ask(
        self, n: int, *, pending: Sequence[Pair] = (), among: Sequence[int] | None = None
    ) -> list[Pair]: ...

    def ask(
        self, n: int | None = None, *, pending: Sequence[Pair] = (), among: Sequence[int] | None = None
    ) -> Pair | list[Pair]:
        """Choose what to ask next.

        Args:
            n: ``None`` for one pair; a number ≥ 0 for a list of pairs that are worth asking at once.
            pending: Pairs that were asked and are not yet answered. They are not asked again while other
                pairs are left, and the choice takes into account that their answers will come.
            among: Rows that may meet, at least two of them live; ``None`` for all. Answers to several
                questions share one belief, but only answers to the same question can be compared.

        Returns:
            ``(i, j)`` with i ≠ j, or a list of such pairs, all different as long as there are enough.

        Raises:
            InputError: ``n`` is negative, a pending pair is not a pair of candidates, or fewer than two of
                ``among`` take part.
        """
        if n is not None and n < 0:
            raise InputError(f"cannot ask {n} questions; n must be 0 or more, or None for one pair")
        taken = [self._check_pair(i, j) for i, j in pending]
        live_N = self._among(among, least=2)
        rng = self._rng("ask", self._asked)
        self._asked += 1
        history = self.history
        fitted = self._fitted(history)
        chosen: list[Pair] = []
        for _ in range(1 if n is None else n):
            pair = self._strategy.choose(fitted, history, Pool(live_N, tuple(taken)), rng)
            chosen.append(pair)
            taken.append(pair)
        return chosen[0] if n is None else chosen

    def tell(
        self,
        i: int,
        j: int,
        verdict: Verdict | str,
        *,
        input_id: str | None = None,
        judge: str | None = None,
        response_features: ArrayLike | None = None,
        strength: str | None = None,
    ) -> None:
        """Learn from one verdict.

        Args:
            i: The candidate that was seen on the left.
            j: The one on the right.
            verdict: As seen on the screen. Ties and ``both_bad`` teach as half a win for each; ``skip`` and
                ``failed`` are recorded and teach nothing.
            input_id: Which input it was about; recorded.
            judge: Who said it. Of several the default strategy learns how far each can be taken at its word;
                names such as ``judge:NAME`` and ``rules:NAME`` are machines', which may also have a taste of
                their own.
            response_features: ``(2, R)`` description of the left and the right response, as for
                :meth:`responded`; used if ``input_id`` is given, and recorded.
            strength: How clearly the winner was better: ``slightly``, ``clearly`` or ``much``, if the judge
                said so; only with ``left`` and ``right``.

        Raises:
            InputError: Not two different candidates, not a verdict or strength, or features that are not
                finite.
        """
        i, j = self._check_pair(i, j)
        try:
            said = Verdict(verdict)
        except ValueError:
            allowed = ", ".join(Verdict)
            raise InputError(f"{verdict!r} is not a verdict; say one of {allowed}") from None
        _check_strength(strength, said)
        rows = _check_responses(response_features)
        teaches = int(said.teaches)
        for row, feature in zip((i, j), rows or (), strict=False):
            if input_id is not None:
                self._book.add(row, input_id, feature, self.votes + teaches)
        answers = (self._book.latest(i, input_id), self._book.latest(j, input_id))
        self._told.append(Told(i, j, said, input_id, judge, rows, strength, answers))
        self._asked = 0

    def responded(self, row: int, input_id: str, feature: ArrayLike) -> None:
        """Get to know a response, before or without a vote on it.

        Strategies that learn from responses, the default among them, then let a vote teach about every
        candidate that answers alike, and :meth:`ask_where` picks inputs on which answers differ. What became
        known is taken in when the strategy next learns everything anew; until then votes on it teach about
        the candidates only. The default waits until nine candidates in ten have a known response. Other
        strategies ignore it.

        Args:
            row: The candidate's.
            input_id: Which input it responds to.
            feature: ``(F,)`` description of it, an embedding for instance; equal descriptions mean equal
                responses.

        Raises:
            InputError: Not a candidate, or features that are not finite or not of the others' size.
        """
        self._book.add(self._check_row(row), input_id, feature, self.votes, len(self._told))

    def ask_where(
        self,
        inputs: Sequence[str],
        *,
        pending: Sequence[tuple[int, int, str]] = (),
        among: Sequence[int] | None = None,
    ) -> tuple[int, int, str]:
        """Choose what to ask next, and on which input.

        Where both responses are known, the input is the one whose vote is expected to tell most about the
        two candidates; equal responses are not asked about, and neither is the same question again, while
        there are others. Inputs on which a response is unknown count as the average of those on which both
        are known. Among equals it is the input that was asked about the least.

        Args:
            inputs: At least one.
            pending: Pairs that were asked, with their inputs, and are not yet answered.
            among: As for :meth:`ask`.

        Returns:
            ``(i, j, input_id)`` with i ≠ j.

        Raises:
            InputError: No inputs, or as for :meth:`ask`.
        """
        if not inputs:
            raise InputError("there are no inputs to ask about; give at least one")
        i, j = self.ask(pending=[(first, second) for first, second, _ in pending], among=among)
        return i, j, self.where(i, j, inputs, pending=pending)

    def where(
        self, i: int, j: int, inputs: Sequence[str], *, pending: Sequence[tuple[int, int, str]] = ()
    ) -> str:
        """On which input to compare two candidates; see :meth:`ask_where`."""
        asked = [(t.first, t.second, t.input_id) for t in self._told] + list(pending)
        uses = Counter(name for _, _, name in asked)
        met = {name for first, second, name in asked if {first, second} == {i, j}}
        value_X = self._told_by(i, j, inputs)
        rank = [
            (name not in met and value >= 0.0, value, -uses[name])
            for name, value in zip(inputs, value_X, strict=True)
        ]
        return inputs[max(range(len(inputs)), key=rank.__getitem__)]

    def _told_by(self, i: int, j: int, inputs: Sequence[str]) -> list[float]:
        """What a vote on each input is expected to tell; -1 where the responses are equal."""
        answer_2X = np.array([[self._book.latest(row, name) for name in inputs] for row in (i, j)])
        value_X = np.full(len(inputs), np.nan)
        if isinstance(self._strategy, Answering):
            value_X = self._strategy.told_by(self._fitted(self.history), i, j, answer_2X)
        typical = float(np.nanmean(value_X)) if not np.isnan(value_X).all() else 0.0
        value_X = np.where(np.isnan(value_X), typical, value_X)
        for place, (one, other) in enumerate(answer_2X.T.tolist()):
            if one >= 0 and other >= 0 and self._book.same(one, other):
                value_X[place] = -1.0
        return value_X.tolist()

    def best(self, *, among: Sequence[int] | None = None) -> int:
        """The candidate to use now, of all or of the rows ``among``."""
        return self._strategy.report(self.history, self._fitted, Pool(self._among(among, least=1)))

    def posterior(self) -> Posterior:
        """Belief about the utilities: ``(mean_N, std_N)`` in log-odds, zero mean over the candidates."""
        belief = self._belief()
        return Posterior(belief.mean_N.copy(), np.sqrt(belief.variance_N))

    def p_best(self, *, among: Sequence[int] | None = None) -> Array:
        """Probability of each candidate to be the best of those that take part.

        Args:
            among: Compare these rows only; the others get 0.

        Returns:
            ``(N,)``, summing to one, from 4,096 seeded draws. Of more than 512 candidates, the joint belief
            about the 512 of highest mean plus three standard deviations is drawn from, and the others get 0.
        """
        belief, live_N = self._belief(), self._among(among, least=1)
        rows_S = contenders(belief, self.best(among=among), live_N, _CONTENDERS)
        prob_N = np.zeros(len(self))
        prob_N[rows_S] = best_probability(*belief.among(rows_S), self._rng("p_best", 0))
        return prob_N

    def win_rate(self, i: int, j: int) -> WinRate:
        """Probability that i beats j: ``(mean, low, high)``, a central 95 % credible interval."""
        both = self._belief().among(np.array(self._check_pair(i, j)))
        mean = float(both.mean_N[0] - both.mean_N[1])
        return win_rate(mean, float(difference_variance(both.covariance_NN)[0, 1]))

    def should_stop(self, *, among: Sequence[int] | None = None) -> tuple[bool, str]:
        """Whether the report is surely good enough, or 20 more votes are hardly worth it; and why.

        Args:
            among: Report one of these rows, and ask about these only; ``None`` for all.
        """
        if not self._strategy.calibrated:
            return False, (
                f"The strategy {self._name!r} cannot say when to stop, because its uncertainty is not "
                "calibrated; set a budget of votes."
            )
        belief, best = self._contest(among)
        return stop_advice(belief, best, self.votes, self._rng("stop", 0), self.held_out())

    def outlook(self, *, among: Sequence[int] | None = None) -> Outlook:
        """How sure the report is, what it may lose, and what 20 more votes are worth, in win probability."""
        belief, best = self._contest(among)
        return outlook(belief, best, self._rng("stop", 0))

    def held_out(self) -> HeldOut | None:
        """How well the votes are foretold by each other, as far as the strategy works it out."""
        return getattr(self._belief(), "held_out", None)

    @property
    def calibrated(self) -> bool:
        """Whether the belief's uncertainty may be acted upon."""
        return self._strategy.calibrated

    @property
    def features(self) -> Array:
        """The candidates' features, ``(N, D)``, read-only."""
        return self._feature_ND

    def joint(self, rows: Sequence[int]) -> Gaussian:
        """The joint belief about some candidates, in log-odds."""
        return self._belief().among(np.array([self._check_row(row) for row in rows], dtype=np.int64))

    def _contest(self, among: Sequence[int] | None) -> tuple[Gaussian, int]:
        """The joint belief about the contenders, and the report's place among them."""
        belief, best = self._belief(), self.best(among=among)
        rows_S = contenders(belief, best, self._among(among, least=1), _CONTENDERS)
        return belief.among(rows_S), int(np.searchsorted(rows_S, best))

    def to_json(self, *, features: bool = True) -> dict[str, Json]:
        """The whole state as JSON.

        Args:
            features: Whether to write the features too; without, :meth:`from_json` must be given the same.
        """
        return {
            "format": _FORMAT,
            "strategy": self._name,
            "options": cast("Json", dict(self._options)),
            "seed": self._seed,
            "asked": self._asked,
            "features_sha256": _fingerprint(self._feature_ND),
            "features": self._feature_ND.tolist() if features else None,
            "withdrawn": np.flatnonzero(~self._live_N).tolist(),
            "told": [
                {
                    "first": told.first,
                    "second": told.second,
                    "verdict": str(told.verdict),
                    "input_id": told.input_id,
                    "judge": told.judge,
                    "response_features": None
                    if told.response_features is None
                    else [list(row) for row in told.response_features],
                    "strength": told.strength,
                }
                for told in self._told
            ],
            "responded": self._book.to_json(),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any], *, features: ArrayLike | None = None) -> Self:
        """Continue from a saved state, bit for bit.

        Args:
            state: What :meth:`to_json` gave, also after a round through text.
            features: The features, if they were left out.

        Raises:
            InputError: The state is of another format, or the features are missing or others.
        """
        if state.get("format") != _FORMAT:
            raise InputError(
                f"a state of format {state.get('format')!r} cannot be read; Palate reads {_FORMAT}"
            )
        given = state["features"] if features is None else features
        if given is None:
            raise InputError("this state was saved without its features; pass features= as they were then")
        feature_ND = np.asarray(given, dtype=np.float64)
        if _fingerprint(feature_ND) != state["features_sha256"]:
            raise InputError("these are not the features that the state was saved with; pass the same array")
        bandit = cls(state["strategy"], feature_ND, state["seed"], state["options"])
        known = list(state.get("responded", ()))
        for count, told in enumerate([*state["told"], None]):
            while known and known[0]["after"] == count:
                entry = known.pop(0)
                bandit.responded(entry["row"], entry["input_id"], entry["feature"])
            if told is not None:
                bandit.tell(told["first"], told["second"], told["verdict"], **{
                    key: told[key] for key in ("input_id", "judge", "response_features", "strength")
                })  # fmt: skip
        for row in state["withdrawn"]:
            bandit.withdraw(row)
        bandit._asked = state["asked"]
        return bandit

    def _belief(self) -> Utilities:
        fitted = self._fitted(self.history)
        if self._believed is None or self._believed[0] is not fitted:
            self._believed = fitted, self._strategy.belief(fitted)
        return self._believed[1]

    def _fitted(self, history: History) -> Any:  # noqa: ANN401 - each strategy has its own type
        votes = len(history)
        self._prepare(votes)
        if votes not in self._fits:
            self._fits[votes] = self._strategy.fit(self._prepared, history)
            for old in sorted(self._fits)[:-_KEPT_FITS]:
                del self._fits[old]
        return self._fits[votes]

    def _prepare(self, votes: int) -> None:
        """The strategy's work on features, and on the responses that it knew when it last learnt anew."""
        strategy, used = self._strategy, 0
        if len(self._book) and isinstance(strategy, Answering):
            used = self._book.known_at(strategy.answers_since(votes))
        if self._prepared is not None and used == self._used:
            return
        self._used = used
        self._fits.clear()
        if used and isinstance(strategy, Answering):
            self._prepared = strategy.prepare_answers(self._feature_ND, self._book.answers(used))
        else:
            self._prepared = strategy.prepare(self._feature_ND)

    def _rng(self, purpose: str, count: int) -> np.random.Generator:
        # Draws for p_best and stopping are the same after every vote: curves then move with the belief only.
        told = len(self._told) if purpose == "ask" else 0
        tag = int.from_bytes(purpose.encode(), "big")
        return np.random.default_rng([self._seed, tag, told, count])

    def _among(self, rows: Sequence[int] | None, *, least: int) -> NDArray[np.bool_]:
        """Which candidates take part, of all or of some."""
        if rows is None:
            return self._live_N
        among_N = np.zeros(len(self), dtype=np.bool_)
        among_N[[self._check_row(row) for row in rows]] = True
        among_N &= self._live_N
        if among_N.sum() < least:
            raise InputError(
                f"{int(among_N.sum())} of the candidates in among= take part, and {least} must; add others, "
                "or leave among= out"
            )
        return among_N

    def _check_pair(self, i: int, j: int) -> Pair:
        i, j = self._check_row(i), self._check_row(j)
        if i == j:
            raise InputError(f"candidate {i} cannot duel itself; give two different rows")
        return i, j

    def _check_row(self, row: int) -> int:
        if not _is_whole(row) or not 0 <= row < len(self):
            raise InputError(f"{row!r} is not a candidate; rows are whole numbers from 0 to {len(self) - 1}")
        return int(row)


def duel_bandit(name: str, features: ArrayLike, seed: int, **options: object) -> DuelBandit:
    """Make a learner.

    Args:
        name: A registered strategy such as ``gp-eubo``, ``apohf`` or ``random``, or a plug-in's; ``default``
            is ``palate``.
        features: ``(N, D)`` finite numbers, one row a candidate, N ≥ 2; embeddings of unit norm are expected.
            Rows may repeat.
        seed: Whole number ≥ 0. The same seed and the same verdicts give the same run, bit for bit.
        **options: The strategy's own; an unknown one is an error that names the nearest.

    Returns:
        The learner, with no votes.

    Raises:
        NotFoundError: No such strategy.
        ConfigError: A wrong option.
        InputError: Features of the wrong shape, NaN, fewer than two candidates, or a negative seed.

    Example:
        >>> import numpy as np
        >>> bandit = duel_bandit("default", np.eye(4), seed=0)
        >>> for _ in range(12):
        ...     i, j = bandit.ask()
        ...     bandit.tell(i, j, "left" if i < j else "right")  # this judge likes low numbers
        >>> bandit.best()
        0
    """
    return DuelBandit(name, np.asarray(features, dtype=np.float64), seed, options)


def _check_features(feature_ND: Array) -> Array:
    feature_ND = np.array(feature_ND, dtype=np.float64)
    if feature_ND.ndim != 2 or feature_ND.shape[1] == 0:
        raise InputError(f"features must have the shape (candidates, dimensions), not {feature_ND.shape}")
    if len(feature_ND) < 2:
        raise InputError(f"a duel needs at least two candidates, and there are {len(feature_ND)}")
    bad_N = ~np.isfinite(feature_ND).all(axis=1)
    if bad_N.any():
        raise InputError(
            f"the features of candidate {int(bad_N.argmax())} are not all finite; "
            "embed it again, or leave it out"
        )
    feature_ND.setflags(write=False)
    return feature_ND


def _check_strength(strength: str | None, said: Verdict) -> None:
    if strength is None:
        return
    if strength not in STRENGTHS:
        raise InputError(
            f"{strength!r} is not a strength; say one of {', '.join(STRENGTHS)}, or leave it out"
        )
    if said not in (Verdict.LEFT, Verdict.RIGHT):
        raise InputError(f"a strength goes with left or right; {str(said)!r} has no winner")


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_seed(seed: int) -> int:
    if not _is_whole(seed) or seed < 0:
        raise InputError(f"the seed must be a whole number of 0 or more, not {seed!r}")
    return int(seed)


def _check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they read after a round through JSON, so that a saved state equals a live one."""
    try:
        return json.loads(json.dumps(dict(options), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"options must be plain numbers, texts and lists: {error}") from None


def _check_responses(value: ArrayLike | None) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if value is None:
        return None
    rows = np.asarray(value, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != 2 or not np.isfinite(rows).all():
        raise InputError(f"response features must be two rows of finite numbers, not of shape {rows.shape}")
    return tuple(rows[0].tolist()), tuple(rows[1].tolist())


def _fingerprint(feature_ND: Array) -> str:
    shape = "x".join(map(str, feature_ND.shape))
    return hashlib.sha256(
        shape.encode() + np.ascontiguousarray(feature_ND, dtype="<f8").tobytes()
    ).hexdigest()
