"""Write Python values as TOML, and compare parsed values."""

import json
import math
import re
import tomllib
from collections.abc import Sequence
from typing import Final

from claude_secrets.clients.text import DEPTH_LIMIT, unwritable
from claude_secrets.clients.toml_tree import Float

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_INT_LIMIT: Final = 2**63


def dump(value: object, depth: int = 0) -> str:
    """Return the value on one line. Raises CallerError if TOML cannot hold the value."""
    if depth > DEPTH_LIMIT:
        raise unwritable()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and -_INT_LIMIT <= value < _INT_LIMIT:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(dump(one, depth + 1) for one in value)}]"
    if isinstance(value, dict):
        members = ", ".join(f"{dump_key([key])} = {dump(one, depth + 1)}" for key, one in value.items())
        return f"{{ {members} }}" if members else "{}"
    raise unwritable()


def dump_key(path: Sequence[object]) -> str:
    """Return a dotted key. Raises CallerError if TOML cannot hold one of its names."""
    return ".".join(key if isinstance(key, str) and _BARE.fullmatch(key) else _text(key) for key in path)


def _text(value: object) -> str:
    if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
        raise unwritable()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def node_of(value: object) -> object:
    """Return the value as it is parsed from TOML. Raises CallerError if TOML cannot hold the value."""
    return tomllib.loads(f"value = {dump(value)}", parse_float=Float)["value"]


def plain(node: object) -> object:
    """Return a parsed value as Python's own types."""
    if isinstance(node, Float):
        return float(node.spelling)
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return node


def same(one: object, other: object) -> bool:
    """Return whether two parsed values are equal and of the same types. The order of keys does not count."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)
