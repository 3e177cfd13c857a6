"""Rounds of sampling, judging, choosing and training: what online recipes are made of.

    for t = 0, 1, ...    answers   K of pi_t to each prompt of the round
                         rewards   of the judge
                         pairs     by a rule, or all K with their rewards
                         trained   from pi_t (or pi_0), against the rule's reference, on the rule's window
                         pi_{t+1}  trained, or extrapolated

Everything that a round finds out is in its folder: ``answers.jsonl`` (drawn answers, each once),
``judged.jsonl`` (groups with rewards, in the format ``groups``, from which others can choose again),
``run`` (the training). A run that was stopped goes on from there, to the same weights.

Of several processes the first draws and judges the answers, and all of them train.

Weights are carried from round to round without adapter: a new adapter is trained on the merged model, so that
extrapolation acts on the product of its factors, where it is exact, and not on the factors.

Sources: H. Dong et al., "RLHF Workflow", arXiv:2405.07863; Y. Shen et al., "AIPO", arXiv:2409.08845; J. He et
al., arXiv:2410.06293.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from palate.errors import ConfigError
from palate.extras import Foreign
from palate.policy import similarity_alarm
from palate.policy.data import Loaded, Prompt, Skips, TextGroup, encode_texts, read_groups, read_rows
from palate.policy.objectives import RewardAware
from palate.policy.rewards import Rewards
from palate.policy.rollouts import RolloutOptions
from palate.policy.trainer import TrainOptions, join, train
from palate.policy.updates import (
    Iterates,
    Rival,
    UpdateRule,
    advance,
    begin,
    pair_up,
    training_window,
    usable_pairs,
)
from palate.recipes._answers import answers_of, judged_groups, measure_policy
from palate.recipes._job import (
    Job,
    Outcome,
    Policy,
    answerable,
    merged,
    open_policy,
    prompts_of,
    tokens_of,
    write_lines,
    write_policy,
)

__all__ = ["Rounds", "run_rounds"]


@dataclass(frozen=True, slots=True)
class Rounds:
    """How an online recipe goes.

    Attributes:
        rule: What changes between rounds.
        objective: The loss; one that learns from rewards gets all K answers, others get pairs.
        rollout: How answers are drawn.
        count: Rounds, ≥ 1.
        rival: Who is compared with whom; see :func:`palate.policy.updates.pair_up`.
        length_penalty: Reward that one character costs in choosing and ordering.
        filters: Whether AIPO's filters on pairs apply.
        disjoint: Whether every round has prompts of its own; otherwise all rounds have all prompts.

    Raises:
        ConfigError: ``count`` is below 1.
    """

    rule: UpdateRule
    objective: RewardAware
    rollout: RolloutOptions
    count: int = 3
    rival: Rival = "best_worst"
    length_penalty: float = 0.0
    filters: bool = False
    disjoint: bool = True

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"rounds must be 1 or more, not {self.count!r}")


def run_rounds(job: Job, rounds: Rounds) -> Outcome:
    """Run all rounds, or those that are left.

    Raises:
        ConfigError: There is no judge, or there are fewer prompts than rounds.
        InputError: No pair is left of a round.
    """
    judge = job.rewards()
    processes = join()
    policy = open_policy(job.model)
    job, notes = answerable(job, policy, rounds.rollout.max_tokens)
    prompts = prompts_of(job.data)
    parts = [prompts[t :: rounds.count] if rounds.disjoint else prompts for t in range(rounds.count)]
    if not all(parts):
        raise ConfigError(
            f"{len(prompts)} prompts are too few for {rounds.count} rounds with prompts of their own"
        )
    first = weights_of(policy.model)
    iterates: Iterates = begin(first)
    history: list[Loaded] = []
    told: list[Mapping[str, float]] = []
    origin = copy.deepcopy(policy.model).requires_grad_(False).eval()
    for t in range(rounds.count):
        folder = job.out / f"round-{t + 1:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        stage = f"round {t + 1} "
        place(policy.model, iterates.current)
        rollout = replace(rounds.rollout, seed=rounds.rollout.seed + t)
        judged = processes.in_turn(partial(_judged, job, policy, parts[t], judge, rollout, folder, stage))
        history.append(_examples(judged, rounds, policy, job, rollout.seed))
        notes.append(f"round {t + 1}: {history[-1].describe()}")
        window = training_window(rounds.rule, history)
        data = Loaded(
            tuple(g for loaded in window for g in loaded.groups), window[-1].skipped, window[-1].places
        )
        place(policy.model, iterates.start)
        trained = _trained(job, policy, data, rounds.objective, iterates, origin, folder, t)
        iterates = advance(rounds.rule, iterates, weights_of(trained))
        policy = policy._replace(model=trained)
        place(policy.model, iterates.current)
        drawn = [r for group in judged.groups for r in group.reward or ()]
        row = {"sampled reward": float(np.mean(drawn)), "examples": float(len(history[-1].groups))}
        if processes.first:
            row |= measure_policy(job, policy, origin, judge, folder, rounds.rollout)
            write_lines(
                job.out / "rounds.jsonl",
                [{"round": i, **row} for i, row in enumerate([*told, row], start=1)],
            )
        told.append(processes.everyone(row)[0])
    notes += similarity_alarm(told[-1].get("similarity", 0.0))
    return Outcome(write_policy(policy, job.out / "model"), told[-1], tuple(told), tuple(notes))


def weights_of(model: Foreign) -> dict[str, torch.Tensor]:
    """A copy of a model's weights, away from the accelerator."""
    return {name: weight.detach().cpu().clone() for name, weight in model.named_parameters()}


def place(model: Foreign, weights: Mapping[str, torch.Tensor]) -> None:
    """Put weights into a model of the same shape."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(weights[name])


def _judged(
    job: Job,
    policy: Policy,
    prompts: Sequence[Prompt],
    judge: Rewards,
    options: RolloutOptions,
    folder: Path,
    stage: str,
) -> Loaded:
    file = folder / "judged.jsonl"
    if file.is_file():
        return read_groups(read_rows(file), "groups")
    judged = judged_groups(answers_of(job, policy, prompts, options, folder / "answers.jsonl", stage), judge)
    judged.require("the policy's answers")
    write_lines(file, [group_row(group) for group in judged.groups])
    # Read again, so that a run that goes on sees what this one saw, to the letter.
    return read_groups(read_rows(file), "groups")


def group_row(group: TextGroup) -> dict[str, object]:
    """A group as a row of the format ``groups``."""
    prompt = group.prompt
    if not isinstance(prompt, str):
        prompt = [{"role": turn.role, "content": turn.content} for turn in prompt]  # pyright: ignore
    return {"prompt": prompt, "completions": group.completions, "rewards": group.reward}


def _examples(judged: Loaded, rounds: Rounds, policy: Policy, job: Job, seed: int) -> Loaded:
    """What is trained on: all K with their rewards, or a pair a prompt."""
    if rounds.objective.target.kind == "reward":
        return replace(judged, groups=tuple(g for g in judged.groups if len(set(g.completions)) > 1))
    most = max(len(group.completions) for group in judged.groups)
    score_GK = np.full((len(judged.groups), most), np.nan)
    length_GK = np.zeros_like(score_GK)
    for g, group in enumerate(judged.groups):
        score_GK[g, : len(group.completions)] = group.reward
        length_GK[g, : len(group.completions)] = [len(text) for text in group.completions]
    pairing = pair_up(
        score_GK,
        rounds.rival,
        rng=np.random.default_rng(seed),
        length_GK=length_GK,
        length_penalty=rounds.length_penalty,
    )
    skips = Skips({name: count for name, count in pairing.dropped.items() if count})
    skips.places = {name: [] for name in skips.counts}
    made: list[TextGroup] = []
    for g, chosen, rejected in zip(pairing.group_M, pairing.chosen_M, pairing.rejected_M, strict=True):
        group = judged.groups[int(g)]
        texts = (group.completions[int(chosen)], group.completions[int(rejected)])
        made.append(TextGroup(group.prompt, texts, place=group.place))
    made = _usable(made, rounds, policy, job, skips)
    return Loaded.of(made, skips).require("the pairs of this round")


def _usable(
    pairs: list[TextGroup], rounds: Rounds, policy: Policy, job: Job, skips: Skips
) -> list[TextGroup]:
    """Without equal texts; with AIPO's filters, if wanted."""
    tokens = [encode_texts(pair, policy.tokenizer, template=job.template) for pair in pairs]
    limits = {} if rounds.filters else {"most_answer_tokens": 2**31, "most_tokens": 2**31}
    kept, dropped = usable_pairs(
        [pair.completions[0] for pair in pairs],
        [pair.completions[1] for pair in pairs],
        chosen_tokens=[len(group.completions[0]) for group in tokens],
        rejected_tokens=[len(group.completions[1]) for group in tokens],
        prompt_tokens=[len(group.prompt) for group in tokens],
        **limits,
    )
    if not rounds.filters:  # links are AIPO's business alone
        kept = [
            i for i, pair in enumerate(pairs) if pair.completions[0].strip() != pair.completions[1].strip()
        ]
        dropped = {"equal": len(pairs) - len(kept)}
    for name, count in dropped.items():
        if count:
            skips.counts[name] = skips.counts.get(name, 0) + count
            skips.places.setdefault(name, [])
    return [pairs[i] for i in kept]


def _trained(
    job: Job,
    policy: Policy,
    data: Loaded,
    objective: RewardAware,
    iterates: Iterates,
    origin: Foreign,
    folder: Path,
    t: int,
) -> Foreign:
    reference: Foreign = "start"
    if iterates.reference is not iterates.start:
        reference = origin
        if iterates.reference is not iterates.initial:
            reference = copy.deepcopy(origin)
            place(reference, iterates.reference)
    options: TrainOptions = replace(job.options, seed=job.options.seed + t)
    groups, _ = tokens_of(data, job, policy.tokenizer)
    done = train(
        policy.model,
        policy.tokenizer,
        groups,
        objective,
        options,
        folder=folder / "run",
        reference=reference,
        progress=job.told(f"round {t + 1} "),
    )
    return merged(done.model)
