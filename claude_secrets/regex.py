"""Search texts for regular expressions (RE2) and for many byte strings at once, in linear time.

Always: this module does no input or output. The error for an invalid or slow pattern does not repeat the pattern.
"""

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from time import monotonic
from typing import Any

from claude_secrets.errors import CallerError, Code, SecretsError

SEARCH_LIMIT = 1000
"""The most characters in a search pattern."""

_OF_LINES = re.compile(r"\\[ACzZ]|\(\?(?!:)")
"""The parts of a pattern that match the text's start or end, that set flags, or that match any byte."""

_BLOCK = 100
"""The number of names that are searched at once."""

_SEARCH_MEMORY = 1 << 18
"""The most bytes of memory that one search may use."""

_QUICK = 20_000
"""With this many byte strings the fastest automaton takes a quarter of a gigabyte, so another automaton is used."""

_MANY = 1000
_PIECE = 1 << 20
"""The number of bytes that are searched at once.

The number is limited because all matches of one search are in memory.
"""

_SEARCH_SECONDS = 1.0
"""The most seconds that one search may take."""


class MissingEngineError(SecretsError):
    """The package google-re2 is not installed or cannot be loaded, for example because it has no wheel for the system.

    A policy with a regular expression is then invalid, so everything is denied. Without redaction, nothing is run.
    """

    def __init__(self) -> None:
        super().__init__(
            Code.INVALID_PATTERN,
            "Patterns and redaction need the Python package google-re2, which is missing or cannot be loaded.",
            f"Install it for the Python that runs Claude Secrets: {sys.executable} -m pip install google-re2",
        )


class Search:
    """Searches texts for an RE2 pattern. The search ignores case unless `case_sensitive` is set.

    Raises:
        CallerError: INVALID_PATTERN if the pattern is too long, or is not valid RE2 (RE2 has no back-references or
            look-around).
        MissingEngineError: RE2 is not installed.
    """

    def __init__(self, pattern: str, *, case_sensitive: bool = False) -> None:
        self._pattern = _compiled(pattern, case_sensitive=case_sensitive)
        self._clock = _Clock()

    def matches(self, text: str) -> bool:
        """Whether a text contains a match of the pattern.

        Raises:
            CallerError: INVALID_PATTERN if all searches of this object together took too long.
        """
        with self._clock.counting():
            return self._pattern.search(text.encode("utf-8", "surrogatepass")) is not None


class NameSearch:
    """Searches many secrets' names for one pattern. For speed, many names are searched at once, as lines of one text.

    If a pattern contains flags or matches the start or end of the whole text, each name is searched separately.
    """

    def __init__(self, pattern: str) -> None:
        self._each = Search(pattern) if _OF_LINES.search(pattern) else None
        self._lines = None if self._each else _compiled(pattern, by_line=True)
        self._clock = _Clock()

    def among(self, names: Sequence[str]) -> list[str]:
        """Return the names that contain a match of the pattern.

        Raises:
            CallerError: the same errors as `Search.matches`.
        """
        if self._each is not None:
            return [name for name in names if self._each.matches(name)]
        matching = list[str]()
        for start in range(0, len(names), _BLOCK):  # in blocks, so that the time is checked after each block
            block = names[start : start + _BLOCK]
            with self._clock.counting():
                matching += [block[line] for line in _lines_with(self._lines, block)]
        return matching


class _Clock:
    """Limits the total time of the searches for one pattern, because even a search in linear time can be slow."""

    def __init__(self) -> None:
        self._taken = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Add the time that the `with` block takes. Raises `CallerError` INVALID_PATTERN if the total is too long."""
        began = monotonic()
        yield
        self._taken += monotonic() - began
        if self._taken > _SEARCH_SECONDS:
            raise CallerError(Code.INVALID_PATTERN, "Searching for this pattern takes too long; use a simpler pattern.")


def _engine() -> Any:
    """Return the module `re2`. Raises `MissingEngineError`."""
    try:
        import re2
    except ImportError:
        raise MissingEngineError from None
    return re2


def _compiled(pattern: str, *, case_sensitive: bool = False, by_line: bool = False) -> Any:
    re2 = _engine()
    if len(pattern) > SEARCH_LIMIT:
        raise CallerError(Code.INVALID_PATTERN, f"The pattern has more than {SEARCH_LIMIT} characters.")
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.log_errors = False
    options.max_mem = _SEARCH_MEMORY
    options.never_capture = True
    options.never_nl = by_line
    re2.purge()  # the cache would keep an agent's last 128 patterns and the memory that they use
    try:
        return re2.compile(f"(?m){pattern}" if by_line else pattern, options)
    except (re2.error, UnicodeEncodeError):
        raise CallerError(
            Code.INVALID_PATTERN,
            "The pattern is not a valid RE2 regular expression.",
            "RE2 has no look-around and no back-references: https://github.com/google/re2/wiki/Syntax",
        ) from None


def _lines_with(pattern: Any, names: Sequence[str]) -> Iterator[int]:
    """Yield the index of each name that contains a match. The pattern must not match line breaks."""
    text = "\n".join(names).encode("ascii")
    ends = list(accumulate(len(name) + 1 for name in names))
    at = 0
    while at < ends[-1] and (hit := pattern.search(text, at)) is not None:
        line = bisect_right(ends, hit.start())
        yield line
        at = ends[line]


class ByteSearch:
    """Finds the positions of matches of several byte patterns (RE2) in a text.

    No pattern may match the empty string. Raises `MissingEngineError` if RE2 is not installed.
    """

    def __init__(self, patterns: Iterable[bytes]) -> None:
        re2 = _engine()
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.never_capture = True
        self._pattern = re2.compile(b"|".join(patterns), options)

    def places(self, text: bytes) -> Iterator[int]:
        """Yield the position at which each match starts. Matches do not overlap."""
        match = self._pattern.search(text)
        while match is not None:
            yield int(match.start())
            match = self._pattern.search(text, match.end())


class ByteStrings:
    """Finds the positions of many byte strings in a text, with the automaton of Aho and Corasick (1975)."""

    def __init__(self, strings: Iterable[bytes]) -> None:
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        self._strings = list(dict.fromkeys(strings))
        self._longest = max(map(len, self._strings), default=0)
        quick = Implementation.DFA if len(self._strings) < _QUICK else None
        self._automaton = BytesAhoCorasick(self._strings, implementation=quick)

    def within(self, text: bytes) -> set[bytes]:
        """Return the byte strings that occur in the text."""
        present = set[bytes]()
        for _, piece in self._pieces(text):
            places = self._automaton.find_matches_as_indexes(piece)
            if len(places) > _MANY:  # there would be far more overlapping matches
                present.update(string for string in self._strings if string in piece)
            elif places:
                places = self._automaton.find_matches_as_indexes(piece, overlapping=True)
                present.update(self._strings[number] for number, _, _ in places)
        return present

    def places(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the position and the byte string of each occurrence, including overlapping occurrences."""
        for at, piece in self._pieces(text):
            for number, start, _ in self._automaton.find_matches_as_indexes(piece, overlapping=True):
                if start < _PIECE:
                    yield at + start, self._strings[number]

    def _pieces(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Split the text into pieces, and yield the position and the bytes of each piece.

        A piece overlaps with the next one, so that a byte string that begins in a piece also ends in it.
        """
        for at in range(0, len(text) if self._strings else 0, _PIECE):
            yield at, text[at : at + _PIECE + self._longest - 1] if len(text) > _PIECE else text
