"""YAML as promptfoo reads it (the core schema of YAML 1.2), from files that nobody vouches for.

PyYAML follows YAML 1.1, in which ``no`` is false and ``2026-11-21`` a date; promptfoo's reader takes both for
texts. So the safe loader is used with the resolvers of the newer schema. Aliases are allowed, because people
share settings with them, but what they expand to is counted before anything is built.
"""

import re
from collections.abc import Mapping

from palate.errors import InputError
from palate.extras import Foreign, require
from palate.types import Json

__all__ = ["parse_yaml"]

MAX_NODES = 100_000
"""Values that a file may hold once its aliases are written out."""

_TAG = "tag:yaml.org,2002:"
_CORE = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
)


def parse_yaml(text: str, *, source: str) -> Json:
    """Read one YAML document; JSON is YAML too.

    Args:
        text: The document.
        source: What to call it in an error.

    Returns:
        Texts, numbers, booleans, ``None``, lists, and mappings whose keys are texts.

    Raises:
        InputError: It is not YAML, holds several documents, an unknown tag, a key twice or a value that JSON
            does not know, is nested too deeply, or expands to more than :data:`MAX_NODES` values.
        MissingExtraError: PyYAML is not installed.
    """
    yaml = require("yaml", "promptfoo", "reading YAML")
    try:
        loader = _loader(yaml)(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, set(), source)
        return _plain(loader.construct_document(node), source)
    except RecursionError as error:
        raise InputError(f"{source} is nested too deeply") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{source} is not YAML that can be read safely: {reason}") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{source} holds a number that cannot be read: {error}") from error


def _loader(yaml: Foreign) -> Foreign:
    class Core(yaml.SafeLoader):
        yaml_implicit_resolvers: Mapping[str, Foreign] = {}

    for name, pattern, first in _CORE:
        Core.add_implicit_resolver(_TAG + name, re.compile(f"^(?:{pattern})$"), first)
    Core.add_constructor(_TAG + "int", _integer)
    return Core


def _integer(loader: object, node: Foreign) -> int:
    del loader
    text: str = node.value
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _measure(node: Foreign, sizes: dict[int, int], above: set[int], source: str) -> int:
    """Count what a node expands to, aliases written out; also finds cycles and keys that stand twice."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    if id(node) in above:
        raise InputError(f"{source} has an alias that contains itself; write it out")
    above.add(id(node))
    size = 1
    if node.id == "mapping":
        _check_keys(node, source)
    if node.id != "scalar":
        for child in node.value:
            one = child[-1] if isinstance(child, tuple) else child
            if one.id == "scalar" and one.tag == _TAG + "merge":
                one.tag = _TAG + "str"  # only a key can ask for a merge
            size += len(child) - 1 if isinstance(child, tuple) else 0
            size += _measure(one, sizes, above, source)
    if size > MAX_NODES:
        raise InputError(
            f"{source} expands to more than {MAX_NODES:,} values; give fewer aliases, or a smaller file"
        )
    above.discard(id(node))
    sizes[id(node)] = size
    return size


def _check_keys(node: Foreign, source: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.id != "scalar":
            raise InputError(f"{source}, line {key.start_mark.line + 1}: a key must be a text")
        if key.tag == _TAG + "merge":
            continue
        if key.value in seen:
            raise InputError(f"{source}, line {key.start_mark.line + 1}: the key {key.value!r} stands twice")
        seen.add(key.value)
        key.tag = _TAG + "str"  # in JavaScript every key is a text; in Python 1 and true would be one key


def _plain(value: object, source: str) -> Json:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return [_plain(entry, source) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(entry, source) for key, entry in value.items()}
    kind = type(value).__name__
    raise InputError(f"{source} holds a {kind}; only texts, numbers, lists and mappings are read")
