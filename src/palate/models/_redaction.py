"""Secrets never reach an error, a log or a file: whatever an endpoint echoes is cleaned first."""

__all__ = ["redact"]

# A run this short of a key's characters gives nothing useful away; a longer one may help to trace it.
_LONGEST_TRACE = 5
_MASK = "[key]"


def redact(text: str, secret: str) -> str:
    """Replace every stretch of six or more characters that a text shares with a secret.

    Args:
        text: What may be shown.
        secret: What must not be; ``""`` for none.

    Returns:
        The text, with ``[key]`` for each such stretch.
    """
    size = min(_LONGEST_TRACE + 1, len(secret))
    if not size:
        return text
    traces = {secret[k : k + size] for k in range(len(secret) - size + 1)}
    hidden = [False] * len(text)
    for k in range(len(text) - size + 1):
        if text[k : k + size] in traces:
            hidden[k : k + size] = [True] * size
    pieces: list[str] = []
    for index, character in enumerate(text):
        if not hidden[index]:
            pieces.append(character)
        elif index == 0 or not hidden[index - 1]:
            pieces.append(_MASK)
    return "".join(pieces)
