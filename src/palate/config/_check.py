"""What no single key can tell: keys that exclude or need each other, and names that must be registered."""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from palate.config._data import load_examples, load_gold, load_inputs, load_prompts
from palate.config._tables import (
    UNTIL_DECIDED,
    ExamplesTable,
    GoldTable,
    GrowthTable,
    InputsTable,
    ModelTable,
    ProposersTable,
    RatersTable,
    StudyConfig,
)
from palate.errors import ConfigError, NotFoundError, PalateError, nearest
from palate.registry import look_up, make, parts
from palate.targets import placeholders
from palate.types import (
    Array,
    Candidate,
    Capabilities,
    Completion,
    Input,
    Originates,
    Request,
    Runs,
    Target,
)

__all__ = ["check", "check_data", "check_raters", "commands_of"]

# What Palate hands to makers itself; a study file cannot set these.
_SUPPLIED = frozenset(
    {"model", "demonstrations", "seed_prompt", "features", "seed", "target", "folder", "allowed"}
)
_SHAPE = ("placement", "template", "temperature", "max_tokens")  # keys of [prompts] that targets may take
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check(config: StudyConfig) -> None:
    """Check what several keys say together.

    Raises:
        ConfigError: Naming the table and the keys.
    """
    if isinstance(config.database, str):
        from palate.store import check_address

        check_address(config.database, "[study] database")
    _one_source("inputs", config.inputs)
    if config.examples is not None:
        _one_source("examples", config.examples)
    _check_target(config)
    _check_prompts(config)
    _check_examples(config)
    models = {"model": config.model, "proposer_model": config.proposer_model, "embedding": config.embedding}
    for table, part in models.items():
        if part is not None:
            _check_model(table, part)
    _check_strategy(config)
    _check_proposers(config, config.proposers, "proposers")
    _check_growth(config)
    _check_judges(config)
    check_raters(config.raters, config.gold)


def check_data(config: StudyConfig) -> None:
    """Read everything that the study file names, and check that each prompt fits the inputs.

    Raises:
        InputError: A file cannot be used.
        ConfigError: A prompt or the template names a column that the inputs lack; too few examples.
    """
    inputs = load_inputs(config)
    load_gold(config)
    examples, wanted = load_examples(config), config.prompts.demonstrations
    if wanted > len(examples):
        raise ConfigError(
            f"{config.path}: [prompts] demonstrations is {wanted}, but [examples] has {len(examples)}; "
            "ask for fewer, or add examples"
        )
    columns = [name for name in inputs[0].fields if all(name in item.fields for item in inputs)]
    try:
        target = _target(config)
        for prompt in load_prompts(config):
            target.check(Candidate.make(prompt), columns)
    except ConfigError as error:
        raise ConfigError(f"{config.path}: [prompts] {error}") from error
    _check_origin(config, target, inputs, columns)


def _check_origin(config: StudyConfig, target: Target, inputs: Sequence[Input], columns: list[str]) -> None:
    """Check the target's own first candidates, and that there will be enough of them."""
    try:
        for candidate in target.origin(inputs) if isinstance(target, Originates) else ():
            target.check(candidate, columns)
    except PalateError as error:
        raise ConfigError(f"{config.path}: [target] {error}") from error
    each = getattr(look_up("targets", config.target.kind), "fewest_each", 0)
    if config.study.candidates < each * len(inputs):
        raise ConfigError(
            f"{config.path}: [study] candidates is {config.study.candidates}, but {len(inputs)} inputs need "
            f"at least {each} answers each; set it to {each * len(inputs)} or more, or limit the inputs"
        )


def commands_of(config: StudyConfig) -> str:
    """What the study runs on this machine, for a person who is to allow it; empty for nothing.

    Raises:
        ConfigError: Something is to run that cannot run safely here.
    """
    found: list[object] = [_target(config)]
    for name, table in config.judges.items():
        if "allowed" not in (_signature("judges", table.kind) or ()):
            continue
        try:
            found.append(make("judges", table.kind, config.options(table), folder=str(config.folder)))
        except PalateError as error:
            raise ConfigError(f"{config.path}: [judges.{name}] {error}") from error
    return "; ".join(part.runs for part in found if isinstance(part, Runs) and part.runs)


def check_raters(raters: RatersTable | None, gold: GoldTable | None) -> None:
    """Check what the keys of ``[raters]`` and ``[gold]`` say together.

    Raises:
        ConfigError: Naming the table and the keys.
    """
    if gold is not None:
        _one_source("gold", gold)
        if raters is None:
            raise ConfigError("[gold] is planted among the duels of several raters; add the table [raters]")
    if raters is None:
        return
    if "most" in raters.model_fields_set and raters.overlap != UNTIL_DECIDED:
        raise ConfigError(f'[raters] most needs overlap = "{UNTIL_DECIDED}"; take it out, or set that')
    if len(set(raters.groups)) < len(raters.groups):
        raise ConfigError("[raters] groups names a group twice; name each once")


def _one_source(table: str, given: InputsTable | ExamplesTable | GoldTable) -> None:
    if given.inline is None and given.path is None:
        raise ConfigError(f"[{table}] has neither inline nor path; give exactly one of them")
    if given.inline is not None and given.path is not None:
        raise ConfigError(f"[{table}] has both inline and path; give exactly one of them")
    if given.inline is not None and not given.inline:
        raise ConfigError(f"[{table}] inline is empty; give at least one entry")


def _check_target(config: StudyConfig) -> None:
    kind = config.target.kind
    _check_name("targets", "[target] kind", kind)
    takes = _signature("targets", kind)
    own = None if takes is None else [name for name in takes if name not in {*_SUPPLIED, *_SHAPE}]
    _check_options("[target]", own, config.target.options)
    if takes is None:
        return
    if "model" in takes and config.model is None:
        raise ConfigError("[model] is missing; add it with kind = …, the model that answers")
    for key in _SHAPE:
        if key in config.prompts.model_fields_set and key not in takes:
            raise ConfigError(f"[prompts] {key} is not used by the target {kind!r}; take it out")


def _check_prompts(config: StudyConfig) -> None:
    prompts = config.prompts
    if prompts.list is not None and prompts.path is not None:
        raise ConfigError("[prompts] has both list and path; give at most one of them")
    if prompts.column is not None and prompts.path is None:
        raise ConfigError("[prompts] column needs path, the file that has the column")
    if prompts.seed is None and not hasattr(look_up("targets", config.target.kind), "origin"):
        raise ConfigError("[prompts] seed is missing; add seed = …, the prompt that you use today")
    _check_placement(config)


def _check_placement(config: StudyConfig) -> None:
    prompts = config.prompts
    try:
        target = _target(config)
        if prompts.placement == "template" and prompts.seed is not None:
            # Columns are not known before the inputs are read; every name is taken for one here.
            target.check(Candidate.make(prompts.seed), placeholders(prompts.seed + (prompts.template or "")))
    except ConfigError as error:
        raise ConfigError(
            f"[prompts] {error}" if config.target.kind == "instruction" else f"[target] {error}"
        ) from error


def _target(config: StudyConfig) -> Target:
    """The target with a model that is never asked."""
    options = config.options(config.target)
    return make("targets", config.target.kind, options, model=_Nobody(), **config.target_context())


def _check_examples(config: StudyConfig) -> None:
    if config.examples is not None:
        return
    for where, table in (("proposers", config.proposers), ("growth", config.growth)):
        if "induction" in table.use:
            raise ConfigError(f"[{where}] use has 'induction', which needs the table [examples]; add it")
    if config.prompts.demonstrations:
        raise ConfigError("[prompts] demonstrations needs the table [examples] to draw from; add it")


def _check_model(table: str, part: ModelTable) -> None:
    for key, value in part.options.items():
        # The value is not repeated: it may be the key itself, pasted in the wrong place.
        if key.endswith("_env") and not (isinstance(value, str) and _VARIABLE.fullmatch(value)):
            raise ConfigError(
                f"[{table}] {key} must be the name of an environment variable, such as 'OPENAI_API_KEY'; "
                "never write a key into the file"
            )
    _check_name("models", f"[{table}] kind", part.kind)
    _check_options(f"[{table}]", _parameters("models", part.kind), part.options)


def _check_strategy(config: StudyConfig) -> None:
    table = config.strategy
    if table.name == "default":
        return
    _check_name("strategies", "[strategy] name", table.name)
    _check_options("[strategy]", _parameters("strategies", table.name), table.options)


def _check_proposers(config: StudyConfig, table: ProposersTable | GrowthTable, where: str) -> None:
    names = table.use
    for name in names:
        _check_name("proposers", f"[{where}] use", name)
        if (
            config.model is None
            and config.proposer_model is None
            and "model" in (_signature("proposers", name) or ())
        ):
            raise ConfigError(f"[{where}] use has {name!r}, which asks a model; add [proposer_model]")
    for key, value in table.options.items():
        if isinstance(value, Mapping):
            if key not in names:
                raise ConfigError(f"[{where}.{key}]: no such proposer in use; {nearest(key, names)}")
            _check_options(f"[{where}.{key}]", _parameters("proposers", key), value)
            continue
        for name in names:
            known = _parameters("proposers", name)
            if known is not None and key not in known:
                raise ConfigError(
                    f"[{where}] {key}: proposer {name!r} has no such option (one that only "
                    f"another has goes in a table such as [{where}.{names[0]}]); {nearest(key, known)}"
                )


def _check_growth(config: StudyConfig) -> None:
    growth = config.growth
    _check_proposers(config, growth, "growth")
    if len(set(growth.use)) < len(growth.use):
        raise ConfigError(f"[growth] use names a proposer twice: {', '.join(growth.use)}; name each once")
    if growth.gate is not None:
        _check_model("growth.gate", growth.gate)


def _check_judges(config: StudyConfig) -> None:
    for name, table in config.judges.items():
        where = f"[judges.{name}]"
        if name == "me" or ":" in name:
            raise ConfigError(
                f"{where}: 'me' and names with a colon mean something else; choose another name"
            )
        _check_name("judges", f"{where} kind", table.kind)
        _check_options(where, _parameters("judges", table.kind), table.options)
        if table.model is not None:
            _check_model(f"judges.{name}.model", table.model)
        elif config.model is None and "model" in (_signature("judges", table.kind) or ()):
            raise ConfigError(f"{where} asks a model; add [judges.{name}.model] with kind = …")


def _check_name(group: str, where: str, name: str) -> None:
    known = [part.name for part in parts(group)]
    if group == "strategies":
        known.append("default")
    if name not in known:
        raise ConfigError(f"{where} is {name!r}; {nearest(name, known)}")


def _parameters(group: str, name: str) -> list[str] | None:
    """Names of a maker's options that a user may set; ``None`` when it takes any."""
    supplied = frozenset[str]() if group == "models" else _SUPPLIED
    takes = _signature(group, name)
    return None if takes is None else [name for name in takes if name not in supplied]


def _signature(group: str, name: str) -> list[str] | None:
    """Names of all that a maker takes; ``None`` when it takes anything."""
    try:
        given = inspect.signature(look_up(group, name)).parameters.values()
    except NotFoundError as error:
        raise ConfigError(str(error)) from error
    if any(p.kind is p.VAR_KEYWORD for p in given):
        return None
    return [p.name for p in given if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _check_options(where: str, known: list[str] | None, options: Iterable[str]) -> None:
    for key in options:
        if known is not None and key not in known:
            raise ConfigError(f"{where} {key}: unknown key; {nearest(key, known)}")


@final
class _Nobody:
    """A model that is never asked: it stands in where only the prompt's place is checked."""

    name = "nobody"
    capabilities = Capabilities(generate=True, draw=True)

    async def generate(self, request: Request) -> Completion:
        raise NotImplementedError

    async def embed(self, texts: Sequence[str]) -> Array:
        raise NotImplementedError

    async def score(self, request: Request, continuation: str) -> Array:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to release."""
