"""Match names against globs, which are the patterns in allowlists and in the person's commands.

Always: the functions are pure. Matching takes linear memory and, for every pattern, at most len(pattern) times
len(name) steps.
"""

import re

_GLOB = re.compile(r"[A-Za-z0-9_.*?-]{1,128}", re.ASCII)


def is_glob(pattern: str) -> bool:
    """Whether `pattern` is a valid glob: only `*`, `?` and characters that are allowed in names.

    `*` matches any number of characters, even none. `?` matches exactly one character.
    """
    return _GLOB.fullmatch(pattern) is not None


def is_wild(pattern: str) -> bool:
    """Whether a glob has wildcards, so it can match more than one name."""
    return "*" in pattern or "?" in pattern


def glob_covers(pattern: str, other: str) -> bool:
    """Whether `pattern` matches every name that `other` matches. Also False if a simple check cannot decide."""
    return pattern == other or (not ("?" in pattern and "*" in other) and glob_match(pattern, other))


def glob_match(pattern: str, name: str) -> bool:
    """Whether the glob matches the whole name. Matching is case-sensitive.

    After a mismatch, matching goes back only to the last `*`, so it takes at most len(pattern) times len(name) steps.
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
