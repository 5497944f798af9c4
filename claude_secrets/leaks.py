"""Where values stand in bytes that come in pieces: the line, and whose value it is. Never the value.

Always: pure; memory holds a piece and what may go on in the next one, however long the whole is.
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from claude_secrets.redaction import Finder, Redactor


class Leak(NamedTuple):
    """A value of the secret `name` that begins on `line` (counted from 1)."""

    line: int
    name: str


def leaks_in(finder: Finder, pieces: Iterable[bytes]) -> Iterator[Leak]:
    """All leaks in a text, in order; of several of one secret on a line the first."""
    held, line, before = b"", 1, None
    last: Leak | None = None
    for piece, final in _with_end(pieces):
        held += piece
        found, known = finder.find(held, before=before, final=final)
        at = 0
        for one in found:
            if one.start >= known:
                break
            line += held.count(b"\n", at, one.start)
            at = one.start
            leak = Leak(line, one.name)
            if leak != last:
                yield leak
            last = leak
        line += held.count(b"\n", at, known)
        if known:
            before = held[known - 1]
        held = held[known:]


def as_utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a text; one that begins as UTF-16 does (as PowerShell writes) in UTF-8."""
    rest = iter(pieces)
    first = next(rest, b"")
    if not first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield first
        yield from rest
        return
    decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    for piece in chain([first], rest):
        yield decoder.decode(piece).encode()


def leaks_in_names(finder: Finder, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Which of many names hold a value, each up to the value's end, and whose value it is."""
    rows = [name.replace("\n", " ").encode("utf-8", "surrogateescape") for name in names]
    # A NUL, for an encoded value may go on after a line break.
    for line in sorted({leak.line for leak in leaks_in(finder, [b"\0\n".join(rows)])}):
        row = rows[line - 1]
        for one in finder.find(row, before=None, final=True)[0]:
            yield row[: one.end].decode("utf-8", "replace"), one.name


def redacted(finder: Finder, text: str) -> str:
    """A path or another word, as it may be shown: with references in place of values."""
    redactor = Redactor(finder)
    data = redactor.feed(text.encode("utf-8", "surrogateescape")) + redactor.finish()
    return data.decode("utf-8", "replace")


def _with_end(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    for piece in pieces:
        yield piece, False
    yield b"", True
