"""A reward or preference model from pairs, with what it is worth on pairs that it has not seen."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from palate.errors import ConfigError, InputError
from palate.policy.data import Loaded, Prompt, read_groups, read_rows
from palate.policy.rewards import (
    Accuracy,
    Classify,
    NgramOptions,
    NgramReward,
    PairwiseReward,
    Rewards,
    ScalarModel,
    ScalarReward,
    Written,
    accuracy,
    accuracy_by_subset,
    bradley_terry,
    calibrate,
    class_groups,
    fit_pairs,
    length_bias,
    load_reward,
    pairwise_groups,
    save_pairwise,
    save_scalar,
)
from palate.policy.trainer import MARKER, LogProbabilities, Trained, join, train, write_folder
from palate.recipes._job import Job, Outcome, merged, open_policy, pairs_of, tokens_of
from palate.types import Array

__all__ = ["evaluate_reward", "pair_gaps", "reward"]

Learnt = ScalarModel | PairwiseReward | NgramReward


def reward(
    job: Job,
    *,
    kind: Literal["scalar", "pairwise", "classifier", "ngrams"] = "scalar",
    centre: float = 0.0,
    evaluate: str | None = None,
) -> Outcome:
    """Train a reward.

    Args:
        job: From which model it starts (not for ``ngrams``), and from what pairs it learns.
        kind: ``scalar``: a head of one number, by Bradley–Terry; ``pairwise``: a letter, in both orders;
            ``classifier``: wanted against unwanted texts without their prompts; ``ngrams``: without network.
        centre: Of a scalar head; see :class:`palate.policy.rewards.ScalarReward`.
        evaluate: A file of ``prompt, chosen, rejected, subset``, reported by subset.

    Raises:
        ConfigError: ``kind`` is unknown.
        InputError: The data have no pairs.
    """
    if kind not in ("scalar", "pairwise", "classifier", "ngrams"):
        raise ConfigError(f"kind must be 'scalar', 'pairwise', 'classifier' or 'ngrams', not {kind!r}")
    folder = job.out / "reward"
    asked = None if evaluate is None else _asked(Path(evaluate))
    data = job.data if kind == "classifier" else pairs_of(job.data)
    notes: tuple[str, ...] = (data.describe(),)
    first = join().first
    if kind == "ngrams" and first:
        chosen, rejected = ([group.completions[side] for group in data.groups] for side in (0, 1))
        fit_pairs(chosen, rejected, NgramOptions()).save(folder)
    elif kind != "ngrams":
        notes = _network(job, data, kind, centre, folder)
    if not first:
        return Outcome(None)  # of several processes one measures and writes
    model = load_reward(folder)
    held = [group for group in job.held.groups if group.is_pair]
    numbers: dict[str, float] = {}
    if held:
        found = evaluate_reward(model, Loaded(tuple(held)))
        temperature = found.get("calibration", {}).get("temperature")
        if temperature is not None and not isinstance(model, NgramReward):
            _write_temperature(folder, replace(model.written, temperature=temperature))
        numbers["accuracy"] = found["accuracy"]["share"]
        notes += (f"accuracy on held-out pairs {Accuracy(**found['accuracy'])}",)
        _report(job.out / "held-out.json", found)
    if asked is not None:
        by_subset = _benchmark(model, *asked)
        _report(job.out / "evaluation.json", {name: value._asdict() for name, value in by_subset.items()})
        notes += tuple(f"{name}: {value}" for name, value in by_subset.items())
    use = f"use it with --judge reward-model --judge-option path={folder.resolve()}, or --reward {folder}"
    return Outcome(None, numbers, notes=(*notes, use))


def _network(job: Job, data: Loaded, kind: str, centre: float, folder: Path) -> tuple[str, ...]:
    policy = open_policy(job.model)
    tokenizer = policy.tokenizer
    if kind == "scalar":
        groups, texts = tokens_of(data, job, tokenizer)
    elif kind == "pairwise":
        groups, texts = pairwise_groups(data, tokenizer, seed=job.options.seed, template=job.template)
    else:
        groups, texts = class_groups(data, tokenizer, template=job.template)
    texts.require("the data")
    done: Trained = train(
        policy.model,
        None,
        groups,
        Classify() if kind == "classifier" else bradley_terry(),
        job.options,
        folder=job.out / "run",
        scorer=LogProbabilities(reference=False) if kind == "pairwise" else ScalarReward(centre),
        progress=job.told(),
    )
    model = merged(done.model)
    written = Written(kind, job.template)  # pyright: ignore[reportArgumentType]

    def fill(work: Path) -> None:
        if kind == "pairwise":
            save_pairwise(model, tokenizer, written, work)
        else:
            assert done.module is not None
            save_scalar(model, done.module, tokenizer, written, work)

    if join().first:
        write_folder(folder, fill)
    return (texts.describe(), *done.notes)


def _write_temperature(folder: Path, written: Written) -> None:
    """Write the model's folder again, with what a gap is worth, so that its marker fits."""

    def fill(work: Path) -> None:
        for file in folder.iterdir():
            if file.name != MARKER:
                shutil.copy2(file, work)
        written.write(work)

    write_folder(folder, fill)


def pair_gaps(model: Rewards, loaded: Loaded) -> Array:
    """Reward of the chosen answer less that of the rejected one; of a pairwise model, log-odds.

    Pairs with an answer that cannot be scored are NaN.
    """
    prompts: list[Prompt] = [group.prompt for group in loaded.groups]
    chosen, rejected = ([group.completions[side] for group in loaded.groups] for side in (0, 1))
    if isinstance(model, PairwiseReward):
        prob_M = np.clip(model.prefer(prompts, chosen, rejected), 1e-12, 1 - 1e-12)
        return np.log(prob_M / (1 - prob_M))
    return model.score(prompts, chosen) - model.score(prompts, rejected)


def evaluate_reward(model: Rewards, held: Loaded) -> dict[str, Any]:
    """Accuracy, calibration and length bias on pairs that were held out, as plain values.

    Pairs that cannot be scored are left out and counted.
    """
    gap_M = pair_gaps(model, held)
    good_M = np.isfinite(gap_M)
    gap_M = gap_M[good_M]
    longer_M = np.array(
        [len(g.completions[0]) - len(g.completions[1]) for g in held.groups], dtype=np.float64
    )
    found: dict[str, Any] = {
        "accuracy": accuracy(gap_M)._asdict(),
        "not scored": int((~good_M).sum()),
    }
    try:
        calibration = calibrate(gap_M)
        found["calibration"] = calibration._asdict() | {
            "bins": [entry._asdict() | {"right": entry.right._asdict()} for entry in calibration.bins]
        }
    except InputError as error:
        found["calibration"] = {"why not": str(error)}
    if len(gap_M) > 1:
        bias = length_bias(gap_M, longer_M[good_M])
        found["length"] = {
            name: value._asdict() if isinstance(value, Accuracy) else value
            for name, value in bias._asdict().items()
        }
    return found


def _asked(file: Path) -> tuple[Loaded, Mapping[str, str]]:
    """The pairs of a file and the subset of each, by its place; read before anything is trained."""
    rows = list(read_rows(file))
    loaded = pairs_of(read_groups(rows, source=str(file))).require(str(file))
    return loaded, {place: str(row.get("subset", "all")) for place, row in rows}


def _benchmark(model: Learnt, loaded: Loaded, subset: Mapping[str, str]) -> dict[str, Accuracy]:
    gap_M = pair_gaps(model, loaded)
    names: Sequence[str] = [subset[group.place] for group in loaded.groups]
    # What cannot be scored is wrong, not absent: a benchmark is the same for every model.
    gap_M = np.where(np.isfinite(gap_M), gap_M, -1.0)
    return {**accuracy_by_subset(gap_M, names), "all subsets": accuracy(gap_M)}


def _report(file: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, default=asdict)
    file.write_text(text.replace("NaN", "null"), encoding="utf-8")
