"""No value comes through a redactor in any listed form, however wrapped and cut; and nothing else changes."""

import base64
import binascii
import itertools
import json
import random
import re
import shlex
import string
import subprocess
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claude_secrets.forms import LINE, SHORT, forms_of
from claude_secrets.redaction import Finder, Found, Redactor, _settled, likely
from tests.realparts import require

MARK = b"[secret://TOKEN]"
TOKEN = "ghp_" + "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=85)) + "-/+_"


def redacted(data: bytes, values: dict[str, str], cuts: Iterable[int] = ()) -> bytes:
    """What comes out where `data` comes in pieces."""
    redactor = Redactor(Finder(values))
    places = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    pieces = [redactor.feed(data[start:end]) for start, end in itertools.pairwise(places)]
    return b"".join([*pieces, redactor.finish()])


def json_escaped(value: str, *, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only)[1:-1].encode()


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "base64": lambda value: base64.b64encode(value.encode()),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()),
    "base64url without padding": lambda value: base64.urlsafe_b64encode(value.encode()).rstrip(b"="),
    "hex": lambda value: binascii.hexlify(value.encode()),
    "HEX": lambda value: binascii.hexlify(value.encode()).upper(),
    "percent": lambda value: urllib.parse.quote(value, safe="").encode(),
    "percent of a path": lambda value: urllib.parse.quote(value).encode(),
    "percent of a form": lambda value: urllib.parse.quote_plus(value).encode(),
    "percent in lower case": lambda value: _lower(urllib.parse.quote(value, safe="")).encode(),
    "JSON in ASCII": lambda value: json_escaped(value, ascii_only=True),
    "JSON": lambda value: json_escaped(value, ascii_only=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value))[3:-3].encode(),
    "quoted for a shell": lambda value: shlex.quote(value).encode(),
    "escaped for a shell": lambda value: _backslashed(value).encode(),
    "quoted for a shell by backslash": lambda value: ("'" + value.replace("'", "'\\''") + "'").encode(),
    "quoted for a shell by dash": lambda value: quotes_apart(value, "'\"", "", "\"'"),
    "quoted for a shell by zsh": lambda value: quotes_apart(value, "'", "\\", "'"),
}


def quotes_apart(value: str, before: str, each: str, after: str) -> bytes:
    """In 'quotes', outside of which every run of quotes stands together."""
    inner = re.sub("'+", lambda run: before + "".join(each + one for one in run[0]) + after, value)
    return f"'{inner}'".encode()


def _lower(percent: str) -> str:
    parts = percent.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def _backslashed(value: str) -> str:
    return "".join(c if c.isalnum() or c == "\n" or c > "\x7f" else f"\\{c}" for c in value)


def wrapped(data: bytes, width: int, newline: bytes) -> bytes:
    return newline.join(data[at : at + width] for at in range(0, len(data), width))


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "in one piece": lambda data: data,
    "76 columns": lambda data: wrapped(data, 76, b"\n"),
    "60 columns": lambda data: wrapped(data, 60, b"\n"),
    "76 columns, CRLF": lambda data: wrapped(data, 76, b"\r\n"),
    "60 columns, CRLF": lambda data: wrapped(data, 60, b"\r\n"),
    "76 columns in JSON": lambda data: wrapped(data, 76, b"\\n"),
}


def _a_value(text: str) -> str:
    """Not these, that have tests of their own: a newline at the end, and the one value that quotes around it are."""
    value = text.rstrip("\r\n") or "x"
    return value if value != "'" else "x"


values = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\a"), min_size=1, max_size=80)
    | st.text(string.printable, min_size=1, max_size=80)
).map(_a_value)
long_values = st.text(st.characters(exclude_categories=["Cs"]), min_size=16, max_size=80) | st.text(
    string.printable, min_size=16, max_size=80
)
cuts = st.lists(st.integers(0, 400), max_size=8) | st.just(range(0, 400, 3))


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=60, deadline=None)
@given(value=values, wrapping=st.sampled_from(list(WRAPPINGS)), cuts=cuts)
@example(value=TOKEN, wrapping="60 columns", cuts=range(600))
@example(value="line one\nline two\r\n\tline 'three'", wrapping="76 columns, CRLF", cuts=[3])
@example(value="\\\\\\\\", wrapping="in one piece", cuts=[3])
@example(value="''\\'\\\\'' ''", wrapping="60 columns", cuts=[3, 5, 7])
def test_no_listed_form_comes_through_and_nothing_else_changes(
    encoding: str, value: str, wrapping: str, cuts: Iterable[int]
) -> None:
    spelled = ENCODINGS[encoding](value)
    if encoding != "plain" and len(value) >= SHORT:
        spelled = WRAPPINGS[wrapping](spelled)
    out = redacted(b"\a" + spelled + b"\a", {"TOKEN": value}, cuts)
    assert out == redacted(b"\a" + spelled + b"\a", {"TOKEN": value})
    quotes = (
        (b"'", b"'") if spelled.startswith(b"'") and "quoted" in encoding and out.startswith(b"\a'") else (b"", b"")
    )
    assert out == b"\a" + quotes[0] + MARK + quotes[1] + b"\a"


def test_quotes_around_a_value_that_is_a_quote_are_that_value_too() -> None:
    for cuts in ((), range(9)):
        assert redacted(b"<''\"'\"''>", {"TOKEN": "'"}, cuts) == b"<%s>" % (3 * MARK)


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


def test_of_what_overlaps_the_longest_is_replaced() -> None:
    values = {"SHORT": "abcdefgh", "LONG": "cdefghijklmnop", "INNER": "efghij"}
    assert redacted(b"x abcdefghijklmnop y", values) == b"x ab[secret://LONG] y"
    assert redacted(b"x abcdefghijkl y", values) == b"x [secret://SHORT]ijkl y"
    assert redacted(b"abcdefghabcdefgh", values) == b"[secret://SHORT]" * 2


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


def test_a_terminal_sees_the_first_characters_of_what_may_become_a_value_and_no_more() -> None:
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
    assert redactor.finish() == b""


@pytest.mark.parametrize(("value", "most"), [("abc", 0), ("abcde", 0), ("abcdef", 1), ("abcdefgh", 2), ("a" * 12, 3)])
def test_a_terminal_never_sees_more_than_a_quarter_of_a_value(value: str, most: int) -> None:
    redactor, seen = Redactor(Finder({"TOKEN": value})), b""
    for byte in value.encode()[:-1]:
        seen += redactor.feed(bytes([byte])) + redactor.idle()
    assert seen == value[:most].encode()
    assert redactor.feed(value[-1:].encode() + b" \n") == MARK + b" \n"


@pytest.mark.parametrize("value", ["aaaaaaaa", "abababababab", "a" * 4096, "aaaaaaab\naaaaaaaaaaaaaaaa"])
def test_a_text_that_is_one_value_after_the_other_is_told_as_it_comes(value: str) -> None:
    redactor = Redactor(Finder({"TOKEN": value, "LONGER": value + value[-1]}))
    most = 0
    for at in range(12):
        out = redactor.feed(value.encode()[:2] * 4096)
        assert at < 2 or out
        most = max(most, len(redactor._held))
    assert most < 20_000


@given(
    finds=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=30, unique_by=lambda find: find[0]),
    known=st.integers(0, 72),
)
def test_of_overlapping_finds_the_longest_wins_whatever_is_known(finds: list[tuple[int, int]], known: int) -> None:
    found = sorted(Found(start, start + length, "X") for start, length in finds)
    expected: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start - one.end, one.start)):
        if all(one.end <= other.start or one.start >= other.end for other in expected):
            expected.append(one)
    assert _settled(found, 72) == (sorted(expected), 72)
    some, safe = _settled([one for one in found if one.start < known], known)
    assert some == [one for one in sorted(expected) if one.start < safe]
    assert safe <= known


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
    for locale in ("C.UTF-8", "C")[: 1 if shell == "zsh" else 2]:  # for bytes beyond ASCII zsh has \\M-c, in C alone
        environment = {"TOKEN": value, "PATH": "/usr/bin:/bin", "LC_ALL": locale}
        done = subprocess.run([name, "-c", script], env=environment, capture_output=True, cwd=tmp_path, check=True)
        assert done.stdout
        assert MARK in redacted(done.stdout, {"TOKEN": value}), done.stdout


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=30, deadline=None)
@given(value=long_values, wrapping=st.sampled_from(list(WRAPPINGS)), before=st.text())
@example(value=TOKEN, wrapping="60 columns", before="")
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
