"""Change one place in the text of a TOML file.

Always: text is only inserted, replaced or removed at the place. The removing functions invert the adding ones.
"""

import re
from collections.abc import Sequence
from typing import Final

from claude_secrets.clients.text import cut, line_start, newline_end, newline_near, newline_start, unreadable
from claude_secrets.clients.toml_tree import Document, Statement, inline_members
from claude_secrets.clients.toml_values import dump, dump_key

_LINE_END: Final = re.compile(r"[ \t]*+(?:#[^\r\n]*+)?")


def value_span(document: Document, keys: tuple[str, ...]) -> tuple[int, int] | None:
    """Return the range of the value that one statement or one member of an inline table gives to a place."""
    for statement in document.statements:
        if not statement.is_header and statement.path == keys:
            return statement.value, statement.end
    inline = inline_table(document, keys)
    if inline:
        for member in inline_members(document.text, inline[0]):
            if member.path == inline[2]:
                return member.value, member.end
    return None


def inline_table(document: Document, keys: tuple[str, ...]) -> tuple[int, int, tuple[str, ...]] | None:
    """Return the range of the innermost inline table around a place, and the rest of the keys."""
    for statement in document.statements:
        path = statement.path
        if not statement.is_header and len(path) < len(keys) and path == keys[: len(path)]:
            return _innermost(document.text, statement.value, statement.end, keys[len(path) :])
    return None


def _innermost(text: str, start: int, end: int, keys: tuple[str, ...]) -> tuple[int, int, tuple[str, ...]]:
    for member in inline_members(text, start):
        if len(member.path) < len(keys) and member.path == keys[: len(member.path)]:
            return _innermost(text, member.value, member.end, keys[len(member.path) :])
    return start, end, keys


def with_member(text: str, start: int, end: int, keys: tuple[str, ...], value: str) -> str:
    """Return the text with a new last member in the inline table with this range."""
    new = f"{dump_key(keys)} = {value}"
    members = inline_members(text, start)
    if members:
        insert, new = members[-1].end, f", {new}"
    else:
        insert, new = start + 1, new if end == start + 2 else f" {new}"
    return text[:insert] + new + text[insert:]


def without_members(text: str, start: int, keys: tuple[str, ...]) -> str:
    """Return the text without all members of an inline table whose path begins with `keys`."""
    members = inline_members(text, start)
    for at in range(len(members) - 1, -1, -1):
        member = members[at]
        if member.path[: len(keys)] != keys:
            continue
        if at:
            text = cut(text, (text.index(",", members[at - 1].end), member.end))
        elif len(members) > 1:
            text = cut(text, (member.start, members[1].start))
        else:
            before = text[start + 1 : member.start]
            text = cut(text, (member.start - len(before) + len(before.rstrip(" \t")), member.end))
        members = inline_members(text, start)
    return text


def with_table(document: Document, keys: tuple[str, ...], value: dict[str, object]) -> str:
    """Return the text with a new table, after the last table with the same parent or at the end of the file."""
    text = document.text
    related = document.under(keys[:-1]) if len(keys) > 1 else []
    if related:
        insert = _section_end(document, document.statements[related[-1]].section)
    else:
        insert = len(text.rstrip(" \t\r\n"))
    newline = newline_near(text, insert or len(text))
    table = newline.join([f"[{dump_key(keys)}]", *(f"{dump_key([key])} = {dump(one)}" for key, one in value.items())])
    if not insert:
        return text + table + newline
    return text[:insert] + newline * 2 + table + text[insert:]


def with_key(document: Document, keys: tuple[str, ...], value: str) -> str:
    """Return the text with a new key at the end of its table's section.

    If the table has no header, the key becomes a dotted key in the section of the nearest table around it.
    """
    text, section, parent = document.text, -1, tuple[str, ...]()
    for number, statement in enumerate(document.statements):
        depth = len(statement.path)
        if statement.is_header and depth > len(parent) and depth < len(keys) and statement.path == keys[:depth]:
            section, parent = number, statement.path
    new = f"{dump_key(keys[len(parent) :])} = {value}"
    inside = [one for one in document.statements if one.section == section]
    headers = [document.statements[number] for number in document.under(keys[:-1])]
    if len(keys) - len(parent) > 1 and inside and any(one.is_header and one.start < inside[0].start for one in headers):
        raise unreadable("the table here has its keys in several places", text, headers[0].start)
    if inside:
        insert = _line_end(text, inside[-1].end)
        start = line_start(text, inside[-1].start)
        return text[:insert] + newline_near(text, insert) + text[start : inside[-1].start] + new + text[insert:]
    if not text.strip(" \t\r\n"):
        return text + new + newline_near(text, len(text))
    return new + newline_near(text, 0) + text


def without_statements(document: Document, keys: tuple[str, ...]) -> str:
    """Return the text without all statements whose path begins with `keys`. Comments outside of them stay."""
    runs = list[list[Statement]]()
    last = -1
    for number in document.under(keys):
        if number != last + 1 or not runs:
            runs.append([])
        runs[-1].append(document.statements[number])
        last = number
    return cut(document.text, *(_lines(document.text, run) for run in runs))


def _lines(text: str, run: Sequence[Statement]) -> tuple[int, int]:
    """Return the range of statements with the line end before them, or with the empty line before their header."""
    start, end = run[0].start, run[-1].end
    if not text[:start].strip(" \t\r\n"):
        return start, newline_end(text, end)
    start = line_start(text, start)
    for _ in range(2 if run[0].is_header else 1):
        start = newline_start(text, start)
    return start, end


def _section_end(document: Document, section: int) -> int:
    return _line_end(document.text, [one for one in document.statements if one.section == section][-1].end)


def _line_end(text: str, position: int) -> int:
    found = _LINE_END.match(text, position)
    return found.end() if found else position
