"""The best of fifty answers for each of ten questions: APOHF's third use, with a real model.

    python benchmarks/response_optimisation.py [--work FOLDER] [--seeds 10] [--slow-seeds 3]

Answers: the embedded model (SmolLM2-135M-Instruct) answers each of ten questions 50 times, the first time
greedily, then at temperature 1, by the proposer ``sample``; at most 40 tokens each. They are kept under
--work and made only once.

Rater: the score of an answer is its Flesch reading ease,

    206.835 - 1.015 words / sentences - 84.6 syllables / words        (held within 0 and 120)

plus its polite words a sentence (at most 2, out of the list POLITE below); either is standardised over all
500 answers, and so is their sum. Syllables are counted as groups of vowels, a silent final e left out, at
least one a word. A duel between two answers to the same question is won by the left one with probability
sigmoid(slope (score_left - score_right)); slope 2 is a person who sees a difference of one standard deviation
88 times in 100. The strategies see embeddings only, never a score.

What is measured, for each question, averaged over the ten: where the reported answer stands between the
average answer (0) and the best one (1) by the true score, and how often it is believed to beat the greedy
answer. Votes go to the question with the fewest; all questions share one belief. ``alone`` is the same
strategy with a belief of its own for each question.
"""

import argparse
import asyncio
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import platformdirs

from palate.models import embedded_model, wordllama_model
from palate.proposers import Sample
from palate.strategies import duel_bandit
from palate.targets import ResponseTarget
from palate.types import Candidate, Input, Known, Lineage
from palate.wording import beside_embedding

QUESTIONS = (
    "How do I ask my neighbour to turn the music down?",
    "My parcel is a week late. What should I do?",
    "Explain to a patient why a course of tablets must be finished.",
    "Write a short reply to a customer who wants a refund.",
    "How can I tell my manager that I cannot come on Monday?",
    "What should I say to a friend who lost her job?",
    "Explain what interest on a loan is.",
    "How do I return a library book that I have damaged?",
    "Write an invitation to a small garden party.",
    "What is the best way to begin learning to cook?",
)
EACH, MAX_TOKENS = 50, 40
POLITE = (
    "please",
    "thank",
    "thanks",
    "sorry",
    "apologise",
    "apologize",
    "apologies",
    "kindly",
    "appreciate",
    "grateful",
    "glad",
    "happy",
    "welcome",
    "sincerely",
    "regards",
    "dear",
    "could",
    "would",
)
LOOKS = (10, 25, 50, 100, 150)


async def make_answers(cache: Path, inputs: Sequence[Input]) -> list[Candidate]:
    """Sample what is not in the cache yet."""
    made = _read(cache)
    model = embedded_model(threads=1)
    proposer = Sample(model, ResponseTarget(max_tokens=MAX_TOKENS), concurrency=5)
    try:
        while len(made) < EACH * len(inputs):
            rng = np.random.default_rng([0, len(made)])
            more = await proposer.propose(10, known=Known(made, inputs=inputs), rng=rng)
            if not more:
                break
            with cache.open("a", encoding="utf-8") as file:
                for candidate in more:
                    row = {"text": candidate.text, "parts": dict(candidate.parts)}
                    file.write(json.dumps({**row, "origin": candidate.lineage.origin}) + "\n")
            made += more
            print(f"{len(made)} answers", flush=True)
    finally:
        await model.close()
    return made


def _read(cache: Path) -> list[Candidate]:
    if not cache.is_file():
        return []
    rows = [json.loads(line) for line in cache.read_text(encoding="utf-8").splitlines()]
    return [Candidate.make(r["text"], parts=r["parts"], lineage=Lineage(r["origin"])) for r in rows]


def syllables(word: str) -> int:
    """Groups of vowels, a silent final e left out; at least one."""
    sounded = word[:-1] if word.endswith("e") and not word.endswith(("le", "ee")) else word
    return max(1, len(re.findall(r"[aeiouy]+", sounded)))


def qualities(text: str) -> tuple[float, float]:
    """Flesch reading ease, held within 0 and 120, and polite words a sentence, at most 2."""
    words = re.findall(r"[a-z']+", text.lower())
    if not words:
        return 0.0, 0.0
    sentences = max(1, len(re.findall(r"[.!?]+(?:\s|$)", text)))
    ease = 206.835 - 1.015 * len(words) / sentences - 84.6 * sum(map(syllables, words)) / len(words)
    return min(max(ease, 0.0), 120.0), min(2.0, sum(word in POLITE for word in words) / sentences)


def scores(candidates: Sequence[Candidate]) -> np.ndarray:
    """What the rater goes by: the sum of both qualities, standardised over all answers."""
    table_N2 = np.array([qualities(candidate.text) for candidate in candidates])
    standard_N2 = (table_N2 - table_N2.mean(axis=0)) / table_N2.std(axis=0)
    total_N = standard_N2.sum(axis=1)
    return (total_N - total_N.mean()) / total_N.std()


def features(candidates: Sequence[Candidate], which: str) -> np.ndarray:
    """What a study gives its strategy: embedding and wording of question and answer, or of the answer."""
    target = ResponseTarget()
    texts = [target.features_text(c) if which == "both" else c.text for c in candidates]
    return beside_embedding(asyncio.run(wordllama_model().embed(texts)), texts)


class Rater:
    """Votes by the true scores, with a generator of its own."""

    def __init__(self, score_N: np.ndarray, slope: float, seed: int) -> None:
        self._score_N, self._slope, self._rng = score_N, slope, np.random.default_rng([seed, 1])

    def __call__(self, i: int, j: int) -> str:
        chance = 1.0 / (1.0 + np.exp(-self._slope * (self._score_N[i] - self._score_N[j])))
        return "left" if self._rng.random() < chance else "right"


def gap_closed(score_N: np.ndarray, groups: Sequence[Sequence[int]], reported: Sequence[int]) -> float:
    """Where the reports stand between the average (0) and the best answer (1), over all questions."""
    shares = [
        (score_N[row] - score_N[group].mean()) / (score_N[group].max() - score_N[group].mean())
        for group, row in zip(groups, reported, strict=True)
    ]
    return float(np.mean(shares))


def run(
    name: str, feature_ND: np.ndarray, groups: Sequence[Sequence[int]], rater: Rater, votes: int, seed: int
) -> dict[int, float]:
    """One study; votes go to the questions in turn."""
    alone = name.endswith(" alone")
    strategy = name.removesuffix(" alone")
    if alone:
        bandits = [duel_bandit(strategy, feature_ND[group], seed + 100 * n) for n, group in enumerate(groups)]
    else:
        shared = duel_bandit(strategy, feature_ND, seed)
    closed: dict[int, float] = {}
    for vote in range(votes):
        place = vote % len(groups)
        group = groups[place]
        if alone:
            i, j = (group[row] for row in bandits[place].ask())
            bandits[place].tell(group.index(i), group.index(j), rater(i, j))
        else:
            i, j = shared.ask(among=group)
            shared.tell(i, j, rater(i, j))
        if vote + 1 in LOOKS:
            if alone:
                best = [group[b.best()] for group, b in zip(groups, bandits, strict=True)]
            else:
                best = [shared.best(among=group) for group in groups]
            closed[vote + 1] = gap_closed(rater._score_N, groups, best)
    return closed


STUDIES = (
    ("default", "both"),
    ("default", "answer"),
    ("default alone", "both"),
    ("random", "both"),
    ("random-memoryless", "both"),
    ("apohf", "both"),
)


def measure(candidates: Sequence[Candidate], options: argparse.Namespace, kept: Path) -> list[dict[str, Any]]:
    """All studies, each written down when it is done; those that are there already are not run again."""
    score_N = scores(candidates)
    contexts = list(dict.fromkeys(c.context for c in candidates))
    groups = [[n for n, c in enumerate(candidates) if c.context == context] for context in contexts]
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    done = {(row["strategy"], row["features"], row["slope"], row["seed"]) for row in rows}
    tables = {which: features(candidates, which) for which in ("both", "answer")}
    for slope in options.slopes:
        for strategy, which in STUDIES:
            for seed in range(options.slow_seeds if strategy == "apohf" else options.seeds):
                if (strategy, which, slope, seed) in done:
                    continue
                started = time.process_time()
                rater = Rater(score_N, slope, seed)
                closed = run(strategy, tables[which], groups, rater, max(LOOKS), seed)
                row = {
                    "strategy": strategy,
                    "features": which,
                    "slope": slope,
                    "seed": seed,
                    "closed": {str(votes): share for votes, share in closed.items()},
                    "seconds": time.process_time() - started,
                }
                rows.append(row)
                with kept.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)
    return rows


def table(rows: Sequence[Mapping[str, Any]], slope: float) -> str:
    """Share of the gap closed, mean over seeds and its standard error."""
    lines = [
        "| strategy | features | seeds | "
        + " | ".join(f"{votes} votes" for votes in LOOKS)
        + " | seconds of CPU |",
        "|---|---|--:|" + "--:|" * (len(LOOKS) + 1),
    ]
    for strategy, which in STUDIES:
        found = [r for r in rows if (r["strategy"], r["features"], r["slope"]) == (strategy, which, slope)]
        if not found:
            continue
        cells = []
        for votes in LOOKS:
            share = np.array([row["closed"][str(votes)] for row in found])
            error = share.std(ddof=1) / np.sqrt(len(share)) if len(share) > 1 else float("nan")
            cells.append(f"{share.mean():.2f} ± {error:.2f}")
        seconds = np.mean([row["seconds"] for row in found])
        lines.append(f"| {strategy} | {which} | {len(found)} | " + " | ".join(cells) + f" | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--work", type=Path, default=Path(platformdirs.user_cache_dir("palate")) / "benchmarks"
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--slow-seeds", type=int, default=3, help="of apohf, which takes minutes a study")
    parser.add_argument("--slopes", type=float, nargs="+", default=[2.0])
    options = parser.parse_args()
    folder = options.work / "response_optimisation"
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [Input(f"question-{n}", text) for n, text in enumerate(QUESTIONS, 1)]
    candidates = asyncio.run(make_answers(folder / "answers.jsonl", inputs))
    rows = measure(candidates, options, folder / "runs.jsonl")
    score_N = scores(candidates)
    greedy = [n for n, c in enumerate(candidates) if c.lineage.origin == "seed"]
    contexts = list(dict.fromkeys(c.context for c in candidates))
    groups = [[n for n, c in enumerate(candidates) if c.context == context] for context in contexts]
    print(f"{len(candidates)} answers; greedy ones stand at {gap_closed(score_N, groups, greedy):.2f}")
    print(f"spread of the scores within a question: {np.mean([score_N[g].std() for g in groups]):.2f}")
    for slope in options.slopes:
        print(f"\nSlope {slope:g}\n\n{table(rows, slope)}")


if __name__ == "__main__":
    main()
