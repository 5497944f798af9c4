"""Globs: the patterns of the allowlist and of the person's commands.

Always: pure. Matching takes linear memory, and at most len(pattern) times len(name) steps for any pattern.
"""

import re

_GLOB = re.compile(r"[A-Za-z0-9_.*?-]{1,128}", re.ASCII)


def is_glob(pattern: str) -> bool:
    """Whether `pattern` has only characters of a name, `*` (any run, even an empty one) and `?` (one character)."""
    return _GLOB.fullmatch(pattern) is not None


def is_wild(pattern: str) -> bool:
    """Whether a glob covers more than one name."""
    return "*" in pattern or "?" in pattern


def glob_covers(pattern: str, other: str) -> bool:
    """Whether a glob covers every name that another glob covers; False if a simple check cannot tell."""
    return pattern == other or (not ("?" in pattern and "*" in other) and glob_match(pattern, other))


def glob_match(pattern: str, name: str) -> bool:
    """Whether the glob matches the whole of `name`; case-sensitive.

    Two pointers go back to the last `*` and no further: at most len(pattern) times len(name) steps.
    """
    if not is_wild(pattern):
        return pattern == name
    at = position = 0
    star, resume = -1, 0
    while position < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[position]):
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return all(rest == "*" for rest in pattern[at:])
