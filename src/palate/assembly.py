"""From a study file to the parts that do the work.

Names become objects here and nowhere else: models are looked up in the registry, wrapped so that every
answer is paid for once and within the budget, and handed to targets, proposers and strategies.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from palate.config import ModelTable, StudyConfig, load_examples, load_inputs, load_prompts
from palate.errors import ConfigError
from palate.models import Budget, Ledger, MeteredModel
from palate.proposers import own_candidates
from palate.registry import make
from palate.targets import FunctionTarget
from palate.types import (
    Candidate,
    CompletionCache,
    Example,
    Input,
    Json,
    Lineage,
    Model,
    Proposer,
    Target,
    digest,
)

__all__ = ["Parts", "assemble", "parts_from_python"]


class Parts(NamedTuple):
    """Everything that a study is made of.

    ``target`` is ``None`` for a study that was made in Python and is opened only to be read.
    ``target_key`` is the hash of everything but candidate and input that shapes a response.
    ``repeatable`` asks for sides and identifiers drawn from ``seed``.
    """

    target: Target | None
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
    repeatable: bool = False

    def features_text(self, candidate: Candidate) -> str:
        """The text whose embedding stands for the candidate."""
        return self.target.features_text(candidate) if self.target else candidate.text


def assemble(config: StudyConfig, cache: CompletionCache) -> Parts:
    """Build the parts that a study file names.

    Args:
        config: The study file, read and checked.
        cache: Where paid answers are kept.

    Raises:
        ConfigError: An unknown part or option, with the nearest name.
        InputError: The inputs or examples cannot be read.
    """
    ledger = Ledger(Budget(config.budget.calls, config.budget.tokens, config.budget.cost))

    def metered(table: ModelTable) -> Model:
        return MeteredModel(make("models", table.kind, table.options), cache=cache, ledger=ledger)

    target_model = metered(config.model)
    proposer_model = metered(config.proposer_model) if config.proposer_model else target_model
    embedder = metered(config.embedding)
    prompts = config.prompts
    target: Target = make(
        "targets",
        "instruction",
        {},
        model=target_model,
        placement=prompts.placement,
        template=prompts.template,
        temperature=prompts.temperature,
        max_tokens=prompts.max_tokens,
        seed=config.study.seed,
    )
    own = own_candidates(prompts.seed, load_prompts(config))
    examples = load_examples(config)
    proposers = tuple(
        make(
            "proposers",
            name,
            config.proposers.options,
            model=proposer_model,
            seed_prompt=prompts.seed,
            demonstrations=prompts.demonstrations,
        )
        for name in config.proposers.use
    )
    shaping: Json = {
        "model": {"kind": config.model.kind, "options": dict(config.model.options)},
        "placement": prompts.placement,
        "template": prompts.template,
        "temperature": prompts.temperature,
        "max_tokens": prompts.max_tokens,
        "seed": config.study.seed,
    }
    return Parts(
        target=target,
        target_key=digest(shaping),
        embedder=embedder,
        proposers=proposers,
        own=tuple(own),
        inputs=tuple(load_inputs(config)),
        examples=tuple(examples),
        guidelines=config.study.guidelines,
        settings=config.settings(),
        strategy=config.strategy.name,
        strategy_options=config.strategy.options,
        seed=config.study.seed,
        wanted=config.study.candidates,
        max_votes=config.budget.votes,
        ledger=ledger,
        models=tuple({id(m): m for m in (target_model, proposer_model, embedder)}.values()),
    )


def parts_from_python(
    cache: CompletionCache,
    settings: Mapping[str, Json],
    *,
    target: Target | Callable[[str, str], str] | None = None,
    inputs: Sequence[str | Input] = (),
    candidates: Sequence[str | Candidate] = (),
    guidelines: str = "",
) -> Parts:
    """Build the parts of a study that is made in Python, or that is opened only to be read.

    Raises:
        ConfigError: ``target`` cannot respond.
    """
    if target is not None and not isinstance(target, Callable) and not hasattr(target, "respond"):
        raise ConfigError(
            f"target={target!r} cannot respond; give a palate target or a function (prompt, input) -> answer"
        )
    if target is not None and not hasattr(target, "respond"):
        target = FunctionTarget(target)
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
        target=target,
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
    )
