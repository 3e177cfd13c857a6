"""From texts to the tokens that the trainer reads.

A conversation is written in the tokeniser's chat template. A model that has none gets the plain template,

    System: …

    User: …

    Assistant:

turns a blank line apart, and the answer follows after a space. Plain text stays as it is. A text that
spells one of the tokeniser's special tokens is left out: the tokeniser would take it for the token itself, so
that whoever wrote the text could end turns and begin others.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from palate.errors import ConfigError, nearest
from palate.extras import Foreign
from palate.policy.data._groups import Loaded, Prompt, Skips, TextGroup
from palate.policy.trainer import Group, encode_group
from palate.types import Message

__all__ = ["TemplateKind", "encode_texts", "plain_prompt", "tokenise"]

TemplateKind = Literal["auto", "chat", "plain"]
"""How conversations are written; ``auto`` is ``chat`` where the tokeniser has a template, else ``plain``."""

_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


def plain_prompt(turns: Sequence[Message]) -> str:
    r"""A conversation in the plain template, up to where the answer begins.

    Example:
        >>> plain_prompt([Message("user", "Hello")])
        'User: Hello\n\nAssistant:'
    """
    return "".join(f"{_SPEAKERS[turn.role]}: {turn.content}\n\n" for turn in turns) + "Assistant:"


def tokenise(
    loaded: Loaded,
    tokenizer: Foreign,
    *,
    template: TemplateKind = "auto",
    end: bool = True,
) -> tuple[list[Group], Loaded]:
    """Tokenise groups.

    Args:
        loaded: Groups with a completion or more.
        tokenizer: Of transformers.
        template: How conversations are written.
        end: Whether each completion ends with the tokeniser's end token.

    Returns:
        Groups of tokens, with a column ``weight`` and, where there are rewards, ``reward``; and the groups of
        texts that they come from, one to one, with what was left out until now.

    Raises:
        ConfigError: ``template`` is unknown, or ``chat`` and the tokeniser has none, or it has no end token.
    """
    plain = _is_plain(template, tokenizer)
    special = tuple(token for token in tokenizer.all_special_tokens if token.strip())
    skips = Skips(dict(loaded.skipped), {reason: list(told) for reason, told in loaded.places.items()})
    tokens: list[Group] = []
    texts: list[TextGroup] = []
    for group in loaded.groups:
        if _spells(group, special):
            skips.add("special token in a text", group.place)
            continue
        columns = {"weight": [group.weight] * len(group.completions)}
        if group.reward is not None:
            columns["reward"] = list(group.reward)
        prompt, answers = _written(group, plain=plain)
        tokens.append(encode_group(tokenizer, prompt, answers, columns=columns, key=group.place, end=end))
        texts.append(group)
    return tokens, Loaded.of(texts, skips)


def encode_texts(
    group: TextGroup, tokenizer: Foreign, *, template: TemplateKind = "auto", end: bool = True
) -> Group:
    """Tokenise one group whose texts are taken as they are, without columns.

    Raises:
        ConfigError: As for :func:`tokenise`.
    """
    prompt, answers = _written(group, plain=_is_plain(template, tokenizer))
    return encode_group(tokenizer, prompt, answers, key=group.place, end=end)


def _is_plain(template: TemplateKind, tokenizer: Foreign) -> bool:
    if template not in get_args(TemplateKind):
        raise ConfigError(f"template is {template!r}; {nearest(str(template), get_args(TemplateKind))}")
    return template == "plain" or (template == "auto" and not getattr(tokenizer, "chat_template", None))


def _spells(group: TextGroup, special: Sequence[str]) -> bool:
    said = [group.prompt] if isinstance(group.prompt, str) else [turn.content for turn in group.prompt]
    return any(token in text for text in (*said, *group.completions) for token in special)


def _written(group: TextGroup, *, plain: bool) -> tuple[str | list[dict[str, str]], Sequence[str]]:
    prompt: Prompt = group.prompt
    if isinstance(prompt, str):
        return prompt, group.completions
    if plain:
        return plain_prompt(prompt), [f" {text}" for text in group.completions]
    return [{"role": turn.role, "content": turn.content} for turn in prompt], group.completions
