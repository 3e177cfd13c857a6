"""Online recipes that are rounds of sampling, judging, pairing and training, with other parts in them.

    online-dpo   best against worst of K, DPO, reference pi_0 and all data so far (RLHF Workflow's paper), or
                 the iterate before and the newest data (its script)
    aipo         the agreement-aware loss, moving reference, newest data, filters on pairs
    apo          DPO with a moving reference and an extrapolated iterate: accelerated preference optimisation

Sources: as in :mod:`palate.recipes._rounds`.
"""

from typing import Literal

from palate.errors import ConfigError
from palate.policy.objectives import agreement_aware as agreement_loss
from palate.policy.objectives import preset
from palate.policy.rollouts import RolloutOptions
from palate.policy.updates import (
    Rival,
    accelerated_preference,
    agreement_aware,
    iterative_fixed,
    iterative_moving,
)
from palate.recipes._job import Job, Outcome
from palate.recipes._rounds import Rounds, run_rounds

__all__ = ["aipo", "apo", "online_dpo"]


def online_dpo(
    job: Job,
    *,
    rounds: int = 3,
    samples: int = 8,
    max_tokens: int = 64,
    temperature: float = 1.0,
    reference: Literal["initial", "previous"] = "initial",
    window: int | None = None,
    rival: Rival = "best_worst",
    objective: str = "dpo",
    beta: float = 0.1,
) -> Outcome:
    """Iterative DPO on the policy's own answers, judged by a reward.

    Args:
        job: What is trained, on the prompts of which data.
        rounds: How many.
        samples: K, answers to each prompt.
        max_tokens: Most tokens an answer.
        temperature: At which answers are drawn.
        reference: What each training is compared with: pi_0, or the iterate before.
        window: Rounds of data that are trained on, the newest ones; all when left out, or with
            ``reference="previous"`` one.
        rival: Who is compared with whom.
        objective: A member of the family by name.
        beta: Weight of the divergence from the reference.

    Raises:
        ConfigError: There is no reward, or an option is out of its range.
    """
    if reference not in ("initial", "previous"):
        raise ConfigError(f"reference must be 'initial' or 'previous', not {reference!r}")
    rule = iterative_fixed(window) if reference == "initial" else iterative_moving(window or 1)
    drawing = RolloutOptions(samples, temperature, max_tokens=max_tokens, seed=job.options.seed)
    return run_rounds(job, Rounds(rule, preset(objective, beta=beta), drawing, rounds, rival))


def aipo(
    job: Job,
    *,
    alpha: float,
    nll_weight: float,
    gamma: float = 0.0,
    beta: float = 0.1,
    rounds: int = 2,
    samples: int = 5,
    max_tokens: int = 64,
    temperature: float = 0.4,
) -> Outcome:
    """AIPO: an agreement-aware loss on the best against the worst of the policy's own answers.

    The paper's code has no defaults for ``alpha`` and ``nll_weight`` either; 0.05 and 0.1 are a beginning.

    Args:
        job: What is trained, on the prompts of which data.
        alpha: How much more is asked for where the reference already agrees, > -1.
        nll_weight: Of the mean log-likelihood of the chosen answer.
        gamma: Margin in nats of log-probability.
        beta: Weight of the divergence from the reference.
        rounds: How many.
        samples: K, answers to each prompt.
        max_tokens: Most tokens an answer.
        temperature: At which answers are drawn; the published 0.4 keeps them likely.

    Raises:
        ConfigError: There is no reward, or an option is out of its range.
    """
    drawing = RolloutOptions(samples, temperature, max_tokens=max_tokens, seed=job.options.seed)
    loss = agreement_loss(alpha, nll_weight, gamma, beta)
    return run_rounds(job, Rounds(agreement_aware(), loss, drawing, rounds, filters=True))


def apo(
    job: Job,
    *,
    momentum: float = 0.3,
    objective: str = "dpo",
    beta: float = 0.1,
    rounds: int = 3,
    samples: int = 4,
    max_tokens: int = 64,
    temperature: float = 1.0,
) -> Outcome:
    """Accelerated preference optimisation: each iterate goes on beyond its training, along its last step.

    A plain moving reference with beta (1 - momentum) walks the same path in the exact case, so a comparison
    has to tune beta of that as well.

    Args:
        job: What is trained, on the prompts of which data.
        momentum: alpha, in [0, 1); 0 is iterative DPO.
        objective: A member of the family by name.
        beta: Weight of the divergence from the reference.
        rounds: How many.
        samples: K, answers to each prompt.
        max_tokens: Most tokens an answer.
        temperature: At which answers are drawn.

    Raises:
        ConfigError: There is no reward, or an option is out of its range.
    """
    drawing = RolloutOptions(samples, temperature, max_tokens=max_tokens, seed=job.options.seed)
    plan = Rounds(accelerated_preference(momentum), preset(objective, beta=beta), drawing, rounds)
    return run_rounds(job, plan)
