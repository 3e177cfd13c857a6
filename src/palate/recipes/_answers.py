"""Answers of the policy as it is: drawn once, given rewards, measured."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from palate.errors import InputError
from palate.extras import Foreign
from palate.models import Budget, Ledger, LoadedModel, MeteredModel, VllmModel
from palate.policy import completion_similarity, estimate_kl
from palate.policy.data import Loaded, Prompt, Skips, TextGroup, encode_texts
from palate.policy.rewards import Rewards
from palate.policy.rollouts import KeptAnswers, RolloutOptions, Rollouts, sample
from palate.policy.trainer import Group, Network, TrainOptions, make_batch
from palate.recipes._job import Job, Policy, encoder, prompts_of, save_policy

__all__ = ["answers_of", "judged_groups", "log_probs", "measure_policy"]


def answers_of(
    job: Job, policy: Policy, prompts: Sequence[Prompt], options: RolloutOptions, file: Path, stage: str
) -> Rollouts:
    """Answers of the policy as it is, from the file where they are there already."""

    async def draw() -> Rollouts:
        answering = _answering(job, policy, prompts, file.parent / "drawn-from")
        model = MeteredModel(answering, cache=KeptAnswers(file), ledger=Ledger(Budget()))
        try:
            return await sample(
                model, prompts, options, tell=lambda done, total: job.tell(f"{stage}answers", done, total)
            )
        finally:
            await model.close()

    return asyncio.run(draw())


def _answering(job: Job, policy: Policy, prompts: Sequence[Prompt], folder: Path) -> LoadedModel | VllmModel:
    """The policy as it is, as a model: in the process that trains it, or in an engine of its own."""
    name = f"policy-{policy.digest()}"
    encode = encoder(prompts, policy.tokenizer, job.template)
    if job.engine == "transformers":
        return LoadedModel(policy.model, policy.tokenizer, name=name, encode=encode)
    # The engine reads its weights from disk: all of them, or the adapter beside the model that it is for.
    save_policy(policy, folder)
    adapted = hasattr(policy.model, "peft_config")
    return VllmModel(
        job.model if adapted else folder,
        name=name,
        adapter=folder if adapted else None,
        encode=encode,
        dtype="bfloat16" if job.options.dtype == "bf16" else "float32",
        memory=job.engine_memory,
    )


def judged_groups(rollouts: Rollouts, judge: Rewards) -> Loaded:
    """Groups of answers with their rewards; without those that cannot be scored."""
    flat = [(rollout.prompt, answer) for rollout in rollouts.each for answer in rollout.answers]
    reward_N = judge.score([prompt for prompt, _ in flat], [answer for _, answer in flat])
    skips = Skips(dict(rollouts.dropped))
    groups: list[TextGroup] = []
    n = 0
    for number, rollout in enumerate(rollouts.each, start=1):
        rewards = reward_N[n : n + len(rollout.answers)]
        n += len(rollout.answers)
        kept = [k for k in range(len(rewards)) if np.isfinite(rewards[k])]
        for _ in range(len(rewards) - len(kept)):
            skips.add("without a reward", f"prompt {number}")
        if kept:
            texts = tuple(rollout.answers[k] for k in kept)
            groups.append(
                TextGroup(
                    rollout.prompt, texts, tuple(float(rewards[k]) for k in kept), place=f"prompt {number}"
                )
            )
    return Loaded.of(groups, Skips(skips.counts, {**{r: [] for r in skips.counts}, **skips.places}))


def measure_policy(
    job: Job,
    policy: Policy,
    origin: Foreign,
    judge: Rewards,
    folder: Path,
    options: RolloutOptions,
) -> dict[str, float]:
    """One answer to each held-out prompt (or the first prompts of the data): reward, KL, length, similarity.

    Returns:
        ``reward``; ``kl`` from the first policy, in nats an answer, with ``kl error``; ``length`` in tokens;
        ``similarity`` of answers to different prompts.
    """
    prompts = prompts_of(job.held) or prompts_of(job.data)[:32]
    once = replace(options, samples=1, temperature=1.0, top_p=1.0, turn="", seed=options.seed + 1_000_003)
    drawn = answers_of(job, policy, prompts, once, folder / "measured.jsonl", "measured ")
    judged = judged_groups(drawn, judge)
    if not judged.groups:
        raise InputError("the policy answers every held-out prompt with nothing; train it less")
    texts = [group.completions[0] for group in judged.groups]
    tokens = [
        encode_texts(replace(group, reward=None), policy.tokenizer, template=job.template, end=False)
        for group in judged.groups
    ]
    own_N, origin_N = (log_probs(model, tokens, job.options) for model in (policy.model, origin))
    kl = estimate_kl(own_N, origin_N)
    found = {
        "reward": float(np.mean([group.reward or () for group in judged.groups])),
        "kl": kl.mean,
        "kl error": kl.error,
        "length": float(np.mean([len(group.completions[0]) for group in tokens])),
    }
    if len(texts) > 1:
        found["similarity"] = completion_similarity(texts, np.random.default_rng(options.seed)).mean
    return found


def log_probs(model: Foreign, groups: Sequence[Group], options: TrainOptions) -> torch.Tensor:
    """Log-probability of the first completion of each group."""
    network = Network(model.eval(), options.dtype, options.speed)
    parts: list[torch.Tensor] = []
    with torch.no_grad(), network.computing():
        for start in range(0, len(groups), options.batch):
            batch = make_batch(groups[start : start + options.batch], options.speed, network.device)
            parts.append(network.states(batch).log_probs()[:, 0].double().cpu())
    return torch.cat(parts)
