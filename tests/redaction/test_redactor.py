"""A redactor lets no value through in any listed form, however it is wrapped or cut, and changes nothing else."""

import base64
import binascii
import csv
import html
import io
import itertools
import json
import quopri
import random
import re
import shlex
import string
import subprocess
import urllib.parse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claude_secrets.redaction import forms, views
from claude_secrets.redaction.finder import Finder, Found, likely
from claude_secrets.redaction.forms import LINE, SHORT, forms_of
from claude_secrets.redaction.matching import Needle
from claude_secrets.redaction.redactor import Redactor
from tests.support.requirements import require
from tests.support.rounds import in_turn, rounds

MARK = b"[secret://TOKEN]"
TOKEN = "ghp_" + "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=85)) + "-/+_"


def redacted(data: bytes, values: dict[str, str], cuts: Iterable[int] = ()) -> bytes:
    """Return the output for `data` that comes in pieces."""
    redactor = Redactor(Finder(values))
    places = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    pieces = [redactor.feed(data[start:end]) for start, end in itertools.pairwise(places)]
    return b"".join([*pieces, redactor.finish()])


def json_of(value: str, depth: int, *, ascii_only: bool = True) -> bytes:
    """Return a value as a JSON string, nested in JSON strings to this depth, without the outer quotes."""
    for _ in range(depth):
        value = json.dumps(value, ensure_ascii=ascii_only)
    return value.removeprefix(value[: value.find('"') + 1] if depth == 1 else value[: 2**depth - 1])[
        : 1 - 2**depth
    ].encode()


def each(value: str, form: str) -> bytes:
    """Return a value with each character written as its code point."""
    return "".join(form.format(ord(character)) for character in value).encode()


def each_byte(value: str, form: str) -> bytes:
    return "".join(form.format(byte) for byte in value.encode()).encode()


def csv_field(value: str) -> bytes:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="").writerow([value])
    return written.getvalue()[1:-1].encode()


def quotes_apart(value: str, before: str, each: str, after: str) -> bytes:
    """Return a value in single quotes, with every run of single quotes outside of them."""
    inner = re.sub("'+", lambda run: before + "".join(each + one for one in run[0]) + after, value)
    return f"'{inner}'".encode()


def _lower(percent: str) -> str:
    parts = percent.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def _backslashed(value: str) -> str:
    return "".join(c if c.isalnum() or c == "\n" or c > "\x7f" else f"\\{c}" for c in value)


def quoted(value: str) -> str:
    return urllib.parse.quote(value, safe="")


TEXTS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "percent": lambda value: quoted(value).encode(),
    "percent of a path": lambda value: urllib.parse.quote(value).encode(),
    "percent of a form": lambda value: urllib.parse.quote_plus(value).encode(),
    "percent in lower case": lambda value: _lower(quoted(value)).encode(),
    "JSON in ASCII": lambda value: json_of(value, 1),
    "JSON": lambda value: json_of(value, 1, ascii_only=False),
    "JSON in JSON": lambda value: json_of(value, 2),
    "quoted for a shell": lambda value: shlex.quote(value).encode(),
    "escaped for a shell": lambda value: _backslashed(value).encode(),
    "quoted for a shell by backslash": lambda value: ("'" + value.replace("'", "'\\''") + "'").encode(),
    "quoted for a shell by dash": lambda value: quotes_apart(value, "'\"", "", "\"'"),
    "quoted for a shell by zsh": lambda value: quotes_apart(value, "'", "\\", "'"),
}
"""Forms in which even short values are found."""

ESCAPED: dict[str, Callable[[str], bytes]] = {
    "JSON three deep": lambda value: json_of(value, 3),
    "percent twice": lambda value: quoted(quoted(value)).encode(),
    "percent three times": lambda value: quoted(quoted(quoted(value))).encode(),
    "percent of every byte": lambda value: each_byte(value, "%{:02X}"),
    "percent twice of every byte": lambda value: each_byte(value, "%25{:02x}"),
    "percent of JSON": lambda value: quoted(json_of(value, 1).decode()).encode(),
    "JSON of percent": lambda value: json_of(quoted(value), 1),
    "HTML": lambda value: html.escape(value).encode(),
    "HTML in ASCII": lambda value: html.escape(value).encode("ascii", "xmlcharrefreplace"),
    "HTML twice": lambda value: html.escape(html.escape(value)).encode(),
    "JSON of HTML": lambda value: json_of(html.escape(value), 1),
    "HTML of JSON": lambda value: html.escape(json_of(value, 1).decode()).encode(),
    "decimal entities": lambda value: each(value, "&#{};"),
    "hexadecimal entities": lambda value: each(value, "&#x{:X};"),
    "quotes doubled in CSV": csv_field,
    "quotes doubled in SQL and YAML": lambda value: value.replace("'", "''").encode(),
    "\\xNN": lambda value: each_byte(value, "\\x{:02x}"),
    "\\xNN in JSON": lambda value: each_byte(value, "\\\\x{:02X}"),
    "\\NNN": lambda value: each_byte(value, "\\{:03o}"),
    "\\u{N}": lambda value: each(value, "\\u{{{:x}}}"),
    "\\uNNNN": lambda value: (
        json_of(each(value, "\\u{:04x}").decode(), 1) if value.isascii() else each_byte(value, "\\{:03o}")
    ),
    "\\UNNNNNNNN": lambda value: each(value, "\\U{:08X}"),
    "Python's repr": lambda value: (repr(value)[1:-1] if value.isascii() else value).encode(),
    "Python's repr of bytes": lambda value: repr(value.encode())[2:-1].encode(),
    "UTF-16": lambda value: value.encode("utf-16-le"),
    "UTF-16, big end first": lambda value: value.encode("utf-16-be"),
    "UTF-16 of JSON": lambda value: json_of(value, 1).decode().encode("utf-16-le"),
    "Latin-1": lambda value: value.encode("latin-1") if all(c < "\u0100" for c in value) else value.encode(),
    "quoted-printable": lambda value: quopri.encodestring(value.encode()),
}
ENCODED: dict[str, Callable[[str], bytes]] = {
    "base64": lambda value: base64.b64encode(value.encode()),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()),
    "base64url without padding": lambda value: base64.urlsafe_b64encode(value.encode()).rstrip(b"="),
    "base64 in a URL": lambda value: quoted(base64.b64encode(value.encode()).decode()).encode(),
    "base64 in JSON by PHP": lambda value: base64.b64encode(value.encode()).replace(b"/", b"\\/"),
    "hex": lambda value: binascii.hexlify(value.encode()),
    "HEX": lambda value: binascii.hexlify(value.encode()).upper(),
}
IN_PAIRS: dict[str, Callable[[bytes], bytes]] = {
    "blanks": lambda data: data.hex(" ").encode(),
    "colons": lambda data: data.hex(":").upper().encode(),
    "dashes": lambda data: data.hex("-").encode(),
    "fours": lambda data: data.hex(" ", -2).encode(),
    "a C array": lambda data: b", ".join(b"0x%02x" % byte for byte in data),
    "xxd -i": lambda data: b",\n  ".join(
        b", ".join(b"0x%02x" % byte for byte in data[at : at + 12]) for at in range(0, len(data), 12)
    ),
    "xxd -p": lambda data: b"\n".join(data[at : at + 30].hex().encode() for at in range(0, len(data), 30)),
}
ROWS: dict[str, Callable[[bytes, int], bytes]] = {
    "xxd": lambda data, at: b"%08x: %-39s  %s" % (at, data.hex(" ", -2).encode(), characters(data)),
    "hexdump -C": lambda data, at: b"%08x  %-48s  |%s|" % (at, halves(data), characters(data)),
    "od -t x1z": lambda data, at: b"%07o %-47s  >%s<" % (at, data.hex(" ").encode(), characters(data)),
    "od -t x1": lambda data, at: b"%07o %s" % (at, data.hex(" ").encode()),
    "od -An -t x1": lambda data, at: b" " + data.hex(" ").encode(),
    "xxd -i": lambda data, at: b"  " + b"".join(b"0x%02x, " % byte for byte in data),
    "two rows in hexadecimal": lambda data, at: data.hex().encode() + b" " * (at % 3),
}


def characters(data: bytes) -> bytes:
    return bytes(byte if 0x20 <= byte < 0x7F else ord(".") for byte in data)


def halves(data: bytes) -> bytes:
    return b"  ".join(half.hex(" ").encode() for half in (data[:8], data[8:]) if half)


ENCODINGS = {**TEXTS, **ENCODED, **ESCAPED}


def wrapped(data: bytes, width: int, newline: bytes) -> bytes:
    return newline.join(data[at : at + width] for at in range(0, len(data), width))


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "in one piece": lambda data: data,
    "76 columns": lambda data: wrapped(data, 76, b"\n"),
    "60 columns, CRLF": lambda data: wrapped(data, 60, b"\r\n"),
    "76 columns in JSON": lambda data: wrapped(data, 76, b"\\n"),
    "60 columns, CRLF, in JSON in JSON": lambda data: wrapped(data, 60, b"\\\\r\\\\n"),
    "20 columns, indented": lambda data: wrapped(data, 20, b"\n        "),
    "64 columns, indented by a tab": lambda data: wrapped(data, 64, b"\r\n\t"),
    "64 columns, quoted": lambda data: wrapped(data, 64, b"\n> "),
    "50 columns, quoted twice": lambda data: wrapped(data, 50, b"\n>> > "),
    "40 columns, in a comment": lambda data: wrapped(data, 40, b"\n    # "),
    "40 columns, continued": lambda data: wrapped(data, 40, b"\\\n  "),
    "indented in JSON": lambda data: wrapped(data, 40, b"\\n    "),
    "with the sign of a colour": lambda data: wrapped(data, 33, b"\x1b[01;31m\x1b[K"),
    "with cursor moves": lambda data: wrapped(data, 33, b"\x1b[5C\x1b[2;7H\x1b[0m"),
    "with colours in JSON": lambda data: wrapped(data, 33, b"\\u001b[1m"),
    "with a link": lambda data: wrapped(data, 33, b"\x1b]8;;https://example.com/a\x1b\\"),
}
LEFT_OUT = "\r\n\t '\"\\$>\0"
"""Characters that may remain visible if a value begins or ends with them."""


def _a_value(text: str) -> str:
    return text.strip(LEFT_OUT) or "x"


def _is_little(value: str) -> bool:
    """Return whether a value is mostly quotes and line breaks: only its spellings in `forms._spelled` are found."""
    return len(views.decoded(views.stripped(value.encode())).text.decode("utf-8", "replace")) < SHORT


values = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\a\x1b"), min_size=1, max_size=80)
    | st.text(string.printable, min_size=1, max_size=80)
).map(_a_value)
long_values = values.filter(lambda value: len(value) >= SHORT and not _is_little(value))
cuts = st.lists(st.integers(0, 400), max_size=8) | st.just(range(0, 400, 3)) | st.just(range(2000))


@pytest.mark.parametrize("encoding", TEXTS)
@settings(max_examples=rounds(5, 200), deadline=None)
@given(value=values, cuts=cuts)
@example(value=TOKEN, cuts=range(600))
@example(value="\\\\\\\\", cuts=[3])
@example(value="''\\'\\\\'' ''", cuts=[3, 5, 7])
@example(value="a'b", cuts=[3, 5, 7])
@example(value="\x1f\U00010000\U00010000\U00010000", cuts=range(0, 400, 3))
@example(value="\x1f\x1f\U00010000\U00010000", cuts=range(0, 400, 3))
@example(value="\x80\x80\x80\U00010000\U00010000", cuts=range(0, 400, 3))
@example(value="one\n\ttwo\n  three", cuts=range(0, 400, 3))
@example(value="one \rtwo \bthree", cuts=range(0, 400, 3))
def test_what_programs_make_of_any_value_does_not_come_through(encoding: str, value: str, cuts: Iterable[int]) -> None:
    spelled = TEXTS[encoding](value)
    out = redacted(b"\a" + spelled + b"\a", {"TOKEN": value}, cuts)
    assert out == redacted(b"\a" + spelled + b"\a", {"TOKEN": value})
    assert without_quotes(out) == b"\a" + MARK + b"\a"


@pytest.mark.parametrize("encoding", [*ENCODED, *ESCAPED])
@settings(max_examples=rounds(5, 200), deadline=None)
@given(value=long_values, cuts=cuts)
@example(value=TOKEN, cuts=range(999))
@example(value="line one\nline two\r\n\tline 'three", cuts=[3])
@example(value="a\\nb \\\n\t\tc%41&amp;d", cuts=range(999))
@example(value="00000'\x80", cuts=range(999))
@example(value="0\x80\x80\n>0 and more", cuts=range(999))
@example(value="00000\u2200", cuts=())
@example(value='00000" \r0', cuts=range(0, 400, 3))
@example(value="0000 \b0 \r\n0", cuts=range(999))
@example(value="00000000$\\'00000000$\\''$$\\\\'1", cuts=range(999))
def test_no_listed_form_comes_through_and_nothing_else_changes(encoding: str, value: str, cuts: Iterable[int]) -> None:
    text = b"\a" + ENCODINGS[encoding](value) + b"\a"
    out = redacted(text, {"TOKEN": value}, cuts)
    assert out == redacted(text, {"TOKEN": value})
    assert without_quotes(out) == b"\a" + MARK + b"\a"


wide_characters = st.characters(min_codepoint=0x800, exclude_categories=["Cs"])


@pytest.mark.parametrize("encoding", TEXTS)
@settings(max_examples=rounds(3, 40), deadline=None)
@given(value=st.text(wide_characters | st.sampled_from("\x1f\x80'"), min_size=4, max_size=SHORT - 1).map(_a_value))
@example(value="\x1f\U00010000\U00010000\U00010000")
@example(value="\x1f\x1f\U00010000\U00010000")
@example(value="\x80\x80\x80\U00010000\U00010000")
@example(value="\u5bc6\u7801\u5bc6\u7801\u5bc6")
def test_a_short_value_with_a_long_spelling_is_found_in_any_chunking(encoding: str, value: str) -> None:
    text = b"\a" + TEXTS[encoding](value) + b"\a"
    ends = [*range(1, len(text), rounds(4, 1)), *range(len(text) - 4, len(text))]
    for cuts in ((), range(len(text)), range(0, len(text), 3), *([end] for end in ends)):
        assert without_quotes(redacted(text, {"TOKEN": value}, cuts)) == b"\a" + MARK + b"\a"


SPECIAL = [ord(byte) for byte in "\"'\\%&$>=\n\r\t\x1b [0A"]
looks_like_others = st.sampled_from(
    [chr(high << 8 | low) for one in SPECIAL for two in (0, *SPECIAL) for high, low in ((one, two), (two, one))]
)


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@settings(max_examples=rounds(60, 1000), deadline=None)
@given(
    value=st.text(looks_like_others | st.sampled_from("0\x80\U00010000"), min_size=SHORT, max_size=60).map(_a_value),
    cuts=cuts,
)
@example(value="00000\u2200", cuts=())
@example(value="\u2200" * 6, cuts=range(99))
@example(value='"' * 30 + "abcd\u2200", cuts=range(999))
@example(value="pass\u2200word\u2200", cuts=range(999))
@example(value="0000\u0a22\u0d0a\u5c00\u2500", cuts=range(99))
def test_bytes_of_wide_characters_that_look_like_others_do_not_hide_a_value(
    order: str, value: str, cuts: Iterable[int]
) -> None:
    if len(value) < SHORT or value.isascii():
        return
    text = b"\a" + value.encode(order) + b"\a"
    assert without_quotes(redacted(text, {"TOKEN": value}, cuts)) == b"\a" + MARK + b"\a"


WRAPPED = [name for name in ENCODINGS if not any(word in name for word in ("UTF-16", "printable", "quoted for"))]
tokens = st.text(string.ascii_letters + string.digits + "-_.~+/:!@^*", min_size=12, max_size=200).map(
    lambda value: value.strip("*") + "x" * 6
)


def is_usual(encoding: str, wrapping: str) -> bool:
    """Return whether real programs wrap a value that is spelled in this way."""
    return b"\\" not in ENCODINGS[encoding]("a/b:c") or not ("JSON" in wrapping or "continued" in wrapping)


@pytest.mark.parametrize("encoding", WRAPPED)
def test_nor_does_one_that_is_wrapped_or_coloured(encoding: str) -> None:
    spelled = ENCODINGS[encoding](TOKEN)
    for step, wrapping in enumerate(WRAPPINGS, start=23):
        if is_usual(encoding, wrapping):
            text = b"\a" + WRAPPINGS[wrapping](spelled) + b"\a"
            for cuts in ((), *in_turn([range(0, 2000, step), range(step // 2, 2000, 2 * step)], step, 1)):
                assert without_quotes(redacted(text, {"TOKEN": TOKEN}, cuts)) == b"\a" + MARK + b"\a", wrapping


@pytest.mark.parametrize("encoding", WRAPPED)
@settings(max_examples=rounds(4, 60), deadline=None)
@given(
    value=tokens,
    wrapping=st.sampled_from(list(WRAPPINGS)),
    cuts=st.lists(st.integers(0, 900), max_size=8) | st.just(range(0, 900, 11)),
)
def test_nor_does_any_token(encoding: str, wrapping: str, value: str, cuts: Iterable[int]) -> None:
    spelled = ENCODINGS[encoding](value)
    text = b"\a" + (WRAPPINGS[wrapping](spelled) if is_usual(encoding, wrapping) else spelled) + b"\a"
    out = redacted(text, {"TOKEN": value}, cuts)
    assert out == redacted(text, {"TOKEN": value})
    assert without_quotes(out) == b"\a" + MARK + b"\a"


@pytest.mark.parametrize("pairs", IN_PAIRS)
@settings(max_examples=rounds(10, 100), deadline=None)
@given(value=long_values, before=st.binary(max_size=40), after=st.binary(max_size=40), cuts=cuts)
@example(value=TOKEN, before=b"", after=b"", cuts=range(2000))
def test_nor_does_one_in_hexadecimal_pairs(
    pairs: str, value: str, before: bytes, after: bytes, cuts: Iterable[int]
) -> None:
    text = IN_PAIRS[pairs](before + value.encode() + after)
    out = redacted(text, {"TOKEN": value}, cuts)
    assert out == redacted(text, {"TOKEN": value})
    assert MARK in out
    rest = re.sub(rb"0x|[^0-9a-fA-F]", b"", out.replace(MARK, b"")).lower()
    assert rest == re.sub(b"0x", b"", (before + after).hex().encode()) or len(rest) == 2 * len(before + after)


def without_quotes(out: bytes) -> bytes:
    """Remove the quotes around a value, and padding that a wrap has cut off."""
    end = re.compile(rb"(?<=\])[^\]a]*?={1,2}(?=\a\Z)")
    out = end.sub(b"", out)
    return re.sub(rb"(?<=\a)['\\]|['\0]|=\n(?=\a)|(?<=\])(?:\x1b\[[0-9;]*m)+", b"", out)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
def test_a_newline_at_the_end_of_a_value_may_be_missing(newline: str) -> None:
    for encoding, spell in ENCODINGS.items():
        for spelled in (spell(TOKEN), spell(TOKEN + newline)):
            out = redacted(b"\a" + spelled + b"\a", {"TOKEN": TOKEN + newline})
            rest = out.replace(MARK, b"").replace(b"\a", b"")
            assert MARK in out, encoding
            assert len(rest) <= 20, encoding
            assert not any(TOKEN[at : at + 3].encode() in rest for at in range(len(TOKEN) - 3))


@given(value=st.text(string.ascii_letters + string.digits + "-_", min_size=SHORT, max_size=99), data=st.data())
def test_base64_of_more_than_the_value_loses_the_value_alone(value: str, data: st.DataObject) -> None:
    before = data.draw(st.binary(max_size=70))
    after = data.draw(st.binary(max_size=70))
    whole = base64.b64encode(before + value.encode() + after)
    start = -(-8 * len(before) // 6)
    end = -(-8 * (len(before) + len(value)) // 6)
    rest = whole[end:] if after else b""
    expected = whole[:start] + MARK + rest
    for newline in (b"", b"\n", b"\r\n"):
        spelled = wrapped(whole, 76, newline) if newline else whole
        out = redacted(b"<" + spelled + b">", {"TOKEN": value}, data.draw(cuts))
        assert out.replace(newline, b"") if newline else out == b"<" + expected + b">"
        assert out.replace(b"\r", b"").replace(b"\n", b"") == b"<" + expected + b">"


@given(text=st.binary(max_size=300) | st.text(max_size=300).map(str.encode), cuts=cuts)
def test_a_text_without_the_value_stays_as_it_is(text: bytes, cuts: Iterable[int]) -> None:
    assert redacted(text, {"TOKEN": TOKEN, "OTHER": "a" * 400, "LINES": "x" * 301 + "\n" + "y" * 301}, cuts) == text


few = st.text("ab", min_size=SHORT, max_size=9)


@given(
    values=st.lists(few, min_size=1, max_size=4),
    text=st.text("ab\n%\\", max_size=60).map(str.encode),
    cuts=cuts,
)
@example(values=["aaaaaa"], text=b"aaaaaaaaaaa", cuts=range(11))
@example(values=["abaaaa", "aaaabbbb"], text=b"abaaaabbbb", cuts=[4])
def test_however_values_overlap_none_comes_through_in_any_chunking(
    values: list[str], text: bytes, cuts: Iterable[int]
) -> None:
    secrets = {f"S{number}": value for number, value in enumerate(values)}
    out = redacted(text, secrets, cuts)
    assert out == redacted(text, secrets)
    for value in values:
        assert value.encode() not in out
        for between in ("", "\n", "\\n"):
            assert redacted(between.join(value).encode(), secrets).startswith(b"[secret://S")


def test_of_what_overlaps_nothing_is_shown() -> None:
    values = {"SHORT": "abcdefgh", "LONG": "cdefghijklmnop", "INNER": "efghij", "LONGER": "abcdefghXYZ"}
    for cuts in ((), range(99)):
        assert redacted(b"x abcdefghijklmnop y", values, cuts) == b"x [secret://SHORT][secret://LONG] y"
        assert redacted(b"x abcdefghijkl y", values, cuts) == b"x [secret://SHORT][secret://INNER]kl y"
        assert redacted(b"x abcdefghXYZ y", values, cuts) == b"x [secret://LONGER] y"
        assert redacted(b"abcdefghabcdefgh", values, cuts) == b"[secret://SHORT]" * 2
        assert redacted(b"x" + b"ab" * 9 + b"a", {"A": "abababab"}, cuts) == b"x[secret://A]a"


@pytest.mark.parametrize("value", ["a", "abc", "12345", "ab_"])
def test_a_short_value_is_replaced_as_a_whole_word_alone(value: str) -> None:
    around = {"TOKEN": value}
    plain = value.encode()
    for cuts in ((), range(99)):
        assert redacted(b"x=%s, y\n" % plain, around, cuts) == b"x=%s, y\n" % MARK
        assert redacted(plain, around, cuts) == MARK
        for kept in (b"x%s" % plain, b"%sx" % plain, b"_%s " % plain, b"%s9" % plain, "é".encode() + plain):
            assert redacted(kept, around, cuts) == kept
    split = b"\n".join(bytes([byte]) for byte in plain)
    assert redacted(split, around) == (split if len(plain) > 1 else MARK)


def test_each_long_line_of_a_value_counts_by_itself() -> None:
    lines = ["-----BEGIN KEY-----", "MIIEvQIBADANBgkq", "short", "  indented by two", "-----BEGIN key-----x"]
    values = {"KEY": "\n".join(lines) + "\n"}
    for line in lines:
        out = redacted(f"{line}\n".encode(), values)
        stripped = line.strip()
        assert out == (
            f"{line}\n".encode()
            if len(stripped) < LINE or stripped == lines[0]
            else line.replace(stripped, MARK.decode()).replace("TOKEN", "KEY").encode() + b"\n"
        )
    for whole in ("\n".join(lines), "\r\n".join(lines), "\\n".join(lines)):
        assert redacted(whole.encode(), values) == b"[secret://KEY]"


def test_a_long_value_is_found_in_small_pieces() -> None:
    value = "".join(random.Random(1).choices(string.ascii_letters, k=1 << 16))
    for data in (value.encode(), base64.encodebytes(b"x" + value.encode())):
        out = redacted(data, {"TOKEN": value}, range(0, len(data), 4096))
        assert out.count(MARK) == 1
        assert len(out) < 64


def test_what_is_held_back_by_chance_is_shown_after_a_while_and_more_of_a_value_never() -> None:
    redactor = Redactor(Finder({"TOKEN": TOKEN}))
    assert redactor.feed(b"Name: g") == b"Name: "
    assert redactor.idle() == b"g"
    assert redactor.idle() == b""
    assert redactor.feed(b"hp") == b""
    assert redactor.idle() == b"hp"
    assert redactor.feed(TOKEN[3:40].encode()) == b""
    assert redactor.idle() == b""
    assert redactor.feed(TOKEN[40:].encode() + b"\n") == MARK + b"\n"
    assert redactor.feed(b"gh") == b""
    assert redactor.idle() == b"gh"
    assert redactor.feed(b"ost") == b"ost"
    assert redactor.feed(b"100%") == b"100"
    assert redactor.idle() == b"%"
    assert redactor.feed(b"C:\\") == b"C:"
    assert redactor.idle() == b"\\"
    assert redactor.finish() == b""


@pytest.mark.parametrize(
    ("value", "most"),
    [("abc", 1), ("abcde", 1), ("abcdef", 2), ("abcdefgh", 2), ("a" * 12, 4), ("a" * 15, 5), (TOKEN, 5)],
)
def test_of_a_value_that_comes_slowly_at_most_a_third_and_five_characters_are_shown(value: str, most: int) -> None:
    redactor, seen = Redactor(Finder({"TOKEN": value})), b""
    for byte in value.encode()[:-1]:
        seen += redactor.feed(bytes([byte])) + redactor.idle()
    assert seen == value[:most].encode()
    assert redactor.feed(value[-1:].encode() + b" \n") == MARK + b" \n"


@pytest.mark.parametrize("encoding", ["base64", "hex", "percent of every byte", "JSON of HTML", "UTF-16"])
def test_nor_is_more_shown_of_one_that_is_encoded(encoding: str) -> None:
    redactor, seen, text = Redactor(Finder({"TOKEN": TOKEN})), b"", ENCODINGS[encoding](TOKEN)
    for byte in text + b" \n":
        seen += redactor.feed(bytes([byte])) + redactor.idle()
    early, mark, rest = seen.partition(MARK)
    assert text.startswith(early)
    assert len(early) < 24
    assert (mark, rest.strip(b"\0")) == (MARK, b" \n")


def test_colours_line_breaks_and_quotes_do_not_wait() -> None:
    redactor = Redactor(Finder({"TOKEN": TOKEN}))
    for text in (b"done\n", b"\x1b[1m~\x1b[0m", b"a 'q~'", b"50 ", b"\n    ", b"> ", b"\x1b[3", b"1mX", b"\r"):
        assert redactor.feed(text) == text


@pytest.mark.parametrize("value", ["aaaaaaaa", "abababababab", "a" * 4096, "aaaaaaab\naaaaaaaaaaaaaaaa"])
def test_a_text_that_is_one_value_after_the_other_is_not_held_back(value: str) -> None:
    redactor = Redactor(Finder({"TOKEN": value, "LONGER": value + value[-1]}))
    out = b""
    for _ in range(12):
        out += redactor.feed(value.encode()[:2] * 4096)
        assert len(redactor._held) < 20_000
    assert 1 <= (out + redactor.finish()).count(b"[secret://") <= 20


MANY = rounds(1 << 14, 1 << 16)
ALIKE = {
    "one letter": "a" * 16 * MANY,
    "two letters": "ab" * 2 * MANY,
    "one letter and another": "a" * 4 * MANY + "b",
    "another and one letter": "b" + "a" * 4 * MANY,
    "backslashes": "\\" * MANY + "x",
    "percent signs": "%2" * MANY,
    "quotes": "'" * MANY,
    "digits": "30" * MANY,
}


@pytest.mark.parametrize("name", ALIKE)
def test_texts_like_a_long_value_take_no_longer_than_others(name: str) -> None:
    """If the search did not take linear time, each of these texts would take minutes instead of a second."""
    value = ALIKE[name]
    half, around = value[: len(value) // 2].encode(), value.encode()
    for text in (half, half + b"c" + half, around[:-1] + b"c" + around[:-1], around, b"x" + around * 2):
        for size in (len(text), 4 * MANY):
            out = redacted(text, {"TOKEN": value}, range(size, len(text), size))
            assert (MARK in out) == (around in text)
            assert len(out) < 64 if MARK in out else out == text


@given(text=st.text("ab", max_size=60).map(str.encode), part=st.text("ab", min_size=1, max_size=20).map(str.encode))
def test_a_needle_is_found_wherever_it_stands(text: bytes, part: bytes) -> None:
    covered = {place for start, end in Needle(part).runs(text) for place in range(start, end)}
    starts = [at for at in range(len(text)) if text.startswith(part, at)]
    assert covered == {place for at in starts for place in range(at, at + len(part))}


@given(
    value=st.text("ab", min_size=20, max_size=80).map(str.encode),
    text=st.text("ab", max_size=40).map(str.encode),
    known=st.integers(0, 79),
    repeated=st.integers(0, 9),
)
@example(value=b"a" * 80, text=b"a" * 40 + b"b" + b"a" * 20, known=0, repeated=0)
@example(value=b"a" * 79 + b"b", text=b"", known=79, repeated=1)
@example(value=b"a" * 20 + b"b" + b"a" * 40, text=b"a" * 30, known=0, repeated=0)
def test_the_longest_beginning_of_a_needle_is_found_at_an_end(
    value: bytes, text: bytes, known: int, repeated: int
) -> None:
    text = value[:known] * repeated + text + value[:known]
    begun = [at for at in range(len(text) + 1) if len(text) - at < len(value) and value.startswith(text[at:])]
    at = begun[0] if len(text) - begun[0] >= 16 else len(text)
    assert Needle(value).begun(text) == at


SHELLS = {
    "bash": ['printf %q "$TOKEN"', "declare -p TOKEN", "export -p | grep -A9 TOKEN", 'echo "${TOKEN@Q}"', "set"],
    "dash": ["export -p", "set"],
    "zsh": [
        *(f'print -r -- "${{({q})TOKEN}}"' for q in ("q", "qq", "qqq", "qqqq", "q-", "q+")),
        "typeset -p TOKEN",
        "set",
    ],
    "coreutils": ["exec /usr/bin/printf '%q\\n' \"$TOKEN\"", 'touch "$TOKEN" && ls --quoting-style=shell-escape'],
}
AWKWARD = [
    "pa''ssw'ord",
    "tab\tseparated\x01value",
    "two\nlines 'here'",
    "p\u00e4ss-w\u00f6rd $(x)",
    "it's\n''\ta `b` \"c\"",
]


@pytest.mark.parametrize("value", AWKWARD)
@pytest.mark.parametrize(("shell", "script"), [(shell, script) for shell in SHELLS for script in SHELLS[shell]])
def test_what_real_shells_print_is_found(shell: str, script: str, value: str, tmp_path: Path) -> None:
    name = "bash" if shell == "coreutils" else shell
    require(name)
    for locale in ("C.UTF-8", "C")[: 1 if shell == "zsh" else 2]:  # in the C locale zsh writes \\M-c beyond ASCII
        environment = {"TOKEN": value, "PATH": "/usr/bin:/bin", "LC_ALL": locale}
        done = subprocess.run([name, "-c", script], env=environment, capture_output=True, cwd=tmp_path, check=True)
        assert done.stdout
        assert MARK in redacted(done.stdout, {"TOKEN": value}), done.stdout


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=rounds(10, 100), deadline=None)
@given(value=long_values, wrapping=st.sampled_from(list(WRAPPINGS)), before=st.text())
@example(value=TOKEN, wrapping="60 columns, CRLF", before="")
def test_what_is_there_is_always_likely(encoding: str, value: str, wrapping: str, before: str) -> None:
    text = before.encode("utf-8", "replace") + WRAPPINGS[wrapping](ENCODINGS[encoding](value))
    assert likely({"TOKEN": value, "OTHER": "x" * 40}, [b"", text]) | {"OTHER": ""} == {"TOKEN": value, "OTHER": ""}


def test_what_is_not_there_is_seldom_likely() -> None:
    chosen = random.Random(3)
    many = {f"S{n}": "".join(chosen.choices(string.ascii_letters + string.digits, k=40)) for n in range(200)}
    text = "".join(chosen.choices(string.ascii_letters + string.digits + " \n", k=200_000)).encode()
    assert likely(many, [text]) == {}
    assert likely(many, [text, many["S7"].encode()]) == {"S7": many["S7"]}


def test_nothing_of_a_value_stands_in_what_describes_a_finder() -> None:
    finder = Finder({"TOKEN": TOKEN})
    assert TOKEN[:8] not in f"{finder!r} {Redactor(finder)!r} {forms_of('TOKEN', TOKEN)!r}"


def test_thousands_of_values_are_found(capfd: pytest.CaptureFixture[str]) -> None:
    chosen = random.Random(5)
    many = {f"S{n}": "".join(chosen.choices(string.ascii_letters, k=20)) for n in range(2000)}
    text = b" ".join(value.encode() for value in many.values())
    out = redacted(text, many, [70, 7000, 30_000])
    assert out.split() == [f"[secret://{name}]".encode() for name in many]
    assert capfd.readouterr() == ("", "")


def test_colours_that_begin_or_end_inside_of_a_value_stay() -> None:
    text = b"a \x1b[1;31m%s\x1b[m\x1b[K%s\x1b[32m b" % (TOKEN[:9].encode(), TOKEN[9:].encode())
    for cuts in ((), range(999)):
        assert redacted(text, {"TOKEN": TOKEN}, cuts) == b"a \x1b[1;31m%s\x1b[m\x1b[32m b" % MARK


@pytest.mark.parametrize("value", ["correct horse 1", "correct horse 12", "correct horse 123"])
def test_what_follows_padding_stays(value: str) -> None:
    encoded = base64.b64encode(value.encode())
    for cuts in ((), range(999)):
        for after in (b"\n==> b <==", b"\n\n=== c", b"== d", b"\r\n=", b"="):
            left = after.removeprefix(b"=" * (len(encoded) - len(encoded.rstrip(b"=")))) if after[:1] == b"=" else after
            assert redacted(encoded + after, {"TOKEN": value}, cuts) == MARK + after
            assert redacted(encoded.rstrip(b"=") + after, {"TOKEN": value}, cuts) == MARK + left


@pytest.mark.parametrize("dump", ROWS)
@pytest.mark.parametrize("size", [6, 17, 40])
def test_a_value_in_a_dump_is_found_wherever_it_stands(dump: str, size: int) -> None:
    value = TOKEN[4 : 4 + size]
    for before in range(18) if rounds(0, 1) else (0, 1, 7, 8, 10, 15, 16):
        for after in in_turn((0, 1, 9), before, 1):
            data = b"!" * before + value.encode() + b"?" * after
            rows = [ROWS[dump](data[at : at + 16], at) for at in range(0, len(data), 16)]
            text = b"\n".join([*rows, b"%08x" % len(data), b""])
            for cuts in ((), range(before, 999, 5), [before * 3]):
                out = redacted(text, {"TOKEN": value}, cuts)
                assert MARK in out
                assert value.encode()[-4:] not in out
                rest = re.sub(rb"[^0-9a-f]", b"", out.partition(MARK)[2].partition(b"\n")[0])
                assert value.encode()[-3:].hex().encode() not in rest


def in_rows(data: bytes, row: Callable[[bytes, int], bytes]) -> bytes:
    return b"\n".join(row(data[at : at + 16], at) for at in range(0, len(data), 16))


@pytest.mark.parametrize("dump", [*IN_PAIRS.values(), *(partial(in_rows, row=row) for row in ROWS.values())])
@pytest.mark.parametrize("value", [TOKEN[:12], "0a  |b  c"])
def test_a_value_in_a_dump_is_found_if_the_dump_comes_in_two_pieces(dump: Callable[[bytes], bytes], value: str) -> None:
    for before in range(33) if rounds(0, 1) else (11, 12):
        text = dump(b"!" * before + value.encode() + b"??")
        out = redacted(text, {"TOKEN": value})
        assert MARK in out
        assert [cut for cut in range(len(text)) if redacted(text, {"TOKEN": value}, [cut]) != out] == [], before


BEGINNING_LIKE_SOMETHING_ELSE = ["$ecret>Value!!", "#hash*and/slash", "/etc/secret-like", "*x*y*z*12", "%41$'quote"]


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if "base64" not in name])
@pytest.mark.parametrize("value", BEGINNING_LIKE_SOMETHING_ELSE)
def test_values_that_begin_like_something_else_are_found_in_any_chunking(encoding: str, value: str) -> None:
    number = list(ENCODINGS).index(encoding) + BEGINNING_LIKE_SOMETHING_ELSE.index(value)
    for around in in_turn((b"\a", b"\n", b" "), number, 1):
        text = around + ENCODINGS[encoding](value) + around
        for cuts in [(), range(999), *([cut] for cut in range(1, 12, rounds(3, 1)))]:
            out = redacted(text, {"TOKEN": value}, cuts)
            assert MARK in out
            assert len(out) < len(MARK) + 12


def test_a_passphrase_is_found_where_it_is_folded() -> None:
    value = "correct horse battery staple, and 'more' words"
    for break_ in (b"\n", b"\n    ", b"\r\n> ", b" \x08", b" \r", b"  "):
        for places in ([7], [13, 21], [7, 13, 21, 29, 33]):
            text = bytearray(value.encode())
            for place in reversed(places):
                text[place : place + 1] = break_
            for cuts in ((), range(999)):
                assert redacted(b"\a%s\a" % text, {"TOKEN": value}, cuts) == b"\a%s\a" % MARK
    assert redacted(b"correcthorsebattery", {"TOKEN": "correct horse 1", "X": "let-me-in"}) == b"correcthorsebattery"
    assert redacted(b"let me in, letmein", {"TOKEN": "letmein"}) == b"let me in, " + MARK


@pytest.mark.parametrize("around", [b"\x1b]0;%s\x07", b"\x1b]8;;https://x/%s\x1b\\a\x1b]8;;\x1b\\", b"\x1b[> %s="])
def test_a_value_in_what_a_terminal_does_not_show_is_found(around: bytes) -> None:
    for cuts in ((), range(999), [9]):
        assert redacted(around % TOKEN.encode(), {"TOKEN": TOKEN}, cuts) == around % MARK


def test_words_after_a_number_that_is_no_dump_stay() -> None:
    text = b"34 38 32 39 31 33   some other words after\n"
    for cuts in ((), range(99)):
        assert redacted(text, {"TOKEN": "482913"}, cuts) == MARK + b"   some other words after\n"


@pytest.mark.parametrize("turn", [b" \x08", b" \r"])
def test_a_value_that_a_terminal_program_wraps_is_found(turn: bytes) -> None:
    text = wrapped(TOKEN.encode(), 30, turn)
    for cuts in ((), range(999)):
        assert redacted(b"\a" + text + b"\a", {"TOKEN": TOKEN}, cuts) == b"\a" + MARK + b"\a"


def test_what_python_shows_of_letters_of_two_kinds_is_found() -> None:
    value = "p\u00e4ss-\u20ac-w\u00f6rd"
    for text in (ascii(value), ascii(repr(value)), json.dumps(value)):
        for cuts in ((), range(999)):
            assert MARK in redacted(text.encode(), {"TOKEN": value}, cuts)


def test_a_long_value_that_comes_in_small_pieces_is_searched_for_a_few_times_only() -> None:
    value = "".join(random.Random(3).choices(string.ascii_letters, k=1 << 20))
    text = base64.encodebytes(value.encode())
    finder = Finder({"TOKEN": value})
    redactor, searched, find = Redactor(finder), 0, finder.find

    def counting(data: bytes, **more: Any) -> tuple[list[Found], int]:
        nonlocal searched
        searched += len(data)
        return find(data, **more)

    finder.find = counting  # type: ignore[method-assign]
    out = b"".join(redactor.feed(text[at : at + 770]) for at in range(0, len(text), 770))
    out += redactor.feed(b"\nshown") + redactor.idle()
    assert out.startswith(MARK)
    assert out.endswith(b"\nshown")
    assert len(out) < 64
    assert searched < 20 * len(text)


DUMPS = {
    "xxd": 'printf %s "$1" | xxd',
    "xxd in colours": 'printf %s "$1" | xxd -R always 2>/dev/null || printf %s "$1" | xxd',
    "xxd, a byte each": 'printf %s "$1" | xxd -g 1 -c 24',
    "xxd, four bytes each": 'printf %s "$1" | xxd -g 4',
    "xxd -p": 'printf %s "$1" | xxd -p',
    "xxd -i": 'printf %s "$1" | xxd -i',
    "od -t x1": 'printf %s "$1" | od -v -t x1',
    "od with characters": 'printf %s "$1" | od -v -A x -t x1z',
    "od -x": 'printf %s "$1" | od -v -x',
    "od without offsets": 'printf %s "$1" | od -v -An -t x1',
    "base64": "printf %s \"$1\" | base64 -w 20 | sed 's/^/    /'",
    "base64 by mail": "printf %s \"$1\" | base64 -w 64 | sed 's/^/> /'",
    "fold": 'printf %s "$1" | fold -w 30',
    "UTF-16": 'printf %s "$1" | iconv -t UTF-16',
    "UTF-16 in a dump": "printf %s \"$1\" | iconv -t UTF-16LE | tr -d '\\0'",
    "grep": "printf '%s\\n' \"$1\" | grep --color=always -E '[0-9][a-z]|[A-Z]{2}'",
}


@pytest.mark.parametrize("before", ["", "0123456", "a line\nand "])
@pytest.mark.parametrize("dump", DUMPS)
def test_what_real_programs_show_of_a_value_is_found(dump: str, before: str) -> None:
    require("xxd")
    words = ["sh", "-c", DUMPS[dump], "sh", f"{before}{TOKEN} and more"]
    shown = subprocess.run(words, capture_output=True, check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    assert shown.stdout
    for cuts in ((), range(0, 9999, 3), range(0, 9999, 16)):
        out = redacted(shown.stdout, {"TOKEN": TOKEN}, cuts)
        assert MARK in out
        rest = re.sub(rb"\x1b\[[0-9;]*[mK]", b"", out.replace(MARK, b""))
        assert not any(TOKEN[at : at + 4].encode() in rest for at in range(len(TOKEN) - 3))
        digits = re.sub(rb"[^0-9a-f]", b"", rest)
        assert not any(TOKEN[at : at + 4].encode().hex().encode() in digits for at in range(len(TOKEN) - 3))


def test_a_value_in_a_code_page_of_windows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Windows: its code pages are a constant. `tests/windows` uses the real ones."""
    monkeypatch.setattr(forms, "_CODE_PAGES", ("cp1252", "cp850"))
    values = {"TOKEN": "p\u00e4ssw\u00f6rt-geheim\u20ac9", "OTHER": "\u5bc6\u7801\u5bc6\u7801\u5bc6\u7801-1"}
    for page in ("cp1252", "cp850"):
        text = values["TOKEN"].encode(page, "replace")
        assert redacted(b"<" + text + b">", values, range(0, 99, 3)) == b"<[secret://TOKEN]>"
    assert redacted(b"really??????-1", values) == b"really??????-1"
