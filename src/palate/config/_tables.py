"""The tables of a study file, as frozen models that know their own limits.

Each class is one ``[table]``; the descriptions become the JSON Schema that editors read, so what a user
sees while typing and what is enforced cannot drift apart.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from palate.registry import look_up, parts

__all__ = [
    "BudgetTable",
    "ExamplesTable",
    "GoldTable",
    "GrowthTable",
    "InputsTable",
    "JudgeTable",
    "ModelTable",
    "PageTable",
    "PromptsTable",
    "ProposersTable",
    "RatersTable",
    "StrategyTable",
    "StudyConfig",
    "StudyTable",
    "TargetTable",
]

MAX_CANDIDATES = 10_000
# Options of parts that name files.
_FILES = frozenset({"path", "prices", "rubric"})

UNTIL_DECIDED = "until decided"
MOST_RATERS = 50  # on one pairing; more say nothing that these do not


def _overlap(value: object) -> int | str:
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_RATERS
    if not whole and value != UNTIL_DECIDED:
        # One validator and not a union: a union would answer a mistake with one complaint for each branch.
        allowed = {"most": MOST_RATERS, "word": UNTIL_DECIDED}
        raise PydanticCustomError("overlap", 'a whole number from 1 to {most}, or "{word}"', allowed)
    return cast("int | str", value)


_OVERLAP_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MOST_RATERS},
        {"type": "string", "enum": [UNTIL_DECIDED]},
    ]
}
Overlap = Annotated[int | str, PlainValidator(_overlap), WithJsonSchema(_OVERLAP_SCHEMA)]
Share = Annotated[float, Field(ge=0, le=0.5)]
Row: TypeAlias = "str | dict[str, JsonValue]"
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]


class _Table(BaseModel):
    # Strict: "30" is a text, not a number; a silent conversion hides the user's mistake.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class _OpenTable(_Table):
    model_config = ConfigDict(extra="allow")
    # The annotation tells pydantic what extra keys may hold; init=False keeps it out of the constructor.
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def options(self) -> dict[str, JsonValue]:
        """The keys beyond the named ones: options of the part itself."""
        return dict(self.__pydantic_extra__ or {})


class StudyTable(_Table):
    """The study as a whole."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = "study"
    """What the study is called on the page and in reports."""
    guidelines: str = ""
    """What raters should look for, as Markdown; shown beside every duel."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of every random draw of the study."""
    candidates: Annotated[int, Field(ge=2, le=MAX_CANDIDATES)] = 30
    """How many prompts compete, with the seed prompt and your own list among them."""
    answers_ahead: Annotated[int, Field(ge=0, le=100)] = 0
    """On so many inputs every prompt answers before it is asked about, so that a vote also teaches about the
    prompts that answer alike. It saves votes, and costs a call for each prompt and input; 0 leaves it."""
    database: Text | None = None
    """What remembers everything: a file, by default beside the study file, ending in `.db`; or for several
    servers `postgresql://USER@HOST/DATABASE?study=NAME`, without the password."""


class ModelTable(_OpenTable):
    """A model and its own options."""

    kind: Text
    """Which model, by its registered name; `palate list` shows them. Further keys are its options."""


class InputsTable(_Table):
    """What the prompts are tried on. Give exactly one of `inline` and `path`."""

    inline: Annotated[tuple[Row, ...], Field(strict=False)] | None = None
    """The inputs themselves: texts, or tables with a column for the text."""
    path: Text | None = None
    """A `.txt` file (an input a line), `.csv`, `.jsonl`, or the folder of a Hugging Face data set."""
    column: Text | None = None
    """The column that holds the text; by default `input`, `text`, or the only one."""
    reference_column: Text | None = None
    """The column that holds accepted answers (a text or a list); only simulated judges read it."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many rows."""


class TargetTable(_OpenTable):
    """What is being improved. Further keys are options of the target."""

    kind: Text = "instruction"
    """Which target, by its registered name: `instruction` (the prompt of a chat model) or another."""


class PromptsTable(_Table):
    """The prompt that you start from, and where a prompt goes."""

    seed: Text | None = None
    """The prompt that you use today; always a candidate. Some targets know their own first candidates."""
    list: Texts | None = None
    """Further prompts of your own. Give at most one of `list` and `path`."""
    path: Text | None = None
    """A file of further prompts: `.txt` (one a line), `.csv` or `.jsonl`."""
    column: Text | None = None
    """The column of `path` that holds the prompt; by default `prompt`, `text`, or the only one."""
    placement: Literal["system", "template"] = "system"
    """Whether a prompt is the system message, or fills `{{prompt}}` in `template`."""
    template: Text | None = None
    """The user's message, with `{{input}}` in it, and `{{prompt}}` where the placement is `template`."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Sampling temperature of the answers that people compare; 0 always picks the likeliest word."""
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    """Longest answer, in tokens."""
    demonstrations: Annotated[int, Field(ge=0, le=100)] = 0
    """How many of `[examples]` each generated candidate shows to the model."""


class ExamplesTable(_Table):
    """Inputs with the outputs that are wanted for them, from which prompts are induced."""

    inline: Annotated[tuple[dict[str, JsonValue], ...], Field(strict=False)] | None = None
    """The examples themselves, as tables with an input and an output."""
    path: Text | None = None
    """A `.csv` or `.jsonl` file, or the folder of a Hugging Face data set."""
    input_column: Text = "input"
    """The column that holds the input."""
    output_column: Text = "output"
    """The column that holds the wanted output."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many rows."""


class _ProposingTable(_OpenTable):
    def options_of(self, name: str) -> dict[str, JsonValue]:
        """Options of one proposer: the shared keys, overruled by the table that bears its name."""
        shared = {key: value for key, value in self.options.items() if not isinstance(value, dict)}
        own = self.options.get(name)
        return {**shared, **(own if isinstance(own, dict) else {})}


class ProposersTable(_ProposingTable):
    """Where new candidates come from. Other keys are options of the proposers.

    A table named like a proposer (`[proposers.rephrase]`) holds options of that one alone.
    """

    use: Texts = ("rephrase",)
    """Which proposers, by name; by default what suits the target: `rephrase`, with examples `induction`."""


class GrowthTable(_ProposingTable):
    """New candidates while votes come in. Other keys are options of the proposers.

    A table named like a proposer (`[growth.opro]`) holds options of that one alone.
    """

    use: Texts = ()
    """Which proposers take turns, by name; `opro`, `critique`, `reflect`, `evoprompt-ga` and `evoprompt-de`
    learn from the votes. Without any, the candidates stay those that the study began with."""
    most: Annotated[int, Field(ge=0, le=MAX_CANDIDATES)] = 30
    """Most candidates that may join."""
    gate: ModelTable | None = None
    """A model that compares each new candidate with its parent, in both orders; by default rules alone."""


class StrategyTable(_OpenTable):
    """Which two prompts to compare next."""

    name: Text = "default"
    """The strategy, by its registered name; `palate list` shows them. Further keys are its options."""


class JudgeTable(_OpenTable):
    """A judge that needs no person, under a name that `palate run --judge NAME` takes."""

    kind: Text
    """Which judge, by its registered name; `palate list` shows them. Further keys are its options."""
    model: ModelTable | None = None
    """The model that it asks, if it asks one; by default the study's own."""


class BudgetTable(_Table):
    """Limits; a call that could pass one is not sent. What is not limited is left out."""

    calls: Annotated[int, Field(ge=1)] | None = None
    """Calls to paid or local models."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens, in and out together."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """Money in US dollars; needs known prices."""
    votes: Annotated[int, Field(ge=1)] | None = None
    """Votes after which the study is done."""


class RatersTable(_Table):
    """Several people who vote. Without this table a study is for one person, and nothing is planted."""

    overlap: Overlap = 1
    """How many raters vote on each pair, each once; `"until decided"` asks another one while the belief about
    the pair is unsure."""
    most: Annotated[int, Field(ge=2, le=MOST_RATERS)] = 5
    """Most raters on one pair where the overlap is `"until decided"`."""
    lease: Annotated[int, Field(ge=10, le=604_800)] = 900
    """Seconds after which a pair that was shown and not voted on may go to somebody else."""
    gold: Share = 0.05
    """Share of duels with a known answer, planted from `[gold]`."""
    repeats: Share = 0.05
    """Share of a rater's own earlier duels, shown again with the sides exchanged."""
    groups: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Groups of raters, each with pairs of its own; `""` among them stands for pairs that everybody sees."""


class GoldTable(_Table):
    """Pairs of answers of which one is known to be better. Give exactly one of `inline` and `path`."""

    inline: Annotated[tuple[dict[str, JsonValue], ...], Field(strict=False)] | None = None
    """The pairs themselves, as tables with `input`, `better` and `worse`."""
    path: Text | None = None
    """A `.jsonl` or `.csv` file with the columns `input`, `better` and `worse`."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many rows."""


class PageTable(_Table):
    """The page that people vote on."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port on the loopback address; 0 takes a free one."""


class StudyConfig(_Table):
    """A whole study file. Made by :func:`palate.config.read_config`."""

    study: StudyTable = StudyTable()
    target: TargetTable = TargetTable()
    model: ModelTable | None = None
    """Who answers; targets that run a command or a function need none."""
    proposer_model: ModelTable | None = None
    """A stronger model that writes candidates; by default the study's own."""
    embedding: ModelTable = ModelTable(kind="wordllama")
    """The model whose embeddings of prompts the strategy learns on."""
    inputs: InputsTable
    prompts: PromptsTable = PromptsTable()
    examples: ExamplesTable | None = None
    proposers: ProposersTable = ProposersTable()
    growth: GrowthTable = GrowthTable()
    strategy: StrategyTable = StrategyTable()
    judges: Annotated[dict[str, JudgeTable], Field(default_factory=dict)]
    """Judges that need no person, by the names that you give them: `[judges.strict]`."""
    budget: BudgetTable = BudgetTable()
    page: PageTable = PageTable()
    raters: RatersTable | None = None
    """Several people who vote; without it a study is for one person."""
    gold: GoldTable | None = None
    """Pairs of answers of which one is known to be better."""

    _path: Path = PrivateAttr(default=Path("study.toml"))
    _source: str = PrivateAttr(default="")

    @model_validator(mode="before")
    @classmethod
    def _usual_proposers(cls, tables: object) -> object:
        # Here and not where it is used, so that the settings which are stored say which proposers ran.
        if not isinstance(tables, dict):
            return tables
        proposers, target = tables.get("proposers", {}), tables.get("target", {})
        if not isinstance(proposers, dict) or "use" in proposers or not isinstance(target, dict):
            return tables
        usual = _proposers_of(target.get("kind", "instruction"), examples=bool(tables.get("examples")))
        return tables if usual is None else {**tables, "proposers": {"use": usual, **proposers}}

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, JsonValue], *, path: Path = Path("study.toml")
    ) -> "StudyConfig":
        """Take up again what :meth:`settings` wrote; relative paths start at the folder of ``path``."""
        # JSON knows no absent key: what was not set is null there, and leaving it out means the same.
        given = {table: _without_nulls(keys) for table, keys in settings.items() if keys is not None}
        return cls.model_validate(given, context={"path": path, "source": ""})

    def model_post_init(self, context: Mapping[str, Any] | None, /) -> None:
        """Remember the file that this came from."""
        if context:
            self._path = context["path"]
            self._source = context["source"]

    @property
    def path(self) -> Path:
        """The study file."""
        return self._path

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self._path.parent

    @property
    def source(self) -> str:
        """The text of the study file."""
        return self._source

    @property
    def database(self) -> Path | str:
        """Where the study's database is or will be: a file, or the address of one on a server."""
        named = self.study.database
        if named is None:
            return self._path.with_suffix(".db")
        from palate.store import is_postgres  # loads a database library, which most commands do without

        return named if is_postgres(named) else self.folder / named

    def settings(self) -> dict[str, JsonValue]:
        """Everything that was decided, defaults included, as JSON.

        Where the study is kept is none of that: it may move.
        """
        return self.model_dump(mode="json", exclude={"study": {"database"}})

    def options(self, table: ModelTable | StrategyTable | TargetTable | JudgeTable) -> dict[str, JsonValue]:
        """Options of a part, with relative files that exist beside the study file made absolute."""
        return self._resolved(table.options)

    def target_context(self) -> dict[str, JsonValue]:
        """What a target may ask for beside its own options and the model."""
        prompts = self.prompts
        return {
            "placement": prompts.placement,
            "template": prompts.template,
            "temperature": prompts.temperature,
            "max_tokens": prompts.max_tokens,
            "seed": self.study.seed,
            "folder": str(self.folder),
        }

    def proposer_options(self, name: str, table: _ProposingTable) -> dict[str, JsonValue]:
        """Options of one proposer, of the table that uses it."""
        return self._resolved(table.options_of(name))

    def _resolved(self, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        for key in _FILES & options.keys():
            name = options[key]
            # What does not exist is left to the part: it may be a name that it looks up elsewhere.
            if isinstance(name, str) and (self.folder / name).exists():
                found[key] = str((self.folder / name).resolve())
        return {**options, **found}


def _without_nulls(keys: JsonValue) -> JsonValue:
    return {k: v for k, v in keys.items() if v is not None} if isinstance(keys, dict) else keys


def _proposers_of(kind: object, *, examples: bool) -> list[str] | None:
    """The proposers that suit a target: those that it names, or rewording and, with examples, induction."""
    if not isinstance(kind, str) or kind not in {part.name for part in parts("targets")}:
        return None  # the check of names says what is wrong
    named = getattr(look_up("targets", kind), "usual_proposers", None)
    return list(named) if named is not None else ["rephrase", *(["induction"] if examples else [])]
