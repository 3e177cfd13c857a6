"""The nouns of Palate and the protocols of its seams. Imports nothing of ours but the errors.

Words (``docs/ideas/words.md`` explains them): a *study* improves *candidates* by showing *duels*, pairs
of *responses* to the same *input*, to *judges*, whose *verdicts* are stored as *votes*. Array names end
in dimension letters: ``N`` candidates, ``D`` feature size, ``M`` votes, ``J`` judges.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HELD_OUT",
    "Array",
    "Ballot",
    "Belief",
    "Best",
    "Candidate",
    "Capabilities",
    "Comparison",
    "Completion",
    "CompletionCache",
    "ContextBelief",
    "Duel",
    "Encodes",
    "Example",
    "Grade",
    "Grader",
    "Input",
    "Json",
    "Judge",
    "Judgement",
    "Known",
    "Lineage",
    "Message",
    "Model",
    "Originates",
    "Pairing",
    "Posterior",
    "Proposer",
    "Receipt",
    "Request",
    "Response",
    "Runs",
    "Standing",
    "Target",
    "Usage",
    "Verdict",
    "Vote",
    "canonical_json",
    "digest",
    "is_held_out",
]

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Array: TypeAlias = NDArray[np.float64]


# Made once: json.dumps builds an encoder on each call with options, and every vote is hashed.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Json) -> str:
    """Write a value as the one JSON text that equal values share: sorted keys, no spaces, no NaN."""
    return _CANONICAL.encode(value)


def digest(value: Json) -> str:
    """SHA-256 of the canonical JSON of a value, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


HELD_OUT = 5
"""One question in so many is kept back; see :mod:`palate.choice`."""


def is_held_out(pairing_id: str) -> bool:
    """Whether people's votes on a question are kept back while machines vote in the same study."""
    # The digest of ["held out", pairing_id], written out because it is taken for every vote that is read.
    text = f'["held out",{_CANONICAL.encode(pairing_id)}]'
    return int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) % HELD_OUT == 0


class Verdict(StrEnum):
    """What a judge said, as seen on the screen. ``skip`` and ``failed`` never teach."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    SKIP = "skip"
    FAILED = "failed"

    @property
    def teaches(self) -> bool:
        """Whether a strategy may learn from it."""
        return self not in (Verdict.SKIP, Verdict.FAILED)

    def swapped(self) -> "Verdict":
        """The same verdict with left and right exchanged."""
        if self is Verdict.LEFT:
            return Verdict.RIGHT
        if self is Verdict.RIGHT:
            return Verdict.LEFT
        return self


@dataclass(frozen=True, slots=True)
class Example:
    """One demonstration of a task: an input and the output that is wanted for it."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Input:
    """What a candidate is tried on.

    Args:
        id: Stable within a study.
        text: What replaces ``{{input}}``.
        references: Accepted answers, when the user has some; only simulated judges and benchmarks read them.
        fields: Further columns of the user's data, for templates that name them.
    """

    id: str
    text: str
    references: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Lineage:
    """How a candidate came to be: which proposer, from which parents, by which model."""

    origin: str
    parents: tuple[str, ...] = ()
    model: str | None = None
    detail: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing that may be chosen.

    Args:
        id: The first 16 hexadecimal digits of the hash of ``text`` and ``parts``; see :meth:`make`.
        text: The prompt itself, or how a candidate of another kind reads to a person.
        parts: What else the target plugs in, as JSON (``{"demonstrations": [{"input": …, "output": …}]}``).
        lineage: Where it came from; not part of its identity.
    """

    id: str
    text: str
    parts: Mapping[str, Json] = field(default_factory=dict[str, Json])
    lineage: Lineage = field(default_factory=lambda: Lineage("user"), compare=False)

    @classmethod
    def make(
        cls, text: str, *, parts: Mapping[str, Json] | None = None, lineage: Lineage | None = None
    ) -> "Candidate":
        """Make a candidate whose identity is its content."""
        content = dict(parts or {})
        identity = digest({"text": text, "parts": content})[:16]
        return cls(identity, text, content, lineage or Lineage("user"))

    @property
    def context(self) -> str | None:
        """Identifier of the only input that this candidate is for; ``None`` when it fits every input.

        An answer to one question has it (``parts["context"]``), a prompt has not. Two candidates meet
        only if they are for the same input.
        """
        context = self.parts.get("context")
        return context if isinstance(context, str) else None


@dataclass(frozen=True, slots=True)
class Response:
    """What a person looks at: the outcome of one candidate on one input.

    Args:
        kind: How the page renders it.
        content: The text itself (markdown); JSON for the other kinds: ``{"media_type", "width", "height",
            "base64"}`` for pictures and plots, ``{"columns", "rows"}`` for tables, ``[{"role", "content"}]``
            for chats.
        seconds: Wall-clock time that producing it took.
        cost: Money spent on it in US dollars; ``None`` when the price is unknown, never 0 for unknown.
        failed: Why there is no response, in one line; such a response is never shown to a rater.
    """

    kind: Literal["text", "image", "table", "plot", "chat"]
    content: str
    seconds: float = 0.0
    cost: float | None = None
    failed: str | None = None

    @property
    def hash(self) -> str:
        """Content address of what is shown: SHA-256 of kind and content."""
        return digest([self.kind, self.content])


@dataclass(frozen=True, slots=True)
class Pairing:
    """A question that a strategy chose: two candidates on one input, not yet shown to anybody.

    ``group`` names the raters that it is for; empty when it is for everybody.
    """

    id: str
    input_id: str
    first: str
    second: str
    first_response: str
    second_response: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Duel:
    """A pairing as shown to one judge, with the order in which it was shown.

    ``swapped`` says that the pairing's second candidate stands on the left. It is drawn once per
    assignment and stored. ``id`` is opaque: it tells a reader of the page nothing about the candidates.
    """

    id: str
    pairing_id: str
    judge: str
    input: Input
    left: Response
    right: Response
    left_candidate: str
    right_candidate: str
    swapped: bool
    guideline_version: str = ""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A verdict on its way to the store. A repeat of the same ``key`` returns the first receipt.

    Args:
        duel_id: The duel that was on the screen.
        verdict: As seen on the screen.
        judge: Who said it.
        key: Idempotency key, minted when the duel was shown.
        seconds: Time between showing and voting; ``None`` when unknown.
        reason: Why it was skipped (``unclear``, ``off_topic``, ``harmful``, ``cannot_judge``), or ``None``.
        comment: The judge's own words.
    """

    duel_id: str
    verdict: Verdict
    judge: str
    key: str
    seconds: float | None = None
    reason: str | None = None
    comment: str | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of what was said; a repeated key with another fingerprint is refused."""
        return digest([self.duel_id, str(self.verdict), self.judge, self.reason, self.comment])


class Receipt(NamedTuple):
    """Proof that a vote is on disk. ``replayed`` says that this is the answer to a repeat."""

    seq: int
    duel_id: str
    verdict: Verdict
    replayed: bool


@dataclass(frozen=True, slots=True)
class Vote:
    """A verdict that is on disk; an event that is never rewritten.

    ``surplus`` says that its pairing had all the votes it wanted already: it came after its lease had ended,
    or the vote of such a one had come before. ``planted`` is ``"gold"`` for a duel with a known answer and
    ``"repeat"`` for one shown again with sides exchanged; such votes say something of the judge alone.
    """

    seq: int
    duel_id: str
    pairing_id: str
    input_id: str
    left_candidate: str
    right_candidate: str
    verdict: Verdict
    judge: str
    at: str
    seconds: float | None = None
    guideline_version: str = ""
    reason: str | None = None
    comment: str | None = None
    surplus: bool = False
    planted: str = ""

    @property
    def winner(self) -> str | None:
        """The candidate that the judge preferred; ``None`` without a preference."""
        if self.verdict is Verdict.LEFT:
            return self.left_candidate
        return self.right_candidate if self.verdict is Verdict.RIGHT else None


class Posterior(NamedTuple):
    """Belief about the utilities, in units of the log-odds of winning a duel; zero mean over candidates."""

    mean_N: Array
    std_N: Array


@dataclass(frozen=True, slots=True)
class Standing:
    """What is believed of one candidate.

    ``mean``, ``low`` and ``high`` (a central 95 % credible interval) are probabilities of beating the
    seed prompt, in [0, 1]; ``p_best`` is the probability of being the best candidate of the study.
    """

    candidate_id: str
    mean: float
    low: float
    high: float
    p_best: float
    votes: int


@dataclass(frozen=True, slots=True)
class ContextBelief:
    """What is believed of the candidates for one input, when candidates are answers to inputs.

    ``standings`` begin with the best; their probabilities are of beating that input's own seed answer, and of
    being the best answer to that input. ``votes`` counts the votes on that input that teach.
    """

    input_id: str
    best: str
    votes: int
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Belief:
    """A snapshot of what was learnt from the first ``votes`` votes that teach.

    Where candidates are answers to inputs, ``contexts`` says what is believed for each input; ``standings``
    are then the best answers, in the order of the inputs, and ``best`` is the first of them.
    """

    seq: int
    votes: int
    best: str
    standings: tuple[Standing, ...]
    stop: bool
    reason: str
    contexts: tuple[ContextBelief, ...] = ()


class Best(NamedTuple):
    """The report: the candidate, how sure it is the best, and how often it beats the seed prompt."""

    candidate: Candidate
    probability: float
    interval: tuple[float, float]
    win_rate: float
    votes: int


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that shapes one generation.

    Args:
        messages: The conversation so far.
        temperature: 0 is greedy.
        max_tokens: Upper bound on new tokens.
        top_p: Nucleus mass in (0, 1].
        seed: Passed on to models whose capabilities include it.
        stop: Strings that end the answer.
        sample: Index of this sample; n samples of one prompt are n requests with n indices, never one.
        extra: Further parameters of the endpoint, as JSON.
    """

    messages: tuple[Message, ...]
    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    sample: int = 0
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])


class Usage(NamedTuple):
    """Tokens that a call consumed."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer. ``cost`` is in US dollars; ``None`` means unknown and is never treated as 0."""

    text: str
    model: str
    finish: Literal["stop", "length", "refused"] = "stop"
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    cost: float | None = None
    seconds: float = 0.0
    cached: bool = False
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do; asking for anything else raises :class:`palate.errors.UnsupportedError`.

    A model that draws answers :meth:`Model.generate` too, but with the file of a picture in base64.
    """

    generate: bool = False
    draw: bool = False
    embed: bool = False
    score: bool = False
    seed: bool = False
    max_concurrency: int = 1
    dimension: int | None = None


@runtime_checkable
class Model(Protocol):
    """Who answers. Calls may run at the same time; an engine that batches gathers them itself."""

    @property
    def name(self) -> str:
        """Stable name; part of the key under which answers are cached."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this model can do."""
        ...

    async def generate(self, request: Request) -> Completion:
        """Answer one request."""
        ...

    async def embed(self, texts: Sequence[str]) -> Array:
        """Embed texts as unit-norm rows of an ``(N, D)`` array."""
        ...

    async def score(self, request: Request, continuation: str) -> Array:
        """Log-probability (nats) of each token of ``continuation`` as the answer to ``request``; ``(T,)``."""
        ...

    async def close(self) -> None:
        """Release processes, sockets and memory. Idempotent."""
        ...


class CompletionCache(Protocol):
    """Where paid answers live; the store is one. Keys are hashes of everything that shaped the answer."""

    def get_completion(self, key: str) -> Mapping[str, Json] | None:
        """The stored answer, or ``None``."""
        ...

    def put_completion(self, key: str, value: Mapping[str, Json]) -> None:
        """Keep an answer; durable when this returns."""
        ...


@runtime_checkable
class Target(Protocol):
    """What is being improved: it turns a candidate and an input into something a person can look at."""

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Produce the response; a failure is a response with ``failed`` set, never an exception."""
        ...

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse, before any work, a candidate that cannot be plugged in; ``fields`` are the columns."""
        ...

    def features_text(self, candidate: Candidate) -> str:
        """The text whose embedding stands for the candidate."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """A target whose candidates have features of their own beside the embedding of their text."""

    def features(self, candidate: Candidate) -> Array:
        """Features of one candidate as ``(D,)``, finite, the same ``D`` for all, of norm about 1 or less."""
        ...


@runtime_checkable
class Originates(Protocol):
    """A target that knows its first candidates itself, so that no prompt needs to be written."""

    def origin(self, inputs: Sequence[Input]) -> list[Candidate]:
        """What the study starts from, the seed first; may be empty when all candidates are proposed."""
        ...


@runtime_checkable
class Runs(Protocol):
    """A target that runs on this machine what a study file names, so that a person must allow it."""

    @property
    def runs(self) -> str:
        """What is run, in one line; empty when it is nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """One vote as a proposer reads it: two candidates, what they answered, and what was said of it."""

    input: Input
    left: Candidate
    right: Candidate
    left_response: Response
    right_response: Response
    verdict: Verdict
    judge: str = ""
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a study knows when it asks for new candidates.

    Args:
        existing: Every candidate there ever was, the withdrawn among them, in the order of their making.
        examples: Inputs with the outputs that are wanted for them.
        inputs: What the candidates are tried on.
        standings: What is believed of the candidates that take part, by identifier; empty before any vote.
        comparisons: The votes that teach, the latest last; at most the last 200.
    """

    existing: Sequence[Candidate] = ()
    examples: Sequence[Example] = ()
    inputs: Sequence[Input] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict[str, Standing])
    comparisons: Sequence[Comparison] = ()

    def ranked(self) -> list[Candidate]:
        """The candidates that take part, the likeliest to beat the seed first; before any vote, all."""
        if not self.standings:
            return list(self.existing)
        known = [candidate for candidate in self.existing if candidate.id in self.standings]
        return sorted(known, key=lambda candidate: -self.standings[candidate.id].mean)


class Proposer(Protocol):
    """Makes new candidates."""

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates that differ from ``known.existing`` and from each other."""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's answer to one duel."""

    verdict: Verdict
    seconds: float | None = None
    reason: str | None = None
    comment: str | None = None


class Judge(Protocol):
    """Anything that decides duels. A rater is a human judge; the page is how one is asked."""

    @property
    def name(self) -> str:
        """Stored with each vote."""
        ...

    async def judge(self, duel: Duel) -> Judgement:
        """Decide; a judge that cannot answers ``skip`` or ``failed``, never a guess."""
        ...


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grader says of one response.

    Args:
        reward: How good it is, larger is better, in the grader's own units; ``None`` when the grader only
            checks a constraint.
        satisfied: Whether its constraint is met; ``None`` when it has none, or could not find out.
        unknown: Why nothing could be said (the grader was out of reach, the response cannot be read). An
            unknown grade decides nothing; it never counts as bad.
        reason: In one line, for the owner.
    """

    reward: float | None = None
    satisfied: bool | None = None
    unknown: str | None = None
    reason: str = ""


@runtime_checkable
class Grader(Protocol):
    """Looks at one response at a time: a rule, an executed check, a reward model."""

    @property
    def name(self) -> str:
        """Stable and short; named in verdicts and reports."""
        ...

    @property
    def cost(self) -> int:
        """How dear a grade is, 0 for a plain rule; cheaper graders are asked first."""
        ...

    async def grade(self, input: Input, response: Response) -> Grade:
        """Grade one response; never raises for what the response contains."""
        ...
