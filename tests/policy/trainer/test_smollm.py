"""The embedded model: a step of DPO with everything saved is the step with nothing saved."""

import random
from typing import Any

import pytest
import torch

pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

from palate.models import weights_path  # noqa: E402
from palate.policy.objectives import Completions, dpo  # noqa: E402
from palate.policy.trainer import Group, Lora, Network, Speed, adapt, make_batch  # noqa: E402

LOSS, GRADIENT = 1e-4, 1e-3

pytestmark = [pytest.mark.weights, pytest.mark.slow]


def some_pairs() -> list[Group]:
    draw = random.Random(0)

    def tokens(size: int) -> tuple[int, ...]:
        return tuple(draw.randrange(100, 49_000) for _ in range(size))

    return [Group(tokens(20), (tokens(6), tokens(9))), Group(tokens(7), (tokens(8), tokens(3)))]


def step(model: Any, reference_GK: torch.Tensor, speed: Speed) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    network = Network(model, "fp32", speed)
    batch = make_batch(some_pairs(), speed, "cpu")
    with network.computing():
        logp_GK = network.states(batch).log_probs()
        loss = dpo(0.1)(Completions(logp_GK, reference_GK, batch.length_GK, None, batch.valid_GK)).mean
        loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients


@pytest.mark.parametrize("lora", [Lora(), None], ids=["lora", "full"])
def test_a_step_of_dpo_is_the_same(lora: Lora | None) -> None:
    file = weights_path()
    if file is None:
        pytest.skip("fetch the embedded model first: palate models fetch")
    from palate.models._causal import convert_gguf

    model = transformers.AutoModelForCausalLM.from_pretrained(convert_gguf(file), dtype=torch.float32)
    model = adapt(model, lora, "fp32", 0)
    reference_GK = torch.tensor([[-70.0, -95.0], [-99.0, -30.0]])
    saved, mine = step(model, reference_GK, Speed())
    plain, theirs = step(model, reference_GK, Speed(False, False, False, False))
    assert saved == pytest.approx(plain, abs=LOSS)
    assert mine.keys() == theirs.keys()
    for name, wanted in theirs.items():
        assert torch.allclose(mine[name], wanted, atol=GRADIENT, rtol=GRADIENT), name
    assert max(float(gradient.abs().max()) for gradient in theirs.values()) > 10 * GRADIENT
