"""The data of every training: groups of K completions of one prompt, as tokens, with columns of numbers.

Supervised fine-tuning is K = 1, a pair is K = 2 with the chosen one first, and rewards make any K. Prompt and
completion are tokenised apart and never joined as text: a merge of tokens across the boundary would move it,
and a policy that answers starts where the prompt's tokens end.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from palate.errors import ConfigError, InputError
from palate.extras import Foreign

__all__ = ["Group", "Kept", "beside_others", "digest", "encode_group", "keep_usable"]

_NOTHING: Mapping[str, tuple[float, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt and K completions.

    Attributes:
        prompt: Tokens, at least one; the first token of a completion is predicted from the last of them.
        completions: K completions' tokens, each with its end token where it ends.
        columns: Numbers a completion by name. ``reward`` goes to objectives; ``weight``, the same for every
            completion, multiplies the group's loss, which still counts as one; others are for scorers.
        key: What messages call this group; made from the tokens when left out.
        reference: log pi_ref of each completion, summed, where it is known already.

    Raises:
        InputError: The prompt has no token, there is no completion, or a column does not fit.
    """

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    columns: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: _NOTHING)
    key: str = ""
    reference: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", digest(self.prompt, *self.completions))
        if not self.prompt:
            raise InputError(
                f"group {self.key!r} has an empty prompt, so nothing predicts the first token of an answer; "
                "begin it with the tokeniser's first token, or with the chat template"
            )
        if not self.completions:
            raise InputError(f"group {self.key!r} has no completion; give one or more")
        for name, values in self.columns.items():
            if len(values) != len(self.completions) or not all(map(math.isfinite, values)):
                raise InputError(
                    f"column {name!r} of group {self.key!r} must hold {len(self.completions)} finite "
                    f"numbers, one a completion, not {list(values)!r}"
                )
        if self.reference is not None and len(self.reference) != len(self.completions):
            raise InputError(
                f"group {self.key!r} has {len(self.completions)} completions, but "
                f"{len(self.reference)} reference log-probabilities"
            )

    def ids(self) -> list[str]:
        """Identifiers of prompt and completion together, one a completion."""
        return [digest(self.prompt, completion) for completion in self.completions]


class Kept(NamedTuple):
    """Groups that can teach, and how many were left out for which reason."""

    groups: tuple[Group, ...]
    skipped: Mapping[str, int]


def digest(*parts: Sequence[int]) -> str:
    """A short hash of sequences of tokens."""
    return hashlib.sha256(json.dumps([list(part) for part in parts]).encode()).hexdigest()[:20]


def encode_group(
    tokenizer: Foreign,
    prompt: str | Sequence[Mapping[str, Any]],
    completions: Sequence[str],
    *,
    columns: Mapping[str, Sequence[float]] | None = None,
    key: str = "",
    end: bool = True,
) -> Group:
    """Tokenise one group.

    Args:
        tokenizer: Of transformers.
        prompt: Text that the completions continue, or messages (``role``, ``content``), for which the
            tokeniser's chat template is used, up to where the answer begins.
        completions: Texts of the answers.
        columns: Numbers a completion.
        key: What messages call this group, such as the row of a file.
        end: Whether each completion ends with the tokeniser's end token; without it a policy never learns to
            stop.

    Raises:
        ConfigError: The tokeniser has no chat template for messages, or no end token.
        InputError: The prompt has no token, or a column does not fit.
    """
    if isinstance(prompt, str):
        # Special tokens here alone: a template writes its own, and a second first token changes every score.
        prompt_ids = tokenizer.encode(prompt, add_special_tokens=True)
        if (
            prompt_ids
            and prompt_ids[-1] == tokenizer.eos_token_id
            and not prompt.endswith(tokenizer.eos_token)
        ):
            prompt_ids = prompt_ids[:-1]  # some tokenisers end every text; the answer comes after the prompt
        if not prompt_ids and tokenizer.bos_token_id is not None:
            prompt_ids = [tokenizer.bos_token_id]
    else:
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(
                "the prompt is a conversation, but the tokeniser has no chat template; use a chat model's "
                "tokeniser, set tokenizer.chat_template, or give the prompt as text"
            )
        text = tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True)
        prompt_ids = tokenizer.encode(text, add_special_tokens=False)
    ending: tuple[int, ...] = ()
    if end:
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                "the tokeniser has no end token, so the policy could not learn to stop; set "
                "tokenizer.eos_token, or pass end=False"
            )
        ending = (tokenizer.eos_token_id,)
    answers = [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in completions]
    return Group(
        tuple(prompt_ids),
        tuple(answer + ending if answer else () for answer in answers),
        {name: tuple(map(float, values)) for name, values in (columns or {}).items()},
        key,
    )


def keep_usable(groups: Sequence[Group], context: int, *, least: int = 1) -> Kept:
    """Leave out what cannot teach, and count it.

    Empty completions and those that do not fit are taken out of their group. A group of two or more that is
    left with fewer than two, or whose completions are all equal, teaches nothing and goes as a whole.

    Args:
        groups: The data.
        context: Most tokens of prompt and completion.
        least: Groups that must be left.

    Raises:
        InputError: Fewer are left, or only some groups have a column or a reference.

    Example:
        >>> groups = [Group((3,), ((5,), (6,))), Group((3,), ((5,), (5,)))]
        >>> kept = keep_usable(groups, context=8)
        >>> len(kept.groups), dict(kept.skipped)
        (1, {'equal completions': 1})
    """
    skipped: Counter[str] = Counter()
    kept = [group for group in (_usable(group, context, skipped) for group in groups) if group is not None]
    if len(kept) < least:
        why = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "there were none"
        raise InputError(f"none of {len(groups)} groups can be trained on: {why}")
    for what, shapes in (
        ("columns", {tuple(sorted(group.columns)) for group in kept}),
        ("reference log-probabilities", {group.reference is not None for group in kept}),
    ):
        if len(shapes) > 1:
            raise InputError(f"some groups have {what} that others lack: {sorted(shapes)}; give all the same")
    return Kept(tuple(kept), MappingProxyType(dict(skipped)))


def beside_others(groups: Sequence[Group], context: int) -> list[Group]:
    """Give every group of one completion the completion of another prompt of the batch as a second one.

    It is that of the next group, going round, whose prompt is another one and whose completion is another
    one and fits behind this prompt; where there is none, the group stays alone. Columns are those of the
    group itself.

    Args:
        groups: Of one batch, with one completion each.
        context: Most tokens of prompt and completion.

    Example:
        >>> one, two = Group((3,), ((5,),)), Group((4,), ((6, 7),))
        >>> [group.completions for group in beside_others([one, two], context=8)]
        [((5,), (6, 7)), ((6, 7), (5,))]
    """
    arranged: list[Group] = []
    for place, group in enumerate(groups):
        following = (*groups[place + 1 :], *groups[:place])
        other = next((one.completions[0] for one in following if _stranger(group, one, context)), None)
        if other is not None:
            columns = {name: (values[0], values[0]) for name, values in group.columns.items()}
            group = Group(group.prompt, (group.completions[0], other), columns, group.key)
        arranged.append(replace(group, reference=None))
    return arranged


def _stranger(group: Group, other: Group, context: int) -> bool:
    fits = len(group.prompt) + len(other.completions[0]) <= context
    return fits and other.prompt != group.prompt and other.completions[0] != group.completions[0]


def _usable(group: Group, context: int, skipped: Counter[str]) -> Group | None:
    if len(group.prompt) >= context:
        skipped["prompt longer than the context"] += 1
        return None
    room = context - len(group.prompt)
    reasons = [_fault(completion, room) for completion in group.completions]
    good = [place for place, reason in enumerate(reasons) if reason is None]
    alone = len(group.completions) == 1
    if len(good) < (1 if alone else 2) or (not alone and len({group.completions[i] for i in good}) == 1):
        named = [reason for reason in reasons if reason is not None]
        skipped[named[0] if named else "equal completions"] += 1
        return None
    # Without rewards the first of a group is the chosen one: without it the others have lost their meaning.
    if good[0] != 0 and "reward" not in group.columns:
        skipped[reasons[0] or ""] += 1
        return None
    if len(good) == len(group.completions):
        return group
    skipped["completions of larger groups"] += len(group.completions) - len(good)
    return replace(
        group,
        completions=tuple(group.completions[i] for i in good),
        columns={name: tuple(values[i] for i in good) for name, values in group.columns.items()},
        reference=None if group.reference is None else tuple(group.reference[i] for i in good),
    )


def _fault(completion: Sequence[int], room: int) -> str | None:
    if not completion:
        return "empty completion"
    return "longer than the context" if len(completion) > room else None
