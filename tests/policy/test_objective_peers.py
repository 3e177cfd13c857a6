"""Equality with TRL's own functions, fed with the same log-probabilities."""

import math
import os
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from palate.policy.objectives import (
    Completions,
    Kto,
    RewardAware,
    advantages,
    cdpo,
    dpo,
    exo_pref,
    hinge,
    ipo_mean,
    kto,
    kto_reference_point,
    nll,
    odds_ratio,
    policy_gradient,
    simpo,
)

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    trl_dpo = pytest.importorskip("trl.trainer.dpo_trainer")
    trl_kto = pytest.importorskip("trl.trainer.kto_trainer")
    trl_cpo = pytest.importorskip("trl.experimental.cpo.cpo_trainer")
    trl_orpo = pytest.importorskip("trl.experimental.orpo.orpo_trainer")

PEER = 1e-5  # both compute in 32 bits
PAIRS, TOKENS = 6, 9


class Accelerator:
    device = torch.device("cpu")

    def gather(self, value: Tensor) -> Tensor:
        return value

    gather_for_metrics = gather


class Metrics(dict[str, list[float]]):
    def __missing__(self, key: str) -> list[float]:
        return self.setdefault(key, [])


class Answering:
    """Stands for a model: it gives the log-probabilities that it is told to, token by token."""

    training = True

    def __init__(self, logp_BS: Tensor) -> None:
        self.logp_BS = logp_BS

    def __call__(self, **inputs: Any) -> SimpleNamespace:
        zero = torch.zeros_like(self.logp_BS)
        return SimpleNamespace(
            log_probs=self.logp_BS, entropy=zero, mean_logits=zero, is_top1=zero.bool(), log_sum_sq_probs=zero
        )


class Batch:
    """Rows with completions of various lengths after a prompt of two tokens; the chosen ones first."""

    def __init__(self, seed: int, rows: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        length_B = torch.randint(1, TOKENS - 2, (rows,), generator=draw)
        place_T = torch.arange(TOKENS)
        self.mask_BT = (place_T >= 2) & (place_T < 2 + length_B[:, None])
        self.length_B = length_B
        self.token_BS = -2 * torch.rand(rows, TOKENS - 1, generator=draw) * self.mask_BT[:, 1:]
        self.token_BS.requires_grad_()
        self.reference_B = -2 * torch.rand(rows, generator=draw) * length_B

    @property
    def completions(self) -> Completions:
        def both(value_B: Tensor) -> Tensor:
            return torch.stack(value_B.chunk(2), dim=1)

        return Completions(both(self.token_BS.sum(dim=1)), both(self.reference_B), both(self.length_B))


def trl_pair_loss(batch: Batch, loss_type: str, beta: float, smoothing: float = 0.0) -> Tensor:
    chosen, rejected = batch.reference_B.chunk(2)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=Accelerator(),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[loss_type],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=smoothing,
        use_weighting=False,
        _metrics={"train": Metrics()},
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.ones(batch.mask_BT.shape, dtype=torch.long),
        "attention_mask": torch.ones(batch.mask_BT.shape, dtype=torch.long),
        "completion_mask": batch.mask_BT.long(),
        "ref_chosen_logps": chosen,
        "ref_rejected_logps": rejected,
    }
    return trl_dpo.DPOTrainer._compute_loss(trainer, Answering(batch.token_BS), inputs, False)


def assert_same(ours: Tensor, theirs: Tensor, batch: Batch) -> None:
    assert ours.item() == pytest.approx(theirs.item(), rel=PEER, abs=PEER)
    (our_gradient,) = torch.autograd.grad(ours, batch.token_BS)
    (their_gradient,) = torch.autograd.grad(theirs, batch.token_BS)
    assert float(their_gradient.abs().max()) > 1e-4
    kept = batch.mask_BT[:, 1:]
    assert torch.allclose(our_gradient[kept], their_gradient[kept], rtol=PEER, atol=PEER)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("loss_type", "smoothing", "objective"),
    [
        ("sigmoid", 0.0, dpo(0.3)),
        ("hinge", 0.0, hinge(0.3)),
        ("ipo", 0.0, ipo_mean(0.3)),
        ("exo_pair", 0.05, exo_pref(0.3, 0.05)),
    ],
    ids=["dpo", "hinge", "ipo_mean", "exo_pref"],
)
def test_pair_losses(loss_type: str, smoothing: float, objective: RewardAware, seed: int) -> None:
    batch = Batch(seed, 2 * PAIRS)
    assert_same(objective(batch.completions).mean, trl_pair_loss(batch, loss_type, 0.3, smoothing), batch)


@pytest.mark.parametrize("seed", range(3))
def test_likelihood_of_the_chosen(seed: int) -> None:
    batch = Batch(seed, 2 * PAIRS)
    ours = nll(batch.completions, average="tokens").mean
    assert_same(ours, trl_pair_loss(batch, "sft", 0.3), batch)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("loss_type", ["simpo", "sigmoid", "hinge"])
def test_losses_without_a_reference(loss_type: str, smoothing: float) -> None:
    batch = Batch(0, 2 * PAIRS)
    logp_GK = batch.completions.policy(mean=loss_type == "simpo")
    trainer = SimpleNamespace(
        accelerator=Accelerator(),
        alpha=0.0,
        beta=0.7,
        loss_type=loss_type,
        simpo_gamma=0.4,
        label_smoothing=smoothing,
    )
    losses, _, _ = trl_cpo.CPOTrainer.cpo_loss(trainer, logp_GK[:, 0], logp_GK[:, 1])
    if loss_type == "simpo":
        ours = simpo(0.7, 0.4, smoothing)(batch.completions)
    else:
        # Without a reference these are the losses with a reference that finds everything equally likely.
        flat = Completions(batch.completions.policy_GK, torch.full((PAIRS, 2), -1.0))
        member = hinge(0.7) if loss_type == "hinge" else (cdpo(0.7, smoothing) if smoothing else dpo(0.7))
        ours = member(flat)
    assert torch.allclose(ours.each_G, losses, rtol=PEER, atol=PEER)


@pytest.mark.parametrize("seed", range(3))
def test_odds_ratio(seed: int) -> None:
    batch = Batch(seed, 2 * PAIRS)
    mean_GK = batch.completions.policy(mean=True)
    trainer = SimpleNamespace(beta=0.4, accelerator=Accelerator())
    losses, *_ = trl_orpo.ORPOTrainer.odds_ratio_loss(trainer, mean_GK[:, 0], mean_GK[:, 1])
    assert_same(0.4 * odds_ratio(batch.completions).mean, -losses.mean(), batch)


@pytest.mark.parametrize("reference_point", [-1.0, 0.5])
@pytest.mark.parametrize("seed", range(2))
def test_kto(seed: int, reference_point: float) -> None:
    batch = Batch(seed, PAIRS)
    wanted = torch.tensor([True, False, True, True, False, True])
    draw = torch.Generator().manual_seed(seed)
    other = -torch.rand(PAIRS, generator=draw)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=Accelerator(),
        aux_loss_enabled=False,
        precompute_ref_logps=True,
        calculate_KL=True,
        loss_type="kto",
        beta=0.3,
        desirable_weight=1.2,
        undesirable_weight=0.8,
        _metrics={"train": Metrics()},
        _total_train_tokens=0,
        _tp_size=1,
        _compute_kl_logps=lambda model, inputs: other + reference_point,
    )
    inputs = {
        "input_ids": torch.ones(batch.mask_BT.shape, dtype=torch.long),
        "attention_mask": torch.ones(batch.mask_BT.shape, dtype=torch.long),
        "completion_mask": batch.mask_BT.long(),
        "label": wanted,
        "ref_logps": batch.reference_B,
        "ref_KL_logps": other,
    }
    theirs = trl_kto.KTOTrainer._compute_loss(trainer, Answering(batch.token_BS), inputs, False)
    point = kto_reference_point(other + reference_point, other)
    assert point.item() == pytest.approx(max(0.0, reference_point), abs=PEER)
    ours = kto(
        batch.token_BS.sum(dim=1),
        batch.reference_B,
        wanted,
        point,
        beta=0.3,
        wanted_weight=1.2,
        unwanted_weight=0.8,
    )
    assert_same(ours.mean, theirs, batch)
    # the same as one value, which takes the other answers' log-probabilities as a second completion
    beside = Completions(
        torch.stack([batch.token_BS.sum(dim=1), other + reference_point], dim=1),
        torch.stack([batch.reference_B, other], dim=1),
        reward_GK=wanted.float()[:, None].expand(-1, 2),
    )
    assert Kto(0.3, 1.2, 0.8)(beside).mean.item() == pytest.approx(theirs.item(), rel=PEER)


def test_leave_one_out_is_the_formula_that_trl_writes_out() -> None:
    """TRL has no function for it; its baseline is (sum of the group - own) / (K - 1), written here again."""
    reward = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    baseline = (reward.sum(dim=1, keepdim=True) - reward) / 3
    ours = advantages(reward, torch.ones(3, 4, dtype=torch.bool))
    assert torch.allclose(ours, reward - baseline, atol=PEER)
    policy = torch.full((3, 4), -2.0, requires_grad=True)
    # Its loss is -mean of the ratio of probabilities times the advantage; this is its gradient at 1.
    policy_gradient(Completions(policy), ours).mean.backward()
    assert policy.grad is not None
    assert torch.allclose(policy.grad, -ours / 12, atol=PEER)
    assert math.isclose(float(ours.sum()), 0.0, abs_tol=1e-5)
