"""Parse TOML, and find where each statement of a file and each member of an inline table is in the text.

Always: the standard library's parser decides whether a file is valid, and only then is the text scanned.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from claude_secrets.clients.text import DEPTH_LIMIT, Key, UnreadableFileError, unreadable

_KEY: Final = re.compile(r"""[A-Za-z0-9_-]++|"(?:[^"\\]++|\\.)*+"|'[^']*+'""")
_BLANK: Final = re.compile(r"[ \t]*+")
_BETWEEN: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]*+")
_TOKEN: Final = re.compile(
    r'''
    """(?:[^"\\]++|\\.|""?(?!"))*+(?P<three>"{3,5})?
    | \'\'\'(?:[^']++|\'\'?(?!'))*+(?P<three_single>'{3,5})?
    | "(?:[^"\\\n]++|\\.)*+(?P<one>")?
    | '[^'\n]*+(?P<one_single>')?
    | \#[^\n]*+
    | [{}\[\].,=\n]
    ''',
    re.DOTALL | re.VERBOSE,
)
_PLACE: Final = re.compile(r"\(at line (\d+), column (\d+)\)$")
_INVALID: Final = "the file is not valid TOML"


class Float(NamedTuple):
    """A number with a point or exponent, in the spelling of the file."""

    spelling: str


class Statement(NamedTuple):
    """A header, or a key with its value. `path` begins at the top of the file.

    `start` and `end` are the statement's positions without its comment. `value` is the start of its value. For a
    header, `value` is -1. `section` is the index of the header above it, or -1. A header is in its own section.
    """

    path: tuple[str, ...]
    start: int
    value: int
    end: int
    section: int

    @property
    def is_header(self) -> bool:
        """Whether the statement is a header."""
        return self.value < 0


class Member(NamedTuple):
    """A member of an inline table. `path` begins in this table."""

    path: tuple[str, ...]
    start: int
    value: int
    end: int


class Document(NamedTuple):
    """A parsed file. Its floats are `Float`."""

    text: str
    tree: dict[str, object]
    statements: list[Statement]

    def lookup(self, keys: Sequence[Key]) -> object | None:
        """Return the value at a place, or None if the place is empty.

        Raises UnreadableFileError if a value on the way is no table.
        """
        node: object = self.tree
        for number, key in enumerate(keys):
            if not isinstance(node, dict) or not isinstance(key, str):
                raise unreadable("the value here is not a table", self.text, self._position(keys[:number]))
            if key not in node:
                return None
            node = node[key]
        return node

    def under(self, keys: Sequence[Key]) -> list[int]:
        """Return the indexes of all statements whose path begins with `keys`."""
        return [number for number, one in enumerate(self.statements) if one.path[: len(keys)] == tuple(keys)]

    def _position(self, keys: Sequence[Key]) -> int:
        found = [one for one in self.statements if one.path == tuple(keys[: len(one.path)])]
        return found[-1].start if found and keys else 0


def parse(text: str) -> Document:
    """Parse the text of a file.

    Raises UnreadableFileError if the text is not TOML, or is nested too deep.
    """
    _check_depth(text)
    try:
        tree = tomllib.loads(text, parse_float=Float)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        if found:
            raise UnreadableFileError(_INVALID, int(found[1]), int(found[2])) from None
        raise unreadable(_INVALID, text, len(text)) from None
    except ValueError:
        raise unreadable("a number in the file has too many digits", text, 0) from None
    return Document(text, tree, list(_statements(text)))


def _check_depth(text: str) -> None:
    depth = dots = 0
    for token in _TOKEN.finditer(text):
        kind = token.group()
        if kind[0] in "\"'" and not token.lastgroup:
            raise unreadable("a string is not closed", text, token.start())
        if kind in ("[", "{"):
            depth += 1
        elif kind in ("]", "}"):
            depth -= 1
        elif kind == ".":
            dots += 1
        if kind in ("\n", "=", ",", "[", "]", "{", "}"):
            dots = 0
        if depth > DEPTH_LIMIT or dots > DEPTH_LIMIT:
            raise unreadable(f"the file has more than {DEPTH_LIMIT} nested levels", text, token.start())


def _statements(text: str) -> Iterator[Statement]:
    number, section, prefix = 0, -1, tuple[str, ...]()
    at = _end(_BETWEEN, text, 0)
    while at < len(text):
        if text[at] == "[":
            brackets = 2 if text[at + 1] == "[" else 1
            prefix, end = _path(text, at + brackets)
            section = number
            statement = Statement(prefix, at, -1, end + brackets, section)
        else:
            path, end = _path(text, at)
            value = _end(_BLANK, text, end + 1)
            statement = Statement((*prefix, *path), at, value, _value_end(text, value), section)
        yield statement
        number += 1
        at = _end(_BETWEEN, text, statement.end)


def inline_members(text: str, start: int) -> list[Member]:
    """Return the members of the inline table whose bracket is at `start`."""
    members, at = list[Member](), _end(_BETWEEN, text, start + 1)
    while text[at] != "}":
        path, end = _path(text, at)
        value = _end(_BETWEEN, text, end + 1)
        members.append(Member(path, at, value, _value_end(text, value)))
        at = _end(_BETWEEN, text, members[-1].end)
        if text[at] == ",":
            at = _end(_BETWEEN, text, at + 1)
    return members


def _path(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """Return a dotted key, and the position of the character after it and after blanks."""
    keys = list[str]()
    while True:
        found = _KEY.match(text, _end(_BLANK, text, at))
        assert found is not None  # noqa: S101  the file is valid
        key = found.group()
        if "\\" in key:
            keys.append(next(iter(tomllib.loads(f"{key} = 0"))))
        else:
            keys.append(key[1:-1] if key[0] in "\"'" else key)
        at = _end(_BLANK, text, found.end())
        if text[at] != ".":
            return tuple(keys), at
        at += 1


def _value_end(text: str, start: int) -> int:
    if text[start] not in "[{\"'":
        found = text[start : _end(_SCALAR, text, start)]
        return start + len(found.rstrip(" \t"))
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += (token.group() in ("[", "{")) - (token.group() in ("]", "}"))
        if not depth:
            return token.end()
    return len(text)


def _end(expression: re.Pattern[str], text: str, start: int) -> int:
    found = expression.match(text, start)
    assert found is not None  # noqa: S101  the expressions also match nothing
    return found.end()
