"""What happens to a study when it is opened: permission for what it runs, and what it starts with."""

from collections.abc import Callable, Mapping
from typing import Any

from palate.assembly import Parts
from palate.config import StudyConfig, commands_of
from palate.errors import ConfigError, ConflictError
from palate.store import (
    EventKind,
    GoldDuel,
    Store,
    StudyState,
    candidates_payload,
    gold_payload,
    inputs_payload,
)
from palate.types import Input, Json, Response

__all__ = ["created", "permit", "register", "settings_today"]

_TRIES = 10


def register(store: Store, state: StudyState, parts: Parts) -> None:
    """Write what a study starts with, once; one that was killed in between goes on from there.

    Several processes may do so at the same moment: what one of them wrote is not written again.

    Args:
        store: Of the study.
        state: Is in step with the store afterwards.
        parts: Of the study.
    """
    for left in reversed(range(_TRIES)):
        state.follow(store)
        lacking = _lacking(store, state, parts)
        try:
            if lacking:
                store.append_many(lacking, basis=state.seq)
                state.follow(store)
            return
        except ConflictError:  # another process was faster
            if not left:
                raise


def _lacking(
    store: Store, state: StudyState, parts: Parts
) -> list[tuple[EventKind | str, Mapping[str, Json]]]:
    found: list[tuple[EventKind | str, Mapping[str, Json]]] = []
    if not state.settings:
        found.append((EventKind.STUDY_CREATED, created(parts.settings, parts.guidelines)))
    inputs = [item for item in parts.inputs if item.id not in state.inputs]
    if inputs:
        found.append((EventKind.INPUTS_ADDED, inputs_payload(inputs)))
    gold = [
        GoldDuel(
            pair.id,
            Input(pair.id, pair.input),
            store.put_response(f"{pair.id}-better", Response("text", pair.better)),
            store.put_response(f"{pair.id}-worse", Response("text", pair.worse)),
        )
        for pair in parts.gold
        if pair.id not in state.gold
    ]
    if gold:
        found.append((EventKind.GOLD_ADDED, gold_payload(gold)))
    known = {**state.candidates, **state.withdrawn}
    own = [candidate for candidate in parts.own if candidate.id not in known]
    if own:
        found.append((EventKind.CANDIDATES_ADDED, candidates_payload(own)))
    return found


def permit(config: StudyConfig, allow: Callable[[str], bool] | None) -> None:
    """Make sure that a person agreed to what the study file runs on this machine."""
    command = commands_of(config)
    if command and not (allow and allow(command)):
        raise ConfigError(
            f"{config.path} runs a command on this machine: {command}; if you trust it, allow it with "
            "--allow-commands (in Python: Study.open(…, allow_commands=lambda command: True))"
        )


def created(settings: Mapping[str, Json], guidelines: str) -> dict[str, Json]:
    """The payload of an event that says how the study is set up."""
    return {"config": "", "settings": dict(settings), "guidelines": guidelines}


def settings_today(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stored settings with the tables that did not exist when they were written, at their defaults."""
    try:
        return StudyConfig.from_settings(settings).settings()
    except ValueError:
        return settings
