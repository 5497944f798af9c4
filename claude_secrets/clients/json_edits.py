"""Change one place in the text of a JSON file, in the layout of the text around it.

Always: text is only inserted, replaced or removed at the place, except for the comma before it. Each function that
adds a member leaves a layout from which `without_member` finds out what was there before.
"""

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from claude_secrets.clients.json_tree import COMMENT, SPACE, Container, Document, Member
from claude_secrets.clients.text import (
    NEWLINE,
    Key,
    cut,
    line_start,
    newline_end,
    newline_near,
    newline_start,
)

_UNIT: Final = "  "
_COLON: Final = re.compile(r"[ \t]*:[ \t]*")
_ONE_LINE_END: Final = re.compile(r"(?:\r\n|\n|\r)[ \t]*")


class _Style(NamedTuple):
    """The layout of new text. `unit` is the indentation of one level."""

    newline: str
    unit: str
    colon: str

    def dump(self, value: object, indent: str, *, lines: bool) -> str:
        """Return the value as JSON, on one line or with `indent` before its closing bracket."""
        if not lines:
            separators = ("," if self.colon == ":" else ", ", self.colon)
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=separators)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", self.colon), indent=self.unit)
        return text.replace("\n", self.newline + indent)


class _New(NamedTuple):
    """A new member or element."""

    key: Key
    value: object
    style: _Style

    def in_line(self) -> str:
        """Return the member for a place in a line."""
        return self._name() + self.style.dump(self.value, "", lines=False)

    def on_line(self, indent: str) -> str:
        """Return the member with the line end and indentation before it."""
        return self.style.newline + indent + self._name() + self.style.dump(self.value, indent, lines=True)

    def _name(self) -> str:
        return json.dumps(self.key, ensure_ascii=False) + self.style.colon if isinstance(self.key, str) else ""


def with_root(document: Document, value: object) -> str:
    """Return the text of an empty file with a value at the end."""
    style = _Style(newline_near(document.text, len(document.text)), _UNIT, ": ")
    return document.text + style.dump(value, "", lines=True) + style.newline


def without_hollow_root(document: Document) -> str:
    """Return the text without its top-level object and one line end after it, if there is nothing in the object."""
    text = document.text
    start, end = len(text) - len(text.lstrip(SPACE)), len(text.rstrip(SPACE))
    if start == len(text) or not document.is_hollow(start, end):
        return text
    return cut(text, (start, newline_end(text, end)))


def with_value(document: Document, containers: Sequence[Container], member: Member, value: object) -> str:
    """Return the text with a new value of the member. The member is in the last one of the containers."""
    text = document.text
    style = _style(document, containers, member.start)
    lines = _begins_line(document, containers[-1], member)
    return text[: member.value] + style.dump(value, _indent(document, member.start), lines=lines) + text[member.end :]


def with_member(document: Document, containers: Sequence[Container], key: Key, value: object) -> str:
    """Return the text with a new member at the end of the last one of the containers."""
    container, text = containers[-1], document.text
    new = _New(key, value, _style(document, containers, container.close))
    if not container.members:
        return _filled(document, containers, new)
    last, style = container.members[-1], new.style
    insert, line_comment = _after_comments(text, last.end if last.comma is None else last.comma + 1)
    if _begins_line(document, container, last):
        added = new.on_line(_indent(document, last.start))
    elif line_comment:
        added = new.on_line(_indent(document, container.open) + style.unit)
    else:
        gap = _space_before(text, last.start) if len(container.members) > 1 else " " * (style.colon != ":")
        added = ("" if NEWLINE.search(gap) else gap) + new.in_line()
    if last.comma is None:
        return text[: last.end] + "," + text[last.end : insert] + added + text[insert:]
    return text[:insert] + added + "," + text[insert:]


def without_member(document: Document, container: Container, member: Member) -> str:
    """Return the text without a member. Comments around the member stay."""
    text, members = document.text, container.members
    at = members.index(member)
    before = members[at - 1].comma if at else container.open
    assert before is not None  # noqa: S101  only the last member can lack a comma
    cuts, end = list[tuple[int, int]](), member.end
    if member.comma is None and at:
        cuts.append((before, before + 1))
    elif member.comma is not None and text[end : member.comma].strip(SPACE):
        cuts.append((member.comma, member.comma + 1))
    elif member.comma is not None:
        end = member.comma + 1
    start = member.start - len(_space_before(text, member.start))
    space, rest = text[start : member.start], text[end : container.close]
    if not NEWLINE.search(space):
        if not space and at < len(members) - 1:
            end = _skip_blanks(text, end)
        return cut(text, *cuts, (start, end))
    if len(members) == 1 and start == container.open + 1:
        if _ONE_LINE_END.fullmatch(rest):
            return cut(text, *cuts, (start, container.close))
        if rest.startswith(" ") and NEWLINE.search(rest):
            end += 1
    start = newline_start(text, line_start(text, member.start))
    following = _skip_blanks(text, end)
    if text[following] in "\r\n" or (following == container.close and not _ends_comment(text, before + 1, start)):
        return cut(text, *cuts, (start, end))
    return cut(text, *cuts, (member.start, following))


def _filled(document: Document, containers: Sequence[Container], new: _New) -> str:
    """Return the text with the first member of an empty container.

    An empty container without a space becomes several lines, if its text around it has several lines. If it had a line
    end already, the new line gets a space at its end, so that the two cases can be told apart.
    """
    container, text = containers[-1], document.text
    start, gap = container.open + 1, text[container.open + 1 : container.close]
    base = _indent(document, container.open)
    indent = base + new.style.unit
    comments = list(COMMENT.finditer(gap))
    if comments:
        insert = start + comments[-1].end()
        if NEWLINE.search(gap):
            if _begins_line_at(text, start, start + comments[-1].start()):
                indent = _indent(document, start + comments[-1].start())
            added = new.on_line(indent)
        else:
            added = " " + new.in_line()
        return text[:insert] + added + text[insert:]
    if NEWLINE.search(gap):
        added = new.on_line(indent) + " "
    elif gap:
        added = " " + new.in_line()
    elif len(containers) == 1 or _in_lines(document, containers[-2], container):
        added = new.on_line(indent) + new.style.newline + base
    else:
        added = new.in_line()
    return text[:start] + added + text[start:]


def _in_lines(document: Document, outer: Container, container: Container) -> bool:
    return any(
        _begins_line(document, outer, member) for member in outer.members if member.start <= container.open < member.end
    )


def _style(document: Document, containers: Sequence[Container], position: int) -> _Style:
    """Return the layout of the members around a position. The inner containers count first."""
    unit = colon = ""
    for container in reversed(containers):
        base = _indent(document, container.open)
        for member in container.members[-1:]:
            indent = _indent(document, member.start)
            if not unit and _begins_line(document, container, member) and indent.startswith(base):
                unit = indent.removeprefix(base)
            if not colon and isinstance(member.key, str):
                head = document.blank[member.start : member.value].rstrip(SPACE).removesuffix(":").rstrip(SPACE)
                found = _COLON.fullmatch(document.text, member.start + len(head), member.value)
                colon = found.group() if found else ""
    return _Style(newline_near(document.text, position), unit or _UNIT, colon or ": ")


def _begins_line(document: Document, container: Container, member: Member) -> bool:
    return _begins_line_at(document.blank, container.open, member.start)


def _begins_line_at(text: str, opened: int, position: int) -> bool:
    start = line_start(text, position)
    return opened < start and not text[start:position].strip(" \t")


def _indent(document: Document, position: int) -> str:
    """Return the space at the beginning of a line. A comment does not end the line that it begins in."""
    line = document.text[line_start(document.blank, position) : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _after_comments(text: str, position: int) -> tuple[int, bool]:
    """Return where the comments end that follow on the same line, and whether the line ends with the last of them."""
    while found := COMMENT.match(text, _skip_blanks(text, position)):
        position = found.end()
        if found.group().startswith("//"):
            return position, True
    return position, False


def _ends_comment(text: str, start: int, position: int) -> bool:
    """Return whether a comment up to the end of its line ends at `position`. No token is between `start` and it."""
    return any(
        found.end() == position and found.group().startswith("//") for found in COMMENT.finditer(text[:position], start)
    )


def _space_before(text: str, position: int) -> str:
    before = text[:position]
    return before[len(before.rstrip(SPACE)) :]


def _skip_blanks(text: str, position: int) -> int:
    while text[position] in " \t":
        position += 1
    return position
