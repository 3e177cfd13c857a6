r"""SuperHF: supervised training on the policy's own best answers, held near the first policy.

    for each superbatch of A prompts:
        B answers of the policy to each prompt; the best by reward less ``length_penalty`` ln(characters)
        one pass over the A best, ``batch`` of them an update:

            L = -log pi(y|x) a token, mean over the minibatch's tokens
                + prior_kl mean over the minibatch of (1 / |y|) sum_t KL(pi_0(. | x, y_<t) || pi(. | x, y_<t))

The prior comes first in the divergence: where it has mass, the policy must keep some. It is computed over the
whole vocabulary, from the network with its adapter off.

What differs from the published code, on purpose: the window of the divergence is that of the likelihood (the
code takes positions and not what they predict, so it misses the first token and runs one past the end); the
divergence is a mean over the minibatch as the likelihood is (the code sums it, so that its weight grows with
the minibatch); prompt and answer are tokenised apart (the code finds the boundary by the length of the prompt
alone). The penalty for length is logarithmic, as the code is and its help text is not.

Source: G. Mukobi et al., "SuperHF: Supervised Iterative Learning from Human Feedback", arXiv:2310.16763,
sections 3 and 4, and its code for the defaults.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from palate.errors import ConfigError
from palate.policy import similarity_alarm
from palate.policy.data import Loaded, TextGroup, tokenise
from palate.policy.objectives import nll
from palate.policy.rewards import Rewards
from palate.policy.rollouts import RolloutOptions, Rollouts, Stream
from palate.policy.trainer import LogProbabilities
from palate.recipes._answers import answers_of, judged_groups, measure_policy
from palate.recipes._job import (
    Job,
    Outcome,
    Policy,
    answerable,
    merged,
    open_policy,
    prompts_of,
    save_policy,
    write_lines,
)

__all__ = ["best_answers", "superhf"]


def superhf(
    job: Job,
    *,
    superbatches: int = 20,
    accumulate_prompts: int = 2,
    samples: int = 16,
    prior_kl: float = 0.35,
    max_tokens: int = 64,
    temperature: float = 1.0,
    top_p: float = 0.95,
    length_penalty: float = 0.0,
) -> Outcome:
    """Train on the best of the policy's own answers.

    Args:
        job: What is trained, on the prompts of which data; ``options.batch`` is the minibatch.
        superbatches: Rounds of sampling, ≥ 1; prompts are taken in turn, again from the first after the last.
        accumulate_prompts: A, prompts a superbatch, ≥ 1; published: 16 best, all at once worst.
        samples: B, answers to each prompt, ≥ 2; 16 was best.
        prior_kl: Weight ≥ 0 of the divergence from the first policy; with 0 the policy collapses onto one
            answer that the reward likes.
        max_tokens: Most tokens an answer.
        temperature: At which answers are drawn.
        top_p: Nucleus mass of the draws.
        length_penalty: Reward that the logarithm of the number of characters costs.

    Raises:
        ConfigError: There is no reward, or an option is out of its range.
        UnsupportedError: It was started in several processes.
    """
    job.alone("superhf")
    judge = job.rewards()
    prompts = prompts_of(job.data)
    if superbatches < 1 or accumulate_prompts < 1 or samples < 2 or not prompts:
        raise ConfigError(
            "superbatches and accumulate_prompts must be 1 or more, samples 2 or more, and there must be a "
            f"prompt; not {superbatches!r}, {accumulate_prompts!r}, {samples!r} and {len(prompts)} prompts"
        )
    policy = open_policy(job.model)
    job, left_out = answerable(job, policy, max_tokens)
    prompts = prompts_of(job.data)
    origin = copy.deepcopy(policy.model).requires_grad_(False).eval()
    each = math.ceil(accumulate_prompts / job.options.batch)
    stream = Stream(
        policy.model,
        partial(nll, average="tokens"),
        LogProbabilities(reference=False, prior_kl=prior_kl),
        job.options,
        total=superbatches * each,
        folder=_folder(job),
    )
    policy = policy._replace(model=stream.network.model)
    file = job.out / "superbatches.jsonl"
    told: list[Mapping[str, float]] = _told(job, stream.step // each)
    for s in range(stream.step // each, superbatches):
        chosen = [prompts[(s * accumulate_prompts + a) % len(prompts)] for a in range(accumulate_prompts)]
        drawing = RolloutOptions(
            samples, temperature, top_p, max_tokens, seed=job.options.seed * 1_000_003 + s
        )
        drawn = answers_of(job, policy, list(dict.fromkeys(chosen)), drawing, job.out / "answers.jsonl", "")
        best, reward = best_answers(drawn, judge, length_penalty)
        numbers: list[dict[str, float]] = []
        if best.groups:
            numbers = stream.learn(tokenise(best, policy.tokenizer, template=job.template)[0])
        stream.step = (s + 1) * each  # also where no answer was of use, so that the schedule goes on
        told.append({"sampled reward": reward, "answers": float(len(best.groups)), **_means(numbers)})
        write_lines(file, told)
        stream.keep()
        job.tell("superbatches", s + 1, superbatches)
    whole = Policy(merged(stream.network.model), policy.tokenizer)
    once = RolloutOptions(max_tokens=max_tokens, seed=job.options.seed)
    found = measure_policy(job, whole, origin, judge, job.out, once)
    notes = (*left_out, *stream.notes, *similarity_alarm(found.get("similarity", 0.0)))
    return Outcome(save_policy(whole, job.out / "model"), found, tuple(told), notes)


def best_answers(drawn: Rollouts, judge: Rewards, length_penalty: float) -> tuple[Loaded, float]:
    """The best answer to each prompt, and the mean reward of all answers.

    Args:
        drawn: Answers.
        judge: Gives the rewards.
        length_penalty: Reward that the logarithm of the number of characters costs, in choosing.
    """
    judged = judged_groups(drawn, judge)
    best: list[TextGroup] = []
    for group in judged.groups:
        assert group.reward is not None
        score_K = [
            reward - length_penalty * math.log(len(text))
            for reward, text in zip(group.reward, group.completions, strict=True)
        ]
        best.append(replace(group, completions=(group.completions[int(np.argmax(score_K))],), reward=None))
    rewards = [reward for group in judged.groups for reward in group.reward or ()]
    return replace(judged, groups=tuple(best)), float(np.mean(rewards)) if rewards else math.nan


def _means(numbers: list[dict[str, float]]) -> dict[str, float]:
    names = ("loss", "prior_kl", "grad_norm", "learning_rate")
    return {
        name: float(np.mean([row[name] for row in numbers]))
        for name in names
        if numbers and name in numbers[0]
    }


def _folder(job: Job) -> Path:
    folder = job.out / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _told(job: Job, done: int) -> list[Mapping[str, float]]:
    file = job.out / "superbatches.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines[:done]]
