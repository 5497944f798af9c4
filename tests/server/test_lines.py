"""The meaning of a line on the wire: a message, nothing, or an error reply that repeats only a valid id."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from claude_secrets.errors import CallerError, Code
from claude_secrets.model import Tool
from claude_secrets.server.lines import BadLine, as_line, parse_line
from claude_secrets.server.tools import ROWS

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def line(**changes: object) -> bytes:
    return json.dumps({**PING, **changes}).encode()


def reply(bad: object) -> dict[str, object]:
    assert isinstance(bad, BadLine)
    sent = as_line(bad.reply)
    assert (sent[-1:], len(sent.decode().splitlines())) == (b"\n", 1)
    message = json.loads(sent)
    assert isinstance(message, dict)
    return message


def code(bad: object) -> object:
    error = reply(bad)["error"]
    assert isinstance(error, dict)
    return error["code"]


def test_messages_are_read() -> None:
    assert isinstance(parse_line(line()), JSONRPCRequest)
    assert isinstance(parse_line(line(id="text")), JSONRPCRequest)
    assert isinstance(parse_line(b'{"jsonrpc":"2.0","method":"notifications/initialized"}'), JSONRPCNotification)
    assert isinstance(parse_line(b'{"jsonrpc":"2.0","id":1,"result":{}}'), JSONRPCResponse)


@pytest.mark.parametrize(
    "blank", [b"", b"  ", b"\r", b"\t \v\f", "\ufeff".encode(), "\ufeff \r".encode(), b"\0", b"\0\r\0"]
)
def test_blank_lines_are_nothing(blank: bytes) -> None:
    assert parse_line(blank) is None


@pytest.mark.parametrize(
    "bad",
    [
        b"hello",
        b'{"jsonrpc":',
        b"\xff\xfe",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}',
        b"[" * 100_000,
    ],
    ids=["text", "half", "no UTF-8", "NaN", "deep"],
)
def test_what_is_no_json_is_a_parse_error_without_an_id(bad: bytes) -> None:
    assert (code(parse_line(bad)), reply(parse_line(bad))["id"]) == (-32700, None)


@pytest.mark.parametrize("wrong", [None, 1.5, 1.0, True, [], {}], ids=repr)
def test_an_id_that_is_neither_text_nor_a_whole_number_is_refused(wrong: object) -> None:
    assert (code(parse_line(line(id=wrong))), reply(parse_line(line(id=wrong)))["id"]) == (-32600, None)


@pytest.mark.parametrize(
    "changes",
    [{"params": []}, {"params": "x"}, {"method": 5}, {"jsonrpc": "1.0"}, {"params": {"x": "\ud800"}}],
    ids=["list", "text", "method", "version", "surrogate"],
)
def test_a_message_that_is_no_json_rpc_is_answered_by_its_id(changes: dict[str, object]) -> None:
    bad = parse_line(line(**changes))
    assert (code(bad), reply(bad)["id"]) == (-32600, 1)


def test_batches_are_refused() -> None:
    assert code(parse_line(b"[" + line() + b"]")) == -32600


def test_an_id_with_a_surrogate_is_not_repeated() -> None:
    assert reply(parse_line(line(id="\ud800")))["id"] is None


def test_nothing_of_a_bad_line_is_repeated() -> None:
    for bad in (
        b"canary",
        b'{"canary":"canary"}',
        line(params="canary"),
        line(canary=1, params=[]),
        line(method=["canary"]),
    ):
        found = parse_line(bad)
        assert isinstance(found, BadLine)
        assert b"canary" not in found.reply


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200) | JSON.map(lambda raw: json.dumps(raw).encode()))
def test_any_bytes_are_a_message_nothing_or_a_reply(raw: bytes) -> None:
    found = parse_line(raw)
    if isinstance(found, BadLine):
        assert reply(found)["jsonrpc"] == "2.0"


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("jsonrpc", "id", "method", "params", "result", "error"), JSON))
)
def test_anything_like_a_message_is_read_or_answered(raw: dict[str, object]) -> None:
    found = parse_line(json.dumps({"jsonrpc": "2.0", **raw}).encode())
    if isinstance(found, BadLine):
        assert reply(found)["jsonrpc"] == "2.0"
    elif found is not None:
        found.model_dump_json(by_alias=True)


def test_every_tool_has_one_row_and_a_closed_schema() -> None:
    assert list(ROWS) == [tool.value for tool in Tool]
    for row in ROWS.values():
        listed = row.listed()
        assert listed.title
        assert listed.description
        assert listed.annotations
        assert listed.annotations.open_world_hint is False
        assert listed.input_schema["additionalProperties"] is False
        assert listed.annotations.read_only_hint is (row.tool.value.startswith(("get", "list", "search")))
        assert listed.annotations.destructive_hint is (row.tool is Tool.DELETE_SECRET)
        assert (listed.output_schema is not None) is (row.tool in (Tool.LIST_SECRETS, Tool.SEARCH_SECRETS))


@given(
    tool=st.sampled_from(list(ROWS)),
    arguments=st.dictionaries(st.sampled_from(["name", "value", "pattern", "prompt", "x"]), JSON),
)
def test_arguments_become_a_call_or_are_refused_without_being_repeated(tool: str, arguments: dict[str, object]) -> None:
    row = ROWS[tool]
    fits = arguments.keys() <= row.properties.keys() and all(isinstance(given, str) for given in arguments.values())
    whole = row.properties.keys() - row.optional <= arguments.keys()
    if fits and whole:
        call = row.call(arguments)
        assert all(getattr(call, name) == given for name, given in arguments.items())
    else:
        with pytest.raises(CallerError) as caught:
            row.call(arguments)
        assert caught.value.code is Code.INVALID_ARGUMENTS


def test_no_depth_of_nesting_escapes() -> None:
    for depth in range(800, 1100):
        nested = f'{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":"\\u0041","b":{"[" * depth}{"]" * depth}}}}}'
        assert isinstance(parse_line(nested.encode()), BadLine | JSONRPCRequest)
