"""A .env file as python-dotenv reads it: its statements, and the same text with references in the place of values.

Always: pure; nothing is filled in for `${…}`; rewriting changes values alone, and what it gives is parsed again before
anyone may use it. Only this module imports `dotenv`; `sources` imports it.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dotenv.parser import Binding, parse_stream

_BEFORE_VALUE: Final = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=[^\S\r\n]*")
# Versions of python-dotenv differ in what a backslash before a quote means; which of these fits is tried.
_CLOSED: Final = {
    quote: (
        re.compile(rf"{quote}(?:\\.|[^{quote}\\])*{quote}", re.DOTALL),
        re.compile(rf"{quote}(?:\\{quote}|[^{quote}])*{quote}"),
    )
    for quote in ("'", '"')
}


class CannotRewrite(Exception):  # noqa: N818  it says what is so, and no fault has happened
    """No reference can be put in the place of the value in `line`."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its name, its value (None: a name alone), and the line on which it begins.

    Without a name it is a comment or blank; or, where it is `wrong`, something that cannot be parsed. `padded`: it
    looks like the last line of base64, so that its name may be part of a value.
    """

    name: str | None
    value: str | None = field(repr=False)
    line: int
    wrong: bool
    padded: bool = False

    @property
    def said(self) -> tuple[str | None, str | None, bool]:
        """What it means, wherever it stands."""
        return self.name, self.value, self.wrong


def parse(text: str) -> list[Statement]:
    """The statements of a file, with the values that python-dotenv gives to programs: each line ends with a newline."""
    return [
        Statement(binding.key, binding.value, _first_line(binding), binding.error, _is_padded(binding))
        for binding in _bindings(text.replace("\r\n", "\n").replace("\r", "\n"))
    ]


def rewritten(text: str, references: Mapping[int, str]) -> str:
    """The text with `references` in the place of the values of the statements of those numbers.

    Raises:
        CannotRewrite: the text would not be read as the same statements with these values.
    """
    bindings, wanted = _bindings(text), parse(text)
    parts = [binding.original.string for binding in bindings]
    for number, reference in references.items():
        before, line = wanted[number], wanted[number].line
        if len(bindings) <= number or bindings[number].key != before.name:
            raise CannotRewrite(line)
        parts[number] = _replaced(bindings[number], reference, line)
        wanted[number] = Statement(before.name, reference, line, wrong=False)
    after = "".join(parts)
    if [statement.said for statement in parse(after)] != [statement.said for statement in wanted]:
        raise CannotRewrite(min(wanted[number].line for number in references))
    return after


def _bindings(text: str) -> list[Binding]:
    return list(parse_stream(io.StringIO(text, newline="")))


def _is_padded(binding: Binding) -> bool:
    return binding.value == "=" and binding.original.string.strip().endswith("==")


def _first_line(binding: Binding) -> int:
    """Where the statement itself begins: the parser counts from the blank lines before it."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + (blank.count("\n") if text.strip() else 0)


def _replaced(binding: Binding, reference: str, line: int) -> str:
    text, value = binding.original.string, binding.value or ""
    head = _BEFORE_VALUE.match(text)
    if head is None:
        raise CannotRewrite(line)
    start = head.end()
    quote = text[start : start + 1]
    if quote not in _CLOSED:
        if not text.startswith(value, start):
            raise CannotRewrite(line)
        return text[:start] + reference + text[start + len(value) :]
    for closed in _CLOSED[quote]:
        found = closed.match(text, start)
        if found is not None and _has_value(text[: found.end()], value):
            return text[: start + 1] + reference + text[found.end() - 1 :]
    raise CannotRewrite(line)


def _has_value(text: str, value: str) -> bool:
    return [(binding.value, binding.error) for binding in _bindings(text)] == [(value, False)]
