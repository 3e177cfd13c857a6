"""Real run: eight instruction-induction tasks, a real model, simulated votes.

    python benchmarks/instruction_induction.py [--data ../shared/data] [--work FOLDER] [--tasks a,b]

The embedded model (SmolLM2-135M-Instruct, transformers engine, one thread) is target and proposer. For each
task two pools of 60 candidates are made by induction, (a) without and (b) with three demonstrations each;
the seed prompt, which has none, is in both. A simulated rater votes 50 times on inputs of the `induce` set:
it compares, on one input, the mean log-probability of the reference answer under the two candidates, and
prefers the left one with probability sigmoid(difference in nats per token). What is reported is then scored
on inputs of the `execute` set that played no part: by the mean log-probability of the reference (nats per
token) and by candidate choice (how often the reference has the highest mean log-probability among 2 or 3
options). Everything but the votes is deterministic up to rounding; three seeds vary votes and strategy.

12 voting and 12 held-back inputs a task are what some 40 minutes on one quiet core allow (without bfloat16
instructions). Every score is appended to a file under --work; a run that was stopped goes on where it was.

Data: Honovich et al. 2022 (Apache-2.0) and BIG-bench tasks by way of INSTINCT (MIT).
"""

import argparse
import asyncio
import gzip
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from palate.judges import SimulatedJudge
from palate.models import Ledger, MeteredModel, transformers_model, wordllama_model
from palate.proposers import Induction, own_candidates
from palate.strategies import duel_bandit
from palate.targets import InstructionTarget
from palate.types import Candidate, Example, Input, Known, Lineage, digest

TASKS = (
    "active_to_passive",
    "antonyms",
    "first_word_letter",
    "larger_animal",
    "sentiment",
    "singular_to_plural",
    "sum",
    "translation_en-fr",
)
SEED_PROMPT = "Do the task."
CANDIDATES, DEMONSTRATIONS, VOTES, SEEDS = 60, 3, 50, (0, 1, 2)
VOTING, HELD_BACK = 12, 12
MAX_TOKENS = 48  # of an induced instruction; longer ones are drawn again
SCALE = 1.0  # log-odds of a vote per nat per token
STRATEGIES = ("default", "apohf")
POOLS = {"a": "without demonstrations", "b": "with 3 demonstrations"}
METRICS = ("log-probability", "choice")


@dataclass(frozen=True)
class Question:
    """An input, its reference answer, and the options that it is chosen among (the reference first)."""

    text: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """A task's data after the split."""

    name: str
    exemplars: list[Example]
    voting: list[Question]
    held_back: list[Question]


class Memory:
    """Results by key, one JSON line each, so that a stopped run goes on."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known: dict[str, Any] = {}
        for line in lines:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the line that was being written when the run was stopped
                continue
            self._known[entry["key"]] = entry["value"]

    def get(self, key: str) -> Any:
        """The value, or None."""
        return self._known.get(key)

    def get_completion(self, key: str) -> Any:
        """A model's stored answer, or None."""
        return self.get(key)

    def put_completion(self, key: str, value: Any) -> None:
        """Keep a model's answer."""
        self.put(key, dict(value))

    def put(self, key: str, value: Any) -> Any:
        """Keep a value."""
        self._known[key] = value
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "value": value}) + "\n")
        return value


def load_task(data: Path, name: str) -> Task:
    """Split a task: exemplars and voting inputs from `induce`, held-back inputs from `execute`."""
    with gzip.open(data / "instruction_induction" / "tasks.json.gz", "rt", encoding="utf-8") as file:
        raw = json.load(file)[name]
    rng = np.random.default_rng(int(digest(["split", name])[:8], 16))
    induce = [raw["induce"][i] for i in rng.permutation(len(raw["induce"]))]
    execute = [raw["execute"][i] for i in rng.permutation(len(raw["execute"]))]
    seen = {row["input"] for row in induce}
    fresh = [row for row in execute if row["input"] not in seen]
    outputs = sorted({row["output"] for row in (*induce, *execute)})

    def questions(rows: Sequence[Mapping[str, Any]], count: int) -> list[Question]:
        return [Question(row["input"], options(name, row, outputs, rng)) for row in rows[:count]]

    exemplars = [Example(row["input"], row["output"]) for row in induce[VOTING:]]
    return Task(name, exemplars, questions(induce, VOTING), questions(fresh, HELD_BACK))


def options(
    task: str, row: Mapping[str, Any], outputs: Sequence[str], rng: np.random.Generator
) -> tuple[str, ...]:
    """The reference and up to two wrong answers that look right."""
    given, wanted = row["input"], row["output"]
    accepted = {wanted, *row.get("possible_translations", ())}
    if task == "sentiment":
        wrong = ["positive", "negative"]
    elif task == "larger_animal":
        wrong = given.split(", ")
    elif task == "sum":
        wrong = [str(int(wanted) + step) for step in rng.permutation([-10, -1, 1, 10])]
    elif task == "active_to_passive":
        start, middle, end = _passive(wanted)
        swapped = f"{end.capitalize()} {middle} {start.lower()}."
        wrong = [given, swapped, f"{start} {middle.removesuffix(' by')} {end}."]
    elif task == "first_word_letter":
        wrong = [*given, *rng.permutation(list("aeiorstl"))]
    else:
        others = [outputs[i] for i in rng.permutation(len(outputs))[:4]]
        wrong = [given, *others]
    distinct = [text for text in dict.fromkeys(str(w) for w in wrong) if text not in accepted]
    return (wanted, *distinct[:2])


def _passive(sentence: str) -> tuple[str, str, str]:
    """Cut "The A was seen by the B." into "The A", "was seen by" and "the B"."""
    left, right = sentence.rstrip(".").split(" by ")
    words = left.split(" ")
    cut = max(i for i, word in enumerate(words) if word in ("was", "were"))
    return " ".join(words[:cut]), " ".join(words[cut:]) + " by", right


async def make_pool(task: Task, pool: str, model: Any, memory: Memory) -> list[Candidate]:
    """The seed prompt and up to 60 induced candidates; pool (b) draws again what (a) drew."""
    key = digest(["pool", task.name, pool, model.name, CANDIDATES, DEMONSTRATIONS, SEED_PROMPT])
    known = memory.get(key)
    if known is None:
        seed = own_candidates(SEED_PROMPT)
        asked = MeteredModel(model, cache=memory, ledger=Ledger())
        shown = DEMONSTRATIONS if pool == "b" else 0
        proposer = Induction(asked, demonstrations=shown, max_tokens=MAX_TOKENS, concurrency=CANDIDATES)
        rng = np.random.default_rng(0)
        made = await proposer.propose(CANDIDATES, known=Known(seed, task.exemplars), rng=rng)
        known = memory.put(key, [asdict(candidate) for candidate in (*seed, *made)])
    return [
        Candidate.make(c["text"], parts=c["parts"], lineage=Lineage(c["lineage"]["origin"])) for c in known
    ]


async def score(
    target: InstructionTarget, candidate: Candidate, questions: Sequence[Question], memory: Memory, what: str
) -> list[list[float]]:
    """Mean log-probability, in nats per token, of every option of every question."""
    content = [[question.text, list(question.options)] for question in questions]
    key = digest(["score", what, target.model.name, candidate.id, content])
    known = memory.get(key)
    if known is not None:
        return known
    calls = [
        target.model.score(target.request(candidate, Input("q", question.text)), option)
        for question in questions
        for option in question.options
    ]
    means = iter([float(np.mean(each)) for each in await asyncio.gather(*calls)])
    return memory.put(key, [[next(means) for _ in question.options] for question in questions])


def held_back_scores(scored: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Mean log-probability of the reference, and the share of questions where it comes first."""
    return float(np.mean([row[0] for row in scored])), float(np.mean([row[0] == max(row) for row in scored]))


def report(strategy: str, features_ND: Any, voting_NQ: Any, seed: int, memory: Memory) -> int:
    """What :func:`vote` reports, remembered."""
    key = digest(["report", strategy, seed, VOTES, SCALE, np.round(voting_NQ, 9).tolist()])
    known = memory.get(key)
    return memory.put(key, vote(strategy, features_ND, voting_NQ, seed)) if known is None else known


def vote(strategy: str, features_ND: Any, voting_NQ: Any, seed: int) -> int:
    """Answer 50 duels and return the index of the candidate that is reported."""
    bandit = duel_bandit(strategy, features_ND, seed)
    rater = SimulatedJudge(lambda *_: 0.0, SCALE)
    rng = np.random.default_rng([seed, VOTES])
    for _ in range(VOTES):
        i, j = bandit.ask()
        question = int(rng.integers(voting_NQ.shape[1]))
        odds = rater.odds(voting_NQ[i, question], voting_NQ[j, question])
        bandit.tell(i, j, "left" if rng.random() < odds.left else "right", input_id=str(question))
    return int(bandit.best())


async def run_task(task: Task, models: tuple[Any, Any], memory: Memory) -> dict[str, Any]:
    """Scores of one task: pool → who → [log-probability, choice]; reported ones for every seed."""
    model, embedder = models
    target = InstructionTarget(model)
    results: dict[str, Any] = {}
    for pool in POOLS:
        started = time.monotonic()
        candidates = await make_pool(task, pool, model, memory)
        proposed = time.monotonic()
        references = [Question(question.text, question.options[:1]) for question in task.voting]
        voting_NQ = np.array(
            [[row[0] for row in await score(target, c, references, memory, "vote")] for c in candidates]
        )
        held_N2 = np.array(
            [held_back_scores(await score(target, c, task.held_back, memory, "held")) for c in candidates]
        )
        scored = time.monotonic()
        features_ND = await embedder.embed([target.features_text(c) for c in candidates])
        reported = {
            name: [report(name, features_ND, voting_NQ, seed, memory) for seed in SEEDS]
            for name in STRATEGIES
        }
        results[pool] = {
            "candidates": len(candidates),
            "seed": held_N2[0].tolist(),
            "mean": held_N2.mean(axis=0).tolist(),
            "best": held_N2.max(axis=0).tolist(),
            **{name: held_N2[rows].tolist() for name, rows in reported.items()},
            "prompts": {name: [candidates[k].text for k in rows] for name, rows in reported.items()},
            "seconds": [proposed - started, scored - proposed, time.monotonic() - scored],
        }
        told = ", ".join(f"{s:.0f} s" for s in results[pool]["seconds"])
        print(f"{task.name} ({pool}): {len(candidates)} candidates; propose, score, vote: {told}", flush=True)
    return results


WHO = {
    "seed": "seed prompt",
    "mean": "mean of the pool",
    "default": "reported, default strategy",
    "apohf": "reported, apohf",
    "best": "best of the pool",
}


def table(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        "# Real run: instruction induction with the embedded model",
        "",
        "Made by `python benchmarks/instruction_induction.py`; what was done and how is in its first lines.",
        "",
        f"{len(results)} tasks, {VOTES} simulated votes, {len(SEEDS)} seeds, {HELD_BACK} held-back inputs a "
        "task. Means over tasks; in brackets the 95 % interval of the gain over the seed prompt, by a "
        "bootstrap over tasks and, within a task, over seeds. *Best of the pool* is chosen on the held-back "
        "inputs themselves, for each column, and so is too high by chance.",
        "",
        "| pool | prompt | mean log-probability of the reference (nats/token) | choice accuracy |",
        "|---|---|---|---|",
    ]
    for pool, title in POOLS.items():
        for who, words in WHO.items():
            cells = [_cell(results, pool, who, k) for k in range(len(METRICS))]
            lines.append(f"| ({pool}) {title} | {words} | {cells[0]} | {cells[1]} |")
    for k, name in enumerate(METRICS):
        lines += ["", f"## Each task: {name}", ""]
        head = [f"({pool}) {who}" for pool in POOLS for who in WHO]
        lines += [f"| task | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        for task, result in results.items():
            cells = [f"{np.mean(_scores(result[pool][who], k)):.2f}" for pool in POOLS for who in WHO]
            lines.append(f"| {task} | {' | '.join(cells)} |")
    lines += ["", "## Reported by the default strategy, seed 0", "", "| task | (a) | (b) |", "|---|---|---|"]
    for task, result in results.items():
        texts = [" ".join(result[pool]["prompts"]["default"][0].split()) for pool in POOLS]
        lines.append(f"| {task} | {' | '.join(text.replace('|', '/') for text in texts)} |")
    counts = [result[pool]["candidates"] for result in results.values() for pool in POOLS]
    lines += ["", f"Pools had {min(counts)} to {max(counts)} candidates, the seed prompt among them."]
    return "\n".join(lines) + "\n"


def _scores(value: Sequence[Any], k: int) -> list[float]:
    return [row[k] for row in value] if isinstance(value[0], list) else [value[k]]


def _cell(results: Mapping[str, Any], pool: str, who: str, k: int) -> str:
    scores = [np.array(_scores(result[pool][who], k)) for result in results.values()]
    mean = np.mean([each.mean() for each in scores])
    if who == "seed":
        return f"{mean:.2f}"
    gains = [each - result[pool]["seed"][k] for each, result in zip(scores, results.values(), strict=True)]
    rng = np.random.default_rng(0)
    drawn = [
        np.mean(
            [rng.choice(gains[t], len(gains[t])).mean() for t in rng.integers(len(gains), size=len(gains))]
        )
        for _ in range(2000)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{mean:.2f} [{low:+.2f}, {high:+.2f}]"


async def main() -> None:
    """Run, and write the table after every task."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PALATE_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "palate-real-run")
    parser.add_argument("--out", type=Path, default=here / "results" / "instruction_induction.md")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--model", default=None, help="folder or GGUF file; by default the embedded model")
    given = parser.parse_args()
    started = time.monotonic()
    memory = Memory(given.work / "scores.jsonl")
    model = transformers_model(given.model, batch=48, threads=1)
    embedder = wordllama_model()
    results: dict[str, Any] = {}
    for name in given.tasks.split(","):
        results[name] = await run_task(load_task(given.data, name), (model, embedder), memory)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(table(results), encoding="utf-8")
    await model.close()
    print(f"{(time.monotonic() - started) / 60:.1f} minutes; written to {given.out}")


if __name__ == "__main__":
    asyncio.run(main())
