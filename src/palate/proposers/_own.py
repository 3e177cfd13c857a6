"""The user's own prompts: no model is asked."""

from collections.abc import Iterable

from palate.errors import ConfigError
from palate.proposers._clean import likeness
from palate.types import Candidate, Lineage

__all__ = ["own_candidates"]


def own_candidates(seed: str, texts: Iterable[str] = ()) -> list[Candidate]:
    """Make candidates of the seed prompt and of the user's own list.

    Args:
        seed: The prompt that is in use now; the first candidate, whose lineage's origin is ``"seed"``.
        texts: Further prompts, word for word, of origin ``"user"``. Empty ones are passed over, and so is
            one that differs from an earlier one in case, spaces or punctuation only.

    Raises:
        ConfigError: The seed prompt is empty.
    """
    if not seed.strip():
        raise ConfigError("the seed prompt is empty; set seed under [prompts] to the prompt that you use now")
    made = {likeness(seed) or seed: Candidate.make(seed, lineage=Lineage("seed"))}
    for text in texts:
        if text.strip():
            made.setdefault(likeness(text) or text, Candidate.make(text, lineage=Lineage("user")))
    return list(made.values())
