"""Names → makers. Built-ins and plug-ins enter by the same entry points.

A plug-in package declares, say, ``[project.entry-points."palate.strategies"] mine = "package:maker"``;
``duel_bandit("mine", …)`` then works. Two packages that claim one name are refused, a plug-in that fails
to load is named in the error that it causes, and a miss lists what exists.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from palate.errors import ConfigError, NotFoundError, nearest

__all__ = ["GROUPS", "Part", "look_up", "make", "parts"]

GROUPS = ("models", "targets", "proposers", "strategies", "judges", "recipes", "domains")


class Part(NamedTuple):
    """One registered maker: its name, the package that brings it, and where it is defined."""

    name: str
    package: str
    location: str


def _one(group: str) -> str:
    """What a single part of a group is called."""
    return "strategy" if group == "strategies" else group.removesuffix("s")


@cache
def _entries(group: str) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"palate.{group}"):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise ConfigError(
                f"two installed packages register {group} {entry.name!r}: {other.value} and {entry.value}; "
                "uninstall one of them or ask its author to rename it"
            )
        found[entry.name] = entry
    return found


def parts(group: str) -> list[Part]:
    """List what is registered in a group, by name.

    Args:
        group: One of :data:`GROUPS`.

    Raises:
        NotFoundError: The group is unknown.
    """
    if group not in GROUPS:
        raise NotFoundError(f"no group of parts called {group!r}; {nearest(group, GROUPS)}")
    return [
        Part(name, entry.dist.name if entry.dist else "?", entry.value)
        for name, entry in sorted(_entries(group).items())
    ]


def look_up(group: str, name: str) -> Callable[..., Any]:
    """Find a maker.

    Raises:
        NotFoundError: No such name; the text lists the known ones and the nearest.
        ConfigError: The part is registered but its package fails to load.
    """
    if group not in GROUPS:
        raise NotFoundError(f"no group of parts called {group!r}; {nearest(group, GROUPS)}")
    entry = _entries(group).get(name)
    if entry is None:
        raise NotFoundError(f"no {_one(group)} called {name!r}; {nearest(name, _entries(group))}")
    try:
        return entry.load()
    except Exception as error:
        package = entry.dist.name if entry.dist else entry.value
        raise ConfigError(
            f"{_one(group)} {name!r} from package {package!r} failed to load: {error}"
        ) from error


def make(group: str, name: str, options: Mapping[str, Any], **context: Any) -> Any:
    """Build a part from the options that a user wrote.

    Args:
        group: One of :data:`GROUPS`.
        name: A registered name.
        options: The user's own keys; an unknown one is an error that names the nearest.
        **context: What Palate itself supplies (a model, a seed); passed on only if the maker asks for it.

    Raises:
        ConfigError: An unknown or missing option.
        NotFoundError: An unknown name.
    """
    maker = look_up(group, name)
    parameters = inspect.signature(maker).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    allowed = set(parameters) - set(context)
    for key in options:
        if not open_ended and key not in allowed:
            raise ConfigError(f"{name!r} has no option {key!r}; {nearest(key, allowed)}")
    given = {**options, **{key: value for key, value in context.items() if key in parameters}}
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and key not in given
    ]
    if missing:
        raise ConfigError(f"{name!r} needs {', '.join(map(repr, missing))}; add it to the study file")
    return maker(**given)
