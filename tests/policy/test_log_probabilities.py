"""Sliced heads against whole logits: values, gradients, memory; and what a mask means."""

import pytest
import torch
from policy_kit import by_differences
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from palate.errors import ConfigError, InputError
from palate.policy import exact_kl, linear_log_probs, linear_prior_kl, sequence_log_probs

LOSS, GRADIENT = 1e-4, 1e-3  # promised in 16 bits; exact types are held to the tighter ones
SAME = {torch.float64: 1e-10, torch.float32: 2e-5}
TOKENS, VOCABULARY, WIDTH = 23, 31, 7


def some_head(
    dtype: torch.dtype, seed: int = 0, tokens: int = TOKENS
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, WIDTH, generator=draw, dtype=dtype)
    weight = torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=dtype)
    bias = torch.randn(VOCABULARY, generator=draw, dtype=dtype)
    return hidden, weight, bias, torch.randint(VOCABULARY, (tokens,), generator=draw)


def naive(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None,
    temperature: float,
    softcap: float | None,
) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return torch.log_softmax(logits / temperature, dim=1).gather(1, target[:, None])[:, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("trained", [(True, False, False), (True, True, True), (False, True, False)])
@pytest.mark.parametrize("chunk", [1, 5, 23, 100, None])
def test_values_and_gradients_are_those_of_whole_logits(
    dtype: torch.dtype, trained: tuple[bool, bool, bool], chunk: int | None
) -> None:
    hidden, weight, bias, target = some_head(dtype)
    leaves = [t.requires_grad_() for t, wanted in zip((hidden, weight, bias), trained, strict=True) if wanted]
    pull = torch.randn(TOKENS, generator=torch.Generator().manual_seed(1), dtype=dtype)
    for temperature, softcap in ((1.0, None), (0.7, None), (1.0, 2.0), (1.3, 3.0)):
        ours = linear_log_probs(
            hidden, weight, target, bias_V=bias, temperature=temperature, softcap=softcap, chunk=chunk
        )
        theirs = naive(hidden, weight, target, bias, temperature, softcap)
        assert torch.allclose(ours, theirs, atol=SAME[dtype])
        found = torch.autograd.grad((pull * ours).sum(), leaves)
        wanted = torch.autograd.grad((pull * theirs).sum(), leaves)
        for mine, yours in zip(found, wanted, strict=True):
            assert mine.dtype == yours.dtype
            assert torch.allclose(mine, yours, atol=SAME[dtype], rtol=SAME[dtype])


@pytest.mark.parametrize("trained", ["hidden", "weight", "bias"])
def test_gradients_are_those_of_differences(trained: str) -> None:
    hidden, weight, bias, target = some_head(torch.float64, tokens=4)
    inputs = {"hidden": hidden, "weight": weight, "bias": bias}

    def total(value: Tensor) -> Tensor:
        with torch.set_grad_enabled(value.requires_grad):
            given = {**inputs, trained: value}
            found = linear_log_probs(given["hidden"], given["weight"], target, bias_V=given["bias"], chunk=3)
            return (found * torch.arange(1.0, 5.0)).sum()

    leaf = inputs[trained].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(leaf), leaf)
    assert torch.allclose(gradient, by_differences(total, inputs[trained]), atol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_sixteen_bits_stay_within_what_is_promised(frozen: bool) -> None:
    hidden, weight, _, target = some_head(torch.bfloat16)
    weight.requires_grad_(not frozen)
    leaves = [hidden.requires_grad_()] + ([] if frozen else [weight])
    ours = linear_log_probs(hidden, weight, target, chunk=5)
    theirs = torch.log_softmax((hidden @ weight.T).float(), dim=1).gather(1, target[:, None])[:, 0]
    assert ours.dtype == torch.float32
    assert abs(float((ours.mean() - theirs.mean()).detach())) < LOSS
    for mine, yours in zip(
        torch.autograd.grad(ours.mean(), leaves), torch.autograd.grad(theirs.mean(), leaves), strict=True
    ):
        assert mine.dtype == torch.bfloat16
        assert float((mine - yours).abs().max()) < GRADIENT


def test_automatic_casting_is_followed_and_gradients_keep_their_type() -> None:
    hidden, weight, _, target = some_head(torch.float32)
    weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_log_probs(hidden, weight, target)
    rounded = linear_log_probs(hidden.bfloat16(), weight.bfloat16(), target)
    assert torch.equal(found, rounded)
    (gradient,) = torch.autograd.grad(found.sum(), weight)
    assert gradient.dtype == torch.float32


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # pyright: ignore  # noqa: ANN
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple | list) else (result,):
            if isinstance(made, Tensor):
                self.numbers = max(self.numbers, made.numel())
        return result


@pytest.mark.parametrize("frozen", [True, False])
def test_nothing_of_the_size_of_tokens_times_vocabulary_is_made(frozen: bool) -> None:
    tokens, vocabulary, width, chunk = 512, 2000, 16, 32
    hidden = torch.randn(tokens, width, requires_grad=True)
    weight = torch.randn(vocabulary, width, requires_grad=not frozen)
    target = torch.randint(vocabulary, (tokens,))
    sizes = []
    for function in (
        lambda: linear_log_probs(hidden, weight, target, chunk=chunk).sum(),
        lambda: linear_prior_kl(hidden, weight, hidden.detach() + 0.1, chunk=chunk).sum(),
        lambda: naive(hidden, weight, target, None, 1.0, None).sum(),
    ):
        with Largest() as seen:
            function().backward()
        sizes.append(seen.numbers)
    assert sizes == [chunk * vocabulary, chunk * vocabulary, tokens * vocabulary]


def test_a_mask_marks_tokens_not_the_positions_that_predict_them() -> None:
    """One published implementation measures from the first completion token's own position: one too late."""
    hidden, weight, _, _ = some_head(torch.float64, tokens=12)
    hidden_BTD = hidden.reshape(2, 6, WIDTH).requires_grad_()
    ids = torch.randint(VOCABULARY, (2, 6), generator=torch.Generator().manual_seed(3))
    completion = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0]])
    scores = sequence_log_probs(hidden_BTD, weight, ids, completion)
    whole = torch.log_softmax(hidden_BTD @ weight.T, dim=-1)
    first = [whole[0, t - 1, ids[0, t]] for t in (2, 3, 4)]
    second = [whole[1, t - 1, ids[1, t]] for t in (1, 2)]
    assert scores.length_B.tolist() == [3, 2]
    assert torch.allclose(scores.logp_B, torch.stack([sum(first), sum(second)]))  # pyright: ignore
    assert scores.token_BS[0].tolist() == pytest.approx([0.0, *(v.item() for v in first), 0.0])
    (gradient,) = torch.autograd.grad(scores.logp_B.sum(), hidden_BTD)
    used = gradient.abs().sum(dim=-1) > 0
    assert used.tolist() == [
        [False, True, True, True, False, False],
        [True, True, False, False, False, False],
    ]


def test_padding_and_prompts_do_not_go_through_the_head() -> None:
    hidden, weight, _, _ = some_head(torch.float32, tokens=40)
    hidden_BTD, ids = hidden.reshape(4, 10, WIDTH), torch.zeros(4, 10, dtype=torch.long)
    completion = torch.zeros(4, 10, dtype=torch.bool)
    completion[:, 8] = True
    with Largest() as seen:
        sequence_log_probs(hidden_BTD, weight, ids, completion)
    assert seen.numbers < 10 * VOCABULARY


def test_an_empty_completion_has_no_tokens_and_no_gradient() -> None:
    hidden, weight, _, _ = some_head(torch.float32, tokens=6)
    hidden_BTD = hidden.reshape(1, 6, WIDTH).requires_grad_()
    scores = sequence_log_probs(
        hidden_BTD, weight, torch.zeros(1, 6, dtype=torch.long), torch.zeros(1, 6, dtype=torch.bool)
    )
    assert (scores.logp_B.tolist(), scores.length_B.tolist()) == ([0.0], [0])
    scores.logp_B.sum().backward()
    assert hidden_BTD.grad is not None
    assert hidden_BTD.grad.abs().sum() == 0


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_the_prior_divergence_is_exact_and_in_its_direction(frozen: bool, softcap: float | None) -> None:
    hidden, weight, _, _ = some_head(torch.float64)
    prior, prior_weight, _, _ = some_head(torch.float64, seed=5)
    hidden.requires_grad_()
    weight.requires_grad_(not frozen)

    def logp(states: Tensor, head: Tensor) -> Tensor:
        logits = states @ head.T
        return torch.log_softmax(logits if softcap is None else softcap * torch.tanh(logits / softcap), dim=1)

    ours = linear_prior_kl(hidden, weight, prior, prior_weight, softcap=softcap, chunk=5)
    policy_TV, prior_TV = logp(hidden, weight), logp(prior, prior_weight)
    assert torch.allclose(ours, exact_kl(prior_TV, policy_TV), atol=1e-10)
    assert not torch.allclose(ours, exact_kl(policy_TV, prior_TV), atol=1e-2)
    leaves = [hidden] if frozen else [hidden, weight]
    pull = torch.arange(1.0, TOKENS + 1)
    found = torch.autograd.grad((pull * ours).sum(), leaves)
    wanted = torch.autograd.grad((pull * exact_kl(prior_TV, policy_TV)).sum(), leaves)
    for mine, yours in zip(found, wanted, strict=True):
        assert torch.allclose(mine, yours, atol=1e-9)


def test_the_prior_divergence_does_not_grow_with_the_batch() -> None:
    """It is a number a token, so its mean beside a mean likelihood weighs the same in any minibatch."""
    hidden, weight, _, _ = some_head(torch.float64)
    prior, _, _, _ = some_head(torch.float64, seed=5)
    once = linear_prior_kl(hidden, weight, prior).mean()
    twice = linear_prior_kl(torch.cat([hidden] * 2), weight, torch.cat([prior] * 2)).mean()
    assert once.item() == pytest.approx(twice.item())


def test_a_prior_that_is_the_policy_has_no_divergence_and_no_gradient() -> None:
    hidden, weight, _, _ = some_head(torch.float64)
    weight.requires_grad_()
    same = linear_prior_kl(hidden, weight, hidden)
    (gradient,) = torch.autograd.grad(same.sum(), weight)
    assert float(same.detach().abs().max()) < 1e-12
    assert float(gradient.abs().max()) < 1e-12


def test_wrong_shapes_and_settings_are_refused() -> None:
    hidden, weight, _, target = some_head(torch.float32)
    for make, text in (
        (lambda: linear_log_probs(hidden, weight, target, chunk=0), "chunk must be"),
        (lambda: linear_log_probs(hidden, weight, target, temperature=0.0), "temperature must be"),
        (lambda: linear_log_probs(hidden, weight, target, softcap=-1.0), "softcap must be"),
    ):
        with pytest.raises(ConfigError, match=text):
            make()
    for make, text in (
        (lambda: linear_log_probs(hidden, weight.T, target), "vocabulary by width"),
        (lambda: linear_log_probs(hidden, weight, target[:3]), "targets do not fit"),
        (lambda: sequence_log_probs(hidden[None], weight, target[None], target[None, :3]), "must agree"),
        (lambda: linear_prior_kl(hidden, weight, hidden[:3]), "must agree"),
    ):
        with pytest.raises(InputError, match=text):
            make()
