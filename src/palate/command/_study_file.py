"""The text of a new study file: commented, and accepted by ``read_config`` as it is."""

from dataclasses import dataclass

from palate.config import toml_text

__all__ = ["Answers", "study_file"]

SAMPLE = (
    "Where is my parcel? It should have come on Monday.",
    "The lamp arrived broken. What now?",
    "I was charged twice for one order.",
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What ``palate init`` asks, with what it takes when nothing is said.

    An empty ``inputs`` means the sample inputs, an empty ``column`` the usual one.
    """

    name: str = "My study"
    guidelines: str = "Which answer would you rather have received?"
    kind: str = "embedded"
    model: str = ""
    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    prompt: str = "You are a helpful assistant. Answer in two or three friendly sentences."
    inputs: str = ""
    column: str = ""
    candidates: int = 30


def _model(answers: Answers) -> str:
    if answers.kind != "openai":
        return f"""\
[model]                        # who answers; `palate list models` shows the kinds
kind = {toml_text(answers.kind)}
# kind = "openai"              # any OpenAI-compatible endpoint
# model = "…"
# base_url = "http://127.0.0.1:8000/v1"
# api_key_env = "OPENAI_API_KEY"   # the NAME of the variable; never the key itself
"""
    base = toml_text(answers.base_url) if answers.base_url else '"http://127.0.0.1:8000/v1"'
    return f"""\
[model]                        # who answers; `palate list models` shows the kinds
kind = "openai"
model = {toml_text(answers.model)}
{"" if answers.base_url else "# "}base_url = {base}
{_key(answers.api_key_env)}
"""


def _key(variable: str) -> str:
    if not variable:
        return (
            '# api_key_env = "…"            # the NAME of the variable that holds the key, if one is needed'
        )
    return f"api_key_env = {toml_text(variable)}   # the NAME of the variable; never the key itself"


def _inputs(answers: Answers) -> str:
    if not answers.inputs:
        sample = "\n".join(f"  {toml_text(text)}," for text in SAMPLE)
        return f"""\
[inputs]                       # what the prompts are tried on: replace these by real ones, 10 to 50 of them
inline = [
{sample}
]
# path = "mails.csv"           # or a file: .txt (one a line), .csv, .jsonl, or a Hugging Face data set folder
# column = "text"              # the column that holds the input
# reference_column = "answer"  # accepted answers, for --judge simulated only
"""
    column = f"column = {toml_text(answers.column)}" if answers.column else '# column = "text"'
    return f"""\
[inputs]                       # what the prompts are tried on
path = {toml_text(answers.inputs)}
{column}
# reference_column = "answer"  # accepted answers, for --judge simulated only
# limit = 50                   # use only the first so many rows
"""


def study_file(answers: Answers, *, schema: str) -> str:
    """Write the study file.

    Args:
        answers: What the person said.
        schema: Where the JSON Schema lies, seen from the study file; editors read the first line.
    """
    return f"""\
#:schema {schema}
# A Palate study. Run it with: palate run FILE. Paths start at this file's folder.

[study]
name = {toml_text(answers.name)}
guidelines = {toml_text(answers.guidelines)}   # what raters see beside every pair; Markdown
candidates = {answers.candidates}                # how many prompts compete
# answers_ahead = 8            # saves votes, for a call to the model per prompt and input
seed = 0

{_model(answers)}
# [proposer_model]             # a stronger model that writes the candidates; by default the same model
# kind = "openai"
# model = "…"

{_inputs(answers)}
[prompts]
seed = {toml_text(answers.prompt)}   # the prompt that you use today
# list = ["…", "…"]            # more prompts of your own
placement = "system"           # or "template", with template = "{{{{prompt}}}}\\n\\n{{{{input}}}}"
temperature = 0.0
max_tokens = 256

# [examples]                   # inputs with the outputs you want; prompts are then also induced from them
# path = "examples.jsonl"
# input_column = "input"
# output_column = "output"

[budget]                       # a call that could pass a limit is not sent
# calls = 5000
# tokens = 1000000
# cost = 5.0                   # US dollars
# votes = 50
"""
