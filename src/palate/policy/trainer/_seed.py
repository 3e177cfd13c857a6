"""Random numbers from a seed inside a block, and as they were before outside."""

import random
from collections.abc import Generator
from contextlib import contextmanager

from palate.policy._torch import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: str | int, device: torch.device) -> Generator[None]:
    """Seed torch's generators of the processor and of one accelerator; those of others are left alone.

    Args:
        seed: A number, or a text that one is drawn from.
        device: Of the network.
    """
    number = seed if isinstance(seed, int) else random.Random(seed).getrandbits(63)
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(number)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield
