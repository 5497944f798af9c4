"""Parse JSON with comments and trailing commas, and find where each member of a container is in the text.

Always: the standard library's parser decides whether a file is valid, after comments and trailing commas are replaced
by spaces. Positions are the same in the text with and without them.
"""

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from claude_secrets.clients.text import DEPTH_LIMIT, Key, UnreadableFileError, unreadable, unwritable

SPACE: Final = " \t\r\n"
COMMENT: Final = re.compile(r"//[^\r\n]*+|/\*.*?\*/", re.DOTALL)

_TOKEN: Final = re.compile(
    r"""
    "(?:[^"\\]++|\\.)*+(?P<closed>"?)   # a string
    | //[^\n]*+                         # a comment up to the end of its line
    | /\*(?:.*?(?P<ended>\*/))?+        # a comment with an end of its own
    | [{}\[\],:]
    | [^\s"/{}\[\],:]++                 # a number or literal
    """,
    re.DOTALL | re.VERBOSE,
)
_SPACES: Final = re.compile(r"[ \t\r\n]*+")
_INVALID: Final = "the file is not valid JSON"
_LONGEST_INT: Final = 4000  # Python refuses to convert more digits, and clients round such a number anyway


class Number(NamedTuple):
    """A number in the spelling of the file."""

    spelling: str


class Object(NamedTuple):
    """An object with its members in the order of the file. A key can be there twice."""

    members: tuple[tuple[str, "Node"], ...]


Node: TypeAlias = Object | list["Node"] | Number | str | bool | None


class Member(NamedTuple):
    """A member or element. `end` is the end of its value, and `comma` is the position of the comma after it."""

    key: Key
    start: int
    value: int
    end: int
    comma: int | None


class Container(NamedTuple):
    """An object or list. `open` and `close` are the positions of its brackets."""

    open: int
    close: int
    members: list[Member]


class Place(NamedTuple):
    """The containers on the way to a place, and the member at the place. `member` is None if the place is empty.

    There are fewer containers than keys if some of them do not exist.
    """

    containers: list[Container]
    member: Member | None


class Document(NamedTuple):
    """A parsed file. `tree` is None if the file is empty.

    `blank` is `text` with spaces instead of comments and trailing commas. `trailing` has the position of each trailing
    comma by the position of the bracket after it.
    """

    text: str
    blank: str
    trailing: dict[int, int]
    tree: Object | None

    def locate(self, keys: Sequence[Key]) -> Place:
        """Return the place that `keys` name.

        Raises UnreadableFileError if a value on the way is no container of the right kind, or if its key is there
        twice.
        """
        at, containers = self._skip(0), list[Container]()
        if self.tree is None:
            return Place(containers, None)
        for position, key in enumerate(keys):
            container = self._container(at, key)
            containers.append(container)
            found = [member for member in container.members if member.key == key]
            if len(found) > 1:
                raise unreadable(
                    "a key is there twice, and clients may differ in which one counts", self.text, found[1].start
                )
            if not found or position == len(keys) - 1:
                return Place(containers, found[0] if found and position == len(keys) - 1 else None)
            at = found[0].value
        return Place(containers, None)

    def is_hollow(self, start: int, end: int) -> bool:
        """Return whether a range of the text is a container without members and comments."""
        return self.text[start] in "{[" and not self.text[start + 1 : end - 1].strip(SPACE)

    def _container(self, at: int, key: Key) -> Container:
        kind, brackets = ("an object", "{}") if isinstance(key, str) else ("a list", "[]")
        if self.blank[at] != brackets[0]:
            raise unreadable(f"the value here is not {kind}", self.text, at)
        members, place = list[Member](), self._skip(at + 1)
        while self.blank[place] != brackets[1]:
            start, name = place, key if isinstance(key, str) else len(members)
            if isinstance(key, str):
                name, place = _DECODER.raw_decode(self.blank, place)
                place = self._skip(self._skip(place) + 1)
            _, end = _DECODER.raw_decode(self.blank, place)
            after = self._skip(end)
            comma = after if self.blank[after] == "," else self.trailing.get(after)
            members.append(Member(name, start, place, end, comma))
            place = self._skip(after + 1) if self.blank[after] == "," else after
        return Container(at, place, members)

    def _skip(self, position: int) -> int:
        found = _SPACES.match(self.blank, position)
        assert found is not None  # noqa: S101  the expression also matches nothing
        return found.end()


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=lambda pairs: Object(tuple(pairs)), parse_int=Number, parse_float=Number
)


def parse(text: str) -> Document:
    """Parse the text of a file. Whitespace without anything else is an empty file.

    Raises UnreadableFileError if the text is not JSON with comments and trailing commas, if its top level is not an
    object, or if it is nested too deep.
    """
    ranges, trailing = _scan(text)
    blank = _blanked(text, ranges)
    start = len(blank) - len(blank.lstrip(SPACE))
    if start == len(blank):
        if ranges:
            raise unreadable("the file has a comment, but no object", text, ranges[0][0])
        return Document(text, blank, trailing, None)
    try:
        tree = _DECODER.decode(blank)
    except json.JSONDecodeError as error:
        raise unreadable(_INVALID, text, error.pos) from None
    if not isinstance(tree, Object):
        raise unreadable("the top level is not an object", text, start)
    return Document(text, blank, trailing, tree)


def _scan(text: str) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """Return the ranges of all comments and trailing commas, and each trailing comma by the bracket after it."""
    ranges, trailing = list[tuple[int, int]](), dict[int, int]()
    last, before_comma, comma, depth = "", "", 0, 0
    for token in _TOKEN.finditer(text):
        at, first = token.start(), text[token.start()]
        if first == "/":
            ranges.append((at, _comment_end(text, token)))
            continue
        if first == '"' and not token["closed"]:
            raise unreadable("a string is not closed", text, at)
        if first in "{[":
            depth += 1
            if depth > DEPTH_LIMIT:
                raise unreadable(f"the file has more than {DEPTH_LIMIT} nested levels", text, at)
        elif first in "}]":
            depth -= 1
            if last == "," and before_comma not in "{[,:":
                ranges.append((comma, comma + 1))
                trailing[at] = comma
        elif first == ",":
            before_comma, comma = last or ",", at
        elif first != '"' and ("N" in token.group() or "I" in token.group()):  # NaN and Infinity, which Python accepts
            raise unreadable(_INVALID, text, at)
        last = first
    return sorted(ranges), trailing


def _comment_end(text: str, token: re.Match[str]) -> int:
    if token.group().startswith("//"):
        comment = token.group().removesuffix("\r")
        if "\r" in comment:
            problem = "clients differ in whether a single carriage return ends a comment"
            raise unreadable(problem, text, token.start() + comment.index("\r"))
        return token.start() + len(comment)
    if not token["ended"]:
        raise unreadable("a comment is not closed", text, token.start())
    return token.end()


def _blanked(text: str, ranges: list[tuple[int, int]]) -> str:
    pieces, done = list[str](), 0
    for start, end in ranges:
        pieces += [text[done:start], " " * (end - start)]
        done = end
    return "".join([*pieces, text[done:]])


def plain(node: Node) -> object:
    """Return the value of a node as Python's own types. The last of several equal keys counts."""
    if isinstance(node, Object):
        return {key: plain(value) for key, value in node.members}
    if isinstance(node, list):
        return [plain(value) for value in node]
    if isinstance(node, Number):
        whole = node.spelling.lstrip("-").isdigit() and len(node.spelling) <= _LONGEST_INT
        return int(node.spelling) if whole else float(node.spelling)
    return node


def node_of(value: object) -> Node:
    """Return the node of a value. Raises CallerError if JSON cannot hold the value."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
        node: Node = _DECODER.decode(text)
    except (TypeError, ValueError, RecursionError):
        raise unwritable() from None
    return node


def at_place(node: Node, keys: Sequence[Key]) -> Node:
    """Return the node at a place that exists."""
    for key in keys:
        if isinstance(node, Object):
            node = dict(node.members)[str(key)]
        elif isinstance(node, list) and isinstance(key, int):
            node = node[key]
    return node


def with_place(node: Node, keys: Sequence[Key], new: Sequence[Node]) -> Node:
    """Return the tree with `new` at a place: one node, or nothing to remove the place. Its container exists."""
    if not keys:
        return new[0]
    key, rest = keys[0], keys[1:]
    if isinstance(node, list) and isinstance(key, int):
        inner = [with_place(node[key], rest, new)] if rest else list(new)
        return [*node[:key], *inner, *node[key + 1 :]]
    if not isinstance(node, Object):
        raise UnreadableFileError("the value here is not an object", 1, 1)
    members = list[tuple[str, Node]]()
    for name, value in node.members:
        if name != key:
            members.append((name, value))
        elif rest:
            members.append((name, with_place(value, rest, new)))
        else:
            members.extend((name, one) for one in new)
    if new and not rest and key not in dict(node.members):
        members.append((str(key), new[0]))
    return Object(tuple(members))
