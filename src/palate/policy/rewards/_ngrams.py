r"""A reward without a network: logistic regression on the n-grams of a text.

    x(text) = tf-idf of n-grams of words or characters, of length 1
    classes     P(wanted | text)       = sigmoid(w · x + b)             "simplified" against "original"
    pairs       P(first beats second)  = sigmoid(w · (x_1 - x_2))       Bradley–Terry with a linear reward

with tf = 1 + ln(count) and idf = ln((1 + N) / (1 + N_g)) + 1, and the loss mean -log P + l2 / 2 ‖w‖². The
reward is the log-odds w · x + b.

For classes this is the light classifier of a health-text system, whose reward is the probability that a
text is simplified rather than original, learnt from the two sides of a parallel corpus; it needs no
reference text when it is used. (There a small transformer may take its place:
:func:`palate.policy.rewards.classify`.) For pairs it is the baseline that a reward model has to beat.

Source: arXiv:2401.15043, section on reinforcement learning with a classifier's reward.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from palate.choice import log_sigmoid, sigmoid
from palate.errors import ConfigError, InputError
from palate.extras import require
from palate.types import Array

__all__ = ["NgramOptions", "NgramReward", "fit_classes", "fit_pairs", "load_ngrams"]

_WORD = re.compile(r"\w+|[^\w\s]")
_WEIGHTS, _TABLE = "ngrams.safetensors", "ngrams.json"


@dataclass(frozen=True, slots=True)
class NgramOptions:
    """What the features are.

    Attributes:
        unit: ``word`` (and punctuation marks) or ``char``; small letters.
        longest: Longest n-gram, in units, ≥ 1.
        fewest: Texts that an n-gram must occur in, ≥ 1.
        most: Most n-grams kept, the commonest first, ≥ 1.
        l2: Weight of ‖w‖² / 2 beside the mean loss, > 0.
    """

    unit: Literal["word", "char"] = "word"
    longest: int = 2
    fewest: int = 2
    most: int = 50_000
    l2: float = 1e-3

    def __post_init__(self) -> None:
        if self.unit not in ("word", "char"):
            raise ConfigError(f"unit must be 'word' or 'char', not {self.unit!r}")
        for name in ("longest", "fewest", "most"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)!r}")
        if not self.l2 > 0:
            raise ConfigError(f"l2 must be above 0, not {self.l2!r}; without it separable texts have no end")

    def grams(self, text: str) -> Counter[str]:
        """Counts of the n-grams of a text."""
        units = _WORD.findall(text.lower()) if self.unit == "word" else list(text.lower())
        join = " ".join if self.unit == "word" else "".join
        return Counter(
            join(units[i : i + n]) for n in range(1, self.longest + 1) for i in range(len(units) - n + 1)
        )


@dataclass(frozen=True, slots=True)
class NgramReward:
    """A linear reward over n-grams; see the module.

    Attributes:
        options: What the features are.
        vocabulary: The n-grams, one a column.
        idf_V: Their weights.
        weight_V: w.
        bias: b; 0 for pairs.
    """

    options: NgramOptions
    vocabulary: tuple[str, ...]
    idf_V: Array
    weight_V: Array
    bias: float = 0.0

    @property
    def name(self) -> str:
        """For records."""
        return f"ngrams-{self.options.unit}-{self.options.longest}"

    def score(self, prompts: Sequence[Any], answers: Sequence[str]) -> Array:
        """Log-odds of N answers; prompts are not looked at."""
        del prompts
        return _features(self.options, self.vocabulary, self.idf_V, answers) @ self.weight_V + self.bias

    def probability(self, texts: Sequence[str]) -> Array:
        """P(wanted | text) of N texts, in (0, 1)."""
        return sigmoid(self.score((), texts))

    def save(self, folder: str | Path) -> Path:
        """Write it into a folder, as JSON and safetensors; returns the folder."""
        numpy = require("safetensors.numpy", "train", "Saving a reward")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        numpy.save_file({"idf": self.idf_V, "weight": self.weight_V}, place / _WEIGHTS)
        options = {name: getattr(self.options, name) for name in ("unit", "longest", "fewest", "most", "l2")}
        table = {"options": options, "vocabulary": self.vocabulary, "bias": self.bias}
        (place / _TABLE).write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
        return place


def load_ngrams(folder: str | Path) -> NgramReward:
    """Read what :meth:`NgramReward.save` wrote.

    Raises:
        InputError: The folder holds none, or its files do not fit together.
    """
    numpy = require("safetensors.numpy", "train", "Loading a reward")
    place = Path(folder)
    try:
        table = json.loads((place / _TABLE).read_text(encoding="utf-8"))
        weights = numpy.load_file(place / _WEIGHTS)
        options = NgramOptions(**table["options"])
        vocabulary = tuple(table["vocabulary"])
        if not len(vocabulary) == len(weights["idf"]) == len(weights["weight"]):
            raise ValueError("n-grams and weights are not equally many")
        return NgramReward(options, vocabulary, weights["idf"], weights["weight"], float(table["bias"]))
    except Exception as error:
        raise InputError(f"{place} does not hold a reward on n-grams: {error}") from error


def fit_classes(
    wanted: Sequence[str], unwanted: Sequence[str], options: NgramOptions | None = None
) -> NgramReward:
    """Learn to tell wanted texts, such as simplified ones, from unwanted ones, such as the originals.

    Raises:
        InputError: A side is empty, or no n-gram is common enough.

    Example:
        >>> reward = fit_classes(["short words", "short text"], ["lengthy verbiage", "lengthy prose"])
        >>> bool(reward.probability(["short"])[0] > 0.5 > reward.probability(["lengthy"])[0])
        True
    """
    options = options or NgramOptions()
    texts = [*wanted, *unwanted]
    vocabulary, idf_V = _vocabulary(options, texts)
    if not wanted or not unwanted:
        raise InputError("two classes need one or more texts each")
    rows = _features(options, vocabulary, idf_V, texts)
    sign_N = np.repeat([1.0, -1.0], [len(wanted), len(unwanted)])
    weight_V, bias = _fit(rows, sign_N, options.l2, intercept=True)
    return NgramReward(options, vocabulary, idf_V, weight_V, bias)


def fit_pairs(
    chosen: Sequence[str], rejected: Sequence[str], options: NgramOptions | None = None
) -> NgramReward:
    """Learn a reward from pairs.

    Raises:
        InputError: There is no pair, the columns differ in length, or no n-gram is common enough.
    """
    options = options or NgramOptions()
    if len(chosen) != len(rejected) or not chosen:
        raise InputError(f"give one or more pairs, not {len(chosen)} chosen and {len(rejected)} rejected")
    vocabulary, idf_V = _vocabulary(options, [*chosen, *rejected])
    rows = _features(options, vocabulary, idf_V, chosen) - _features(options, vocabulary, idf_V, rejected)
    weight_V, _ = _fit(rows, np.ones(len(chosen)), options.l2, intercept=False)
    return NgramReward(options, vocabulary, idf_V, weight_V)


def _vocabulary(options: NgramOptions, texts: Sequence[str]) -> tuple[tuple[str, ...], Array]:
    within: Counter[str] = Counter()
    for text in texts:
        within.update(options.grams(text).keys())
    # By count, then by name: the same texts give the same columns whatever their order.
    ranked = sorted(within.items(), key=lambda entry: (-entry[1], entry[0]))
    kept = [(gram, count) for gram, count in ranked if count >= options.fewest][: options.most]
    if not kept:
        raise InputError(f"no n-gram occurs in {options.fewest} of {len(texts)} texts; lower fewest")
    idf_V = np.log((1 + len(texts)) / (1 + np.array([count for _, count in kept], dtype=np.float64))) + 1
    return tuple(gram for gram, _ in kept), idf_V


def _features(options: NgramOptions, vocabulary: Sequence[str], idf_V: Array, texts: Sequence[str]) -> Any:  # noqa: ANN401 - scipy's sparse matrices have no types
    place = {gram: v for v, gram in enumerate(vocabulary)}
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for text in texts:
        found = {place[gram]: count for gram, count in options.grams(text).items() if gram in place}
        row = {v: (1 + np.log(count)) * idf_V[v] for v, count in found.items()}
        norm = float(np.sqrt(sum(value * value for value in row.values()))) or 1.0
        columns.extend(row)
        values.extend(value / norm for value in row.values())
        ends.append(len(columns))
    return csr_matrix((values, columns, ends), shape=(len(texts), len(vocabulary)))


def _fit(rows: Any, sign_N: Array, l2: float, *, intercept: bool) -> tuple[Array, float]:  # noqa: ANN401
    size = rows.shape[1]

    def loss(theta_P: Array) -> tuple[float, Array]:
        weight_V, bias = theta_P[:size], theta_P[size] if intercept else 0.0
        margin_N = sign_N * (rows @ weight_V + bias)
        # d(-log sigmoid(m))/dm = sigmoid(m) - 1
        slope_N = sign_N * (sigmoid(margin_N) - 1) / len(sign_N)
        gradient_V = rows.T @ slope_N + l2 * weight_V
        value = -float(np.mean(log_sigmoid(margin_N))) + 0.5 * l2 * float(weight_V @ weight_V)
        return value, np.append(gradient_V, slope_N.sum()) if intercept else gradient_V

    run: Callable[..., Any] = minimize
    start_P = np.zeros(size + intercept)
    found = run(loss, start_P, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-7})
    return found.x[:size], float(found.x[size]) if intercept else 0.0
