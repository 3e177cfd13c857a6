"""Every way to save work gives the numbers of whole padded rows: losses, gradients, for ragged groups."""

from itertools import product
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")
import transformers
from trainer_kit import some_groups, tiny_model

from palate.errors import UnsupportedError
from palate.policy.objectives import Completions, exo_rw
from palate.policy.trainer import Group, LogProbabilities, Lora, Network, Speed, make_batch
from palate.policy.trainer._network import adapt
from palate.policy.trainer._reference import Reference

LOSS, GRADIENT = 1e-4, 1e-3  # promised; what is held here is tighter, rounding in 32 bits
ROUNDING = 2e-5
SIZES = (2, 1, 3, 5)
EVERY = [Speed(*choice, cached_reference=True) for choice in product((True, False), repeat=3)]


def naive(model: Any, groups: list[Group]) -> torch.Tensor:
    """Log-probability of each completion, a row at a time, from whole logits."""
    found = []
    for group in groups:
        for completion in group.completions:
            row = torch.tensor([group.prompt + completion])
            logp = torch.log_softmax(model(input_ids=row).logits[0, :-1].float(), dim=-1)
            each = logp.gather(1, row[0, 1:, None])[:, 0]
            found.append(each[len(group.prompt) - 1 :].sum())
    return torch.stack(found)


def pull(logp: torch.Tensor) -> torch.Tensor:
    """A sum with a weight of its own for each completion, so that no two can be exchanged."""
    return (logp * torch.linspace(-1, 2, len(logp))).sum()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def ours(model: Any, groups: list[Group], speed: Speed) -> torch.Tensor:
    network = Network(model, "fp32", speed)
    batch = make_batch(groups, speed, "cpu")
    with network.computing():
        logp = network.states(batch).log_probs()[batch.valid_GK]
        pull(logp).backward()
    return logp.detach()


@pytest.mark.parametrize("speed", EVERY, ids=lambda s: f"{s.shared_prompt}-{s.packed}-{s.chunked_head}")
@pytest.mark.parametrize("lora", [None, Lora(r=3)], ids=["full", "lora"])
def test_values_and_gradients_are_those_of_whole_rows(speed: Speed, lora: Lora | None) -> None:
    groups = some_groups(7, SIZES)
    model = adapt(tiny_model(), lora, "fp32", 0)
    for name, weight in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    found = ours(model, groups, speed)
    mine = gradients(model)
    model.zero_grad(set_to_none=True)
    wanted = naive(model, groups)
    pull(wanted).backward()
    theirs = gradients(model)
    assert torch.allclose(found, wanted, atol=ROUNDING * 10)
    assert set(mine) == set(theirs)
    assert len(mine) > 8
    for name in mine:
        assert torch.allclose(mine[name], theirs[name], atol=GRADIENT / 10, rtol=GRADIENT / 10), name
    assert max(float(value.abs().max()) for value in theirs.values()) > 0.1


@pytest.mark.parametrize("speed", [Speed(), Speed(packed=False)])
def test_activations_that_are_computed_again_change_nothing(speed: Speed) -> None:
    groups = some_groups(3, SIZES)
    found = []
    for again in (False, True):
        model = adapt(tiny_model(), Lora(r=3), "fp32", 0).train()
        if again:
            Network(model, "fp32", speed).checkpoint_activations()
        ours(model, groups, speed)
        found.append(gradients(model))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("speed", EVERY[:6])
def test_sliding_windows_and_other_heads(speed: Speed) -> None:
    """A window shorter than a prompt; logits that are scaled (Granite), with a bias on queries (Qwen)."""
    shared = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    shared |= {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3}
    shared |= {"pad_token_id": None, "eos_token_id": 2}
    torch.manual_seed(1)
    models = [
        transformers.MistralForCausalLM(transformers.MistralConfig(sliding_window=4, **shared)),
        transformers.GraniteForCausalLM(transformers.GraniteConfig(logits_scaling=3.0, **shared)),
        transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**shared)),
    ]
    groups = some_groups(5, SIZES, seed=4)
    for model in models:
        if speed.shared_prompt and not speed.packed and isinstance(model, transformers.MistralForCausalLM):
            with pytest.raises(UnsupportedError, match=r"sliding window.*Speed\(packed=True\)"):
                Network(model, "fp32", speed)
            continue
        found = ours(model, groups, speed)
        assert torch.allclose(found, naive(model, groups).detach(), atol=ROUNDING * 10), type(model)


def test_what_cannot_be_packed_says_what_to_do() -> None:
    model = tiny_model()
    model.get_decoder()._supports_attention_backend = False
    with pytest.raises(UnsupportedError, match=r"Speed\(packed=False"):
        ours(model, some_groups(1), Speed())


def test_packed_rows_never_run_with_another_attention() -> None:
    network = Network(tiny_model(), "fp32", Speed())
    batch = make_batch(some_groups(2), network.speed, "cpu")
    with pytest.raises(RuntimeError, match="see each other"):
        network.states(batch)


def test_a_shared_prompt_goes_through_the_network_once() -> None:
    groups = [Group((3,) * 9, tuple((5 + k,) * 4 for k in range(3))) for _ in range(2)]
    tokens = {
        (s.shared_prompt, s.packed): make_batch(groups, s, "cpu").layout.tokens
        for s in EVERY
        if s.chunked_head
    }
    assert tokens[True, True] == 2 * (9 + 3 * 4)
    assert tokens[False, True] == tokens[False, False] == 2 * 3 * (9 + 4)
    ragged = [*groups, Group((3,), ((5,),))]
    assert make_batch(ragged, Speed(), "cpu").layout.tokens == 2 * 21 + 2
    assert make_batch(ragged, Speed(packed=False), "cpu").layout.tokens == 3 * 21


def test_the_reference_below_an_adapter_is_the_model_itself() -> None:
    groups = some_groups(4, SIZES)
    before = naive(tiny_model(), groups).detach()
    model = adapt(tiny_model(), Lora(r=3), "fp32", 0)
    for name, weight in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    network = Network(model, "fp32", Speed())
    batch = make_batch(groups, network.speed, "cpu")
    found = Reference(network, adapter_off=True).log_probs(batch)[batch.valid_GK]
    assert torch.allclose(found, before, atol=ROUNDING * 10)
    assert float((naive(model, groups).detach() - before).abs().max()) > 0.1


def test_sixteen_bits_stay_near() -> None:
    groups = some_groups(5, SIZES)
    model = adapt(tiny_model(initializer_range=0.05), Lora(r=3), "bf16", 0)
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    assert {weight.dtype for weight in model.parameters() if not weight.requires_grad} == {torch.bfloat16}
    network = Network(model, "bf16", Speed())
    batch = make_batch(groups, network.speed, "cpu")
    with network.computing():
        found = network.states(batch).log_probs()[batch.valid_GK]
        pull(found).backward()
    wanted = naive(tiny_model(initializer_range=0.05), groups).detach()
    assert found.dtype == torch.float32
    assert torch.allclose(found.detach(), wanted, atol=0.05)
    assert any(float(g.abs().max()) > 0 for g in gradients(model).values())


def test_the_divergence_from_the_prior_is_a_mean_over_a_groups_tokens() -> None:
    groups = some_groups(3, (2, 1))
    model = tiny_model()
    network = Network(model, "fp32", Speed())
    batch = make_batch(groups, network.speed, "cpu")
    other = Network(tiny_model(seed=5), "fp32", Speed())
    with torch.no_grad(), network.computing(), other.computing():
        states = network.states(batch)
        states = states._replace(prior_ND=other.hidden(batch.layout), prior_head=other.head)
        scored = LogProbabilities(prior_kl=0.3)(states, None)
    assert scored.penalty_G is not None
    for g, group in enumerate(groups):
        total, count = 0.0, 0
        for completion in group.completions:
            row = torch.tensor([group.prompt + completion])
            place = slice(len(group.prompt) - 1, -1)
            with torch.no_grad():
                policy, prior = (
                    torch.log_softmax(m(input_ids=row).logits[0, place], dim=-1)
                    for m in (model, tiny_model(seed=5))
                )
            total += float((prior.exp() * (prior - policy)).sum())
            count += len(completion)
        assert float(scored.penalty_G[g]) == pytest.approx(0.3 * total / count, rel=1e-4)
    assert float(scored.metrics["prior_kl"]) == pytest.approx(float(scored.penalty_G.mean()) / 0.3)


def test_ragged_groups_are_masked_in_the_objective() -> None:
    """A group of three beside a pair gives the loss that it gives alone."""
    groups = some_groups(2, (3, 2), seed=3)
    network = Network(tiny_model(), "fp32", Speed())

    def loss(part: list[Group]) -> list[float]:
        batch = make_batch(part, network.speed, "cpu")
        with torch.no_grad(), network.computing():
            logp = network.states(batch).log_probs()
        both = Completions(logp, logp * 0.9, batch.length_GK, batch.columns["reward"], batch.valid_GK)
        return exo_rw()(both).each_G.tolist()

    assert loss(groups) == pytest.approx(loss(groups[:1]) + loss(groups[1:]), rel=1e-3)
