"""Lines as real clients write them: the server accepts byte order marks, blanks and other line ends, and sends none."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire
from tests.support.requirements import require
from tests.support.rounds import in_turn

BOM = "\ufeff".encode()
SPLITTING = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
"""Characters that `str.splitlines` takes for a line end. JSON does not escape the last three of them."""

MODERN = "2026-07-28"
VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", MODERN]

Writer = Callable[[int, bytes], bytes]
"""A function that returns a client's message with that number: the bytes, with the line end."""

# Clients that must keep working.
WRITERS: dict[str, Writer] = {
    "as everybody does": lambda _, message: message + b"\n",
    "a mark before the first message": lambda number, message: (BOM if number == 0 else b"") + message + b"\n",
    "a mark before every message": lambda _, message: BOM + message + b"\n",
    "a mark before a later message": lambda number, message: (BOM if number == 2 else b"") + message + b"\n",
    "two marks": lambda _, message: BOM + BOM + message + b"\n",
    "a mark and the line ends of Windows": lambda _, message: BOM + message + b"\r\n",
    "the line ends of Windows": lambda _, message: message + b"\r\n",
    "blank lines": lambda _, message: b"\n\r\n \t\n" + BOM + b"\n" + message + b"\n\n",
    "blanks around": lambda _, message: b" \t" + message + b" \t \n",
    "blanks around a mark": lambda _, message: b" " + BOM + b" " + message + b"\r\n",
    "characters beyond ASCII as they are": lambda _, message: as_they_are(message) + b"\n",
}


def as_they_are(message: bytes) -> bytes:
    return json.dumps(json.loads(message), ensure_ascii=False).encode()


class Client(Wire):
    """A client of one protocol version with its own way of writing lines."""

    def __init__(self, machine: Machine, project: Path, version: str, writer: Writer) -> None:
        super().__init__(PROGRAM, project, machine.environment)
        self._modern, self._writer, self._number = version == MODERN, writer, 0
        if self._modern:
            answer = self.request("server/discover", {})
            assert MODERN in answer["result"]["supportedVersions"]
        else:
            assert self.shake_hands(version)["result"]["protocolVersion"] == version

    def send(self, message: Mapping[str, object]) -> None:
        self.send_line(self._writer(self._number, json.dumps(message).encode()))
        self._number += 1

    def request(self, method: str, params: Mapping[str, object]) -> dict[str, Any]:
        if not self._modern:
            return super().request(method, params)
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        return super().request(method, {**params, "_meta": meta})


@pytest.fixture(scope="module", name="machine")
def machine_without_limit(shared_machine: Machine) -> Machine:
    shared_machine.write_limit(1_000_000)
    return shared_machine


@pytest.mark.parametrize(
    ("version", "writer"),
    [(version, writer) for number, version in enumerate(VERSIONS) for writer in in_turn([*WRITERS], number, 3)],
)
def test_however_a_client_writes_a_message_it_is_answered(machine: Machine, version: str, writer: str) -> None:
    value = f"{version} {writer} ü\u2028\u0085🔑\ufeff"
    with Client(machine, machine.project("writers"), version, WRITERS[writer]) as client:
        assert client.text("set_secret", name="T", value=value).startswith("Stored 'T'")
        assert client.text("get_secret", name="T") == value
        assert client.close() == 0
    assert client.unread() == b""
    assert client.stderr == b""


def test_a_message_and_the_end_without_a_line_end_is_answered(machine: Machine) -> None:
    for before, after in ((BOM, b""), (b"", b"\r"), (BOM, b" ")):
        with Wire(PROGRAM, machine.project("writers"), machine.environment) as wire:
            wire.send_line(before + b'{"jsonrpc":"2.0","id":1,"method":"ping"}' + after)
            assert wire.process.stdin
            wire.process.stdin.close()
            assert wire.receive() == {"jsonrpc": "2.0", "id": 1, "result": {}}
            assert wire.close() == 0


WIDE = {
    name: (encoding, mark)
    for name, encoding, mark in [
        ("UTF-16 with a mark", "utf-16-le", True),
        ("UTF-16 without", "utf-16-le", False),
        ("UTF-16 of the other order with a mark", "utf-16-be", True),
        ("UTF-16 of the other order without", "utf-16-be", False),
        ("UTF-32", "utf-32-le", True),
    ]
}


@pytest.mark.parametrize(
    ("name", "end"),
    [(name, end) for number, name in enumerate(WIDE) for end in in_turn(["\n", "\r\n", ""], number, 1)],
)
def test_a_message_in_wide_characters_is_refused_with_the_remedy(machine: Machine, name: str, end: str) -> None:
    encoding, mark = WIDE[name]
    message = ("\ufeff" if mark else "") + '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"canary"}}' + end
    with Wire(PROGRAM, machine.project("writers"), machine.environment) as wire:
        wire.send_line(message.encode(encoding))
        assert wire.process.stdin
        wire.process.stdin.close()
        answer = wire.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, -32700)
        assert "UTF-16" in answer["error"]["message"]
        assert "Send UTF-8" in answer["error"]["message"]
        assert "canary" not in str(answer)
        assert wire.close() == 0
    assert wire.unread() == b""  # the rest of the line end is not a message either
    assert wire.stderr == b""


def test_a_client_that_writes_wide_characters_and_waits_is_not_left_waiting(machine: Machine) -> None:
    with Wire(PROGRAM, machine.project("writers"), machine.environment) as wire:
        for _ in range(2):
            wire.send_line('{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n'.encode("utf-16-le"))
            assert wire.receive()["error"]["code"] == -32700


# Output


@pytest.fixture(scope="module")
def wire(machine: Machine) -> Iterator[Wire]:
    """A server in a project whose name contains line ends, so that refusals contain them, too."""
    with machine.server(machine.project(f"api{SPLITTING}b", ["OURS"])) as wire:
        yield wire


def check_lines(wire: Wire) -> None:
    """Check that every kind of reader splits the output into the same lines."""
    said = b"".join(wire.said)
    lines = said.decode().splitlines()
    assert len(lines) == len(wire.said)
    assert [json.loads(line) for line in lines] == [json.loads(line) for line in wire.said]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(SPLITTING + '"\\\0\ufeff'), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=TEXTS, name=TEXTS)
def test_any_value_comes_back_exactly_and_any_reply_is_one_line(wire: Wire, value: str, name: str) -> None:
    wire.said.clear()
    assert wire.text("set_secret", name="OURS", value=value)
    assert wire.text("get_secret", name="OURS") == value
    assert wire.call("search_secrets", pattern=f"\\Q{name}")
    assert wire.code("get_secret", name=f"{name} ") == "INVALID_NAME"
    assert wire.code("get_secret", name="OTHER") == "NOT_ALLOWLISTED"
    wire.send({"jsonrpc": "2.0", "id": name, "method": name})
    assert wire.receive()["id"] == name
    wire.send({"jsonrpc": "2.0", "id": name, "method": name, "params": []})
    assert wire.receive()["id"] == name
    check_lines(wire)


def test_a_refusal_names_a_directory_whose_name_ends_lines_exactly(wire: Wire) -> None:
    text = str(wire.call("get_secret", name="OTHER")["content"][0]["text"])
    assert f"api{SPLITTING}b" in text


def test_every_character_comes_back_in_one_line_that_node_reads_alike(wire: Wire) -> None:
    wire.said.clear()
    values = ["".join(map(chr, [*range(start, start + 0x800)])) for start in range(0, 0x3000, 0x800)]
    for value in [SPLITTING, *values]:
        wire.text("set_secret", name="OURS", value=value)
        assert wire.text("get_secret", name="OURS") == value
    check_lines(wire)
    reader = (
        "const read = require('readline').createInterface({input: process.stdin, crlfDelay: Infinity}), lines = [];"
        "read.on('line', line => lines.push(JSON.parse(line)));"
        "read.on('close', () => process.stdout.write(JSON.stringify(lines)));"
    )
    done = subprocess.run(
        [require("node"), "-e", reader], input=b"".join(wire.said), capture_output=True, timeout=DEADLINE, check=True
    )
    assert json.loads(done.stdout) == [json.loads(line) for line in wire.said]
