"""What shapes an answer, as JSON, as a seed and as a number of tokens."""

from palate.errors import ConfigError
from palate.types import Json, Request

__all__ = ["check_request", "estimate_tokens", "request_json", "request_tokens", "sample_seed"]

# English text has about four bytes a token in today's vocabularies; three errs on the side of too many.
_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 4
_SEED_LIMIT = 2**31 - 1
# Odd, so that multiples of it visit every residue of a power of two before they repeat.
_SEED_STRIDE = 0x9E3779B1


def check_request(request: Request) -> None:
    """Refuse a request that no model could answer.

    Raises:
        ConfigError: No message, or a sampling parameter outside its range.
    """
    if not request.messages:
        raise ConfigError("a request needs at least one message")
    if not request.temperature >= 0:
        raise ConfigError(f"temperature is {request.temperature!r}; it must be at least 0")
    if request.max_tokens < 1:
        raise ConfigError(f"max_tokens is {request.max_tokens!r}; it must be at least 1")
    if not 0 < request.top_p <= 1:
        raise ConfigError(f"top_p is {request.top_p!r}; it must lie in (0, 1]")


def request_json(request: Request) -> dict[str, Json]:
    """Write down everything in a request that shapes the answer, the index of the sample included."""
    return {
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
        "temperature": float(request.temperature),
        "max_tokens": request.max_tokens,
        "top_p": float(request.top_p),
        "seed": request.seed,
        "stop": list(request.stop),
        "sample": request.sample,
        "extra": dict(request.extra),
    }


def sample_seed(request: Request) -> int | None:
    """The seed of one sample: distinct samples of one seeded request get distinct seeds.

    Returns:
        ``None`` without a seed, the seed itself for sample 0, another number in [0, 2³¹ − 1) for the others.
    """
    if request.seed is None:
        return None
    if request.sample == 0:
        return request.seed
    return (request.seed + request.sample * _SEED_STRIDE) % _SEED_LIMIT


def estimate_tokens(text: str) -> int:
    """Guess, rather too high, how many tokens a text has: one per three bytes of UTF-8."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def request_tokens(request: Request) -> int:
    """Guess, rather too high, how many input tokens a request has."""
    return sum(estimate_tokens(turn.content) + _TOKENS_PER_MESSAGE for turn in request.messages)
