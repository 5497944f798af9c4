"""Reads .env files as python-dotenv does, and replaces values in their text with references.

Always: the module is pure. No error repeats the file's text. Rewriting changes only values, and the new text is parsed
again before it is returned. Only this module imports `dotenv`, and only when there is a file.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_secrets.errors import CallerError, Code

if TYPE_CHECKING:
    from dotenv.parser import Binding

SIZE_LIMIT: Final = 16 << 20
"""The maximum size of a .env file in bytes."""

_VARIABLE: Final = re.compile(r"\$\{(?P<name>[^}:]*)(?::-[^}]*)?\}")
"""The same pattern as in python-dotenv's `variables`."""

CUT: Final = "the value ends at the '#', inside an open quote or bracket; to keep the rest, quote the whole value"
"""The warning about a `Statement` whose `cut` is true."""

_BEFORE_VALUE: Final = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=[^\S\r\n]*")
# Versions of python-dotenv differ in what a backslash before a quote means, so both patterns are tried.
_CLOSED: Final = {
    quote: (
        re.compile(rf"{quote}(?:\\.|[^{quote}\\])*{quote}", re.DOTALL),
        re.compile(rf"{quote}(?:\\{quote}|[^{quote}])*{quote}"),
    )
    for quote in ("'", '"')
}
# A quote after a word can only close (or is an apostrophe). A quote between a blank and a word can only open.
_MARK: Final = re.compile(r"""\\.|(?<=\w)(?P<closes>["'])|(?<=\s)(?P<opens>["'])(?=\w)|["'\[\]{}]""")
_CLOSING: Final = {"[": "]", "{": "}", "'": "'", '"': '"'}


class CannotRewrite(Exception):  # noqa: N818  this is a result, not a fault
    """The text cannot be rewritten; the message gives the reason and the line."""


class Statement(NamedTuple):
    """One statement of a .env file.

    `name` is None for comments, blank lines and text that cannot be parsed. In the last case `wrong` is true.
    `value` is None for a name without `=`.
    `line` is the line on which the statement begins.
    `padded` is true if the statement looks like the last line of base64, so that the name may be part of a value.
    `meant` is the value with each `${NAME}` replaced; it is None if the file does not define all of these names.
    `cut` is true if a `#` cuts the value short: the value as a whole is not quoted, but it contains quotes or brackets,
    and a `#` inside them starts a comment.
    """

    name: str | None
    value: str | None
    line: int
    wrong: bool
    padded: bool = False
    meant: str | None = None
    cut: bool = False

    def __repr__(self) -> str:
        return f"Statement(line={self.line})"

    @property
    def said(self) -> tuple[str | None, str | None, bool]:
        """The statement's name, value and `wrong`, for a comparison that ignores lines."""
        return self.name, self.value, self.wrong


def parse(text: str) -> list[Statement]:
    """Return a file's statements, with the values that python-dotenv reads. All line endings are read as newlines."""
    given = dict[str, str]()
    statements = []
    for binding in _bindings(_lines(text)):
        meant = None if binding.value is None else _filled(binding.value, given)
        if binding.key is not None:
            given.pop(binding.key, None)
            given.update({} if meant is None else {binding.key: meant})
        line, padded, cut = _first_line(binding), _is_padded(binding), _is_cut(binding)
        statements.append(Statement(binding.key, binding.value, line, binding.error, padded, meant, cut))
    return statements


def values(text: str, on_cut: Callable[[int], None] = lambda _line: None) -> dict[str, str]:
    """Return the value of each name, with `${NAME}` replaced as python-dotenv does. A name without `=` is omitted.

    `on_cut` is called with the line of each statement whose `cut` is true.

    Raises:
        CallerError: INVALID_ARGUMENTS, with the number of the first line that cannot be parsed.
    """
    from dotenv import dotenv_values

    statements = parse(text)
    wrong = next((statement.line for statement in statements if statement.wrong), None)
    if wrong is not None:
        raise CallerError(Code.INVALID_ARGUMENTS, f"Line {wrong} of the .env file is not NAME=VALUE or a comment.")
    for statement in statements:
        if statement.cut:
            on_cut(statement.line)
    parsed = dotenv_values(stream=io.StringIO(_lines(text), newline=""))
    return {key: value for key, value in parsed.items() if value is not None}


def decoded(data: bytes) -> str:
    """Return the text of a .env file with the bytes `data`.

    Raises:
        CallerError: INVALID_ARGUMENTS if the bytes are not UTF-8 or exceed `SIZE_LIMIT`.
    """
    if len(data) > SIZE_LIMIT:
        raise CallerError(Code.INVALID_ARGUMENTS, f"The .env file has more than {SIZE_LIMIT >> 20} MiB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CallerError(Code.INVALID_ARGUMENTS, "The .env file is not UTF-8.") from None


def quoted(value: str) -> str | None:
    """Quote a value for a .env file so that python-dotenv reads it back exactly.

    Returns None if the value contains `${`, because python-dotenv replaces `${NAME}` inside both kinds of quotes.
    """
    if "${" in value:
        return None
    escaped = value.replace("\\", "\\\\")
    if "\r" in value:  # programs that open the file as text read a bare carriage return as a newline
        return '"' + escaped.replace('"', '\\"').replace("\r", "\\r") + '"'
    return "'" + escaped.replace("'", "\\'") + "'"


def rewritten(text: str, references: Mapping[int, str]) -> str:
    """Replace the values of some statements. `references` maps a statement's index to its new value, a reference.

    Raises:
        CannotRewrite: the new text would not be read as the same statements with the new values.
    """
    bindings, wanted = _bindings(text), parse(text)
    _refuse_references_inside(wanted, references)
    parts = [binding.original.string for binding in bindings]
    for number, reference in references.items():
        before, line = wanted[number], wanted[number].line
        if len(bindings) <= number or bindings[number].key != before.name:
            raise _cannot_replace(line)
        parts[number] = _replaced(bindings[number], reference, line)
        wanted[number] = Statement(before.name, reference, line, wrong=False)
    after = "".join(parts)
    if [statement.said for statement in parse(after)] != [statement.said for statement in wanted]:
        raise _cannot_replace(min(wanted[number].line for number in references))
    return after


def _refuse_references_inside(statements: Sequence[Statement], references: Mapping[int, str]) -> None:
    """Raise `CannotRewrite` if a value that stays in the file contains a `${NAME}` that would become a reference."""
    replaced = set[str | None]()
    for number, statement in enumerate(statements):
        if number in references:
            replaced.add(statement.name)
            continue
        if not replaced.isdisjoint(_variables_in(statement.value or "")):
            raise CannotRewrite(f"Line {statement.line} contains a ${{…}} whose value would become a reference")
        replaced.discard(statement.name)


def _cannot_replace(line: int) -> CannotRewrite:
    return CannotRewrite(f"The value in line {line} cannot be replaced by a reference")


def _variables_in(value: str) -> set[str]:
    return {match["name"] for match in _VARIABLE.finditer(value)}


def _filled(value: str, given: Mapping[str, str]) -> str | None:
    """Return a value with its variables replaced; None if `given` lacks a variable, which may be in the environment."""
    if not _variables_in(value) <= given.keys():
        return None
    return _VARIABLE.sub(lambda match: given[match["name"]], value)


def _bindings(text: str) -> "list[Binding]":
    from dotenv.parser import parse_stream

    return list(parse_stream(io.StringIO(text, newline="")))


def _is_padded(binding: "Binding") -> bool:
    return binding.value == "=" and binding.original.string.strip().endswith("==")


def _is_cut(binding: "Binding") -> bool:
    head = _BEFORE_VALUE.match(binding.original.string) if binding.value else None
    if head is None or "#" not in binding.original.string:
        return False
    whole = binding.original.string[head.end() :]
    return whole[:1] not in _CLOSED and _closes_later(whole, len(binding.value or ""))


def _closes_later(text: str, end: int) -> bool:
    """Whether quotes or brackets are open at position `end` of the text, and all of them are closed after `end`."""
    there = ""
    for position, now in _open(text):
        if position < end:
            there = now
        elif not there or not now:
            return bool(there)
    return False


def _open(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position of each quote or bracket, and the closing marks that are still missing after this position.

    Stops at a closing bracket that has no opening bracket.
    """
    expected = ""
    for match in _MARK.finditer(text):
        mark = match[0]
        if expected.endswith(mark) and not match["opens"]:
            expected = expected[:-1]
        elif expected.endswith(("'", '"')):
            if expected.endswith(mark):
                return  # this quote belongs to a comment
        elif mark in _CLOSING and not match["closes"]:
            expected += _CLOSING[mark]
        elif mark in ("]", "}"):
            return
        yield match.start(), expected


def _first_line(binding: "Binding") -> int:
    """Return the line on which a statement begins. The parser instead counts from the blank lines before it."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + (blank.count("\n") if text.strip() else 0)


def _replaced(binding: "Binding", reference: str, line: int) -> str:
    text, value = binding.original.string, binding.value or ""
    head = _BEFORE_VALUE.match(text)
    if head is None:
        raise _cannot_replace(line)
    start = head.end()
    quote = text[start : start + 1]
    if quote not in _CLOSED:
        if not text.startswith(value, start):
            raise _cannot_replace(line)
        return text[:start] + reference + text[start + len(value) :]
    for closed in _CLOSED[quote]:
        match = closed.match(text, start)
        if match is not None and _has_value(text[: match.end()], value):
            return text[: start + 1] + reference + text[match.end() - 1 :]
    raise _cannot_replace(line)


def _has_value(text: str, value: str) -> bool:
    return [(binding.value, binding.error) for binding in _bindings(text)] == [(value, False)]


def _lines(text: str) -> str:
    """Return the text as programs read it from a text file: with newlines as line endings."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
