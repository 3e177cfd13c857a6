"""The reference policy: log-probabilities once a data set, kept in the run's folder; or in every batch.

A new adapter starts as nothing, so the reference is the network with its adapter off. Where all weights are
trained, it is what they were before the first update: with the cache no second model is ever held.
"""

import copy
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from palate.errors import ConfigError, InputError
from palate.extras import Foreign, require
from palate.policy._torch import Tensor, torch
from palate.policy.trainer._groups import Group
from palate.policy.trainer._layout import Batch, Layout, make_batch
from palate.policy.trainer._network import Head, Network, fingerprint
from palate.policy.trainer._processes import Processes
from palate.policy.updates import ReferenceKey, ReferenceScores

__all__ = ["Reference", "References", "choose_reference", "fill_references"]

_KEEP_EVERY = 100  # batches: an interruption costs no more than these


class Reference:
    """A frozen policy to compare with.

    Args:
        network: Which network computes.
        adapter_off: Whether its adapter is to be off.
    """

    def __init__(self, network: Network, *, adapter_off: bool = False) -> None:
        self.network = network
        self._off = adapter_off

    @classmethod
    def frozen_copy(cls, network: Network) -> "Reference":
        """A second model with the present weights."""
        model = copy.deepcopy(network.model).requires_grad_(False).eval()
        return cls(Network(model, network.dtype, network.speed))

    @property
    def head(self) -> Head | None:
        """The head, where it is another one than the policy's."""
        return None if self._off else self.network.head

    def log_probs(self, batch: Batch) -> Tensor:
        """Log pi_ref of a batch, G by K."""
        with self._running():
            return self.network.states(batch).log_probs()

    def hidden(self, layout: Layout) -> Tensor:
        """Last hidden states by flat place."""
        with self._running():
            return self.network.hidden(layout)

    def _running(self) -> AbstractContextManager[None]:
        off = self.network.without_adapter() if self._off else nullcontext()
        return _Quietly(self.network, off)


class _Quietly(AbstractContextManager[None]):
    """No gradient and no dropout; what was training goes on training afterwards."""

    def __init__(self, network: Network, off: AbstractContextManager[None]) -> None:
        self._parts = [torch.no_grad(), network.computing(), off]
        self._model = network.model

    def __enter__(self) -> None:
        self._was_training = self._model.training
        self._model.eval()
        for part in self._parts:
            part.__enter__()

    def __exit__(self, *error: object) -> None:
        for part in reversed(self._parts):
            part.__exit__(*error)  # pyright: ignore[reportArgumentType]
        self._model.train(self._was_training)


class References(NamedTuple):
    """Who computes the reference, and when.

    Attributes:
        once: Before the first update, for the data; ``None`` where nothing is computed then.
        always: In every batch; ``None`` where nothing is.
        key: What its numbers depend on.
        watching: For KL divergences during training; ``None`` where it would need a second model.
    """

    once: Reference | None
    always: Reference | None
    key: ReferenceKey
    watching: Reference | None


def choose_reference(
    network: Network,
    choice: Foreign,
    names: tuple[str, str],
    *,
    fresh: bool,
    wanted: tuple[bool, bool],
) -> References:
    """Find the cheapest way to a reference.

    Args:
        network: The policy.
        choice: ``start``, ``base``, or a model.
        names: Fingerprints of the start and of the base.
        fresh: Whether the adapter is new, so that the start is the base.
        wanted: Whether log-probabilities are wanted, and whether hidden states in every batch.

    Raises:
        ConfigError: The base was asked for, and there is no adapter; or the model is on another device.
    """
    scores, states = wanted
    cached = scores and network.speed.cached_reference
    every = states or (scores and not cached)
    if isinstance(choice, torch.nn.Module):
        other: Foreign = choice
        if other.device != network.device:
            raise ConfigError(
                f"the reference is on {other.device} and the policy on {network.device}; put both on one"
            )
        still = Reference(Network(other.requires_grad_(False), network.dtype, network.speed))
        name = fingerprint(other, adapter=True)
    elif choice not in ("start", "base"):
        raise ConfigError(f"reference must be 'start', 'base' or a model, not {choice!r}")
    elif choice == "base" and not network.adapted:
        raise ConfigError(
            "reference='base' is the model below its adapter, but there is no adapter; use 'start', or give "
            "another model"
        )
    else:
        below = fresh or choice == "base"
        still = Reference(network, adapter_off=True) if below else None
        name = names[0] if choice == "start" else names[1]
    if still is None and every:
        still = Reference.frozen_copy(network)
    key = ReferenceKey(name, "tokens", network.dtype)
    once = (still or Reference(network)) if cached else None
    return References(once, still if every else None, key, still)


def fill_references(
    reference: Reference,
    groups: Sequence[Group],
    key: ReferenceKey,
    folder: Path,
    *,
    batch: int,
    tell: Callable[[int, int], None],
    processes: Processes | None = None,
) -> list[Group]:
    """Give every group its reference's log-probabilities, from the folder or computed now.

    Batches are always the same ones, also after an interruption, so that the numbers are the same to the bit.

    Args:
        reference: What computes.
        groups: The data.
        key: What the numbers depend on.
        folder: Where they are kept.
        batch: Groups a batch.
        tell: Called with batches done and batches in all.
        processes: Which of how many this is; the batches are dealt out in turn.
    """
    processes = processes or Processes()
    if all(group.reference is not None for group in groups):
        return list(groups)
    file = folder / f"reference-{key.digest}.safetensors"
    scores = _read(file, key)
    order = sorted(groups, key=lambda group: -len(group.prompt) - sum(map(len, group.completions)))
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    unsaved = 0
    for number in range(0, len(parts), processes.count):
        own = parts[number + processes.rank] if number + processes.rank < len(parts) else []
        for names, values in processes.everyone(_computed(reference, own, scores)):
            if names:
                scores = scores.plus(names, torch.tensor(values, dtype=torch.float64))
                unsaved += 1
        done = min(number + processes.count, len(parts))
        if processes.first and unsaved and (unsaved >= _KEEP_EVERY or done == len(parts)):
            _write(file, scores)
            unsaved = 0
        tell(done, len(parts))
    processes.wait()  # the file is read again for the next data, by all in the same state
    return [replace(group, reference=tuple(scores.logp[name] for name in group.ids())) for group in groups]


def _computed(
    reference: Reference, part: Sequence[Group], scores: ReferenceScores
) -> tuple[list[str], list[float]]:
    """Identifiers and log-probabilities of a batch; none where all are known."""
    names = [name for group in part for name in group.ids()]
    if not scores.missing(names):
        return [], []
    packed = make_batch(part, reference.network.speed, reference.network.device)
    return names, reference.log_probs(packed)[packed.valid_GK].double().tolist()


def _read(file: Path, key: ReferenceKey) -> ReferenceScores:
    scores = ReferenceScores(key)
    if not file.is_file():
        return scores
    safetensors: Foreign = require("safetensors", "train", "training")
    try:
        with safetensors.safe_open(str(file), "pt") as source:
            names: list[str] = json.loads(source.metadata()["ids"])
            return scores.plus(names, source.get_tensor("logp"))
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise InputError(f"{file} cannot be read: {error}; delete it, and it is computed anew") from error


def _write(file: Path, scores: ReferenceScores) -> None:
    save = require("safetensors.torch", "train", "training").save_file
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".part-{file.name}")
    logp = torch.tensor(list(scores.logp.values()), dtype=torch.float64)
    save({"logp": logp}, str(part), metadata={"ids": json.dumps(list(scores.logp))})
    part.replace(file)
