"""From a study file to the parts that do the work.

Names become objects here and nowhere else: models are looked up in the registry, wrapped so that every
answer is paid for once and within the budget, and handed to targets, proposers and strategies.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from palate.config import (
    GoldTexts,
    GrowthTable,
    ModelTable,
    ProposersTable,
    StudyConfig,
    load_examples,
    load_gold,
    load_inputs,
    load_prompts,
)
from palate.errors import ConfigError, NotFoundError, PalateError, nearest
from palate.models import Budget, Ledger, LimitPool, MeteredModel, Spent
from palate.proposers import FunctionProposer, Gate, MakesCandidates, own_candidates
from palate.registry import make
from palate.store import Store
from palate.targets import FunctionTarget
from palate.types import (
    Candidate,
    CompletionCache,
    Example,
    Input,
    Json,
    Judge,
    Lineage,
    Model,
    Originates,
    Proposer,
    Target,
    digest,
)

__all__ = ["Parts", "assemble", "judge_named", "parts_from_python"]


class Parts(NamedTuple):
    """Everything that a study is made of.

    ``target`` is ``None`` for a study that is opened only to be read; ``target_missing`` says why.
    ``target_key`` is the hash of everything but candidate and input that shapes a response.
    ``growers`` make up to ``most`` candidates while votes come in, which ``gate`` lets in or refuses.
    ``answers_ahead`` is on how many inputs every candidate answers before it is asked about.
    ``gold`` are the duels with a known answer.
    ``repeatable`` asks for sides and identifiers drawn from ``seed``.
    """

    target: Target | None
    target_missing: str
    target_key: str
    embedder: Model
    proposers: tuple[Proposer, ...]
    own: tuple[Candidate, ...]
    inputs: tuple[Input, ...]
    examples: tuple[Example, ...]
    guidelines: str
    settings: Mapping[str, Json]
    strategy: str
    strategy_options: Mapping[str, Any]
    seed: int
    wanted: int
    max_votes: int | None
    ledger: Ledger
    models: tuple[Model, ...]
    judges: Mapping[str, Judge]
    growers: tuple[tuple[str, Proposer], ...] = ()
    most: int = 0
    gate: Gate = Gate()
    answers_ahead: int = 0
    repeatable: bool = False
    gold: tuple[GoldTexts, ...] = ()

    def features_text(self, candidate: Candidate) -> str:
        """The text whose embedding stands for the candidate."""
        return self.target.features_text(candidate) if self.target else candidate.text


def assemble(config: StudyConfig, store: Store, *, reading: bool = False) -> Parts:
    """Build the parts that a study file names.

    Args:
        config: The study file, read and checked.
        store: Where paid answers are kept; what they cost counts against the budget.
        reading: The study is opened from its database: its inputs and candidates are there already, so no
            file is read again, nothing is proposed, and a model that cannot be built (no key, say) is an
            error only once it is needed.

    Raises:
        ConfigError: An unknown part or option, with the nearest name.
        InputError: The inputs or examples cannot be read.
    """
    limits = Budget(config.budget.calls, config.budget.tokens, config.budget.cost)
    ledger = Ledger(limits, Spent.on(store.completions()))
    pool = LimitPool()
    models: list[Model] = []

    def metered(table: ModelTable) -> Model:
        made = make("models", table.kind, config.options(table), limits=pool)
        model = MeteredModel(made, cache=store, ledger=ledger)
        models.append(model)
        return model

    embedder = metered(config.embedding)
    target, missing, proposers, judges, growers, gate = None, "", (), {}, (), Gate()
    try:
        model = metered(config.model) if config.model is not None else None
        target = _target(config, model, allowed=not reading)
        if not reading:
            writer = metered(config.proposer_model) if config.proposer_model is not None else model
            proposers, growers = (
                _proposers(config, table, target, writer) for table in (config.proposers, config.growth)
            )
            gate = _gate(config, target, metered)
            judges = {name: _judge(config, name, model, metered) for name in config.judges}
    except PalateError as error:
        if not reading:
            raise
        missing = str(error)
    inputs = () if reading else tuple(load_inputs(config))
    return Parts(
        target=target,
        target_missing=missing,
        target_key=_target_key(config),
        embedder=embedder,
        proposers=proposers,
        own=() if target is None or reading else _own(config, target, inputs),
        inputs=inputs,
        examples=() if reading else tuple(load_examples(config)),
        guidelines=config.study.guidelines,
        settings=config.settings(),
        strategy=config.strategy.name,
        strategy_options=config.options(config.strategy),
        seed=config.study.seed,
        wanted=config.study.candidates,
        max_votes=config.budget.votes,
        ledger=ledger,
        models=tuple(models),
        judges=judges,
        growers=tuple(zip(config.growth.use, growers, strict=True)),
        most=config.growth.most,
        gate=gate,
        gold=() if reading else tuple(load_gold(config)),
        answers_ahead=config.study.answers_ahead,
    )


def judge_named(parts: Parts, name: str, options: Mapping[str, Any]) -> Judge:
    """Find or make the judge that a person named.

    Args:
        parts: Of the study.
        name: A table under ``[judges]`` (also as ``llm:NAME``), ``rules:FILE``, or a registered judge that
            asks no model.
        options: For a registered judge.

    Raises:
        ConfigError: Options for a judge that has its own, or a wrong one.
        NotFoundError: No such judge.
    """
    kind, colon, rest = name.partition(":")
    found = parts.judges.get(rest if kind == "llm" else name)
    if found is None and kind == "llm":
        raise NotFoundError(f"no table [judges.{rest}] in the study file; {nearest(rest, parts.judges)}")
    if options and (found is not None or colon):
        raise ConfigError(f"options of the judge {name!r} stand in its own table or file")
    if found is not None:
        return found
    if kind == "rules" and colon:
        return make("judges", "rules", {"path": rest})
    return make("judges", name, options, **({} if "seed" in options else {"seed": parts.seed}))


def _judge(
    config: StudyConfig, name: str, model: Model | None, metered: Callable[[ModelTable], Model]
) -> Judge:
    table = config.judges[name]
    if table.model is not None:
        model = metered(table.model)
    asked = {} if model is None else {"model": model}
    # Whoever opens a study to go on with it has asked whether what its file names may run.
    context = {"seed": config.study.seed, "folder": str(config.folder), "allowed": True}
    return make("judges", table.kind, config.options(table), **context, **asked)


def _target(config: StudyConfig, model: Model | None, *, allowed: bool) -> Target:
    # Whoever opens a study to go on with it has asked whether what its file names may run.
    options, context = config.options(config.target), {**config.target_context(), "allowed": allowed}
    return make(
        "targets", config.target.kind, options, **({} if model is None else {"model": model}), **context
    )


def _target_key(config: StudyConfig) -> str:
    """Hash of everything but candidate and input that shapes a response."""
    context = {key: value for key, value in config.target_context().items() if key != "folder"}
    settings = config.settings()
    plain = config.target.kind == "instruction" and not config.target.options
    return digest(
        {"model": settings["model"], **context, **({} if plain else {"target": settings["target"]})}
    )


def _own(config: StudyConfig, target: Target, inputs: Sequence[Input]) -> tuple[Candidate, ...]:
    """What the study starts with: the target's own first candidates, and the user's prompts."""
    first = target.origin(inputs) if isinstance(target, Originates) else []
    prompts = load_prompts(config)
    written = own_candidates(prompts[0], prompts[1:]) if prompts else []
    return (*first, *written)


def _proposers(
    config: StudyConfig, table: ProposersTable | GrowthTable, target: Target, model: Model | None
) -> tuple[Proposer, ...]:
    if config.proposer_model is None and model is not None and not model.capabilities.generate and table.use:
        where = "proposers" if table is config.proposers else "growth"
        raise ConfigError(
            f"the study's model {model.name!r} cannot write prompts; name one that can as [proposer_model], "
            f"or set [{where}] use = [] to compare your own prompts only"
        )
    context = {"demonstrations": config.prompts.demonstrations, "target": target}
    asked = {} if model is None else {"model": model}
    return tuple(
        make("proposers", name, config.proposer_options(name, table), **asked, **context)
        for name in table.use
    )


def _gate(config: StudyConfig, target: Target, metered: Callable[[ModelTable], Model]) -> Gate:
    judge = None if config.growth.gate is None else metered(config.growth.gate)
    return Gate(judge, check=target.check)


def _grower(given: Proposer | MakesCandidates, place: int) -> tuple[str, Proposer]:
    """A proposer and a name for it; a plain function becomes one."""
    if hasattr(given, "propose"):
        return f"{place}-{type(given).__name__}", cast("Proposer", given)
    if not callable(given):
        raise ConfigError(
            f"proposers has {given!r}; give proposers, or functions (n, known, rng) that return texts"
        )
    name = f"{place}-{getattr(given, '__name__', 'function')}"
    return name, FunctionProposer(given, name)


def parts_from_python(
    cache: CompletionCache,
    settings: Mapping[str, Json],
    *,
    target: Target | Callable[[str, str], str] | None = None,
    inputs: Sequence[str | Input] = (),
    candidates: Sequence[str | Candidate] = (),
    proposers: Sequence[Proposer | MakesCandidates] = (),
    guidelines: str = "",
) -> Parts:
    """Build the parts of a study that is made in Python, or that is opened only to be read.

    Raises:
        ConfigError: ``target`` cannot respond, or one of ``proposers`` is none.
    """
    if target is None or isinstance(target, Target):
        responder = target
    elif callable(target):
        responder = FunctionTarget(target)
    else:
        raise ConfigError(
            f"target={target!r} cannot respond; give a palate target or a function (prompt, input) -> answer"
        )
    own = [
        candidate
        if isinstance(candidate, Candidate)
        else Candidate.make(candidate, lineage=Lineage("user" if row else "seed"))
        for row, candidate in enumerate(candidates)
    ]
    ledger = Ledger(Budget())
    embedder = MeteredModel(make("models", "wordllama", {}), cache=cache, ledger=ledger)
    votes, seed = settings.get("votes"), settings.get("seed", 0)
    return Parts(
        target=responder,
        target_missing="this study was made in Python; open it with Study.create and its target",
        target_key=digest(["python", settings.get("strategy")]),
        embedder=embedder,
        proposers=(),
        own=tuple(own),
        inputs=tuple(i if isinstance(i, Input) else Input(f"input-{n}", i) for n, i in enumerate(inputs, 1)),
        examples=(),
        guidelines=guidelines,
        settings=settings,
        strategy=str(settings.get("strategy", "default")),
        strategy_options={},
        seed=seed if isinstance(seed, int) else 0,
        wanted=len(own),
        max_votes=votes if isinstance(votes, int) else None,
        ledger=ledger,
        models=(embedder,),
        judges={},
        growers=tuple(_grower(given, place) for place, given in enumerate(proposers, start=1)),
        most=GrowthTable().most,
        gate=Gate() if responder is None else Gate(check=responder.check),
    )
