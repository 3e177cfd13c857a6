"""The study file: read, checked, explained. Every mistake in it is one line that says what to do."""

from palate.config._check import check_data, commands_of
from palate.config._data import GoldTexts, columns_of, load_examples, load_gold, load_inputs, load_prompts
from palate.config._diff import diff
from palate.config._raters import raters_from_python
from palate.config._read import parse_config, read_config
from palate.config._rows import read_rows
from palate.config._schema import json_schema
from palate.config._tables import (
    BudgetTable,
    ExamplesTable,
    GoldTable,
    GrowthTable,
    InputsTable,
    ModelTable,
    PageTable,
    PromptsTable,
    ProposersTable,
    RatersTable,
    StrategyTable,
    StudyConfig,
    StudyTable,
)
from palate.config._toml import toml_text

__all__ = [
    "BudgetTable",
    "ExamplesTable",
    "GoldTable",
    "GoldTexts",
    "GrowthTable",
    "InputsTable",
    "ModelTable",
    "PageTable",
    "PromptsTable",
    "ProposersTable",
    "RatersTable",
    "StrategyTable",
    "StudyConfig",
    "StudyTable",
    "check_data",
    "columns_of",
    "commands_of",
    "diff",
    "json_schema",
    "load_examples",
    "load_gold",
    "load_inputs",
    "load_prompts",
    "parse_config",
    "raters_from_python",
    "read_config",
    "read_rows",
    "toml_text",
]
