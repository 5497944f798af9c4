"""Where values stand in bytes that come in pieces: the line, and whose value it is. Never the value.

Always: pure; memory holds a piece and what may go on in the next one, however long the whole is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from claude_secrets.redaction import Finder


@dataclass(frozen=True, slots=True, order=True)
class Leak:
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


def _with_end(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    for piece in pieces:
        yield piece, False
    yield b"", True
