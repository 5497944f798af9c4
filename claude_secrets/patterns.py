"""Matching names: globs of the allowlist and RE2 searches, both in linear time whatever the pattern.

Always: pure; a pattern that cannot be used is refused without being repeated. Only this module imports `re2`.
"""

import heapq
import re
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from claude_secrets.errors import CallerError, Code

SEARCH_LIMIT = 1000
"""Characters in a search pattern, at most."""

_GLOB = re.compile(r"[A-Za-z0-9_.*?-]{1,128}", re.ASCII)
_SEARCH_MEMORY = 1 << 18
"""Bytes that one search may take, at most."""

_BYTES_MEMORY = 256 << 20
"""Bytes that looking for one group of patterns may take, at most."""

_GROUP = 2000
"""Patterns that are looked for at once: RE2 refuses programs that are too large."""

_SEARCH_SECONDS = 1.0
"""How long one search may be at its names: in linear time, too, a pattern can be slow."""


def is_glob(pattern: str) -> bool:
    """Whether `pattern` is made of a name's characters, `*` (any run, even none) and `?` (one character)."""
    return _GLOB.fullmatch(pattern) is not None


def is_wild(pattern: str) -> bool:
    """Whether a glob covers more than one name."""
    return "*" in pattern or "?" in pattern


def glob_match(pattern: str, name: str) -> bool:
    """Whether the whole of `name` fits the glob; case-sensitive.

    Two pointers that go back to the last `*` alone: at most len(pattern) times len(name) steps.
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


class Search:
    """A search: an RE2 pattern, found anywhere in the text; upper and lower case alike, unless told.

    Raises:
        CallerError: INVALID_PATTERN where it is too long, or not RE2 (which has no back-references or look-around).
    """

    def __init__(self, pattern: str, *, case_sensitive: bool = False) -> None:
        import re2

        if len(pattern) > SEARCH_LIMIT:
            raise CallerError(Code.INVALID_PATTERN, f"The pattern has more than {SEARCH_LIMIT} characters.")
        self._taken = 0.0
        options = re2.Options()
        options.case_sensitive = case_sensitive
        options.log_errors = False
        options.max_mem = _SEARCH_MEMORY
        options.never_capture = True
        re2.purge()  # it would keep the last 128 patterns of an agent, and what their matching took
        try:
            self._pattern = re2.compile(pattern, options)
        except (re2.error, UnicodeEncodeError):
            raise CallerError(
                Code.INVALID_PATTERN,
                "The pattern is not a regular expression that RE2 knows.",
                "RE2 has no look-around and no back-references: https://github.com/google/re2/wiki/Syntax",
            ) from None

    def matches(self, name: str) -> bool:
        """Whether the pattern is found in a name or another text.

        Raises:
            CallerError: INVALID_PATTERN where all that was searched so far took too long.
        """
        began = monotonic()
        found = self._pattern.search(name) is not None
        self._taken += monotonic() - began
        if self._taken > _SEARCH_SECONDS:
            raise CallerError(Code.INVALID_PATTERN, "Searching for this pattern takes too long; use a simpler one.")
        return found


class ByteSearch:
    """Finds where any of many patterns (RE2, in bytes) begins."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.never_capture = True
        options.log_errors = False
        options.max_mem = _BYTES_MEMORY
        each = list(dict.fromkeys(patterns))
        groups = [each[at : at + _GROUP] for at in range(0, len(each), _GROUP)]
        self._patterns = [re2.compile(b"|".join(group), options) for group in groups]
        re2.purge()  # it would keep the patterns, which hold parts of values

    def starts(self, data: bytes) -> Iterator[int]:
        """Where they begin in `data`, in order."""
        last = -1
        for start in heapq.merge(*(_starts(pattern, data) for pattern in self._patterns)):
            if start != last:
                yield start
            last = start


def _starts(pattern: Any, data: bytes) -> Iterator[int]:
    found = pattern.search(data)
    while found is not None:
        yield int(found.start())
        found = pattern.search(data, found.start() + 1)


def spelled(choices: Iterable[bytes], between: bytes = b"") -> bytes:
    """A pattern of `ByteSearch` for exactly one of `choices`, with the pattern `between` between its bytes."""
    return b"(?:%s)" % b"|".join(between.join(b"\\x%02x" % byte for byte in choice) for choice in choices)
