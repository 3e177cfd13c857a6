"""Sliced log-probabilities of a small transformer whose head is its embedding, against its own logits."""

import pytest
import torch

from palate.policy import linear_prior_kl, sequence_log_probs
from palate.policy.objectives import Completions, dpo

transformers = pytest.importorskip("transformers")
SAME = 1e-5  # 32 bits, sums of a dozen log-probabilities


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config).eval()


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two pairs of rows, padded on the right; prompts of four tokens, completions of two to seven."""
    ids = torch.randint(97, (4, 12), generator=torch.Generator().manual_seed(1))
    end = torch.tensor([6, 9, 11, 7])[:, None]
    place = torch.arange(12)
    return ids, (place < end).long(), (place >= 4) & (place < end)


def test_a_step_of_dpo_is_the_same(model: torch.nn.Module) -> None:
    ids, attention, completion = rows()
    reference = torch.tensor([[-12.0, -25.0], [-30.0, -14.0]])
    gradients, losses = [], []
    for sliced in (True, False):
        model.zero_grad()
        if sliced:
            hidden = model.model(input_ids=ids, attention_mask=attention).last_hidden_state
            logp = sequence_log_probs(hidden, model.lm_head.weight, ids, completion, chunk=3).logp_B
        else:
            logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1]
            each = torch.log_softmax(logits, dim=-1).gather(2, ids[:, 1:, None])[..., 0]
            logp = (each * completion[:, 1:]).sum(dim=1)
        loss = dpo(0.3)(Completions(logp.reshape(2, 2), reference)).mean
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert losses[0] == pytest.approx(losses[1], abs=SAME)
    assert len(gradients[0]) == len(gradients[1]) == len(list(model.parameters()))
    for mine, yours in zip(*gradients, strict=True):
        assert torch.allclose(mine, yours, atol=SAME)
    assert max(float(g.abs().max()) for g in gradients[1]) > 1e-2


def test_the_divergence_from_a_prior_is_that_of_its_logits(model: torch.nn.Module) -> None:
    ids, attention, completion = rows()
    states = model.model(input_ids=ids, attention_mask=attention).last_hidden_state[:, :-1][completion[:, 1:]]
    prior = states.detach() + 0.3 * torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
    found = linear_prior_kl(states, model.lm_head.weight, prior, chunk=4)
    policy, anchor = (torch.log_softmax(model.lm_head(s), dim=-1) for s in (states, prior))
    wanted = torch.nn.functional.kl_div(policy, anchor, log_target=True, reduction="none").sum(dim=-1)
    assert torch.allclose(found, wanted, atol=SAME)
    assert bool((found > 0).all())
