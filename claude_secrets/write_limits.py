"""The person's own `policy.yml`: how often a project's agents may store.

Always: what cannot be understood denies everything; only the person's file raises a limit. The gate imports it.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from claude_secrets.errors import Code, DeniedError
from claude_secrets.policy_file import WriteLimits, read_plain
from claude_secrets.strict_yaml import Items, Mapping, Mark, Node, NotUnderstood, Text, parse

FILE: Final = "policy.yml"

RATE_LIMIT: Final = 1_000_000
"""Calls a minute, at most."""

_RATE = re.compile(r"([1-9][0-9]{0,6})/minute", re.ASCII)


_FLAGS: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def read_write_limits(config: Path) -> WriteLimits:
    """The limits that `policy.yml` in the person's configuration directory sets; 30 each where there is none.

    Raises:
        DeniedError: ALLOWLIST_INVALID, with line and column.
    """
    try:
        # Without O_NONBLOCK a named pipe in the file's place would wait for a writer.
        data = read_plain(os.open(config / FILE, os.O_RDONLY | _FLAGS))
    except FileNotFoundError:
        return WriteLimits()
    except OSError:
        raise DeniedError(
            Code.ALLOWLIST_INVALID,
            "Your policy.yml cannot be read; until it can, everything is denied.",
            f"Look at {config / FILE}.",
        ) from None
    try:
        return _parsed(data)
    except NotUnderstood as error:
        raise error.denied(FILE) from None


@lru_cache(maxsize=1)  # read at every call that stores, but parsed again only where it differs
def _parsed(data: bytes) -> WriteLimits:
    return _limits(parse(data))


def _limits(node: Node | None) -> WriteLimits:
    start = Mark(1, 1)
    file = _mapping(node, start, {"version", "default", "tools"})
    for key, wanted in (("version", "1"), ("default", "allow")):
        value = file.get(key)
        if not isinstance(value, Text) or value.value != wanted:
            raise NotUnderstood(value.mark if value else start, f'this version needs {key}: "{wanted}"')
    limits = {}
    for tool, rules in _mapping(file.get("tools"), start, {"set_secret", "input_secret"}).items():
        limits[tool] = _rate(_mapping(rules, start, {"rules"}).get("rules"), rules.mark)
    return WriteLimits(**limits)


def _rate(rules: Node | None, above: Mark) -> int:
    if not isinstance(rules, Items) or len(rules.items) != 1:
        raise NotUnderstood(rules.mark if rules else above, "this version knows one rule for a tool: rate_limit")
    mark = rules.items[0].mark
    rule = _mapping(rules.items[0], mark, {"name", "rate_limit"})
    if not isinstance(name := rule.get("name"), Text | None):
        raise NotUnderstood(name.mark, "a rule's name is text")
    rate = rule.get("rate_limit")
    found = _RATE.fullmatch(rate.value) if isinstance(rate, Text) else None
    if found is None or int(found[1]) > RATE_LIMIT:
        raise NotUnderstood(
            rate.mark if rate else mark, f"rate_limit is a number up to {RATE_LIMIT} and /minute, such as 60/minute"
        )
    return int(found[1])


def _mapping(node: Node | None, above: Mark, keys: set[str]) -> dict[str, Node]:
    """The entries of `node`; where it is missing, the error names the place `above`."""
    expected = ", ".join(sorted(keys))
    if not isinstance(node, Mapping):
        raise NotUnderstood(node.mark if node else above, f"there must be a mapping with {expected}")
    for key, _ in node.entries:
        if key.value not in keys:
            raise NotUnderstood(key.mark, f"this version knows only {expected} here")
    return {key.value: value for key, value in node.entries}
