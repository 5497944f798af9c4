"""Tests for the edits of JSON files: the bytes that stay, the files that are refused, and the layout of new text."""

import json
import re
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from claude_secrets.clients.json_text import drop, missing_containers, put, read
from claude_secrets.clients.text import DEPTH_LIMIT, SIZE_LIMIT, Key, UnreadableFileError
from claude_secrets.errors import CallerError
from tests.clients.layouts import FILES, NAMES, VS_CODE, ZED, json_files, seeds

ENTRY = {"command": "/opt/bin/claude-secrets", "args": ["serve"], "env": {"LANG": "C"}}
PLACE = ("mcpServers", "secrets")
EDITS: list[Callable[[bytes, tuple[Key, ...]], object]] = [
    read,
    lambda data, keys: put(data, keys, ENTRY),
    lambda data, keys: drop(data, keys, containers=2),
    missing_containers,
]
CANARY = "ghp_CANARY0123456789"


def put_and_drop(data: bytes, keys: tuple[Key, ...] = PLACE, value: object = ENTRY) -> bytes:
    """Put the value, check what is in the file then, drop it again, and return the edited file."""
    made = missing_containers(data, keys)
    edited = put(data, keys, value)
    assert read(edited, keys) == value
    assert put(edited, keys, value) == edited
    assert missing_containers(edited, keys) == 0
    assert drop(edited, keys, containers=made) == data
    return edited


@pytest.mark.parametrize("client", FILES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "BOM"])
def test_the_file_of_a_client_gets_its_entry_and_its_bytes_back(client: str, newline: str, bom: str) -> None:
    text, servers = FILES[client]
    data = (bom + text.replace("\n", newline)).encode()
    edited = put_and_drop(data, (servers, "secrets")).decode()
    assert edited.startswith(bom)
    assert newline == "\n" or not re.search(r"(?<!\r)\n", edited)
    before, after = read(data, ()), read(edited.encode(), ())
    assert isinstance(before, dict)
    before.setdefault(servers, {})["secrets"] = ENTRY
    assert after == before


SMALL_FILES = [
    "",
    "\n",
    "  \r\n",
    "{}",
    "{ }",
    "{\n}",
    "{\r\n}",
    "{\n\n}",
    "{ \n }",
    "{}\n",
    "\n{}\n\n",
    "{/**/}",
    "{ /* c */ }",
    "{ // c\n}",
    "{\n  // c\n}",
    "{\n  // c\n\n}\n// end",
    "{\n  /* c */ }",
    "/* a */ {} // b",
    '{"a":1}',
    '{"a": 1}',
    '{ "a" : 1 }',
    '{"a": 1,}',
    '{"a": 1 , }',
    '{"a": 1 // c\n}',
    '{"a": 1 // c\n,}',
    '{"a": 1, // c\n}',
    '{"a": 1 /* c */}',
    '{"a": 1 /* c\n d */ }',
    '{"a": 1, "b": [2, 3]}',
    '{\n  "a": 1,\n  "b": 2}',
    '{\n  "a": 1 // c\n  // d\n}',
    '{\n  "a": 1, // c\n  // d\n}',
    '{\n  "a": 1   \n}',
    '{\n  /* c */ "a": 1\n}',
    '{\n  /* c\n d */ "a": 1\n}',
    '{\n\t"a": 1\n}',
    '{"mcpServers":{}}',
    '{"mcpServers": {}}',
    '{"mcpServers": { }}',
    '{"mcpServers": {\n}}',
    '{\n  "mcpServers": {}\n}',
    '{\n  "mcpServers": {},\n}',
    '{\n  "mcpServers": { }\n}',
    '{\n  "mcpServers": {\n  }\n}',
    '{\n  "mcpServers": { /* c */ }\n}',
    '{\n  "mcpServers": {\n    // c\n  }\n}',
    '{"mcpServers": {"a": {}}}',
    '{"mcpServers": {"a": {},}, "b": 1}',
    '{\n  "mcpServers": {\n    "a": {}\n  }\n}',
    '{\n  "mcpServers": {\n    "a": {}, // c\n  }\n}',
    '{\n  "mcpServers": {"a": {}, "b": {}}\n}',
    '{\r  "mcpServers": {\r  }\r}\r',
    '{"a": 1, "a": 2, "n": 123456789012345678901234567890, "f": 1.0E+2, "s": "\\u0041\\/"}',
]


@pytest.mark.parametrize("text", SMALL_FILES)
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "BOM"])
def test_a_small_file_gets_its_bytes_back(text: str, bom: str) -> None:
    put_and_drop((bom + text).encode())


def test_a_whole_file_is_laid_out_as_clients_do() -> None:
    for start in (b"", b"{}\n"):
        assert put(start, PLACE, ENTRY).decode() == json.dumps({"mcpServers": {"secrets": ENTRY}}, indent=2) + "\n"


@pytest.mark.parametrize("indent", ["\t", "  ", "   ", "    ", "        "], ids=repr)
def test_new_lines_are_indented_as_the_members_around_them(indent: str) -> None:
    tree = {"x": 1, "mcpServers": {"a": {"command": "x"}}}
    edited = put_and_drop(json.dumps(tree, indent=indent).encode())
    tree["mcpServers"] = {"a": {"command": "x"}, "secrets": ENTRY}
    assert edited.decode() == json.dumps(tree, indent=indent)


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ('{"a":1}', '{"a":1,"b":["x",{"y":2}]}'),
        ('{"a": 1}', '{"a": 1, "b": ["x", {"y": 2}]}'),
        ('{ "z" : 0, "a" : 1 }', '{ "z" : 0, "a" : 1, "b" : ["x", {"y" : 2}] }'),
        ('{"a": 1,}', '{"a": 1, "b": ["x", {"y": 2}],}'),
        ('{"a": 1 /* of a */}', '{"a": 1, /* of a */ "b": ["x", {"y": 2}]}'),
    ],
)
def test_a_file_on_one_line_stays_on_one_line(text: str, edited: str) -> None:
    assert put_and_drop(text.encode(), ("b",), ["x", {"y": 2}]).decode() == edited


def test_comments_stay_with_the_members_that_they_follow() -> None:
    edited = put_and_drop(VS_CODE.encode(), ("servers", "secrets"), {}).decode()
    assert '        }, // the last one\n        "secrets": {},\n        /* "off": {\n' in edited
    edited = put_and_drop(ZED.encode(), ("context_servers", "secrets"), {}).decode()
    assert '      "env": {}\n    },\n    "secrets": {}\n    // "unused": {}\n' in edited


def test_a_value_is_replaced_in_place() -> None:
    text = '{\n  // above\n  "a": /* before */ {"x": 1} /* behind */, // beside\n  "b": 2\n}'
    replaced = put(text.encode(), ("a",), [1]).decode()
    assert replaced == text.replace('{"x": 1}', "[\n    1\n  ]")
    assert put(b'{"a": {"x": 1}, "b": 2}', ("a", "x"), {"y": []}) == b'{"a": {"x": {"y": []}}, "b": 2}'


def test_a_value_that_is_there_already_keeps_its_spelling() -> None:
    for text in ('{"a" :{ "b":[ 1,2 ]}}', '{"a": /**/ {"\\u0062": [1, 2,]}}'):
        assert put(text.encode(), ("a",), {"b": [1, 2]}) == text.encode()
    assert put(b'{"a": true}', ("a",), 1) == b'{"a": 1}'
    assert put(b'{"a": 1.0}', ("a",), 1) == b'{"a": 1}'
    assert put(b'{"a": "1"}', ("a",), 1) == b'{"a": 1}'


@pytest.mark.parametrize(
    ("text", "keys", "left"),
    [
        ('{"a": 1, "b": 2, "c": 3}', ("a",), '{"b": 2, "c": 3}'),
        ('{ "a": 1, "b": 2 }', ("a",), '{ "b": 2 }'),
        ('{"a": 1, "b": 2, "c": 3}', ("b",), '{"a": 1, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', ("c",), '{"a": 1, "b": 2}'),
        ('{"a": [1, 2, 3]}', ("a", 1), '{"a": [1, 3]}'),
        ('{"a": [1, 2, 3]}', ("a", 2), '{"a": [1, 2]}'),
        (
            '{\n  "a": 1, // a\n  // b\n  "b": 2, // b\n  "c": 3\n}',
            ("b",),
            '{\n  "a": 1, // a\n  // b\n  // b\n  "c": 3\n}',
        ),
        ('{\n  "a": 1, // a\n  "b": 2, "c": 3\n}', ("b",), '{\n  "a": 1, // a\n  "c": 3\n}'),
        ('{\n  "a": 1, // a\n  "b": 2 }', ("b",), '{\n  "a": 1 // a\n  }'),
        ('{\n  "a": 1\n  , "b": 2\n}', ("b",), '{\n  "a": 1\n  \n}'),
        ('{\n  "a": 1,\n  "b": 2 /* b */,\n  "c": 3\n}', ("b",), '{\n  "a": 1,\n  /* b */\n  "c": 3\n}'),
        ('{"a": 1 /* a */, /* b */ "b": 2 /* b */}', ("b",), '{"a": 1 /* a */ /* b */ /* b */}'),
        ('{"a": 1}', ("b",), '{"a": 1}'),
        ('{"a": 1}', ("b", "c"), '{"a": 1}'),
        ('{"a": []}', ("a", 0), '{"a": []}'),
        ("", ("a",), ""),
    ],
)
def test_a_member_is_dropped_with_its_comma_and_without_comments(text: str, keys: tuple[Key, ...], left: str) -> None:
    assert drop(text.encode(), keys).decode() == left


def test_containers_are_dropped_only_while_there_is_nothing_in_them() -> None:
    keys = ("a", "b", "c")
    assert drop(b'{"a": {"b": {"c": 1}}}', keys, containers=2) == b"{}"
    assert drop(b'{"a": {"b": {"c": 1}}}', keys, containers=1) == b'{"a": {}}'
    assert drop(b'{"a": {"b": {"c": 1}}}', keys) == b'{"a": {"b": {}}}'
    assert drop(b'{"a": {"b": {"c": 1}}}', keys, containers=3) == b""
    assert drop(b'{"a": {"b": {"c": 1}, "x": 1}}', keys, containers=3) == b'{"a": {"x": 1}}'
    assert drop(b'{"a": {"b": {/* c */ "c": 1}}}', keys, containers=3) == b'{"a": {"b": {/* c */}}}'
    assert drop(b'{"a": {"b": {"c": 1}}} // c', keys, containers=3) == b"{} // c"


def test_elements_are_appended_replaced_and_dropped_by_index() -> None:
    hook = {"hooks": [{"type": "command", "command": "/opt/x"}]}
    for text in ("", "{}", '{"hooks": {"Stop": []}}', '{"hooks": {"SessionStart": [ ]}}'):
        put_and_drop(text.encode(), ("hooks", "SessionStart", 0), hook)
    data = b'{"hooks": {"SessionStart": [\n  {"x": 1}, // first\n]}}'
    edited = put_and_drop(data, ("hooks", "SessionStart", 1), hook)
    assert read(edited, ("hooks", "SessionStart", 0, "x")) == 1
    assert read(edited, ("hooks", "SessionStart", 2)) is None
    for index in (2, -1):
        with pytest.raises(UnreadableFileError):
            put(data, ("hooks", "SessionStart", index), hook)
    with pytest.raises(UnreadableFileError):
        put(data, ("hooks", "Stop", 1), hook)


def test_values_are_read_as_python_has_them() -> None:
    text = '{"a": [1, -2, 1.5, 1e400, "\\u00e9", null, true, {"b": {}}], "long": ' + "9" * 5000 + "}"
    assert read(text.encode(), ("a",)) == [1, -2, 1.5, float("inf"), "é", None, True, {"b": {}}]
    assert read(text.encode(), ("long",)) == float("inf")
    assert read(b'{"a": {"b": 1}}', ("a", "b", "c")[:2]) == 1
    assert read(b"", ("a",)) is None
    assert read(b"", ()) is None
    assert read(b"{}", ("a", 0)) is None
    put_and_drop(text.encode())


BROKEN: dict[str, tuple[bytes, int, int]] = {
    "UTF-16, little end first": (b"\xff\xfe" + "{}".encode("utf-16-le"), 1, 1),
    "UTF-16, big end first": (b"\xfe\xff" + "{}".encode("utf-16-be"), 1, 1),
    "UTF-32": (b"\xff\xfe\x00\x00" + "{}".encode("utf-32-le"), 1, 1),
    "UTF-16 without a mark": ("{}".encode("utf-16-le"), 1, 2),
    "Latin-1": ('{\n "ä": 1}'.encode("latin-1"), 2, 3),
    "Latin-1 after a mark": ('\ufeff{"'.encode() + b"\xe4", 1, 3),
    "a surrogate": (b'{"a": "\xed\xa0\x80"}', 1, 8),
    "an overlong sequence": (b'{"a": "\xc0\xaf"}', 1, 8),
    "two marks": ("\ufeff\ufeff{}".encode(), 1, 1),
    "larger than the limit": (b"{}" + b" " * SIZE_LIMIT, 1, 1),
    "not closed": (b"{", 1, 2),
    "closed twice": (b"{}}", 1, 3),
    "only a closing bracket": (b"}", 1, 1),
    "closed by the wrong bracket": (b'{"a": [1}', 1, 9),
    "two objects": (b"{}\n{}", 2, 1),
    "text after the object": (b"{} x", 1, 4),
    "no comma": (b'{"a": 1 "b": 2}', 1, 9),
    "two commas": (b'{"a": 1,, "b": 2}', 1, 9),
    "two trailing commas": (b'{"a": 1,,}', 1, 9),
    "a comma in an empty object": (b"{,}", 1, 2),
    "a comma in an empty list": (b'{"a": [,]}', 1, 8),
    "a comma in front": (b'{,"a": 1}', 1, 2),
    "a comma in front of a list": (b'{"a": [,1]}', 1, 8),
    "a comma after a comment in an empty list": (b'{"a": [/* */,]}', 1, 13),
    "a comma after the object": (b"{},", 1, 3),
    "no colon": (b'{"a" 1}', 1, 6),
    "no value": (b'{"a":}', 1, 6),
    "no value before a comma": (b'{"a":,}', 1, 6),
    "only a key": (b'{"a"}', 1, 5),
    "only a key and a comma": (b'{"a",}', 1, 6),
    "a key without quotes": (b"{a: 1}", 1, 2),
    "a key in single quotes": (b"{'a': 1}", 1, 2),
    "a number as a key": (b"{1: 1}", 1, 2),
    "a string in single quotes": (b"{\"a\": 'x'}", 1, 7),
    "a string that is not closed": (b'{"a": "x}', 1, 7),
    "a string that ends with a backslash": (b'{"a": "x\\', 1, 7),
    "a string that ends with an escaped quote": (b'{"a": "x\\"', 1, 7),
    "a line end in a string": (b'{"a": "x\ny"}', 1, 9),
    "a tab in a string": (b'{"a": "x\ty"}', 1, 9),
    "a null byte in a string": (b'{"a": "\x00"}', 1, 8),
    "a null byte": (b"{}\x00", 1, 3),
    "an unknown escape": (b'{"a": "\\x41"}', 1, 8),
    "a short escape": (b'{"a": "\\u12"}', 1, 9),
    "NaN": (b'{"a": NaN}', 1, 7),
    "Infinity": (b'{"a": Infinity}', 1, 7),
    "-Infinity": (b'{"a": -Infinity}', 1, 7),
    "a leading zero": (b'{"a": 01}', 1, 8),
    "a leading plus": (b'{"a": +1}', 1, 7),
    "a point in front": (b'{"a": .5}', 1, 7),
    "a point behind": (b'{"a": 5.}', 1, 8),
    "a hexadecimal number": (b'{"a": 0x1F}', 1, 8),
    "a capital literal": (b'{"a": True}', 1, 7),
    "a long literal": (b'{"a": nulls}', 1, 11),
    "undefined": (b'{"a": undefined}', 1, 7),
    "a no-break space": ("{\u00a0}".encode(), 1, 2),
    "a form feed": (b"{\x0c}", 1, 2),
    "a hash comment": (b"{} # c", 1, 4),
    "half a comment": (b"{} / c", 1, 4),
    "a comment that is not closed": (b"{} /* c", 1, 4),
    "a comment that is nearly closed": (b"{} /*/", 1, 4),
    "a nested comment": (b"{} /* /* */ */", 1, 13),
    "only a comment": (b"\n// c\n", 2, 1),
    "a carriage return in a comment": (b'{// c\r"a": 1\n}', 1, 6),
    "a list": (b"[]", 1, 1),
    "a string": (b'\n "a"', 2, 2),
    "null": (b"null", 1, 1),
    "too deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 1, 5 + DEPTH_LIMIT),
    "too deep and not closed": (b'{"a":' * 100_000, 1, 1 + 5 * DEPTH_LIMIT),
    "many comments that are not closed": (b"/* " * 100_000, 1, 1),
    "many commas": (b"," * 100_000, 1, 1),
    "many quotes": (b'{"' + b"\\" * 1_000_001, 1, 2),
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
    ("text", "keys", "column"),
    [
        ('{"mcpServers": []}', PLACE, 16),
        ('{"mcpServers": null}', PLACE, 16),
        ('{"mcpServers": "x"}', PLACE, 16),
        ('{"mcpServers": 1}', PLACE, 16),
        ('{"a": {}}', ("a", 0), 7),
        ('{"mcpServers": {}, "mcpServers": {}}', PLACE, 20),
        ('{"mcpServers": {}, "mcp\\u0053ervers": {}}', PLACE, 20),
        ('{"mcpServers": {"secrets": {}, "x": 1, "secrets": {}}}', PLACE, 40),
    ],
)
def test_a_place_of_unclear_meaning_is_refused(text: str, keys: tuple[Key, ...], column: int) -> None:
    for edit in EDITS:
        with pytest.raises(UnreadableFileError) as caught:
            edit(text.encode(), keys)
        assert (caught.value.line, caught.value.column) == (1, column)


def test_keys_that_are_there_twice_elsewhere_stay() -> None:
    data = b'{"mcpServers": {"a": {"x": 1, "x": 2}, "a": 3}, "b": 1, "b": 2}'
    assert put_and_drop(data).startswith(b'{"mcpServers": {"a": {"x": 1, "x": 2}, "a": 3, "secrets"')


def pieces_of(text: str) -> Iterator[bytes]:
    random = Random(1)
    for end in range(0, len(text), 7):
        yield text[:end].encode()
    for _ in range(300):
        at = random.randrange(len(text))
        yield (text[:at] + random.choice('{}[],:"\\/*\n\r\tx0é') + text[at + random.randrange(2) :]).encode()


def refusal(data: bytes, keys: tuple[Key, ...]) -> UnreadableFileError | None:
    try:
        put_and_drop(data, keys)
    except UnreadableFileError as error:
        return error
    return None


@pytest.mark.parametrize("client", FILES)
def test_no_error_repeats_the_content(client: str) -> None:
    text = re.sub(r'": ?"[^"]*"', f'": "{CANARY}"', FILES[client][0])
    refused = 0
    for data in pieces_of(text):
        error = refusal(data, (FILES[client][1], "secrets"))
        if error:
            refused += 1
            assert CANARY[:6] not in f"{error!r}{error}{error.hint}"
            assert error.__cause__ is None
            assert error.__context__ is None or error.__suppress_context__
    assert refused > 50


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), "\ud800", {"a": ["\udcff"]}, {1, 2}, b"x", bytearray(b"x")], ids=ascii
)
def test_a_value_that_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(CallerError) as caught:
        put(b"{}", ("a",), value)
    assert caught.value.__suppress_context__


def test_a_place_without_keys_cannot_be_edited() -> None:
    with pytest.raises(CallerError):
        put(b"{}", (), {})
    with pytest.raises(CallerError):
        drop(b"{}", ())


def test_a_value_that_makes_the_file_too_deep_is_refused() -> None:
    value: object = 1
    for _ in range(DEPTH_LIMIT):
        value = [value]
    with pytest.raises(UnreadableFileError):
        put(b"{}", ("a",), value)
    with pytest.raises(UnreadableFileError):
        put(b"", ("a",), value)


def containers_of(node: object, keys: tuple[Key, ...] = ()) -> Iterator[tuple[tuple[Key, ...], object]]:
    if isinstance(node, dict | list):
        yield keys, node
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from containers_of(inner, (*keys, key))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def edited(node: object, keys: tuple[Key, ...], value: object) -> object:
    """Return the tree with the value at the place, by means of Python's own types."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        node = node if isinstance(node, list) else []
        inner = node[key] if key < len(node) else None
        return [*node[:key], edited(inner, rest, value), *node[key + 1 :]]
    base = node if isinstance(node, dict) else {}
    return {**base, key: edited(base.get(key), rest, value)}


@settings(deadline=None)
@given(json_files, seeds, values)
def test_put_changes_only_its_place_and_drop_gives_the_bytes_back(
    file: tuple[str, dict[str, object]], random: Random, value: object
) -> None:
    text, tree = file
    data = text.encode()
    assert read(data, ()) == tree
    keys, container = random.choice(list(containers_of(tree)))
    if isinstance(container, list):
        keys = (*keys, len(container))
    else:
        keys = (*keys, random.choice([f"new {name}" for name in NAMES]))
    keys = (*keys, *random.choice(((), ("x",), ("x", "y"), (0,))[: 1 if isinstance(container, list) else 4]))
    put_and_drop(data, keys, value) if value is not None else None
    assert read(put(data, keys, value), ()) == edited(tree, keys, value)


@settings(deadline=None)
@given(json_files, seeds, values)
def test_replacing_and_dropping_change_only_their_place(
    file: tuple[str, dict[str, object]], random: Random, value: object
) -> None:
    text, tree = file
    places = [
        (*keys, key)
        for keys, container in containers_of(tree)
        for key in (container if isinstance(container, dict) else range(len(container)))  # type: ignore[arg-type]
    ]
    assume(places)
    keys = random.choice(places)
    after = put(text.encode(), keys, value)
    assert read(after, ()) == edited(tree, keys, value)
    assert json.dumps(read(after, ())) == json.dumps(edited(tree, keys, value))  # in the same order
    left = json.loads(json.dumps(tree))
    inner = left
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    assert read(drop(text.encode(), keys), ()) == left
    assert read(drop(after, keys), ()) == left


json_text = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"a"',
            '"b"',
            '"',
            "\\",
            "1",
            "-",
            "0",
            ".",
            "e5",
            "true",
            "null",
            "NaN",
            "\n",
            " ",
            "é",
        ]
    )
).map("".join)


@settings(deadline=None)
@given(json_text.map(lambda inner: '{"a": ' + inner + "}") | json_text)
@example("\ufeff\ufeff{}")
@example("{}\u00a0")
def test_a_file_without_comments_is_valid_if_the_standard_library_says_so(text: str) -> None:
    assume(not re.search(r",\s*[}\]]", text))

    def refuse(_constant: str) -> object:
        raise ValueError

    try:
        theirs: object = json.loads(text, parse_constant=refuse)
    except ValueError:
        theirs = None
    valid = isinstance(theirs, dict) or not text.strip(" \t\r\n")
    try:
        assert read(text.encode(), ()) == theirs
        found = True
    except UnreadableFileError:
        found = False
    assert found == valid


def test_a_file_with_many_containers_is_not_deep() -> None:
    put_and_drop(json.dumps({f"k{number}": [{}] for number in range(3 * DEPTH_LIMIT)}).encode())


def test_a_file_of_five_megabytes_is_edited() -> None:
    text = json.dumps({f"k{number}": {"a": [1, 2, 3], "b": "text /* " * 10} for number in range(40_000)}, indent=2)
    assert len(text) > 5_000_000
    after = put(text.encode(), PLACE, ENTRY)
    assert after.startswith(text[:-2].encode())
    assert after.endswith(b"\n}")
