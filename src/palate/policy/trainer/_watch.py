"""Answers drawn while training: how far the policy went, and whether it always says the same.

Both alarms need the policy's own answers. The log-probabilities of given ones say neither: a policy can leave
them all behind (their log-ratios fall) at any divergence.
"""

from collections.abc import Sequence

import numpy as np

from palate.extras import Foreign
from palate.policy._alarms import distinct_n, estimate_kl
from palate.policy._meteor import completion_similarity
from palate.policy._torch import torch
from palate.policy.trainer._groups import Group
from palate.policy.trainer._layout import make_batch
from palate.policy.trainer._network import Network
from palate.policy.trainer._options import Watch
from palate.policy.trainer._reference import Reference
from palate.policy.trainer._seed import seeded

__all__ = ["watch_answers"]


def watch_answers(
    network: Network,
    reference: Reference | None,
    tokenizer: Foreign,
    groups: Sequence[Group],
    watch: Watch,
    seed: int,
) -> dict[str, float]:
    """Draw an answer to some prompts at temperature 1, and measure it.

    Args:
        network: The policy.
        reference: What KL(policy || reference) is measured against; none is measured without.
        tokenizer: Turns answers into words.
        groups: Whose prompts are answered.
        watch: How many and how long.
        seed: Of the draws.

    Returns:
        ``similarity`` (mean METEOR between answers to different prompts; see
        :data:`palate.policy.SIMILARITY_ALARM`), ``distinct_2``, ``answer_tokens`` and ``kl`` in nats.
    """
    prompts = list(dict.fromkeys(group.prompt for group in groups))[: watch.prompts]
    if not prompts:
        return {}
    network.model.eval()
    answers = _draw(network, prompts, watch.max_tokens, seed)
    texts = [tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
    found = {
        "answer_tokens": float(np.mean([len(answer) for answer in answers])),
        "distinct_2": distinct_n(texts),
    }
    if len(texts) > 1:
        found["similarity"] = completion_similarity(texts, np.random.default_rng(seed), resamples=1).mean
    if reference is not None:
        drawn = [Group(prompt, (answer,)) for prompt, answer in zip(prompts, answers, strict=True)]
        batch = make_batch(drawn, network.speed, network.device)
        with torch.no_grad(), network.computing():
            policy_GK = network.states(batch).log_probs()
        kl = estimate_kl(policy_GK.flatten(), reference.log_probs(batch).flatten())
        found |= {"kl": kl.mean, "kl_error": kl.error}
    return found


def _draw(
    network: Network, prompts: Sequence[tuple[int, ...]], most: int, seed: int
) -> list[tuple[int, ...]]:
    width = max(map(len, prompts))
    device = network.device
    ids_BT = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask_BT = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    ends = network.base.generation_config.eos_token_id
    ends = frozenset(ends if isinstance(ends, list) else [ends]) - {None}
    with seeded(seed, device), torch.no_grad():
        out_BT = network.model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT.to(device),
            max_new_tokens=most,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            pad_token_id=min(ends, default=0),
        )
    return [_until(answer, ends) for answer in out_BT[:, width:].tolist()]


def _until(answer: Sequence[int], ends: frozenset[int]) -> tuple[int, ...]:
    for place, token in enumerate(answer, start=1):
        if token in ends:
            return tuple(answer[:place])
    return tuple(answer)
