"""What goes into training: files in TRL's formats and others, votes of a study, and their tokens.

Importing this loads torch, because the trainer's groups do.
"""

from palate.policy.data._formats import FORMATS, detect_format, read_groups
from palate.policy.data._groups import Loaded, Prompt, Skips, TextGroup, prompt_key, split_by_prompt
from palate.policy.data._rows import Row, read_rows
from palate.policy.data._tokens import TemplateKind, encode_texts, plain_prompt, tokenise
from palate.policy.data._votes import BothBad, Ties, Weights, groups_from_votes

__all__ = [
    "FORMATS",
    "BothBad",
    "Loaded",
    "Prompt",
    "Row",
    "Skips",
    "TemplateKind",
    "TextGroup",
    "Ties",
    "Weights",
    "detect_format",
    "encode_texts",
    "groups_from_votes",
    "plain_prompt",
    "prompt_key",
    "read_groups",
    "read_rows",
    "split_by_prompt",
    "tokenise",
]
