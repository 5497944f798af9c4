"""The forms in which a text may contain a value: unchanged, or escaped or encoded by common programs.

Always: the module is pure. The modules `views` and `hex_dumps` undo escapes, line wraps and dumps in a text. This
module makes the forms that a value still has after that, and `finder` searches for these forms.
"""

import base64
import re
import sys
from enum import Enum
from typing import Final, NamedTuple

from claude_secrets.redaction import views

SHORT: Final = 6
"""A value with fewer characters is found only as a whole word, and not across line breaks."""

LINE: Final = 12
"""If a value has several lines, each line of at least this many characters is also found by itself."""

REACH: Final = 40
"""A probe is taken from this many bytes at the start of a form."""

_PROBE: Final = 8
_SHORTEST_PROBE: Final = 4
_LINE_BREAK: Final = re.compile(r"\r?\n[ \t]*")
_NEWLINE: Final = re.compile(r"\r?\n")
_TURNING: Final = re.compile(rb" (?:\x08|\r(?!\n))")
"""Bytes that views remove from a text, unless escapes stand for them."""

_SIMPLE: Final = re.compile(rb"[A-Za-z0-9!#()*+,./:;<=?@\[\]^_`{|}~-]*")
"""Bytes that every decoder leaves unchanged."""

_RUN: Final = re.compile(rb"[A-Za-z0-9]+")

_ARMOR: Final = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
"""The first or last line of a key (RFC 7468). These lines reveal nothing about the key."""

_CODE_PAGES: Final = ("mbcs", "oem") if sys.platform == "win32" else ()
"""The system's code pages, in which Windows' programs and cmd.exe write text to a pipe."""

_UTF_16: Final = ("utf-16-le", "utf-16-be")
_QUOTES: Final = re.compile("'+")
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FOR_URLS: Final = bytes.maketrans(b"+/", b"-_")


class FormKind(Enum):
    """Where a form is searched for.

    A TEXT form may be in the original or in the decoded text. A FOLDED form may be in the decoded text without blanks.
    A NUMBERS form may be in hexadecimal numbers. A WORD form must be a whole word of the original text.
    """

    TEXT = 1
    FOLDED = 2
    NUMBERS = 3
    WORD = 4


class Form(NamedTuple):
    """A form of the value of the secret `name`. The form matches each of `texts`.

    `probes` are short texts for a quick test: if data contains the form, one of the data's `prefilter.flats` contains a
    probe. A form without probes cannot be tested in this way. `last` is for base64: the characters that may follow the
    text and contain the value's last bits. After such a character, `padding` may follow.
    """

    name: str
    kind: FormKind
    texts: tuple[bytes, ...]
    probes: tuple[bytes, ...] = ()
    last: bytes = b""
    padding: bytes = b""

    def __repr__(self) -> str:
        return f"Form({self.name!r}, {self.kind.name})"


def forms_of(name: str, value: str) -> list[Form]:
    """Return every form in which a secret's value is searched for."""
    text = value.rstrip("\r\n") or value  # programs often print a value without its last newline
    raw = text.encode()
    if len(text) < SHORT:
        short = {*_spelled(text), raw.hex().encode(), raw.hex().upper().encode(), *_padded(raw)}
        return [Form(name, FormKind.WORD, tuple(sorted(short)))]
    forms = _plain(name, text)
    forms += [_base64(name, raw, skipped) for skipped in (0, 1, 2)]
    forms.append(_numbers(name, raw))
    lines = {line.strip() for line in text.splitlines()} - {text}
    for line in sorted(lines):
        if len(line) >= LINE and not _ARMOR.fullmatch(line):
            forms += _plain(name, line)
    return forms


def _plain(name: str, text: str) -> list[Form]:
    raw, inner = text.encode(), text.strip(" \t\r\n>")
    if _SIMPLE.fullmatch(raw):  # most values are simple
        return [Form(name, FormKind.TEXT, (raw,), _probes(raw))]
    joined = _LINE_BREAK.sub("", inner)  # if a line's start is escaped, a view does not see it as indentation
    spellings = [inner.encode(), inner.replace(" ", "+").encode(), joined.encode(), _NEWLINE.sub("", inner).encode()]
    for one in (inner, joined) if not text.isascii() else ():
        spellings.append(b"".join(c.encode("latin-1" if c < "\u0100" else "utf-8") for c in one))
        spellings += [_in_code_page(one, page) for page in _CODE_PAGES]
        spellings += [one.encode(order).replace(b"\0", b"") for order in _UTF_16]
    spellings = list(dict.fromkeys(spellings))  # making their views takes most of the time
    stripped = [views.stripped(spelling) for spelling in spellings]
    stripped += [views.View(spelling) for spelling in spellings if _TURNING.search(spelling)]
    bare = [bare.text for view in stripped for bare in (views.decoded(view), views.unwrapped(view))]
    texts = dict.fromkeys([raw, *(one for one in (*spellings, *bare) if len(one) >= SHORT)])
    probes = _probes(views.without_escapes(raw))
    forms = [Form(name, FormKind.TEXT, tuple(texts), probes)]
    unfolded = bare[0].translate(None, b" \t")
    if SHORT <= len(unfolded) < len(bare[0]):
        forms.append(Form(name, FormKind.FOLDED, (unfolded,), probes))
    if len(bare[0]) < SHORT:
        forms.append(Form(name, FormKind.TEXT, tuple(sorted(_spelled(text)))))
    return forms if text.isascii() else [*forms, *_wide(name, inner)]


def _wide(name: str, text: str) -> list[Form]:
    """Return the forms of a value in UTF-16 that no view contains as they are.

    A byte of a wide character can look like a quote, a line break or an escape, which views remove. What remains can be
    too short, or can lack the value's last character.
    """
    forms = []
    for spelling in (text.encode(order) for order in _UTF_16):
        narrow = spelling.replace(b"\0", b"")
        if views.decoded(views.stripped(spelling)).text != narrow:
            forms.append(Form(name, FormKind.TEXT, (spelling,), _probes(spelling[:REACH].replace(b"\0", b""))))
    return forms


def _in_code_page(text: str, page: str) -> bytes:
    """Return a text as Windows' programs write it to a pipe, with `?` for each character that the code page lacks.

    The result is empty if too few other characters remain, because it would match any row of question marks.
    """
    raw = text.encode(page, "replace")
    return raw if len(raw) - raw.count(b"?") >= SHORT else b""


def _probes(text: bytes) -> tuple[bytes, ...]:
    """Return as probe the longest run of letters and digits near the text's beginning; none if all are too short."""
    runs = [run[:_PROBE] for run in _RUN.findall(text[:REACH])]
    best = max(runs, key=len, default=b"")
    return (best,) if len(best) >= _SHORTEST_PROBE else ()


def _base64(name: str, raw: bytes, skipped: int) -> Form:
    """Return the base64 form of `raw` after `skipped` other bytes (RFC 4648, sections 4 and 5).

    The form contains only characters that no other byte influences. The character before it may mix at most four bits
    of `raw` with bits of the previous byte, so that character is not replaced.
    """
    encoded = base64.b64encode(bytes(skipped) + raw)
    core = encoded[-(-8 * skipped // 6) : 8 * (skipped + len(raw)) // 6]
    bits = 8 * (skipped + len(raw)) % 6
    last = b""
    if bits:
        high = raw[-1] & ((1 << bits) - 1)
        last = _ALPHABET[high << (6 - bits) : (high + 1) << (6 - bits)]
        last += last.translate(_FOR_URLS)
    texts = tuple(dict.fromkeys([core, core.translate(_FOR_URLS)]))
    probes = tuple(probe for text in texts for probe in _probes(text))
    return Form(name, FormKind.TEXT, texts, probes, last, padding=b"=" * (-(len(raw) + skipped) % 3))


def _padded(raw: bytes) -> set[bytes]:
    encoded = base64.b64encode(raw)
    return {form for text in (encoded, encoded.translate(_FOR_URLS)) for form in (text, text.rstrip(b"="))}


def _numbers(name: str, raw: bytes) -> Form:
    """Return the hexadecimal form of a value, also with the bytes of each pair swapped, as `od -x` prints them."""
    orders = [raw, *(_swapped(part) for part in (raw, raw[1:]) for part in (part, part + b"\0"))]
    texts = dict.fromkeys(order.hex().encode() for order in orders if len(order) >= SHORT)
    probes = [probe for text in texts for probe in (text[:_PROBE], text[:_PROBE].upper())]
    return Form(name, FormKind.NUMBERS, tuple(texts), tuple(dict.fromkeys(probes)))


def _swapped(raw: bytes) -> bytes:
    whole = bytearray(raw[: len(raw) // 2 * 2])
    whole[::2], whole[1::2] = whole[1::2], whole[::2]
    return bytes(whole)


def _spelled(text: str) -> set[bytes]:
    """Return the usual spellings of a value that is too short for decoded views, or that is nearly all quotes."""
    import json
    from urllib.parse import quote, quote_plus

    ascii_only, wide = json.dumps(text), json.dumps(text, ensure_ascii=False)
    percent = [quote(text, safe=""), quote(text), quote_plus(text)]
    spelled = [text, ascii_only[1:-1], wide[1:-1], json.dumps(ascii_only)[3:-3], json.dumps(wide)[3:-3]]
    spelled += [*percent, *(re.sub("%..", lambda forms: forms[0].lower(), one) for one in percent)]
    spelled += ["".join(c if c.isalnum() or c == "\n" or c > "\x7f" else f"\\{c}" for c in text)]
    ways = [("", "'\\''", ""), ("", "'\"'\"'", ""), ("'\"", "'", "\"'"), ("'", "\\'", "'")]
    for before, each, after in ways:  # how shells quote single quotes: one by one, or a whole run
        parts = _QUOTES.split(text)
        runs = [before + each * len(run) + after for run in _QUOTES.findall(text)]
        spelled.append("".join(part + run for part, run in zip(parts, [*runs, ""], strict=True)))
    return {one.encode() for one in spelled if one}
