"""Finds leaks in bytes that come in pieces: the line and the secret's name, never the value.

Always: pure; memory holds one piece and the part that may continue in the next one, however long the whole is. Texts
with two or four bytes per character are searched as they are (which finds ASCII) and decoded.
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
"""The marks of UTF-32 come first: one of them begins like one of UTF-16."""

_CLASSES: Final = bytes(
    0 if byte == 0 else ord("a") if chr(byte) in "\t\r\n" or 0x20 <= byte < 0x7F or 0xC0 <= byte < 0xFF else 1
    for byte in range(256)
)
"""Three classes of bytes: NUL, those that most texts consist of, and the rest."""

_WIDE: Final = ((b"a\0" * 5 + b"a", 2, "utf-16"), (b"a\0\0\0" * 5 + b"a", 4, "utf-32"))
"""For text in wide characters: how it looks in these classes, the bytes of a character, and the encoding."""

_CARRIED: Final = 1 << 14
"""Bytes of a piece that are searched again with the next one. A value in wide characters is rarely longer."""

_AROUND: Final = 1 << 12
"""Bytes around wide characters that are searched, too."""


class Leak(NamedTuple):
    """A value of the secret `name` that begins on `line` (counted from 1)."""

    line: int
    name: str


def leaks_in(finder: Finder, pieces: Iterable[bytes]) -> list[Leak]:
    """Return all leaks in a text, in order; each secret counts once per line."""
    plain, marked = _Search(finder), None
    guessed, line, carried = dict[str, list[Leak]](), 1, b""
    for number, piece in enumerate(pieces):
        if number == 0:
            marked = next((_Search(finder, name) for mark, name in _MARKS if piece.startswith(mark)), None)
        plain.feed(piece)
        if marked is not None:
            marked.feed(piece)
        window = carried + piece
        if b"\0" in window:  # even after a mark, which may be there by chance
            for leak in _guessed(finder, window, line):
                guessed.setdefault(leak.name, []).append(leak)
        carried = window[-_CARRIED:]
        line += window.count(b"\n", 0, len(window) - len(carried))
    # The last search wins for each secret: its lines are the most reliable.
    names = guessed | plain.finish() | ({} if marked is None else marked.finish())
    return sorted({leak for leaks in names.values() for leak in leaks})


def leaks_in_names(finder: Finder, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the names that contain a value, each cut at the value's end, with the name of the secret."""
    rows = [name.replace("\n", " ").encode("utf-8", "surrogateescape") for name in names]
    # With a NUL, since an encoded value may continue after a line break.
    for line in sorted({leak.line for leak in leaks_in(finder, [b"\0\n".join(rows)])}):
        row = rows[line - 1]
        for one in finder.find(row, before=None, final=True)[0]:
            yield row[: one.end].decode("utf-8", "replace"), one.name


def redacted(finder: Finder, text: str) -> str:
    """Return a path or another word that may be shown: references replace its values."""
    redactor = Redactor(finder)
    data = redactor.feed(text.encode("utf-8", "surrogateescape")) + redactor.finish()
    return data.decode("utf-8", "replace")


def _guessed(finder: Finder, piece: bytes, line: int) -> Iterator[Leak]:
    """Yield the leaks in parts of a piece that may be text in wide characters; the piece begins on `line`.

    A search without decoding finds most of them, but half a character can look like the beginning of an escape.
    """
    classes = piece.translate(_CLASSES)
    for run, width, encoding in _WIDE:
        for at, start, end in _around(classes, run):
            for order, skip in (("le", (at - start) % width), ("be", (at - start + 1) % width)):
                text = piece[start + skip : end].decode(f"{encoding}-{order}", "replace").encode("utf-8", "replace")
                for one in finder.find(text, before=None, final=True)[0]:
                    yield Leak(line + piece.count(b"\n", 0, start) + text.count(b"\n", 0, one.start), one.name)


def _around(classes: bytes, run: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the first place of each group of runs, and the start and end of the bytes around the group."""
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
    """A search for values in one text, or in the text decoded from an encoding."""

    def __init__(self, finder: Finder, encoding: str | None = None) -> None:
        self._finder = finder
        self._decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
        self._held, self._line = b"", 1
        self._before: int | None = None
        self._found: dict[Leak, None] = {}

    def feed(self, piece: bytes) -> None:
        """Take more of the text."""
        self._look(piece, final=False)

    def finish(self) -> dict[str, list[Leak]]:
        """Return all leaks, by secret."""
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
