"""Tests for the edits of TOML files: the bytes that stay, the files that are refused, and the layout of new text."""

import json
import re
import tomllib
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_secrets.clients.text import DEPTH_LIMIT, SIZE_LIMIT, Key, UnreadableFileError
from claude_secrets.clients.toml_text import drop, missing_containers, put, read
from claude_secrets.errors import CallerError
from tests.clients.layouts import CODEX, random_toml, seeds

ENTRY = {"command": "/opt/bin/claude-secrets", "args": ["serve"], "env": {"LANG": "C"}}
INLINE = '{ command = "/opt/bin/claude-secrets", args = ["serve"], env = { LANG = "C" } }'
TABLE = """[mcp_servers.secrets]
command = "/opt/bin/claude-secrets"
args = ["serve"]
env = { LANG = "C" }
"""
PLACE = ("mcp_servers", "secrets")
CANARY = "ghp_CANARY0123456789"
EDITS: list[Callable[[bytes, tuple[Key, ...]], object]] = [
    read,
    lambda data, keys: put(data, keys, ENTRY),
    lambda data, keys: drop(data, keys, containers=2),
    missing_containers,
]


def put_and_drop(data: bytes, keys: tuple[str, ...] = PLACE, value: object = ENTRY) -> bytes:
    """Put the value, check what is in the file then, drop it again, and return the edited file."""
    made = missing_containers(data, keys)
    edited = put(data, keys, value)
    assert read(edited, keys) == value
    assert put(edited, keys, value) == edited
    assert drop(edited, keys, containers=made) == data
    return edited


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "BOM"])
def test_the_file_of_codex_gets_its_table_after_the_other_servers_and_its_bytes_back(newline: str, bom: str) -> None:
    before, after = CODEX.split("\n\n# The profile", maxsplit=1)
    expected = f"{before}\n\n{TABLE}\n# The profile{after}"
    edited = put_and_drop((bom + CODEX.replace("\n", newline)).encode())
    assert edited.decode() == bom + expected.replace("\n", newline)


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("", TABLE),
        ("\n", "\n" + TABLE),
        (" \r\n\n", " \r\n\n" + TABLE),
        ("  ", "  " + TABLE),
        ("a = 1", f"a = 1\n\n{TABLE[:-1]}"),
        ("a = 1\n", f"a = 1\n\n{TABLE}"),
        ("a = 1\n\n\n", f"a = 1\n\n{TABLE}\n\n"),
        ("# c", f"# c\n\n{TABLE[:-1]}"),
        ("[z]\n# c\n", f"[z]\n# c\n\n{TABLE}"),
        ("[mcp_servers]\n", f"[mcp_servers]\n\n{TABLE}"),
        ("[mcp_servers] # c\n[z]\n", f"[mcp_servers] # c\n\n{TABLE}[z]\n"),
        ("[mcp_servers.a]\nb = 1\n# about z\n[z]\n", f"[mcp_servers.a]\nb = 1\n\n{TABLE}# about z\n[z]\n"),
        ("[mcp_servers.a]\n[z]\n[mcp_servers.b]\n[w]", f"[mcp_servers.a]\n[z]\n[mcp_servers.b]\n\n{TABLE}[w]"),
        ("[mcp_servers.a]\n[[mcp_servers.a.b]]\nc = 1\n", f"[mcp_servers.a]\n[[mcp_servers.a.b]]\nc = 1\n\n{TABLE}"),
        ("mcp_servers.a.b = 1 # c\nq = 2\n[z]\n", f"mcp_servers.a.b = 1 # c\nq = 2\n\n{TABLE}[z]\n"),
        ('["mcp_\\u0073ervers".a]\n[z]\n', f'["mcp_\\u0073ervers".a]\n\n{TABLE}[z]\n'),
        ("mcp_servers = {}", f"mcp_servers = {{secrets = {INLINE}}}"),
        ("mcp_servers = { }\n", f"mcp_servers = {{ secrets = {INLINE} }}\n"),
        (
            "mcp_servers = { a = { command = '}' } } # c\nq = 1\n",
            f"mcp_servers = {{ a = {{ command = '}}' }}, secrets = {INLINE} }} # c\nq = 1\n",
        ),
    ],
)  # fmt: skip
def test_the_table_comes_to_its_place(text: str, edited: str) -> None:
    assert put_and_drop(text.encode()).decode() == edited


def test_a_changed_table_keeps_its_comments_its_order_and_its_equal_values() -> None:
    text = """\
# above
[mcp_servers.secrets] # of the table
args = [ 'serve' ] # of args
old = 1 # of old
command = "/old" # of command

[z]
q = 1
[mcp_servers.secrets.env]
# inside
LANG = "X"
"""
    edited = put(text.encode(), PLACE, ENTRY).decode()
    assert edited == text.replace("\nold = 1", "").replace('"/old"', '"/opt/bin/claude-secrets"').replace('"X"', '"C"')
    assert drop(edited.encode(), PLACE).decode() == ("# above # of command\n\n[z]\nq = 1\n")


@pytest.mark.parametrize(
    ("text", "keys", "value", "edited"),
    [
        ("a = 1 # c\nb = 2\n", ("a",), [1, "x"], 'a = [1, "x"] # c\nb = 2\n'),
        ("a = {x = 1, y = 2}", ("a", "x"), True, "a = {x = true, y = 2}"),
        ("a.b.c = 1\n", ("a", "b"), {"c": 2, "d": "x"}, 'a.b.c = 2\na.b.d = "x"\n'),
        ("[a]\n  x = 1\n[b]\n", ("a", "y"), "é", '[a]\n  x = 1\n  y = "é"\n[b]\n'),
        ("[b]\n", ("a",), 1, "a = 1\n[b]\n"),
        ("[a.b]\n", ("a", "c"), 1, "a.c = 1\n[a.b]\n"),
        ("a = 1\n[b]\n", ("a",), {"x": 1}, "a = { x = 1 }\n[b]\n"),
        ("[[a]]\n[b]\n", ("a",), {"x": 1}, "[b]\n\n[a]\nx = 1\n"),
        ("[a.b]\nx = 1\n[c]\n", ("a",), {}, "[c]\n\n[a]\n"),
        ("[a]\nx = 1\n", ("a",), 1, "a = 1\n"),
        ("a = { b.c = 1 }\n", ("a", "b"), {"d": 2}, "a = { b.d = 2 }\n"),
        ("a = 1\n", ("b", "c d", ""), 'q"\\\x7f', 'a = 1\n\n[b."c d"]\n"" = "q\\"\\\\\\u007f"\n'),
    ],
)  # fmt: skip
def test_any_value_is_put_to_its_place(text: str, keys: tuple[str, ...], value: object, edited: str) -> None:
    assert put(text.encode(), keys, value).decode() == edited


@pytest.mark.parametrize(
    ("text", "keys", "left"),
    [
        ("a = 1\nb = 2 # c\nd = 3\n", ("b",), "a = 1 # c\nd = 3\n"),
        ("a = 1\nb = 2\n", ("a",), "b = 2\n"),
        ("a = { b = 1, c = 2, d = 3 }", ("a", "b"), "a = { c = 2, d = 3 }"),
        ("a = { b = 1, c = 2, d = 3 }", ("a", "c"), "a = { b = 1, d = 3 }"),
        ("a = { b = 1, c = 2, d = 3 }", ("a", "d"), "a = { b = 1, c = 2 }"),
        ("a = { b.x = 1, c = 2, b.y = 3 }", ("a", "b"), "a = { c = 2 }"),
        ("[[a]]\nx = 1\n[b]\n[[a]]\n[a.c]\n", ("a",), "[b]\n"),
        ("a.x = 1\nb = 2\na.y = 3\n", ("a",), "b = 2\n"),
        ("a = 1\n", ("b", "c"), "a = 1\n"),
        ("a = {}\n", ("a", "c"), "a = {}\n"),
    ],
)
def test_a_place_is_dropped_and_comments_stay(text: str, keys: tuple[str, ...], left: str) -> None:
    assert drop(text.encode(), keys).decode() == left


BROKEN: dict[str, tuple[bytes, int, int]] = {
    "UTF-16": (b"\xff\xfe" + "a = 1".encode("utf-16-le"), 1, 1),
    "Latin-1": ('a = 1\nb = "ä"'.encode("latin-1"), 2, 6),
    "larger than the limit": (b"\n" * (SIZE_LIMIT + 1), 1, 1),
    "a null byte": (b"a = 1\n\x00", 2, 1),
    "a single carriage return": (b"a = 1\rb = 2", 1, 6),
    "two marks": ("\ufeff\ufeffa = 1".encode(), 1, 1),
    "no value": (b"a =\n", 1, 4),
    "no key": (b"= 1", 1, 1),
    "no equals sign": (b"a\n", 1, 2),
    "two keys on a line": (b"a = 1 b = 2", 1, 7),
    "a key twice": (b"a = 1\na = 2", 2, 6),
    "a table twice": (b"[a]\n[b]\n[a]\n", 3, 3),
    "a table that is a value": (b"a = 1\n[a.b]\n", 2, 5),
    "an inline table with another header": (b"a = {}\n[a.b]\n", 2, 5),
    "a header that is not closed": (b"[a\n", 1, 3),
    "an empty header": (b"[]\n", 1, 2),
    "a string that is not closed": (b'a = "x\n', 1, 5),
    "a literal that is not closed": (b"a = 'x\n", 1, 5),
    "a long string that is not closed": (b'a = """x\n', 1, 5),
    "a long literal that is not closed": (b"a = '''x\n", 1, 5),
    "an unknown escape": (b'a = "\\q"', 1, 8),
    "an escape of a surrogate": (b'a = "\\ud800"', 1, 12),
    "a list that is not closed": (b"a = [1,\n", 2, 1),
    "no comma in a list": (b"a = [1 2]", 1, 8),
    "a leading zero": (b"a = 01", 1, 6),
    "a capital literal": (b"a = True", 1, 5),
    "JSON": (b'{"a": 1}', 1, 1),
    "a control character in a comment": (b"# \x07", 1, 3),
    "too long a number": (b"a = " + b"1" * 5000, 1, 1),
    "too deep": (b"a = " + b"[" * 100_000, 1, 5 + DEPTH_LIMIT),
    "too long a key": (b"a." * 100_000 + b"b = 1", 1, 2 + 2 * DEPTH_LIMIT),
    "too long a header": (b"[" + b"a." * 100_000 + b"b]", 1, 3 + 2 * DEPTH_LIMIT),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_the_place_and_without_its_content(name: str) -> None:
    data, line, column = BROKEN[name]
    for edit in EDITS:
        with pytest.raises(UnreadableFileError) as caught:
            edit(data, PLACE)
        assert (caught.value.line, caught.value.column) == (line, column), caught.value.why
        assert f"line {line}, column {column}" in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mcp_servers = 1\n", 1),
        ("\nmcp_servers = []\n", 2),
        ("a = 1\n[[mcp_servers]]\n", 2),
        ("a = 1\n[[mcp_servers]]\nsecrets = {}\n", 2),
    ],
)
def test_a_way_through_something_else_than_a_table_is_refused(text: str, line: int) -> None:
    for edit in EDITS:
        with pytest.raises(UnreadableFileError) as caught:
            edit(text.encode(), PLACE)
        assert caught.value.line == line


def test_a_dotted_key_that_codex_would_not_read_is_refused() -> None:
    with pytest.raises(UnreadableFileError):
        put(b"[a.b.c]\nx = 1\n[a]\ny = 1\n", ("a", "b", "z"), 1)


def test_a_file_with_many_containers_is_not_deep() -> None:
    put_and_drop("".join(f"[a.b{number}]\nc.d = [[], {{}}, 1.5]\n" for number in range(3 * DEPTH_LIMIT)).encode())


def refusal(data: bytes) -> UnreadableFileError | None:
    try:
        put_and_drop(data)
    except UnreadableFileError as error:
        return error
    return None


def test_no_error_repeats_the_content() -> None:
    text = re.sub(r'"[^"\n]{3,}"', f'"{CANARY}"', CODEX)
    random, refused = Random(1), 0
    for number in range(600):
        at = random.randrange(len(text))
        broken = text[:at] + random.choice("{}[]=.,#\"'\\\n\r\tx0é") + text[at + number % 2 :]
        error = refusal((text[:at] if number % 3 else broken).encode())
        if error:
            refused += 1
            assert CANARY[:6] not in f"{error!r}{error}{error.hint}"
            assert error.__cause__ is None
            assert error.__context__ is None or error.__suppress_context__
    assert refused > 100


@pytest.mark.parametrize(
    "value", [None, float("nan"), float("inf"), 2**63, "\ud800", {"\udcff": 1}, {1: 2}, [None], {1}, b"x"], ids=repr
)
def test_a_value_that_toml_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(CallerError):
        put(b"", ("a",), value)


def test_keys_name_a_table() -> None:
    for keys in ((), ("a", 0)):
        with pytest.raises(CallerError):
            put(b"", keys, 1)
        with pytest.raises(CallerError):
            drop(b"", keys)


values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
places = st.lists(st.sampled_from(["mcp_servers", "secret", "a", "b", "x", "new one"]), min_size=1, max_size=3).map(
    tuple
)


def parsed(data: bytes) -> object:
    """Return the file's content for comparisons: NaN equals NaN, and 1 does not equal true."""
    return json.loads(json.dumps(tomllib.loads(data.decode()), default=str, sort_keys=True))


@settings(deadline=None)
@given(seeds.map(random_toml), places, values)
def test_put_changes_only_its_place_and_drop_gives_the_bytes_back(
    text: str, keys: tuple[str, ...], value: object
) -> None:
    data = text.encode()
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(UnreadableFileError):
            read(data, keys)
        return
    try:
        old = read(data, keys)
        edited = put(data, keys, value)
    except UnreadableFileError as error:
        refused = error.why
    else:
        refused = ""
    if refused:
        assert "not a table" in refused or "several places" in refused
        return
    assert read(edited, keys) == value
    assert put(edited, keys, value) == edited
    made = missing_containers(data, keys)
    if old is None:
        assert drop(edited, keys, containers=made) == data
    inner = tree
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
    inner[keys[-1]] = value
    assert parsed(edited) == json.loads(json.dumps(tree, default=str, sort_keys=True))


def paths_of(tree: object, keys: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = tree.items() if isinstance(tree, dict) else ()
    return [path for key, value in inner for path in [(*keys, key), *paths_of(value, (*keys, key))]]


@settings(deadline=None)
@given(seeds)
def test_dropping_changes_only_its_place(random: Random) -> None:
    text = random_toml(random)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for keys in paths_of(tree)[:12]:
        after, before = tomllib.loads(drop(text.encode(), keys).decode()), tomllib.loads(text)
        inner, left = before, after
        for key in keys[:-1]:
            inner, left = inner[key], left.get(key, {})
        del inner[keys[-1]]
        assert json.dumps(inner, default=str, sort_keys=True) == json.dumps(left, default=str, sort_keys=True)
        before.pop(keys[0], None)
        after.pop(keys[0], None)
        assert json.dumps(before, default=str) == json.dumps(after, default=str)
