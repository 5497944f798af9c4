"""Quickly excludes most texts from the search, by reducing each text to its letters and digits.

Always: the module is pure and takes linear time. If a value is in any view of a text, each run of the value's letters
and digits is part of one of the text's `flats`.
"""

import re
from collections.abc import Iterator
from typing import Final

from claude_secrets.redaction import hex_dumps, views
from claude_secrets.regex import ByteSearch

_AROUND: Final = 1280
"""How many bytes before and after an encoded letter are read. They contain the whole probe of a form."""

_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_OTHERS: Final = bytes(set(range(256)) - set(_LETTERS))
_ESCAPED_BREAK: Final = re.compile(rb"\\+[nrt]")

_BYTE: Final = rb"(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|0[AaDd]|1[Bb])"
"""A letter, a digit, a line break or the first byte of a colour, in hexadecimal."""

_ENCODED: Final = ByteSearch(
    [
        rb"\\(?:(?:x|u00|u\{0*|U000000)%s|0[67][0-7]|1[0-7][0-7]|01[25]|033|[eE]\[)" % _BYTE,
        rb"%%(?:25)*(?:%s|5[Cc])" % _BYTE,
        rb"&(?:amp;)*#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6});",
    ]
)
_DUMP: Final = ByteSearch(
    [
        rb"0[xX][0-9a-fA-F]{2}[,; \t]+0[xX]",
        rb"\n[0-9a-fA-F]{6,16}:?[ \t]+(?:[0-9a-fA-F]{2,16}[ \t]+){2}",
    ]
)


def flats(text: bytes) -> Iterator[bytes]:
    """Yield texts of letters and digits only.

    Each run of letters and digits in any view of `text` is part of one of the yielded texts.
    """
    yield from _flat(text)
    if b"\x1b" in text:
        for part in _parts(text, views.colours(text)):
            yield from _flat(views.without_colours(part))
    if views.has_escapes(text):
        for part in _parts(text, _ENCODED.places(text)):
            for meant in views.texts_of_decoded(part):
                yield from _flat(meant)
    for part in _parts(text, _DUMP.places(text)):
        for view in hex_dumps.every_reading(views.stripped(part)):
            yield from _flat(view.text)


def _flat(text: bytes) -> Iterator[bytes]:
    yield text.translate(None, _OTHERS)
    if b"\\n" in text or b"\\r" in text:
        for part in _parts(text, (match.start() for match in _ESCAPED_BREAK.finditer(text))):
            yield _ESCAPED_BREAK.sub(b"", part).translate(None, _OTHERS)


def _parts(text: bytes, places: Iterator[int]) -> Iterator[bytes]:
    """Yield the parts of `text` around `places`. Parts that overlap are joined."""
    start = end = 0
    for place in places:
        if place - _AROUND > end:
            if end:
                yield text[start:end]
            start = max(0, place - _AROUND)
        end = min(len(text), place + _AROUND)
    if end:
        yield text[start:end]
