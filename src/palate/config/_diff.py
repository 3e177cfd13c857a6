"""How two sets of settings differ, as lines for a person."""

from collections.abc import Mapping

__all__ = ["diff"]

_WIDTH = 70


def diff(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Say what changed between two results of :meth:`StudyConfig.settings`.

    Returns:
        One line a changed key, in the order of the study file, such as
        ``"[study] candidates: 30 → 60"``; an empty list when nothing changed.
    """
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {_change(before.get(key), after.get(key))}"
        for key in dict.fromkeys((*after, *before))
        if before.get(key) != after.get(key)
    ]


def _flat(settings: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for table, keys in settings.items():
        if isinstance(keys, Mapping):
            flat.update({f"[{table}] {key}": _plain(value) for key, value in keys.items()})
        elif keys is not None:
            flat[f"[{table}]"] = _plain(keys)
    return flat


def _plain(value: object) -> object:
    # JSON from the database has lists where live settings have tuples.
    return list(value) if isinstance(value, tuple) else value


def _change(old: object, new: object) -> str:
    if isinstance(old, list) and isinstance(new, list):
        gone = sum(entry not in new for entry in old)
        come = sum(entry not in old for entry in new)
        what = f"{come} added, {gone} removed" if come or gone else "in another order"
        return f"{len(old)} → {len(new)} entries ({what})"
    if isinstance(old, str) and isinstance(new, str):
        start = _common(old, new)
        return f"{_shown(old, start)} → {_shown(new, start)}"
    return f"{_shown(old)} → {_shown(new)}"


def _common(old: str, new: str) -> int:
    """Where two long texts begin to differ, so that what is shown of them differs too."""
    if max(len(old), len(new)) <= _WIDTH:
        return 0
    same = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    return max(0, same - 20)


def _shown(value: object, start: int = 0) -> str:
    if value is None:
        return "not set"
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    part = value[start : start + _WIDTH]
    end = "…" if start + _WIDTH < len(value) else ""
    return repr(("…" if start else "") + part + end)
