"""Several processes that train one model, started by ``torchrun`` or ``accelerate launch``.

Every process holds the whole model and all of the data. The batches of an update are dealt out in turn, and
the gradients of all are added up:

    process p of P takes batches p, p + P, p + 2 P, ...      gradient = sum over processes of their gradients

The sum is divided by the number of groups of the whole update, as in one process, so that a group weighs the
same wherever it was computed, and an update is what its options say, however many processes there are. What
is told to the others is JSON or plain numbers; nothing is a pickle. The first process alone writes.

Source: M. Li et al., "PyTorch Distributed", arXiv:2006.15704, for adding gradients up in buckets.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from palate.errors import ConfigError
from palate.policy._torch import Tensor, torch

__all__ = ["Processes", "join", "leave", "own_device"]

Made = TypeVar("Made")

_STARTED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = timedelta(days=1)  # the first process may draw and judge answers for hours meanwhile
_BUCKET = 1 << 24  # numbers that are added up at a time


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many this process is.

    Attributes:
        rank: Its number, from 0.
        count: How many there are; 1 is a training in one process, which exchanges nothing.
        device: Where numbers have to be, to be exchanged.
    """

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Whether this process computes the batch of this number."""
        return number % self.count == self.rank

    def everyone(self, value: Any) -> list[Any]:  # noqa: ANN401 - whatever JSON holds
        """What each process has to say, in their order; all have to call it.

        Args:
            value: Anything that JSON holds; numbers arrive to the bit.
        """
        if self.count == 1:
            return [value]
        said = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        size = torch.tensor([len(said)], device=self.device)
        sizes = [torch.zeros_like(size) for _ in range(self.count)]
        torch.distributed.all_gather(sizes, size)
        longest = int(torch.cat(sizes).max())
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(said)] = said
        heard = [torch.zeros(longest, dtype=torch.uint8, device=self.device) for _ in range(self.count)]
        torch.distributed.all_gather(heard, padded.to(self.device))
        return [
            json.loads(bytes(each[: int(length)].cpu().numpy()).decode())
            for each, length in zip(heard, sizes, strict=True)
        ]

    def agree(self, values: Mapping[str, object]) -> None:
        """See to it that all processes have the same before them.

        Args:
            values: What should be the same, by name.

        Raises:
            ConfigError: They differ; every process raises it.
        """
        said = self.everyone({name: str(value) for name, value in values.items()})
        wrong = sorted({name for one in said for name in one if one[name] != said[0].get(name)})
        if wrong:
            name = wrong[0]
            raise ConfigError(
                f"the {self.count} processes do not train the same: {name} is "
                f"{[one.get(name) for one in said]}; start all with one command, on the same files, in a "
                "folder that all of them see"
            )

    def add(self, weights: Sequence[Tensor]) -> None:
        """Add up the gradients of all processes; a weight without one in all of them keeps none."""
        if self.count == 1:
            return
        has_W = torch.tensor([w.grad is not None for w in weights], dtype=torch.int32, device=self.device)
        torch.distributed.all_reduce(has_W)
        bucket: list[Tensor] = []
        for weight, has in zip(weights, has_W.tolist(), strict=True):
            if has:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                bucket.append(weight.grad)
            if sum(gradient.numel() for gradient in bucket) >= _BUCKET:
                self._add(bucket)
                bucket = []
        if bucket:
            self._add(bucket)

    def take_from_first(self, weights: Sequence[Tensor]) -> None:
        """Give all processes the first one's weights, so that rounding in the start cannot differ."""
        if self.count == 1:
            return
        with torch.no_grad():
            for weight in weights:
                sent = weight.detach().to(self.device).contiguous()
                torch.distributed.broadcast(sent, 0)
                weight.copy_(sent)

    def wait(self) -> None:
        """Until every process is here, such as after the first one has written."""
        self.everyone(None)

    def in_turn(self, make: Callable[[], Made]) -> Made:
        """Let the first process make something on disk, and then the others, who find it there."""
        if not self.first:
            self.wait()
            return make()
        made = make()
        self.wait()
        return made

    def _add(self, bucket: Sequence[Tensor]) -> None:
        flat = torch.cat([gradient.flatten() for gradient in bucket]).to(self.device)
        torch.distributed.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in bucket])
        for gradient, part in zip(bucket, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def join() -> Processes:
    """The processes that this one was started with; alone, it is the first of one.

    Joined once, further calls return the same. Somebody who has set up ``torch.distributed`` already keeps
    what they have.
    """
    distributed = torch.distributed
    if not distributed.is_available():
        return Processes()
    if not distributed.is_initialized():
        if any(name not in os.environ for name in _STARTED) or int(os.environ["WORLD_SIZE"]) == 1:
            return Processes()
        device = own_device()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    device = str(own_device()) if "nccl" in str(distributed.get_backend()) else "cpu"
    return Processes(distributed.get_rank(), distributed.get_world_size(), device)


def leave() -> None:
    """Part from the other processes, at the end of a program."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def own_device() -> torch.device:
    """The accelerator of this process, or the processor where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
