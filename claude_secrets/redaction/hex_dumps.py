"""Reads the hexadecimal dumps that programs print: joins the numbers, and finds where a line ends.

Always: the module is pure and takes linear time.
"""

import re
from collections.abc import Iterator
from typing import Final

from claude_secrets.redaction.views import INDENT, View, decoded, has_escapes, nothing

_OFFSET: Final = rb"(?:[0-9a-fA-F]{6,16}(?::|(?=[ \t])))?"
"""The offset with which the next line of a dump may begin."""

_BETWEEN: Final = rb"|(?<=0)[xX]|(?<=\\)\\*[xnrt]|(?<=[ \t\r:,;|-])[ \t:,;|-]*)"
_BETWEEN_NUMBERS: Final = (
    *(
        re.compile(
            rb"[ \t\r\n:,;|\\0-](?:(?<=[ \t])[ \t]+%s[^\r\n]{1,38}\r?\n%s|(?<=\n)%s%s%s"
            % (first, _OFFSET, INDENT, _OFFSET, _BETWEEN)
        )
        for first in (b"", b"[|>]")
    ),
    re.compile(rb"[ \t\r\n:,;|\\0-](?:(?<=\n)%s%s" % (INDENT, _BETWEEN)),
)
"""The bytes between two numbers of a dump, in three kinds of dump.

A line shows its characters directly after the numbers (xxd), or after a sign (hexdump), or contains only numbers.
"""

_UNFINISHED: Final = (
    re.compile(
        rb"[ \t\r\n](?:(?<=[ \t])[ \t][^\r\n]{0,38}(?:\r?\n[0-9a-fA-F]{0,16}|\r)?"
        rb"|(?:(?<=\n)|(?<=\r)\n)[ \t>#*|/]{0,160}[0-9a-fA-F]{0,16}|(?<=\r))\Z"
    ),
    re.compile(rb"[ \t][ \t]+[|>][^\r\n]{0,37}(?:\r?\n[0-9a-fA-F]{0,16}|\r)?\Z"),
    re.compile(rb"(?:\\+|0)\Z"),
)
"""The end of a text that may not belong to the numbers: a line's characters or offset, or the beginning of `0x`.

Lines with a sign before their characters have a second pattern, because two blanks also divide their numbers.
"""

_REST_OF_LINE: Final = re.compile(rb"(?:[ \t:]{0,2}[0-9a-fA-F]{2}){0,64}[ \t]{2,}([^\r\n]{1,38})(?=\r?\n|\Z)")
_MAY_GO_ON: Final = re.compile(rb"(?:[ \t:]{0,2}[0-9a-fA-F]{2}){0,64}(?:[ \t:]?[0-9a-fA-F]|[ \t]*)\Z")


def every_reading(view: View, *, final: bool = True) -> Iterator[View]:
    """Yield views in which the numbers of hexadecimal dumps are joined, one view for each plausible reading."""
    for between in _BETWEEN_NUMBERS:
        yield _numbers(view, between)
    for unfinished in () if final else _UNFINISHED:
        rest = view.cut(unfinished)
        if rest is not view:
            yield _numbers(rest)
    if has_escapes(view.text):
        yield _numbers(decoded(view, final=final))


def _numbers(view: View, between: re.Pattern[bytes] = _BETWEEN_NUMBERS[0]) -> View:
    return view.replaced(between, nothing).lower()


def end_of_line(text: bytes, end: int, last: bytes, *, final: bool) -> int | None:
    """Return where a match ends in a dump, if the match's last number ends at `end`.

    A dump shows a line's characters after its numbers. The match includes these characters if they contain the match's
    last byte, `last`. Return None if more data is needed to decide this.
    """
    rest = _REST_OF_LINE.match(text, end)
    if rest is None:
        return None if not final and _MAY_GO_ON.match(text, end) else end
    if not (final or rest.end() < len(text)):
        return None
    return rest.end() if (last if last.isascii() and last.decode().isprintable() else b".") in rest[1] else end
