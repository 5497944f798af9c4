"""The bytes of a client's configuration file as text, with the error for files that cannot be edited.

Always: an error gives a line and a column, and never repeats the file's content.
"""

import re
from typing import Final, NamedTuple, Self, TypeAlias

from claude_secrets.errors import CallerError, Code

SIZE_LIMIT: Final = 16 * 1024 * 1024
"""The most bytes in a file."""

DEPTH_LIMIT: Final = 100
"""The most levels of nested containers in a file."""

Key: TypeAlias = str | int
"""The name of a member, or the index of an element. Indexes are counted from 0."""

BOM: Final = "\ufeff"
NEWLINE: Final = re.compile(r"\r\n|\n|\r")

_OTHER_ENCODINGS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


class UnreadableFileError(CallerError):
    """A file that is not edited, because its content is invalid or its meaning is unclear.

    `why` is one clause without a full stop. `line` and `column` are counted from 1, and a column is a character.
    """

    def __init__(self, why: str, line: int, column: int, hint: str | None = None) -> None:
        super().__init__(Code.INVALID_ARGUMENTS, f"{why} (line {line}, column {column})", hint)
        self.why = why
        self.line = line
        self.column = column

    def with_hint(self, hint: str) -> Self:
        """Return a copy of this error with a different hint."""
        return type(self)(self.why, self.line, self.column, hint)


class Text(NamedTuple):
    """A file's text without its byte order mark. `bom` is the mark, or empty."""

    bom: str
    body: str

    def encode(self, body: str) -> bytes:
        """Return the bytes of the file with `body` as its text."""
        return (self.bom + body).encode("utf-8")


def decode(data: bytes) -> Text:
    """Return the text of a file.

    Raises UnreadableFileError if the file is larger than `SIZE_LIMIT`, or is not UTF-8.
    """
    if len(data) > SIZE_LIMIT:
        raise UnreadableFileError("the file is larger than 16 MiB", 1, 1)
    for mark, name in _OTHER_ENCODINGS:
        if data.startswith(mark):
            raise UnreadableFileError(f"the file is {name}; save it as UTF-8", 1, 1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").removeprefix(BOM)
        raise unreadable("the text is not UTF-8", before, len(before)) from None
    return Text(BOM, text[1:]) if text.startswith(BOM) else Text("", text)


def unreadable(why: str, text: str, position: int) -> UnreadableFileError:
    """Return the error for the character at `position` of the text."""
    before = text[:position]
    ends = [found.end() for found in NEWLINE.finditer(before)]
    return UnreadableFileError(why, len(ends) + 1, len(before) - (ends[-1] if ends else 0) + 1)


def newline_near(text: str, position: int) -> str:
    """Return the line end that is used just before `position`, or else after it, or else a line feed."""
    end = max(text.rfind("\n", 0, position), text.rfind("\r", 0, position))
    if end >= 0:
        return "\r\n" if text[max(end - 1, 0) : end + 1] == "\r\n" else text[end]
    after = NEWLINE.search(text, position)
    return after.group() if after else "\n"


def line_start(text: str, position: int) -> int:
    """Return the position at which the line of `position` begins."""
    return max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1


def newline_start(text: str, end: int) -> int:
    """Return the position at which the line end before `end` begins, or `end` if no line ends there."""
    if text[max(end - 2, 0) : end] == "\r\n":
        return end - 2
    return end - 1 if end and text[end - 1] in "\r\n" else end


def newline_end(text: str, start: int) -> int:
    """Return the position at which the line end at `start` ends, or `start` if no line ends there."""
    found = NEWLINE.match(text, start)
    return found.end() if found else start


def cut(text: str, *ranges: tuple[int, int]) -> str:
    """Return the text without the given ranges, which do not overlap."""
    for start, end in sorted(ranges, reverse=True):
        text = text[:start] + text[end:]
    return text


def unwritable() -> CallerError:
    """Return the error for a value that a configuration file cannot hold."""
    return CallerError(Code.INVALID_VALUE, "A configuration file cannot hold this value (not shown).")
