"""Finds leaks in bytes that come in pieces. A leak is reported as a line and a secret's name, never as the value.

Always: the module is pure. However long the text is, memory contains only one piece, and the end of the text before
it. Text with two or four bytes per character is searched twice: without decoding, which finds ASCII, and decoded.
"""

import codecs
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.redactor import Redactor

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks. Those of UTF-32 come first, because one of them begins with a mark of UTF-16."""

_CLASSES: Final = bytes(
    0 if byte == 0 else ord("a") if chr(byte) in "\t\r\n" or 0x20 <= byte < 0x7F or 0xC0 <= byte < 0xFF else 1
    for byte in range(256)
)
"""Three classes of bytes: NUL, the bytes of most texts, and all other bytes."""

_WIDE: Final = ((b"a\0" * 5 + b"a", 2, "utf-16"), (b"a\0\0\0" * 5 + b"a", 4, "utf-32"))
"""For each kind of wide characters: a pattern of byte classes, the bytes per character, and the encoding."""

_CARRIED: Final = 1 << 14
"""How many bytes at a piece's end are searched again with the next piece. Few values in wide characters are longer."""

_AROUND: Final = 1 << 12
"""How many bytes before and after wide characters are searched, too."""


class Leak(NamedTuple):
    """A value of the secret `name` that begins on `line` (counted from 1)."""

    line: int
    name: str


def leaks_in(finder: Finder, pieces: Iterable[bytes]) -> list[Leak]:
    """Return all leaks in a text, in order. Each secret is listed once per line."""
    plain, marked = _Search(finder), None
    guessed, line, carried = dict[str, list[Leak]](), 1, b""
    for number, piece in enumerate(pieces):
        if number == 0:
            marked = next((_Search(finder, name) for mark, name in _MARKS if piece.startswith(mark)), None)
        plain.feed(piece)
        if marked is not None:
            marked.feed(piece)
        window = carried + piece
        if b"\0" in window:  # even after a byte order mark, which may be a coincidence
            for leak in _guessed(finder, window, line):
                guessed.setdefault(leak.name, []).append(leak)
        carried = window[-_CARRIED:]
        line += window.count(b"\n", 0, len(window) - len(carried))
    # If several searches found a secret, the last one is used, because its line numbers are the most reliable.
    names = guessed | plain.finish() | ({} if marked is None else marked.finish())
    return sorted({leak for leaks in names.values() for leak in leaks})


def leaks_in_names(finder: Finder, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """For each name that contains a value, yield the name up to the value's end, and the secret's name."""
    rows = [name.replace("\n", " ").encode("utf-8", "surrogateescape") for name in names]
    # A NUL separates the names, because an encoded value may continue after a line break.
    for line in sorted({leak.line for leak in leaks_in(finder, [b"\0\n".join(rows)])}):
        row = rows[line - 1]
        for one in finder.find(row, before=None, final=True)[0]:
            yield row[: one.end].decode("utf-8", "replace"), one.name


def redacted(finder: Finder, text: str) -> str:
    """Return a text, such as a path, with references instead of values, so that it may be shown."""
    redactor = Redactor(finder)
    data = redactor.feed(text.encode("utf-8", "surrogateescape")) + redactor.finish()
    return data.decode("utf-8", "replace")


def _guessed(finder: Finder, piece: bytes, line: int) -> Iterator[Leak]:
    """Yield the leaks in those parts of a piece that may be text in wide characters. The piece begins on `line`.

    A search without decoding finds most of these leaks, but one byte of a wide character can look like an escape.
    """
    classes = piece.translate(_CLASSES)
    for run, width, encoding in _WIDE:
        for at, start, end in _around(classes, run):
            for order, skip in (("le", (at - start) % width), ("be", (at - start + 1) % width)):
                text = piece[start + skip : end].decode(f"{encoding}-{order}", "replace").encode("utf-8", "replace")
                for one in finder.find(text, before=None, final=True)[0]:
                    yield Leak(line + piece.count(b"\n", 0, start) + text.count(b"\n", 0, one.start), one.name)


def _around(classes: bytes, run: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the first position of each group of runs, and the start and end of the bytes around the group."""
    first = start = end = -1
    at = classes.find(run)
    while at >= 0:
        if end < 0 or at - _AROUND > end:
            if end >= 0:
                yield first, start, end
            first, start = at, max(0, at - _AROUND)
        end = at + _AROUND
        at = classes.find(run, at + _AROUND // 2)
    if end >= 0:
        yield first, start, end


class _Search:
    """A search for values in one text. The text is decoded first if `encoding` is given."""

    def __init__(self, finder: Finder, encoding: str | None = None) -> None:
        self._finder = finder
        self._decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
        self._held, self._line = b"", 1
        self._before: int | None = None
        self._found: dict[Leak, None] = {}

    def feed(self, piece: bytes) -> None:
        """Search the next piece of the text."""
        self._look(piece, final=False)

    def finish(self) -> dict[str, list[Leak]]:
        """End the search, and return all leaks by the secret's name."""
        self._look(b"", final=True)
        leaks = dict[str, list[Leak]]()
        for leak in self._found:
            leaks.setdefault(leak.name, []).append(leak)
        return leaks

    def _look(self, piece: bytes, *, final: bool) -> None:
        if self._decoder is not None:
            piece = self._decoder.decode(piece).encode("utf-8", "replace")
        self._held += piece
        finds, known = self._finder.find(self._held, before=self._before, final=final)
        at = 0
        for one in finds:
            if one.start >= known:
                break
            self._line += self._held.count(b"\n", at, one.start)
            at = one.start
            self._found[Leak(self._line, one.name)] = None
        self._line += self._held.count(b"\n", at, known)
        if known:
            self._before = self._held[known - 1]
        self._held = self._held[known:]
