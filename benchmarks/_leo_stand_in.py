"""A stand-in for a language model that can read and write rows of numbers.

It sees what the model would see, the text of the request, and nothing else: not the function, not the
pools, not the round. It reads the rows, the bounds and how many rows are wanted from that text, and answers
with rows:

- shown a pool, it takes the better half, widens its span in each variable by a quarter each way, and draws
  half of its rows uniformly within that span; the other half are crosses: the coordinates of one good row
  moved towards, or past, those of another;
- shown one row, it moves it by normal steps whose size is drawn anew for each row between 10^-4 and 10^-1 of
  the range, uniformly in the logarithm, in a random half of the variables;
- shown two rows with several losses, it crosses them to exploit, and moves each by a tenth of the range to
  explore;
- shown none, it draws uniformly.

Its draws are seeded by the text and by the request's seed, so the same request has the same answer. What it
shows is what LEO's pools do with operators of variation that work; it is no evidence about language models.
"""

import hashlib
import re

import numpy as np

from palate.models import ScriptedModel

NUMBER = r"-?\d+\.\d+"


def stand_in() -> ScriptedModel:
    """The stand-in as a model."""
    return ScriptedModel(_answer, name="stand-in")


def _answer(request) -> str:
    text = request.messages[-1].content
    digest = hashlib.sha256(f"{request.seed}{text}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    rows = int(re.search(r"exactly (\d+) ", text)[1])
    columns = int(re.search(r"rows and (\d+) columns", text)[1])
    shown = np.array([
        [float(value) for value in re.findall(NUMBER, line)][:columns]
        for line in text.split("Answer in CSV")[0].splitlines()
        if len(re.findall(NUMBER, line)) > columns
    ])  # fmt: skip
    if not len(shown):
        made = rng.uniform(*_bounds(text, columns), size=(rows, columns))
    elif "Candidate 1" in text:
        made = _pair(shown, "explore" in text, *_bounds(text, columns), rng)
    elif len(shown) > 1:
        made = _explore(shown, rows, rng)
    else:
        made = _exploit(shown[0], rows, *_bounds(text, columns), rng)
    return "\n".join(", ".join(f"{value:.6f}" for value in row) for row in made)


def _bounds(text, columns):
    found = [
        (float(a), float(b)) for a, b in re.findall(r"lies between (\S+) and ([^\s,.]+(?:\.\d+)?)", text)
    ]
    low, high = zip(*(found if len(found) == columns else found[:1] * columns), strict=True)
    return np.array(low), np.array(high)


def _explore(shown, rows, rng):
    good = shown[: max(2, len(shown) // 2)]
    span = good.max(axis=0) - good.min(axis=0)
    drawn = rng.uniform(
        good.min(axis=0) - span / 4, good.max(axis=0) + span / 4, size=(rows - rows // 2, shown.shape[1])
    )
    pairs = np.array([rng.choice(len(good), size=2, replace=False) for _ in range(rows // 2)])
    share = rng.uniform(-0.25, 1.25, size=(rows // 2, shown.shape[1]))
    return np.concatenate([drawn, good[pairs[:, 0]] + share * (good[pairs[:, 1]] - good[pairs[:, 0]])])


def _exploit(row, rows, low, high, rng):
    size = 10 ** rng.uniform(-4, -1, size=(rows, 1))
    some = rng.random((rows, len(row))) < 0.5
    some[np.arange(rows), rng.integers(len(row), size=rows)] = True
    return row + some * size * (high - low) * rng.standard_normal((rows, len(row)))


def _pair(shown, far, low, high, rng):
    if far:
        return shown + 0.1 * (high - low) * rng.standard_normal(shown.shape)
    share = rng.uniform(-0.25, 1.25, size=shown.shape)
    return shown + share * (shown[::-1] - shown)
