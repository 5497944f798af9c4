"""Searching texts for regular expressions (RE2) and for many byte strings at once, in linear time.

Always: pure; a pattern that cannot be used is refused without being repeated.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from time import monotonic
from typing import Any

from claude_secrets.errors import CallerError, Code

SEARCH_LIMIT = 1000
"""Characters in a search pattern, at most."""

_OF_LINES = re.compile(r"\\[ACzZ]|\(\?(?!:)")
"""What in a pattern means the beginning or end of all the text, changes what they mean, or takes any byte."""

_BLOCK = 100
"""Names that are searched in one scan."""

_SEARCH_MEMORY = 1 << 18
"""Bytes that one search may take, at most."""

_QUICK = 20_000
"""For so many byte strings the quickest automaton takes a quarter of a gigabyte."""

_MANY = 1000
_PIECE = 1 << 20
"""Bytes that are searched at once: places of all that is found are held in memory."""

_SEARCH_SECONDS = 1.0
"""How long one search may take."""


class Search:
    """A search: an RE2 pattern, found anywhere in a text; upper and lower case alike, unless told.

    Raises:
        CallerError: INVALID_PATTERN where it is too long, or not RE2 (which has no back-references or look-around).
    """

    def __init__(self, pattern: str, *, case_sensitive: bool = False) -> None:
        self._pattern = _compiled(pattern, case_sensitive=case_sensitive)
        self._clock = _Clock()

    def matches(self, text: str) -> bool:
        """Whether the pattern is found in a text.

        Raises:
            CallerError: INVALID_PATTERN where all that was searched so far took too long.
        """
        with self._clock.counting():
            return self._pattern.search(text.encode("utf-8", "surrogatepass")) is not None


class NameSearch:
    """A `Search` in many secrets' names: one scan over all of them, a line each, in place of one for each.

    Where the pattern itself says what a line is or where the text begins, each name is searched by itself.
    """

    def __init__(self, pattern: str) -> None:
        self._each = Search(pattern) if _OF_LINES.search(pattern) else None
        self._lines = None if self._each else _compiled(pattern, by_line=True)
        self._clock = _Clock()

    def among(self, names: Sequence[str]) -> list[str]:
        """Those of the names in which the pattern is found.

        Raises:
            CallerError: as `Search.matches`.
        """
        if self._each is not None:
            return [name for name in names if self._each.matches(name)]
        matching = list[str]()
        for start in range(0, len(names), _BLOCK):  # so that time is looked at between them
            block = names[start : start + _BLOCK]
            with self._clock.counting():
                matching += [block[line] for line in _lines_with(self._lines, block)]
        return matching


class _Clock:
    """How long one pattern was searched for: in linear time, too, one can be slow."""

    def __init__(self) -> None:
        self._taken = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what the block takes. Raises `CallerError` INVALID_PATTERN where all of it is too long."""
        began = monotonic()
        yield
        self._taken += monotonic() - began
        if self._taken > _SEARCH_SECONDS:
            raise CallerError(Code.INVALID_PATTERN, "Searching for this pattern takes too long; use a simpler one.")


def _compiled(pattern: str, *, case_sensitive: bool = False, by_line: bool = False) -> Any:
    import re2

    if len(pattern) > SEARCH_LIMIT:
        raise CallerError(Code.INVALID_PATTERN, f"The pattern has more than {SEARCH_LIMIT} characters.")
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.log_errors = False
    options.max_mem = _SEARCH_MEMORY
    options.never_capture = True
    options.never_nl = by_line
    re2.purge()  # it would keep the last 128 patterns of an agent, and what their matching took
    try:
        return re2.compile(f"(?m){pattern}" if by_line else pattern, options)
    except (re2.error, UnicodeEncodeError):
        raise CallerError(
            Code.INVALID_PATTERN,
            "The pattern is not a regular expression that RE2 knows.",
            "RE2 has no look-around and no back-references: https://github.com/google/re2/wiki/Syntax",
        ) from None


def _lines_with(pattern: Any, names: Sequence[str]) -> Iterator[int]:
    """The numbers of the names in which a pattern is found that does not match line breaks."""
    text = "\n".join(names).encode("ascii")
    ends = list(accumulate(len(name) + 1 for name in names))
    at = 0
    while at < ends[-1] and (hit := pattern.search(text, at)) is not None:
        line = bisect_right(ends, hit.start())
        yield line
        at = ends[line]


class ByteSearch:
    """Finds where any of some patterns (RE2, in bytes, none of which is empty) is in a text."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.never_capture = True
        self._pattern = re2.compile(b"|".join(patterns), options)

    def places(self, text: bytes) -> Iterator[int]:
        """Where matches begin that do not overlap."""
        match = self._pattern.search(text)
        while match is not None:
            yield int(match.start())
            match = self._pattern.search(text, match.end())


class ByteStrings:
    """Finds where any of many byte strings stand, by Aho and Corasick's automaton (1975)."""

    def __init__(self, strings: Iterable[bytes]) -> None:
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        self._strings = list(dict.fromkeys(strings))
        self._longest = max(map(len, self._strings), default=0)
        quick = Implementation.DFA if len(self._strings) < _QUICK else None
        self._automaton = BytesAhoCorasick(self._strings, implementation=quick)

    def within(self, text: bytes) -> set[bytes]:
        """Those that stand in the text."""
        present = set[bytes]()
        for _, piece in self._pieces(text):
            places = self._automaton.find_matches_as_indexes(piece)
            if len(places) > _MANY:  # all places of all of them would be far more
                present.update(string for string in self._strings if string in piece)
            elif places:
                places = self._automaton.find_matches_as_indexes(piece, overlapping=True)
                present.update(self._strings[number] for number, _, _ in places)
        return present

    def places(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Each place where one of them begins, and which."""
        for at, piece in self._pieces(text):
            for number, start, _ in self._automaton.find_matches_as_indexes(piece, overlapping=True):
                if start < _PIECE:
                    yield at + start, self._strings[number]

    def _pieces(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Where each piece of the text begins, and it with what a string that begins in it can take up after it."""
        for at in range(0, len(text) if self._strings else 0, _PIECE):
            yield at, text[at : at + _PIECE + self._longest - 1] if len(text) > _PIECE else text
