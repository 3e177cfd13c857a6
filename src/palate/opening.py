"""What happens to a study when it is opened: permission for what it runs, and what it starts with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from palate.assembly import Parts, assemble, parts_from_python
from palate.config import GoldTexts, StudyConfig, commands_of, diff, raters_from_python
from palate.errors import ConfigError, ConflictError
from palate.store import (
    EventKind,
    GoldDuel,
    Store,
    StudyOutline,
    StudyState,
    candidates_payload,
    gold_payload,
    inputs_payload,
    is_postgres,
)
from palate.types import Input, Json, Response

__all__ = ["change_raters", "parts_of", "permit", "register"]

_TRIES = 10

_New: TypeAlias = tuple[EventKind | str, Mapping[str, Json]]


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


def change_raters(
    store: Store, state: StudyState, raters: Mapping[str, object], pairs: Sequence[Mapping[str, str]]
) -> None:
    """Write the rules for several raters of a study that was made in Python, if they are others than before.

    Args:
        store: Of the study.
        state: Is in step with the store afterwards.
        raters: Keys and values of ``[raters]``.
        pairs: Entries of ``[gold] inline``.

    Raises:
        ConfigError: A value is wrong, or the study has a study file, which says all this.
        InputError: A pair lacks a text, or has the same answer twice.
    """
    table, gold = raters_from_python(raters, pairs)
    state.follow(store)
    if "python" not in state.settings:
        raise ConfigError("this study has a study file; write the rules for its raters there, under [raters]")
    settings = {**state.settings, "raters": table.model_dump(mode="json")}
    lacking = (
        []
        if settings == state.settings
        else [(EventKind.CONFIG_CHANGED, _created(settings, state.guidelines))]
    )
    lacking += _lacking_gold(store, state, gold)
    if lacking:
        store.append_many(lacking, basis=state.seq)
        state.follow(store)


def _lacking(store: Store, state: StudyState, parts: Parts) -> list[_New]:
    found: list[_New] = []
    if not state.settings:
        found.append((EventKind.STUDY_CREATED, _created(parts.settings, parts.guidelines)))
    inputs = [item for item in parts.inputs if item.id not in state.inputs]
    if inputs:
        found.append((EventKind.INPUTS_ADDED, inputs_payload(inputs)))
    found += _lacking_gold(store, state, parts.gold)
    known = {**state.candidates, **state.withdrawn}
    own = [candidate for candidate in parts.own if candidate.id not in known]
    if own:
        found.append((EventKind.CANDIDATES_ADDED, candidates_payload(own)))
    return found


def _lacking_gold(store: Store, state: StudyState, pairs: Iterable[GoldTexts]) -> list[_New]:
    gold = [
        GoldDuel(
            pair.id,
            Input(pair.id, pair.input),
            store.put_response(f"{pair.id}-better", Response("text", pair.better)),
            store.put_response(f"{pair.id}-worse", Response("text", pair.worse)),
        )
        for pair in pairs
        if pair.id not in state.gold
    ]
    return [(EventKind.GOLD_ADDED, gold_payload(gold))] if gold else []


def parts_of(
    store: Store,
    path: str | Path,
    config: StudyConfig | None,
    accept_changes: Callable[[list[str]], bool] | None,
) -> Parts:
    """The parts of a study that exists, or that a study file begins.

    Args:
        store: Of the study.
        path: What the study was opened by.
        config: Its study file, if it was opened by that.
        accept_changes: Asked when the file differs from what the study was made with.

    Raises:
        ConfigError: The file differs, and that was not accepted.
    """
    state = StudyOutline(store)
    state.follow()
    if config is not None:
        changes = diff(_settings_today(state.settings), config.settings()) if state.settings else []
        if changes and not (accept_changes and accept_changes(changes)):
            raise ConfigError(
                f"{path} differs from the study in {store.place}: {'; '.join(changes)}; "
                "accept the changes (--yes), undo them, or name another [study] database"
            )
        if changes:
            store.append(EventKind.CONFIG_CHANGED, _created(config.settings(), config.study.guidelines))
        return assemble(config, store)
    if not state.settings or "python" in state.settings:
        return parts_from_python(store, state.settings)
    beside = Path("study.toml") if is_postgres(path) else Path(path)
    return assemble(StudyConfig.from_settings(state.settings, path=beside), store, reading=True)


def permit(config: StudyConfig, allow: Callable[[str], bool] | None) -> None:
    """Make sure that a person agreed to what the study file runs on this machine."""
    command = commands_of(config)
    if command and not (allow and allow(command)):
        raise ConfigError(
            f"{config.path} runs a command on this machine: {command}; if you trust it, allow it with "
            "--allow-commands (in Python: Study.open(…, allow_commands=lambda command: True))"
        )


def _created(settings: Mapping[str, Json], guidelines: str) -> dict[str, Json]:
    """The payload of an event that says how the study is set up."""
    return {"config": "", "settings": dict(settings), "guidelines": guidelines}


def _settings_today(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stored settings with the tables that did not exist when they were written, at their defaults."""
    try:
        return StudyConfig.from_settings(settings).settings()
    except ValueError:
        return settings
